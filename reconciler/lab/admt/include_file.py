"""Include files: which objects to migrate and what they are to be called in the target domain."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from reconciler.lab.admt.errors import UsageRefused

_COLUMNS = ("sourcename", "targetname", "targetrdn", "targetsam", "targetupn")


@dataclass(frozen=True, slots=True)
class Included:
    """One line of an include file, or one name of a command line; empty means "as in the source"."""

    source: str  # sAMAccountName or RDN
    name: str = ""  # one base name for RDN, SAM and UPN
    rdn: str = ""  # CN=Monster\\, Cookie
    sam: str = ""
    upn: str = ""


def decode(content: bytes) -> str:
    """Return the text of a file that a Windows program reads: a byte order mark decides, else the ANSI code page."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16")
    if content.startswith(b"\xef\xbb\xbf"):
        return content.decode("utf-8-sig")
    # A UTF-8 file without a mark is misread, as it would be on a real host.
    return content.decode("cp1252", errors="replace")


def parse(text: str) -> list[Included]:
    """Read an include file. The header may be missing only when every line is just a source name. [cc974420]

    Raises:
        UsageRefused: A column is unknown, or targets are named without a header.
    """
    rows = [row for row in csv.reader(io.StringIO(text, newline=""), skipinitialspace=True) if any(row)]
    if not rows:
        return []
    header = [cell.strip().lower() for cell in rows[0]]
    if "sourcename" not in header:
        if any(len(row) > 1 for row in rows):
            raise UsageRefused("The include file names targets but has no header line.")
        return [Included(row[0].strip()) for row in rows]
    unknown = [cell for cell in header if cell not in _COLUMNS]
    if unknown or len(set(header)) != len(header):
        raise UsageRefused(f"The header of the include file is invalid: {','.join(rows[0])}")
    return [_included(header, row) for row in rows[1:]]


def _included(header: Sequence[str], row: Sequence[str]) -> Included:
    if len(row) > len(header):
        raise UsageRefused(f"A line of the include file has more fields than the header: {','.join(row)}")
    cells = dict(zip(header, (cell.strip() for cell in row), strict=False))
    source, name, rdn, sam, upn = (cells.get(column, "") for column in _COLUMNS)
    if not source:
        raise UsageRefused(f"A line of the include file has no SourceName: {','.join(row)}")
    if name and (rdn or sam or upn):
        raise UsageRefused(f"TargetName cannot be combined with other target columns: {source}")
    return Included(source, name, rdn, sam, upn)

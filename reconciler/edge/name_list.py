"""Lists of accounts beside a state file: plain names, or CSV in the form of ADMT's include files. All that is wrong is said at once."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path

from reconciler.core.errors import Problem
from reconciler.edge.regular_file import read_regular

MAX_BYTES = 16 * 1024 * 1024
MAX_PROBLEMS = 20
COLUMNS = {"sourcename": "name", "targetsam": "sam", "targetupn": "upn", "targetrdn": "rdn"}


def read_names(path: Path) -> tuple[list[dict[str, str]], list[Problem]]:
    """Read a list.

    Returns:
        A line each as name, sam, upn and rdn (empty where the file says nothing), and all that is wrong, with its place.
    """
    try:
        content = read_regular(path, MAX_BYTES)
    except OSError as error:
        why = error.strerror or type(error).__name__
        return [], [Problem(f"the list cannot be read: {why}", str(path), "check the path and its permissions")]
    try:
        text = _text(content)
    except UnicodeError:
        return [], [Problem("the list is neither UTF-8 nor UTF-16 with its mark", str(path), "save it as UTF-8")]
    if len(content) > MAX_BYTES:
        return [], [Problem(f"the list is larger than {MAX_BYTES // 2**20} MiB", str(path), "split it")]
    try:
        return _lines(path, text)
    except csv.Error as error:
        return [], [Problem(f"the list is no CSV: {error}", str(path), "see how it is quoted")]


def _text(content: bytes) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16")
    return content.decode("utf-8-sig")


def _lines(path: Path, text: str) -> tuple[list[dict[str, str]], list[Problem]]:
    reader = csv.reader(io.StringIO(text, newline=""), skipinitialspace=True, strict=True)
    columns: list[str] | None = None
    found: list[dict[str, str]] = []
    wrong: list[Problem] = []
    seen: dict[str, int] = {}
    for row in reader:
        cells = [cell.strip() for cell in row]
        if not any(cells) or cells[0].startswith("#"):
            continue
        if columns is None:
            columns, header = _header(cells)
            if header:
                wrong += _unknown(path, reader.line_num, columns)
                continue
        place = f"{path}:{reader.line_num}:1"
        if len(cells) > len(columns):
            wrong.append(Problem("a line has more fields than the header", place, "quote what holds a comma"))
            continue
        line = _named(columns, cells)
        name = line.get("name", "").casefold()
        if not name:
            wrong.append(Problem("a line has no name", place, "give the sAMAccountName"))
        elif name in seen:
            wrong.append(Problem(f"{line['name']} stands in line {seen[name]} already", place, "remove one of them"))
        else:
            seen[name] = reader.line_num
            found.append(line)
    if not found and not wrong:  # an empty list would mean everybody
        wrong.append(Problem("the list is empty", str(path), "name at least one account, or remove the list"))
    return found, wrong[:MAX_PROBLEMS]


def _header(cells: list[str]) -> tuple[list[str], bool]:
    """Return the columns, and whether the first line names them; without a header there is only the name."""
    folded = [cell.casefold() for cell in cells]
    return (folded, True) if "sourcename" in folded else (["sourcename"], False)


def _unknown(path: Path, line: int, columns: Iterable[str]) -> list[Problem]:
    known = ", ".join(["SourceName", "TargetSAM", "TargetUPN", "TargetRDN"])
    return [
        Problem(f"no column is called '{name}'", f"{path}:{line}:1", f"known columns: {known}")
        for name in columns
        if name not in COLUMNS
    ]


def _named(columns: list[str], cells: list[str]) -> dict[str, str]:
    given: Mapping[str, str] = dict(zip(columns, cells, strict=False))
    return {COLUMNS[name]: value for name, value in given.items() if name in COLUMNS}

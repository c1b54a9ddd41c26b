"""The SHA-256 of a file on a host, so that files are compared without reading them over the network."""

from __future__ import annotations

from reconciler.core.query import Command, Rows
from reconciler.resources.rows import at_most_one, text
from reconciler.resources.windows_values import ABSENT_PATH


def hash_query(host: str, path: str) -> Command:
    """Ask for the hash; no row where there is no such file, or where it is a directory."""
    # A missing file is an error of Resolve-Path; our paths hold no wildcards.
    where = (("Path", path), ("Algorithm", "SHA256"))
    return Command(host, "Get-FileHash", where, absent=ABSENT_PATH, timeout_s=300.0)


def file_hash(rows: Rows, host: str) -> str | None:
    """Read the answer to ``hash_query``: lower-case hexadecimal digits, None where there is no file."""
    row = at_most_one(rows, "the hash of a file", host)
    return None if row is None else text(row, "Hash").lower()

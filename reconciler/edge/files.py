"""Files on hosts, as bytes through the session: no share, no second hop."""

from __future__ import annotations

import ntpath
from collections.abc import Callable

from reconciler.core.errors import Refused, UnexpectedAnswer
from reconciler.core.query import Command, Rows
from reconciler.core.steps import CopyFile

Run = Callable[[Command], Rows]

MISSING = ("PathNotFound", "ItemNotFound", "DriveNotFound")
SLOW_S = 300.0


def size(run: Run, host: str, path: str) -> int | None:
    """Return the length of a file in bytes; None where there is none."""
    rows = run(Command(host, "Get-Item", (("LiteralPath", path), ("Force", True)), absent=MISSING))
    length = rows[0].get("Length") if rows else None
    if rows and not isinstance(length, int):
        raise UnexpectedAnswer(f"'{path}' is not a file", target=host)
    return length if isinstance(length, int) else None


def read(run: Run, host: str, path: str) -> bytes | None:
    """Return what a file holds; None where there is none."""
    length = size(run, host, path)
    if not length:  # an empty one gives no output at all, or an empty array that pypsrp cannot read
        return None if length is None else b""
    asked = (("LiteralPath", path), ("Encoding", "Byte"), ("Raw", True))
    rows = run(Command(host, "Get-Content", asked, absent=MISSING, timeout_s=SLOW_S))
    return b"".join(_bytes(row.get("value"), host, path) for row in rows)


def copy(run: Run, effect: CopyFile) -> None:
    """Bring a file from one host to another and compare both by their hash.

    Raises:
        Refused: There is no such file, it cannot be written, or what was written is not the same.
    """
    content = read(run, effect.source_host, effect.source_path)
    if content is None:
        raise Refused(f"there is no file '{effect.source_path}'", target=effect.source_host, code="PathNotFound")
    _make_directory(run, effect.host, ntpath.dirname(effect.path))
    written = (("LiteralPath", effect.path), ("Value", content), ("Encoding", "Byte"), ("Force", True))
    run(Command(effect.host, "Set-Content", written, timeout_s=SLOW_S))
    ours = _hash(run, effect.source_host, effect.source_path)
    theirs = _hash(run, effect.host, effect.path)
    if ours != theirs:
        raise Refused(
            f"'{effect.path}' is not the same as '{effect.source_path}' of '{effect.source_host}' after copying",
            target=effect.host,
            code="HashMismatch",
            do="see whether something else writes to one of them",
        )


def _make_directory(run: Run, host: str, path: str) -> None:
    if not path or _is_there(run, host, path):
        return
    run(Command(host, "New-Item", (("Path", path), ("ItemType", "Directory"), ("Force", True))))


def _is_there(run: Run, host: str, path: str) -> bool:
    rows = run(Command(host, "Test-Path", (("LiteralPath", path),)))
    return bool(rows and rows[0].get("value") is True)


def _hash(run: Run, host: str, path: str) -> str:
    rows = run(Command(host, "Get-FileHash", (("LiteralPath", path), ("Algorithm", "SHA256")), timeout_s=SLOW_S))
    found = rows[0].get("Hash") if rows else None
    if not isinstance(found, str) or not found:
        raise UnexpectedAnswer(f"'{host}' gives no hash of '{path}'", target=host)
    return found.upper()


def _bytes(value: object, host: str, path: str) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, int) and 0 <= value < 256:
        return bytes([value])
    if isinstance(value, list) and all(isinstance(item, int) and 0 <= item < 256 for item in value):
        return bytes(value)
    raise UnexpectedAnswer(f"'{host}' did not give the bytes of '{path}'", target=host)

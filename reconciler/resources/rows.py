"""Typed readers of answer rows: what cannot be read as asked for raises, and is never taken for absent.

A directory answers ``tuple[bytes, ...]`` per attribute, a host answers plain Python values; both are read alike.
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import Iterable

from reconciler.core.errors import UnexpectedAnswer
from reconciler.core.query import Row, Rows
from reconciler.core.table import EntryRow
from reconciler.core.values import Guid, Sid


def one(rows: Rows, what: str, target: str) -> Row:
    """Return the only row.

    Raises:
        UnexpectedAnswer: There is none, or more than one.
    """
    if len(rows) == 1:
        return rows[0]
    count = f"{len(rows)} answers" if rows else "no answer"
    raise UnexpectedAnswer(f"{what}: {count} where exactly one was expected", target=target)


def at_most_one(rows: Rows, what: str, target: str) -> Row | None:
    """Return the only row, or None where there is none; more than one raises UnexpectedAnswer."""
    return one(rows, what, target) if rows else None


def has(row: Row, name: str) -> bool:
    """Return whether there is a value; names compare without case."""
    return bool(_values(row, name))


def text(row: Row, name: str) -> str:
    """Return the only value as text."""
    return _text(row, name, _single(row, name))


def text_or_none(row: Row, name: str) -> str | None:
    """Return the only value as text, None where there is none."""
    return text(row, name) if has(row, name) else None


def texts(row: Row, name: str) -> tuple[str, ...]:
    """Return every value as text; none is an empty tuple."""
    return tuple(_text(row, name, value) for value in _values(row, name))


def number(row: Row, name: str) -> int:
    """Return the only value as an integer; text is read as decimal, or hexadecimal after ``0x``."""
    value = _single(row, name)
    if isinstance(value, bool):
        raise _unreadable(row, name, "a number")
    if isinstance(value, int):
        return value
    try:
        return int(_text(row, name, value).strip(), 0)
    except ValueError:
        raise _unreadable(row, name, "a number") from None


def number_or_none(row: Row, name: str) -> int | None:
    """Return the only value as an integer, None where there is none."""
    return number(row, name) if has(row, name) else None


def flag(row: Row, name: str) -> bool:
    """Return the only value as a truth value (``TRUE``/``FALSE`` in a directory, a boolean from a host)."""
    value = _single(row, name)
    if isinstance(value, bool):
        return value
    match _text(row, name, value).strip().upper():
        case "TRUE":
            return True
        case "FALSE":
            return False
    raise _unreadable(row, name, "true or false")


def raw(row: Row, name: str) -> bytes:
    """Return the only value as bytes."""
    value = _single(row, name)
    if isinstance(value, bytes | bytearray):
        return bytes(value)
    raise _unreadable(row, name, "bytes")


def sid(row: Row, name: str) -> Sid:
    """Return the only value as a SID, binary or text."""
    return _sid(row, name, _single(row, name))


def sid_or_none(row: Row, name: str) -> Sid | None:
    """Return the only value as a SID, None where there is none."""
    return sid(row, name) if has(row, name) else None


def sids(row: Row, name: str) -> tuple[Sid, ...]:
    """Return every value as a SID."""
    return tuple(_sid(row, name, value) for value in _values(row, name))


def guid(row: Row, name: str) -> Guid:
    """Return the only value as a GUID: 16 bytes, or text."""
    value = _single(row, name)
    try:
        if isinstance(value, uuid.UUID):
            return Guid(str(value))
        if isinstance(value, bytes) and len(value) == 16:
            return Guid.from_bytes(value)
        return Guid(_text(row, name, value))
    except ValueError:
        raise _unreadable(row, name, "a GUID") from None


def where(row: Row) -> str:
    """Return what names the row for people: its DN, or nothing."""
    found = row.get("dn")
    return found if isinstance(found, str) else ""


def _values(row: Row, name: str) -> tuple[object, ...]:
    value = row.get(name.lower()) if isinstance(row, EntryRow) else _spelled_any_way(row, name)
    if value is None:
        return ()
    if isinstance(value, tuple | list):
        return tuple(value)
    return (value,)


def _spelled_any_way(row: Row, name: str) -> object:
    """Return what a row has under a name, as a host may spell it."""
    wanted = name.casefold()
    for spelled in (name, wanted):
        if (value := row.get(spelled)) is not None:
            return value
    # Values are not looked at: that may cost.
    key = next((key for key in row if key.casefold() == wanted), None)
    return None if key is None else row[key]


def _single(row: Row, name: str) -> object:
    found = _values(row, name)
    if len(found) == 1:
        return found[0]
    count = f"{len(found)} values" if found else "no value"
    raise UnexpectedAnswer(f"the answer has {count} of {name!r} where exactly one was expected", where=where(row))


def _text(row: Row, name: str, value: object) -> str:
    if isinstance(value, bytes | bytearray):
        try:
            return bytes(value).decode("utf-8")
        except UnicodeDecodeError:
            raise _unreadable(row, name, "text") from None
    if isinstance(value, str | int | float | uuid.UUID):
        return str(value)
    raise _unreadable(row, name, "text")


def _sid(row: Row, name: str, value: object) -> Sid:
    try:
        if isinstance(value, bytes) and not value.startswith(b"S-"):
            return Sid.from_bytes(value)
        return Sid(_text(row, name, value))
    except ValueError:
        raise _unreadable(row, name, "a SID") from None


def _unreadable(row: Row, name: str, kind: str) -> UnexpectedAnswer:
    found: Iterable[object] = _values(row, name)
    shown = ", ".join(base64.b64encode(v[:32]).decode() if isinstance(v, bytes) else type(v).__name__ for v in found)
    return UnexpectedAnswer(f"the value of {name!r} cannot be read as {kind} ({shown})", where=where(row))

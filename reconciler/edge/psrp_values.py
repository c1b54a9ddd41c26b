"""Values on their way to a Windows host and back. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING
from uuid import UUID

from reconciler.core.query import Row, Rows

if TYPE_CHECKING:
    from pypsrp.complex_objects import GenericComplexObject

DEEPEST = 8  # objects may refer to themselves

_INT32 = range(-(2**31), 2**31)
_INT64 = range(-(2**63), 2**63)
_UINT64 = range(2**64)


def to_host(value: object) -> object:
    """Return a value as pypsrp has to be given it: pypsrp sends every int as Int32.

    Raises:
        TypeError: No such value can be sent.
        ValueError: The number does not fit 64 bits.
    """
    if isinstance(value, bool | str | bytes):
        return str(value) if isinstance(value, str) else value  # a plain str: pypsrp looks at the exact type
    if isinstance(value, int):
        return _integer(value)
    if isinstance(value, list | tuple):
        return [to_host(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): to_host(item) for key, item in value.items()}
    raise TypeError(f"a {type(value).__name__} cannot be sent to a host")


def _integer(value: int) -> object:
    if value in _INT32:
        return int(value)
    from pypsrp.serializer import TaggedValue

    if value in _INT64:
        return TaggedValue("I64", value)
    if value in _UINT64:
        return TaggedValue("U64", value)
    raise ValueError(f"{value} does not fit 64 bits")


def to_rows(output: Iterable[object]) -> Rows:
    """Return output objects as rows; what is no object with properties becomes ``{"value": ...}``."""
    return tuple(_row(item) for item in output)


def _row(item: object) -> Row:
    value = plain(item)
    return value if isinstance(value, dict) else {"value": value}


def plain(value: object, depth: int = 0) -> object:
    """Return a deserialized value as str, int, float, bool, bytes, list, dict or None.

    Enums become their text, dates, versions and GUIDs too. A string or number that carries notes (a line of Get-Content)
    is just that string or number.
    """
    if value is None or isinstance(value, bool | int | float | str | bytes):
        return value
    if isinstance(value, bytearray):
        return bytes(value)
    if depth >= DEEPEST:
        return str(value)
    if isinstance(value, Mapping):
        return {str(plain(key, depth + 1)): plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item, depth + 1) for item in value]
    from pypsrp.complex_objects import GenericComplexObject

    if isinstance(value, GenericComplexObject):
        return _object(value, depth)
    return str(value).lower() if isinstance(value, UUID) else str(value)


def _object(value: GenericComplexObject, depth: int) -> object:
    if any(name.removeprefix("Deserialized.") == "System.Enum" for name in value.types):
        return value.to_string
    if value.property_sets:
        return plain(value.property_sets[0], depth + 1)
    properties = {**value.adapted_properties, **value.extended_properties}
    if properties:
        return {str(name): plain(item, depth + 1) for name, item in properties.items()}
    return value.to_string

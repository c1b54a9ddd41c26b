"""Lengths of time as people write them: ``90m``, ``8h``, ``2d``, or ISO 8601; and that times are written at all."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, TypeAdapter, ValidationError, WithJsonSchema

_ISO = TypeAdapter(timedelta)
_SHORT = re.compile(r"(\d{1,6})(m|h|d)")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
PATTERN = r"\d{1,6}[mhd]|P.+"


def duration(value: object) -> timedelta:
    """Read a length of time: ``90m``, ``8h``, ``2d``, or ISO 8601 (``PT8H``).

    Raises:
        ValueError: It is none.
    """
    if isinstance(value, timedelta):
        return value
    if isinstance(value, str):
        if short := _SHORT.fullmatch(value.strip()):
            return timedelta(**{_UNITS[short[2]]: int(short[1])})
        if value.strip().startswith("P"):
            with suppress(ValidationError):
                return _ISO.validate_python(value.strip())
    raise ValueError("a length of time is written as 90m, 8h, 2d or PT8H")


def spoken(length: timedelta) -> str:
    """Write a length of time as people do, to the minute: ``8h``, ``90m``."""
    minutes = int(length.total_seconds()) // 60
    return f"{minutes // 60}h" if minutes % 60 == 0 else f"{minutes}m"


def written_out(such_as: str) -> BeforeValidator:
    """Refuse a bare number where a day or a moment is wanted: it would be read as seconds since 1970."""

    def check(value: object) -> object:
        if isinstance(value, int | float):
            raise ValueError(f"write {such_as}")
        return value

    return BeforeValidator(check)


def _some(length: timedelta) -> timedelta:
    if length < timedelta(minutes=1):
        raise ValueError("it is at least a minute")
    return length


Length = Annotated[
    timedelta,
    BeforeValidator(duration),
    AfterValidator(_some),
    WithJsonSchema({"type": "string", "pattern": f"^({PATTERN})$", "examples": ["8h"]}),
]
"""At least a minute."""

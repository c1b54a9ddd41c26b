"""Turn core values into JSON values; secrets show as their references."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct
from pydantic import BaseModel

from reconciler.core.errors import ReconcileError
from reconciler.core.secret import CredentialPart, Generated, SecretRef, Template


def plain(value: Any) -> Any:
    """Return ``value`` as JSON values."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, SecretRef | Generated | Template | CredentialPart):
        return str(value)
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, BaseModel):
        return {name: plain(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, Struct):
        return {name: plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, frozenset | set):
        return sorted((plain(item) for item in value), key=str)
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return str(value)


def printable(text: str) -> str:
    """Return text that cannot steer a terminal, whoever wrote what was read."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def plain_error(error: ReconcileError) -> dict[str, str]:
    """Return an error's facts."""
    return {"type": type(error).__name__, "what": error.what, "where": error.where, "do": error.do}

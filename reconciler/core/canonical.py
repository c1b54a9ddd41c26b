"""One way to write a value as JSON, so that equal values have equal digests on every machine and in every process. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Annotated, Any

from msgspec import Struct
from pydantic import BaseModel, StringConstraints

from reconciler.core.secret import CredentialPart, Generated, SecretRef, Template
from reconciler.core.values import Dn, Guid, Sid

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]

_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def digest_of(value: object) -> str:
    """Return SHA-256 (hex) over the canonical JSON of JSON values."""
    return hashlib.sha256(canonical(value).encode("ascii")).hexdigest()


def canonical(value: object) -> str:
    """Return JSON values as text: sorted names, no blanks, ASCII."""
    return _ENCODER.encode(value)


def plain(value: Any) -> Any:
    """Return JSON values that differ wherever ``value`` does; secrets as their references, sets in a fixed order."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Dn | Sid | Guid):
        return value.canonical()
    if isinstance(value, str | SecretRef | Generated | CredentialPart | Template):
        return str(value)
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, BaseModel):
        return {name: plain(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, Struct):
        named = {name: plain(getattr(value, name)) for name in value.__struct_fields__}
        return {"is": type(value).__name__, **named}
    if isinstance(value, Mapping):
        return {str(plain(name)): plain(item) for name, item in value.items()}
    if isinstance(value, AbstractSet):
        return sorted((plain(item) for item in value), key=canonical)
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return str(value)

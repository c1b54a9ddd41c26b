"""Directory values in canonical form, so that ``==`` is the right comparison."""

from __future__ import annotations

import re
import struct
import uuid
from functools import lru_cache
from typing import Any, Literal, Self

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

Phase = Literal["prepare", "migrate", "complete"]
PHASES: tuple[Phase, ...] = ("prepare", "migrate", "complete")
ALL: frozenset[Phase] = frozenset(PHASES)
CACHED = 1 << 16
"""How many DNs, and accounts, are kept as they were read: more than two domains of ten thousand users each need."""


class _Canonical(str):
    """A string that keeps its spelling and compares by its canonical form."""

    __slots__ = ()
    pattern = ""
    example = ""

    def canonical(self) -> str:
        raise NotImplementedError

    def __eq__(self, other: object) -> bool:
        if isinstance(other, type(self)):
            return self.canonical() == other.canonical()
        if isinstance(other, str):
            try:
                return self.canonical() == type(self)(other).canonical()
            except ValueError:
                return False
        return NotImplemented

    def __ne__(self, other: object) -> bool:
        equal = self.__eq__(other)
        return equal if equal is NotImplemented else not equal

    def __hash__(self) -> int:
        return hash(self.canonical())

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(
            cls, core_schema.str_schema(), serialization=core_schema.plain_serializer_function_ser_schema(str)
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        found: JsonSchemaValue = {"type": "string", "examples": [cls.example]}
        if cls.pattern:
            found["pattern"] = cls.pattern
        return found


def split_unescaped(text: str, separator: str) -> list[str]:
    """Split at ``separator`` wherever a backslash does not protect it; escapes are kept."""
    if "\\" not in text:
        return text.split(separator)
    parts, current, escaped = [], "", False
    for char in text:
        if escaped:
            current += char
            escaped = False
        elif char == "\\":
            current += char
            escaped = True
        elif char == separator:
            parts.append(current)
            current = ""
        else:
            current += char
    return [*parts, current]


def unescape(value: str) -> str:
    """Undo RFC 4514 escapes in one attribute value (``\\,`` and ``\\C3\\BC``)."""
    if "\\" not in value:
        return value
    out = bytearray()
    i = 0
    while i < len(value):
        if value[i] == "\\" and i + 1 < len(value):
            pair = value[i + 1 : i + 3]
            if re.fullmatch(r"[0-9A-Fa-f]{2}", pair):
                out += bytes.fromhex(pair)
                i += 3
                continue
            out += value[i + 1].encode()
            i += 2
            continue
        out += value[i].encode()
        i += 1
    return out.decode("utf-8", "replace")


def escape_rdn(value: str) -> str:
    """Escape one attribute value for a DN (RFC 4514 section 2.4)."""
    if "\0" in value:
        raise ValueError("a DN cannot hold a NUL character")
    out = re.sub(r'([\\,+"<>;=])', r"\\\1", value)
    if out.startswith((" ", "#")):
        out = "\\" + out
    if out.endswith(" ") and len(value) > 1:  # a lone space was escaped as the first character
        out = out[:-1] + "\\ "
    return out


def _stripped(value: str) -> str:
    """Drop the blanks around an escaped value, but not one that a backslash protects."""
    text = value.strip()
    backslashes = len(text) - len(text.rstrip("\\"))
    return text + " " if backslashes % 2 and value.rstrip() != value else text


@lru_cache(CACHED)
def _canonical_dn(text: str) -> str:
    """Spell a DN as it is compared; a population of accounts compares the same ones at every look."""
    return ",".join(f"{name}={escape_rdn(value.casefold())}" for name, value in Dn(text).rdns())


class Dn(_Canonical):
    """A distinguished name; attribute types and values compare without case, escapes do not matter."""

    __slots__ = ()
    example = "OU=Staff,DC=source,DC=lab"

    def __new__(cls, text: str) -> Self:
        for rdn in split_unescaped(text, ","):
            name, sign, value = rdn.partition("=")
            if not sign or not name.strip() or not value.strip():
                raise ValueError(f"not a distinguished name: {text!r} (at {rdn!r})")
        return super().__new__(cls, text)

    def rdns(self) -> tuple[tuple[str, str], ...]:
        """Return (type, unescaped value) pairs, leaf first."""
        pairs = (rdn.partition("=") for rdn in split_unescaped(self, ","))
        return tuple((name.strip().upper(), unescape(_stripped(value))) for name, _, value in pairs)

    def canonical(self) -> str:
        return _canonical_dn(str(self))

    @property
    def parent(self) -> Dn:
        """The DN above; raises ValueError at the top."""
        return Dn(",".join(split_unescaped(self, ",")[1:]))

    @property
    def name(self) -> str:
        """The unescaped value of the leaf RDN."""
        return self.rdns()[0][1]

    def is_below(self, base: str) -> bool:
        """Return whether this DN is ``base`` or lies under it."""
        return self == base or self.canonical().endswith("," + Dn(base).canonical())


class Sid(_Canonical):
    """A security identifier, ``S-1-5-21-...``."""

    __slots__ = ()
    pattern = r"^[Ss]-1-[0-9]+(-[0-9]+)*$"
    example = "S-1-5-32-544"

    def __new__(cls, text: str) -> Self:
        if not re.fullmatch(cls.pattern, text):
            raise ValueError(f"not a SID: {text!r}")
        authority, *subs = map(int, text.split("-")[2:])
        if authority >= 2**48 or len(subs) > 15 or any(sub >= 2**32 for sub in subs):
            raise ValueError(f"not a SID: {text!r} (a number is too large, or there are too many)")
        return super().__new__(cls, "-".join(["S-1", str(authority), *map(str, subs)]))

    def canonical(self) -> str:
        return str.__str__(self)

    @classmethod
    def from_bytes(cls, raw: bytes) -> Self:
        """Read the binary form (MS-DTYP 2.4.2.2)."""
        if len(raw) < 8 or len(raw) != 8 + 4 * raw[1] or raw[0] != 1:
            raise ValueError(f"not a binary SID: {raw.hex()}")
        authority = int.from_bytes(raw[2:8], "big")
        subs = struct.unpack(f"<{raw[1]}I", raw[8:])
        return cls("-".join(["S-1", str(authority), *map(str, subs)]))

    def to_bytes(self) -> bytes:
        """Return the binary form (MS-DTYP 2.4.2.2)."""
        _, _, authority, *subs = self.split("-")
        return (
            bytes([1, len(subs)]) + int(authority).to_bytes(6, "big") + struct.pack(f"<{len(subs)}I", *map(int, subs))
        )

    @property
    def domain(self) -> str:
        """The SID without its last number."""
        return self.rpartition("-")[0]


class Guid(_Canonical):
    """A GUID without braces, lower case."""

    __slots__ = ()
    pattern = r"^\{?[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\}?$"
    example = "0cce9235-69ae-11d9-bed3-505054503030"

    def __new__(cls, text: str) -> Self:
        if not re.fullmatch(cls.pattern, text):
            raise ValueError(f"not a GUID: {text!r}")
        return super().__new__(cls, text.strip("{}").lower())

    def canonical(self) -> str:
        return str.__str__(self)

    @classmethod
    def from_bytes(cls, raw: bytes) -> Self:
        """Read the little-endian form the directory uses."""
        return cls(str(uuid.UUID(bytes_le=raw)))

    def to_bytes(self) -> bytes:
        """Return the little-endian form the directory uses."""
        return uuid.UUID(str(self)).bytes_le


def escape_filter(value: str | bytes) -> str:
    """Escape an assertion value for an LDAP filter (RFC 4515); bytes are escaped whole."""
    if isinstance(value, bytes):
        return "".join(f"\\{byte:02x}" for byte in value)
    return "".join(f"\\{ord(c):02x}" if c in "\\*()\0" else c for c in value)

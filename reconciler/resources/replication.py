"""Where and when an attribute, or a member of a group, was last changed: read from a directory's replication metadata.

The law: wrong is worse than unknown. What cannot be read for certain gives nothing, and never an error.

Windows constructs ``msDS-ReplAttributeMetaData`` and ``msDS-ReplValueMetaData``: one XML fragment per attribute or linked
value. Samba keeps only ``replPropertyMetaData``, which is binary, knows attributes by number, and knows no linked values.

Source: MS-ADA2 for both constructed attributes; MS-DRSR 4.1.13.1.17 and 4.1.13.1.25 for what is in them, MS-ADTS 3.1.1.2.6
for the numbers.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta

from msgspec import Struct

from reconciler.core.edit import Edit
from reconciler.core.query import Query, Row, Rows, Search
from reconciler.core.values import Dn, Guid

_XML, _BINARY, _VALUES = "msDS-ReplAttributeMetaData", "replPropertyMetaData", "msDS-ReplValueMetaData"
PLAIN = (_XML, _BINARY)
"""What to ask for where it is about attributes."""
LINKED = (*PLAIN, _VALUES)
"""What to ask for where it is about members as well."""
# Of attributes of the base schema only: their numbers follow from their OIDs by prefixes that every forest has.
_NUMBERS = {
    "nTSecurityDescriptor": 0x20119,
    "trustDirection": 0x90084,
    "trustType": 0x90088,
    "trustAttributes": 0x901D6,
}
_HEADER, _STAMP = struct.Struct("<IIII"), struct.Struct("<IIQ16sqq")
_EPOCH = datetime(1601, 1, 1, tzinfo=UTC)
_NEVER = _EPOCH + timedelta(days=1)
_GENERALIZED = re.compile(r"(\d{14})(?:\.\d+)?Z")
_VERSION = re.compile(r"[0-9]{1,10}")
_SERVER = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class Stamp(Struct, frozen=True):
    """One originating change.

    Attributes:
        value: DN of the linked value; empty for a whole attribute.
        gone: The linked value was removed by it.
    """

    attribute: str
    version: int
    at: datetime
    on: str
    value: str = ""
    gone: bool = False


class Trail(Struct, frozen=True):
    """What a directory tells about one object.

    Attributes:
        told_at: What time it was there.
    """

    stamps: tuple[Stamp, ...]
    told_at: datetime

    def of(self, field: str, *attributes: str) -> tuple[Edit, ...]:
        """Return the latest change of any of these attributes as that of a field; nothing where none is known."""
        return self._latest(field, [one for one in self.stamps if not one.value and one.attribute in attributes])

    def of_values(self, field: str, attribute: str, concerns: Callable[[Dn, bool], bool]) -> tuple[Edit, ...]:
        """Return the latest change of linked values as that of a field.

        Args:
            concerns: Whether this value is asked for, given its DN and whether it is there now.
        """
        linked = [one for one in self.stamps if one.value and one.attribute == attribute]
        return self._latest(field, [one for one in linked if concerns(Dn(one.value), not one.gone)])

    def _latest(self, field: str, stamps: list[Stamp]) -> tuple[Edit, ...]:
        if not stamps:
            return ()
        last = max(stamps, key=lambda one: one.at)
        return (Edit(field, last.attribute, last.on, last.at, last.version, self.told_at),)


def trail_of(about: Search) -> tuple[Query, ...]:
    """Ask for the metadata of one object, for the controllers by invocation id, and for the time.

    Args:
        about: The search that finds it, for ``PLAIN`` or ``LINKED``.
    """
    return (
        about,
        Search(about.domain, "config:CN=Sites,", "(objectClass=nTDSDSA)", ("invocationId",), "subtree"),
        Search(about.domain, "rootdse", attributes=("currentTime",)),
    )


def read_trail(found: Rows, controllers: Rows, clock: Rows) -> Trail:
    """Read the answers to ``trail_of``; a directory that does not tell gives an empty one."""
    now = next((time for row in clock for value in _texts(row, "currentTime") if (time := _generalized(value))), None)
    if len(found) != 1 or now is None:
        return Trail((), _EPOCH)
    (row,) = found
    names = {Guid.from_bytes(raw): server_of(str(dsa["dn"])) for dsa in controllers for raw in _invocation(dsa)}
    fragments = [_fragment(text) for name in (_XML, _VALUES) for text in _texts(row, name)]
    stamps = [stamp for parts in fragments if (stamp := _stamp(parts, names)) is not None]
    if not _texts(row, _XML):
        stamps += [stamp for raw in _values(row, _BINARY) for stamp in _binary(raw, names)]
    return Trail(tuple(stamps), now)


def server_of(dsa: str) -> str:
    """Return the name of the server that a DN of NTDS settings lies below; empty where it is no such DN."""
    try:
        rdns = Dn(dsa).rdns()
    except ValueError:
        return ""
    whole = len(rdns) > 2 and rdns[0] == ("CN", "NTDS Settings") and rdns[2] == ("CN", "Servers")
    return rdns[1][1] if whole and _SERVER.fullmatch(rdns[1][1]) else ""


def _fragment(text: str) -> Mapping[str, str]:
    if "<!" in text:
        return {}
    from xml.etree import ElementTree  # many kinds may look here, and few ever do

    try:
        root = ElementTree.fromstring(text.strip("\0 \r\n\t"))  # noqa: S314 - document types were refused above
    except (ElementTree.ParseError, ValueError):
        return {}
    return {child.tag: (child.text or "").strip() for child in root}


def _stamp(parts: Mapping[str, str], names: Mapping[Guid, str]) -> Stamp | None:
    at, gone = _time(parts.get("ftimeLastOriginatingChange", "")), _time(parts.get("ftimeDeleted", ""))
    version, value = parts.get("dwVersion", ""), parts.get("pszObjectDn", "")
    if at is None or not _VERSION.fullmatch(version) or not parts.get("pszAttributeName"):
        return None
    if value and not _is_dn(value):
        return None
    on = server_of(parts.get("pszLastOriginatingDsaDN", ""))
    if not on:
        try:
            on = names.get(Guid(parts.get("uuidLastOriginatingDsaInvocationID", "")), "")
        except ValueError:
            on = ""
    return Stamp(parts["pszAttributeName"], int(version), at, on, value, gone is not None)


def _binary(raw: bytes, names: Mapping[Guid, str]) -> Iterator[Stamp]:
    if len(raw) < _HEADER.size:
        return
    version, _, count, _ = _HEADER.unpack_from(raw)
    if version != 1 or len(raw) != _HEADER.size + count * _STAMP.size:
        return
    known = {number: name for name, number in _NUMBERS.items()}
    for number, times, seconds, invocation, _, _ in _STAMP.iter_unpack(raw[_HEADER.size :]):
        if number in known and 0 < seconds < 1 << 36:
            at = _EPOCH + timedelta(seconds=seconds)
            yield Stamp(known[number], times, at, names.get(Guid.from_bytes(invocation), ""))


def _time(text: str) -> datetime | None:
    """Read ``2026-11-25T07:34:44Z``; None for what is no time, and for 1601, which means never."""
    try:
        found = datetime.fromisoformat(text)
        return found.astimezone(UTC) if found.tzinfo is not None and found > _NEVER else None
    except (ValueError, OverflowError):
        return None


def _generalized(text: str) -> datetime | None:
    found = _GENERALIZED.fullmatch(text)
    try:
        return datetime.strptime(found[1], "%Y%m%d%H%M%S").replace(tzinfo=UTC) if found else None
    except ValueError:
        return None


def _is_dn(text: str) -> bool:
    try:
        Dn(text)
    except ValueError:
        return False
    return True


def _invocation(row: Row) -> list[bytes]:
    return [raw for raw in _values(row, "invocationId") if len(raw) == 16]


def _values(row: Row, name: str) -> list[bytes]:
    found = row.get(name.lower())
    return [value for value in found if isinstance(value, bytes)] if isinstance(found, tuple) else []


def _texts(row: Row, name: str) -> list[str]:
    return [value.decode("utf-8", "replace") for value in _values(row, name)]

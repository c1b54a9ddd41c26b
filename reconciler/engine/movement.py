"""Where a controller stands in its count of changes, and which objects have moved since. Asks, and changes nothing.

Source: MS-ADTS 3.1.1.1.9 (the count), MS-DRSR 5.169 PROPERTY_META_DATA_VECTOR as stored in replPropertyMetaData (measured
on Samba; on Windows background knowledge).
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from msgspec import Struct

from reconciler.core.query import Row, Rows, Search
from reconciler.core.values import escape_filter

GUID = "objectguid"
_NAME = 0x90001  # the attribute `name`: written by every rename and every move, and by nothing else
_HEADER, _STAMP = struct.Struct("<IIII"), struct.Struct("<IIQ16sqq")

Ask = Callable[[Search], Rows]


class Standing(Struct, frozen=True):
    """How far a controller has counted.

    Attributes:
        controller: DN of its settings.
        invocation: Under which id it counts.
        usn: Its last change.
        sees_deleted: Whether what is deleted can be seen with our rights.
    """

    controller: str
    invocation: bytes
    usn: int
    sees_deleted: bool

    def leads_to(self, later: Standing) -> bool:
        """Whether the later one is the same count, gone on."""
        same = (self.controller, self.invocation) == (later.controller, later.invocation)
        return same and self.usn <= later.usn and self.sees_deleted and later.sees_deleted


def standing_of(ask: Ask, domain: str) -> Standing | None:
    """Ask where the controller stands; None where it does not tell.

    Raises:
        WorldError: It cannot be asked.
    """
    asked = ("highestCommittedUSN", "dsServiceName", "defaultNamingContext")
    (root,) = ask(Search(domain, "rootdse", attributes=asked)) or ({},)
    usn, settings, head = (_text(root, name.lower()) for name in asked)
    if not (usn.isdecimal() and settings and head):
        return None
    (found,) = ask(Search(domain, settings, attributes=("invocationId",))) or ({},)
    invocation = _bytes(found, "invocationid")
    if not invocation:
        return None
    bin_ = ask(Search(domain, f"CN=Deleted Objects,{head}", attributes=("isDeleted",), deleted=True))
    return Standing(settings.lower(), invocation, int(usn), bool(bin_))


class Movement(Struct, frozen=True):
    """What changed in a domain.

    Attributes:
        guids: Of every object that did, deleted ones too.
        deletions: Whether some were deleted: they vanish uncounted from what names them.
    """

    guids: frozenset[bytes]
    deletions: bool = False


def moved(ask: Ask, domain: str, since: Standing) -> Movement | None:
    """Return what changed in the domain since; None where the directory does not say enough.

    It does not where an object got another name or place, because then everything below it did as well, uncounted.

    Raises:
        WorldError: It cannot be asked.
    """
    where = f"(uSNChanged>={escape_filter(str(since.usn + 1))})"
    asked = ("objectGUID", "uSNCreated", "isDeleted", "replPropertyMetaData")
    guids: set[bytes] = set()
    deletions = False
    for row in ask(Search(domain, "", where, asked, "subtree", absent_ok=False, deleted=True)):
        guid, created = _bytes(row, GUID), _text(row, "usncreated")
        if not guid or not created.isdecimal():
            return None
        deleted, new = _text(row, "isdeleted") == "TRUE", int(created) > since.usn
        if not deleted and not new and name_written_at(_bytes(row, "replpropertymetadata")) > since.usn:
            return None
        guids.add(guid)
        deletions = deletions or deleted
    return Movement(frozenset(guids), deletions)


def name_written_at(metadata: bytes) -> int:
    """Return the count at which an object got its present name or place; higher than any where that cannot be read."""
    try:
        version, _, number, _ = _HEADER.unpack_from(metadata)
        stamps = [_STAMP.unpack_from(metadata, _HEADER.size + index * _STAMP.size) for index in range(number)]
    except struct.error:
        return 2**63
    written = [usn for attribute, _, _, _, _, usn in stamps if attribute == _NAME]
    return written[0] if version == 1 and len(written) == 1 else 2**63


def _bytes(row: Row, name: str) -> bytes:
    values = row.get(name)
    return values[0] if isinstance(values, tuple) and values and isinstance(values[0], bytes) else b""


def _text(row: Row, name: str) -> str:
    return _bytes(row, name).decode("utf-8", "replace")

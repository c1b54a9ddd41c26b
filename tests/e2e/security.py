"""Takes single entries out of a security descriptor, as somebody in the security tab does. Written from MS-DTYP 2.4."""

from __future__ import annotations

import struct
import uuid

DACL_OFFSET, OBJECT_TYPES = 16, range(5, 9)
TYPE_IS_PRESENT = 1

RESET_PASSWORD = uuid.UUID("00299570-246d-11d0-a768-00aa006e0529")
MIGRATE_SID_HISTORY = uuid.UUID("ba33815a-4f93-4c76-87f3-57574bff8109")


def without(descriptor: bytes, right: uuid.UUID, sid: str) -> bytes:
    """Return a security descriptor with no entry for this right that names this SID."""
    (start,) = struct.unpack_from("<I", descriptor, DACL_OFFSET)
    revision, _, size, count, _ = struct.unpack_from("<BBHHH", descriptor, start)
    kept, place = [], start + 8
    for _ in range(count):
        (length,) = struct.unpack_from("<H", descriptor, place + 2)
        entry = descriptor[place : place + length]
        if not (_right(entry) == right and entry.endswith(_binary(sid))):
            kept.append(entry)
        place += length
    assert len(kept) < count, "there is no such entry"
    entries = b"".join(kept)
    acl = struct.pack("<BBHHH", revision, 0, 8 + len(entries), len(kept), 0) + entries
    if start + size == len(descriptor):  # nothing follows whose offset would move
        return descriptor[:start] + acl
    # The room that is left over stays unused; offsets of owner and group hold.
    return descriptor[:start] + acl + bytes(size - len(acl)) + descriptor[start + size :]


def _right(entry: bytes) -> uuid.UUID | None:
    if entry[0] not in OBJECT_TYPES:
        return None
    (flags,) = struct.unpack_from("<I", entry, 8)
    return uuid.UUID(bytes_le=entry[12:28]) if flags & TYPE_IS_PRESENT else None


def _binary(sid: str) -> bytes:
    _, revision, authority, *rest = sid.split("-")
    head = struct.pack("<BB", int(revision), len(rest)) + int(authority).to_bytes(6, "big")
    return head + struct.pack(f"<{len(rest)}I", *map(int, rest))

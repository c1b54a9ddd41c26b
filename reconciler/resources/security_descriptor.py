"""Adding and removing single ACEs in a binary security descriptor; every byte that is not asked for stays as it was.

ACEs are kept as the bytes they were read as. Nothing is normalised, merged or reordered.
Source: MS-DTYP 2.4.4.2, 2.4.4.3, 2.4.5 and 2.4.6.
"""

from __future__ import annotations

import struct
from typing import Self

from msgspec import Struct
from msgspec.structs import replace

from reconciler.core.values import Guid, Sid

ALLOW, DENY, ALLOW_OBJECT, DENY_OBJECT = 0x00, 0x01, 0x05, 0x06
CONTAINER_INHERIT, NO_PROPAGATE, INHERIT_ONLY, INHERITED = 0x02, 0x04, 0x08, 0x10

_DACL_PRESENT = 0x0004
_HEADER = struct.Struct("<BBHIIII")  # revision, Sbz1, control, owner, group, SACL, DACL
_ACL = struct.Struct("<BBHHH")  # revision, Sbz1, size, count, Sbz2
_REVISION_DS = 4  # an ACL that holds object ACEs
_OBJECT_TYPE, _INHERITED_TYPE = 0x1, 0x2
_DENIES = frozenset({DENY, DENY_OBJECT, 0x0A, 0x0C})
_FLAG_LETTERS = {0x01: "OI", 0x02: "CI", 0x04: "NP", 0x08: "IO", 0x10: "ID"}


class Ace(Struct, frozen=True):
    """An allowing ACE of the plain or the object form."""

    sid: Sid
    mask: int
    flags: int = 0
    object_type: Guid | None = None
    inherited_type: Guid | None = None

    def to_bytes(self) -> bytes:
        """Return the binary form; the object form only where a GUID needs it."""
        body = struct.pack("<I", self.mask)
        kind = ALLOW
        if self.object_type or self.inherited_type:
            kind = ALLOW_OBJECT
            body += struct.pack(
                "<I", (_OBJECT_TYPE if self.object_type else 0) | (_INHERITED_TYPE if self.inherited_type else 0)
            )
            body += b"".join(guid.to_bytes() for guid in (self.object_type, self.inherited_type) if guid)
        body += self.sid.to_bytes()
        return struct.pack("<BBH", kind, self.flags, 4 + len(body)) + body

    @classmethod
    def from_bytes(cls, ace: bytes) -> Self | None:
        """Read an allowing ACE; None for every other type, and for one that cannot be read as that."""
        if ace[0] not in (ALLOW, ALLOW_OBJECT):
            return None
        try:
            (mask,) = struct.unpack_from("<I", ace, 4)
            (present,), at = (struct.unpack_from("<I", ace, 8), 12) if ace[0] == ALLOW_OBJECT else ((0,), 8)
            guids: list[Guid | None] = [None, None]
            for index, bit in enumerate((_OBJECT_TYPE, _INHERITED_TYPE)):
                if present & bit:
                    guids[index] = Guid.from_bytes(ace[at : at + 16])
                    at += 16
            return cls(Sid.from_bytes(ace[at:]), mask, ace[1], guids[0], guids[1])
        except (ValueError, struct.error):
            return None

    def __str__(self) -> str:
        """Show the ACE nearly as SDDL: type;flags;mask;object;inherited object;SID."""
        flags = "".join(letters for bit, letters in _FLAG_LETTERS.items() if self.flags & bit)
        kind = "OA" if self.object_type or self.inherited_type else "A"
        return f"({kind};{flags};{self.mask:#x};{self.object_type or ''};{self.inherited_type or ''};{self.sid})"


class NotEditable(ValueError):
    """The descriptor cannot be edited without changing something that nobody asked for; the text says what."""


class Descriptor(Struct, frozen=True):
    """A self-relative security descriptor, its DACL taken apart.

    Attributes:
        before: Everything in front of the DACL, header included.
        acl: Revision and the two reserved fields of the DACL.
        aces: One ``bytes`` per ACE, in order.
        slack: Unused bytes inside the DACL.
        after: Everything behind the DACL.
    """

    before: bytes
    acl: tuple[int, int, int]
    aces: tuple[bytes, ...]
    slack: bytes
    after: bytes

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """Take a descriptor apart.

        Raises:
            NotEditable: It has no DACL (which allows everything to everybody), or is damaged.
        """
        try:
            _, _, control, _, _, _, start = _HEADER.unpack_from(content)
            if not control & _DACL_PRESENT or not start:
                raise NotEditable("it has no DACL, which means full access for everybody")
            revision, sbz1, size, count, sbz2 = _ACL.unpack_from(content, start)
            aces, at = [], start + _ACL.size
            for _ in range(count):
                (length,) = struct.unpack_from("<H", content, at + 2)
                if length < 8 or at + length > start + size:
                    raise NotEditable("an ACE reaches beyond its list")
                aces.append(content[at : at + length])
                at += length
        except struct.error:
            raise NotEditable("it ends too early") from None
        if start + size > len(content):
            raise NotEditable("its DACL reaches beyond the end")
        found = cls(
            content[:start], (revision, sbz1, sbz2), tuple(aces), content[at : start + size], content[start + size :]
        )
        if found.to_bytes() != content:
            raise NotEditable("reading and writing it does not give the same bytes")
        return found

    def to_bytes(self) -> bytes:
        """Put it together; what lies behind the DACL moves with its end."""
        revision, sbz1, sbz2 = self.acl
        size = _ACL.size + sum(map(len, self.aces)) + len(self.slack)
        if size > 0xFFFF:
            raise NotEditable("its DACL would be larger than 64 KiB")
        acl = _ACL.pack(revision, sbz1, size, len(self.aces), sbz2) + b"".join(self.aces) + self.slack
        return self.before + acl + self.after

    def allows(self) -> tuple[Ace, ...]:
        """Return the explicit (not inherited) allowing ACEs."""
        read = (Ace.from_bytes(ace) for ace in self.aces)
        return tuple(ace for ace in read if ace and not ace.flags & INHERITED)

    def adding(self, *new: Ace) -> Self:
        """Add ACEs where the canonical order wants them: behind everything explicit, in front of everything inherited.

        Raises:
            NotEditable: The list is not in canonical order: an explicit denial follows an inherited ACE.
        """
        place = next((index for index, ace in enumerate(self.aces) if ace[1] & INHERITED), len(self.aces))
        if any(ace[0] in _DENIES and not ace[1] & INHERITED for ace in self.aces[place:]):
            raise NotEditable("its DACL is not in canonical order")
        content = tuple(ace.to_bytes() for ace in new)
        revision = max(self.acl[0], _REVISION_DS) if any(ace[0] == ALLOW_OBJECT for ace in content) else self.acl[0]
        changed = replace(self, aces=self.aces[:place] + content + self.aces[place:], acl=(revision, *self.acl[1:]))
        return changed._moved(sum(map(len, content)))

    def removing(self, *old: Ace) -> Self:
        """Remove one explicit ACE per given ACE, the last that is exactly it.

        Raises:
            NotEditable: One is not there.
        """
        aces = list(self.aces)
        for ace in old:
            content = ace.to_bytes()
            if content not in aces:
                raise NotEditable(f"it does not hold {ace}")
            del aces[len(aces) - 1 - aces[::-1].index(content)]
        return replace(self, aces=tuple(aces))._moved(sum(map(len, aces)) - sum(map(len, self.aces)))

    def _moved(self, by: int) -> Self:
        """Shift the offsets of the parts that lie behind the DACL."""
        revision, sbz1, control, *offsets, dacl = _HEADER.unpack_from(self.before)
        moved = [offset + by if offset > dacl else offset for offset in offsets]
        return replace(self, before=_HEADER.pack(revision, sbz1, control, *moved, dacl) + self.before[_HEADER.size :])

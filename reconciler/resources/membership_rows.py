"""Which member of a source group lacks from the same group in the target: by SID on both sides, names decide nothing.

A directory sends a DN in the same spelling everywhere, so that it is taken apart only where it has an escape of two digits.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

from msgspec import Struct, field

from reconciler.core.errors import UnexpectedAnswer
from reconciler.core.query import Rows
from reconciler.core.table import records
from reconciler.core.values import Dn, Sid, split_unescaped
from reconciler.resources import rows
from reconciler.resources.account_records import FIRST_FREE_RID

GLOBAL, DOMAIN_LOCAL, UNIVERSAL = 0x2, 0x4, 0x8  # groupType, MS-ADTS 2.2.12

_TWO_DIGITS = re.compile(r"\\[0-9a-f]{2}")  # RFC 4514: the same character may stand there as itself

Scope = Literal["", "global", "domain-local", "universal"]
_SINGLE = ("objectsid", "samaccountname", "grouptype", "primarygroupid")
_SCOPES: Mapping[int, Scope] = {GLOBAL: "global", DOMAIN_LOCAL: "domain-local", UNIVERSAL: "universal"}

# Of groups of one domain; what a group of each scope cannot hold. Background knowledge, not looked up.
_CANNOT_HOLD: Mapping[Scope, frozenset[Scope]] = {
    "global": frozenset({"domain-local", "universal"}),
    "universal": frozenset({"domain-local"}),
}


class Holder(NamedTuple):
    """An account of the target: user, computer or group.

    Attributes:
        sid: As the directory gives it, binary.
        scope: Empty for what is no group.
        primary: RID of its primary group; 0 where it has none.
        members: Values of ``member`` as they were sent.
    """

    dn: str
    sid: bytes
    sam: str
    scope: Scope = ""
    primary: int = 0
    members: tuple[bytes, ...] = ()


class Group(NamedTuple):
    """A group of the source; members are DNs."""

    dn: str
    sid: bytes
    sam: str
    members: tuple[str, ...]


class Lack(NamedTuple):
    """A migrated member that its migrated group lacks; ``why`` says why it cannot be added, if that is so."""

    group: Holder
    member: Holder
    why: str = ""


class Apart(NamedTuple):
    """A member of a migrated group that has no account in the target; ``group`` is the name in the source."""

    group: str
    dn: str


class Compared(Struct):
    """How memberships stand.

    Attributes:
        groups: How many groups of the source are in the target.
        there: How many memberships are in place.
        not_yet: Members that are not migrated: of another wave, or of no population.
        others: Members that no migration brings: of other domains, built-in ones, and what is no account.
    """

    groups: int = 0
    there: int = 0
    lacking: list[Lack] = field(default_factory=list)
    not_yet: list[Apart] = field(default_factory=list)
    others: list[Apart] = field(default_factory=list)


class Source:
    """Accounts of the source, by DN and by primary group."""

    def __init__(self, found: Rows) -> None:
        self._sids: dict[str, bytes] = {}
        self._primary: dict[bytes, list[str]] = {}
        for raw_dn, given, primary in records(found, ("objectsid", "primarygroupid")):
            dn = str(raw_dn, "utf-8")
            sid = self._sids[_same(dn)] = _sid(given, dn)
            rid = int(primary or 0)
            if rid >= FIRST_FREE_RID:  # Domain Users and its like are nobody's choice
                self._primary.setdefault(sid[:-4] + rid.to_bytes(4, "little"), []).append(dn)

    def members(self, group: Group) -> Iterable[str]:
        """Return the DN of every member once, those whose primary group it is included: ``member`` does not list them."""
        return dict.fromkeys((*group.members, *self._primary.get(group.sid, ())))

    def sid(self, dn: str) -> bytes | None:
        """Return the SID of an account; None for what is none of this domain."""
        return self._sids.get(_same(dn))


class Target:
    """Accounts of the target, by whom of the source they stand for.

    Args:
        known: SID in the target by SID in the source, both as text, as the journal has them.
    """

    def __init__(self, found: Rows, known: Mapping[str, str]) -> None:
        self._known = known
        self._by_sid: dict[bytes, Holder] = {}
        self._by_history: dict[bytes, Holder] = {}
        for dn, sid, sam, kind, primary, history, members in records(found, _SINGLE, ("sidhistory", "member")):
            named, scope = str(dn, "utf-8"), _scope(kind)
            holder = Holder(
                named, _sid(sid, named), str(sam, "utf-8"), scope, int(primary or 0), members if scope else ()
            )
            self._by_sid[holder.sid] = holder
            for old in history:
                self._by_history[old] = holder

    def of(self, sid: bytes) -> Holder | None:
        """Return who an account of the source is in the target: by SID history, else by what the journal knows."""
        found = self._by_history.get(sid)
        if found is None and self._known:
            told = self._known.get(str(Sid.from_bytes(sid)))
            found = self._by_sid.get(Sid(told).to_bytes()) if told else None
        return found


def read_groups(found: Rows) -> list[Group]:
    """Read the groups of the source.

    Raises:
        UnexpectedAnswer: A row has no SID or no name.
    """
    return [
        Group(str(row["dn"]), rows.raw(row, "objectsid"), rows.text(row, "samaccountname"), rows.texts(row, "member"))
        for row in found
    ]


def compare(groups: Iterable[Group], source: Source, target: Target) -> Compared:
    """Compare the members of every migrated group; one that is not in the target says nothing about its members yet."""
    found = Compared()
    seen: dict[bytes, Holder | None] = {}

    def of(sid: bytes) -> Holder | None:
        if sid not in seen:
            seen[sid] = target.of(sid)
        return seen[sid]

    claimed: set[tuple[bytes, bytes]] = set()
    for group in groups:
        here = of(group.sid)
        if here is None or not here.scope:
            continue
        found.groups += 1
        held = _Held(here)
        for dn in source.members(group):
            sid = source.sid(dn)
            if sid is None or _rid(sid) < FIRST_FREE_RID:
                found.others.append(Apart(group.sam, dn))
            elif (member := of(sid)) is None:
                found.not_yet.append(Apart(group.sam, dn))
            elif member in held:
                found.there += 1
            elif (here.sid, member.sid) not in claimed:  # two of the source may be one in the target
                claimed.add((here.sid, member.sid))
                found.lacking.append(Lack(here, member, _unfit(here, member)))
    return found


class _Held:
    """Who is in a group of the target already."""

    def __init__(self, group: Holder) -> None:
        self._group = group
        self._dns = {_same(value.decode("utf-8", "replace")) for value in group.members}

    def __contains__(self, member: Holder) -> bool:
        if _same(member.dn) in self._dns:
            return True
        primary = member.sid[:-4] + member.primary.to_bytes(4, "little")
        return primary == self._group.sid  # such a member is not in `member`, and cannot be added to it


def place_of(dn: str) -> tuple[str, str]:
    """Return the first component of a DN without its type, and the container, as escaped there."""
    first = split_unescaped(dn, ",")[0] if "\\" in dn else dn.partition(",")[0]
    return first.partition("=")[2], dn[len(first) + 1 :]


def _same(dn: str) -> str:
    """Return a DN in a form in which equal ones are equal."""
    plain = dn.casefold()
    return Dn(dn).canonical().casefold() if "\\" in plain and _TWO_DIGITS.search(plain) else plain


def _unfit(group: Holder, member: Holder) -> str:
    if member.scope in _CANNOT_HOLD.get(group.scope, ()):
        return f"a {group.scope} group cannot hold a {member.scope} one"
    return "it cannot be a member of itself" if group.sid == member.sid else ""


def _scope(kind: bytes | None) -> Scope:
    number = int(kind or 0)
    return next((scope for bit, scope in _SCOPES.items() if number & bit), "")


def _sid(given: bytes | None, dn: str) -> bytes:
    if given is None:
        raise UnexpectedAnswer("an account has no objectSid", where=dn, do="let the credential read it")
    return given


def _rid(sid: bytes) -> int:
    return int.from_bytes(sid[-4:], "little")

"""The local groups of a simulated controller, which are the BUILTIN and domain local groups of its directory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reconciler.lab.windows.accounts import (
    NoSuchAccount,
    Principal,
    escape,
    escape_bytes,
    find_sid,
    sid_bytes,
    sid_text,
)
from reconciler.lab.windows.contract import Change, Entry
from reconciler.lab.windows.machine import Machine

_DOMAIN_LOCAL = 0x4
_ATTRIBUTES = ("sAMAccountName", "objectSid", "groupType", "description", "member")


class NoSuchGroup(LookupError):
    """There is no local group of that name or SID."""


class AlreadyMember(Exception):
    """The principal is in the group."""


class NotMember(Exception):
    """The principal is not in the group."""


@dataclass(frozen=True, slots=True)
class LocalGroup:
    """One local group; ``members`` are DNs."""

    dn: str
    name: str
    sid: str
    description: str
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody in a group; the name of one that resolves to nobody is its SID."""

    dn: str
    name: str
    sid: str
    is_group: bool


async def find_group(machine: Machine, name: str = "", sid: str = "") -> LocalGroup:
    """Return a local group by name or by SID; raises NoSuchGroup."""
    try:
        term = f"objectSid={escape_bytes(sid_bytes(sid))}" if sid else f"sAMAccountName={escape(name)}"
    except ValueError:
        raise NoSuchGroup(sid) from None
    rows = await machine.directory.search(machine.facts.base_dn, "sub", f"(&(objectClass=group)({term}))", _ATTRIBUTES)
    found = [_group(row) for row in rows if int(row.text("groupType") or 0) & _DOMAIN_LOCAL]
    if not found:
        raise NoSuchGroup(sid or name)
    return found[0]


async def all_groups(machine: Machine) -> list[LocalGroup]:
    """Return every local group, by name."""
    rows = await machine.directory.search(machine.facts.base_dn, "sub", "(objectClass=group)", _ATTRIBUTES)
    found = [_group(row) for row in rows if int(row.text("groupType") or 0) & _DOMAIN_LOCAL]
    return sorted(found, key=lambda group: group.name.lower())


async def members_of(machine: Machine, group: LocalGroup) -> list[Member]:
    """Return a group's direct members."""
    found = []
    for dn in group.members:
        rows = await machine.directory.search(
            dn, "base", "(objectClass=*)", ("objectSid", "objectClass", "sAMAccountName")
        )
        if rows and rows[0].all("objectSid"):
            found.append(await _member(machine, rows[0]))
    return found


async def add_member(machine: Machine, group: LocalGroup, principal: Principal) -> None:
    """Add somebody; a foreign one becomes a foreignSecurityPrincipal. Raises AlreadyMember."""
    if any(member.sid == principal.sid for member in await members_of(machine, group)):
        raise AlreadyMember(principal.account)
    own = principal.home is machine and principal.dn
    value = principal.dn if own else f"<SID={principal.sid}>"
    await machine.directory.modify(group.dn, [Change("member", "add", (value.encode("utf-8"),))])


async def remove_member(machine: Machine, group: LocalGroup, sid: str) -> None:
    """Take somebody out; raises NotMember."""
    found = [member for member in await members_of(machine, group) if member.sid == sid]
    if not found:
        raise NotMember(sid)
    values = _dns(found)
    await machine.directory.modify(group.dn, [Change("member", "delete", values)])


def _dns(members: Sequence[Member]) -> tuple[bytes, ...]:
    return tuple(member.dn.encode("utf-8") for member in members)


def _group(row: Entry) -> LocalGroup:
    return LocalGroup(
        dn=row.dn,
        name=row.text("sAMAccountName") or "",
        sid=sid_text(row.all("objectSid")[0]),
        description=row.text("description") or "",
        members=tuple(value.decode("utf-8") for value in row.all("member")),
    )


async def _member(machine: Machine, row: Entry) -> Member:
    sid = sid_text(row.all("objectSid")[0])
    try:
        principal = await find_sid(machine, sid)
    except NoSuchAccount:
        return Member(row.dn, sid, sid, is_group=False)
    return Member(row.dn, principal.account, sid, principal.is_group)

"""The local groups of a simulated host: of a controller the BUILTIN and domain local groups of its directory, else those of its own."""

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
    """One local group; ``members`` are DNs, on a member server SIDs, and ``dn`` is its SID there."""

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
    if not machine.is_controller:
        return _stored(machine, sid or machine.local.named(name) or name)
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
    if not machine.is_controller:
        return sorted((_stored(machine, sid) for sid in machine.local.groups), key=lambda group: group.name.lower())
    where = f"(&(objectClass=group)(groupType:1.2.840.113556.1.4.803:={_DOMAIN_LOCAL}))"
    rows = await machine.directory.search(machine.facts.base_dn, "sub", where, _ATTRIBUTES)
    found = [_group(row) for row in rows if int(row.text("groupType") or 0) & _DOMAIN_LOCAL]
    return sorted(found, key=lambda group: group.name.lower())


async def members_of(machine: Machine, group: LocalGroup) -> list[Member]:
    """Return a group's direct members."""
    if not machine.is_controller:
        return [await _named(machine, sid) for sid in group.members]
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
    if not machine.is_controller:
        machine.local.add(group.sid, principal.sid)
        return
    own = principal.home is machine and principal.dn
    value = principal.dn if own else f"<SID={principal.sid}>"
    await machine.directory.modify(group.dn, [Change("member", "add", (value.encode("utf-8"),))])


async def remove_member(machine: Machine, group: LocalGroup, sid: str) -> None:
    """Take somebody out; raises NotMember."""
    found = [member for member in await members_of(machine, group) if member.sid == sid]
    if not found:
        raise NotMember(sid)
    if not machine.is_controller:
        machine.local.remove(group.sid, sid)
        return
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


def _stored(machine: Machine, sid: str) -> LocalGroup:
    group = machine.local.groups.get(sid)
    if group is None:
        raise NoSuchGroup(sid)
    return LocalGroup(sid, group.name, sid, group.description, tuple(group.members))


async def _member(machine: Machine, row: Entry) -> Member:
    return await _named(machine, sid_text(row.all("objectSid")[0]), row.dn)


async def _named(machine: Machine, sid: str, dn: str = "") -> Member:
    try:
        principal = await find_sid(machine, sid)
    except NoSuchAccount:
        return Member(dn, sid, sid, is_group=False)
    return Member(dn, principal.account, sid, principal.is_group)

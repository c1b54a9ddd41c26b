"""Putting migrated members into migrated groups (``/FGM``). Who or what was not migrated yet comes with a later run; nobody leaves a group."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from reconciler.lab.admt.errors import reason
from reconciler.lab.admt.names import NEEDED, first_rdn, object_sid
from reconciler.lab.admt.run import AT_ONCE, Run
from reconciler.lab.windows.accounts import escape
from reconciler.lab.windows.contract import Change, DirectoryRefused, Entry

_ALREADY_MEMBER = (20, 68)


async def join_groups(run: Run, sources: Sequence[Entry]) -> None:
    """Put migrated objects into every migrated group that they are in on the other side."""
    joining: dict[str, list[str]] = {}
    for source in sources:
        target = await run.target_dn(object_sid(source), kind_of(source))
        if target is None:
            continue
        for dn in map(bytes.decode, source.all("memberOf")):
            group = await run.source_group(dn)
            into = await run.target_dn(object_sid(group), "group") if group is not None else None
            if into is not None and not run.is_member(target, into):
                joining.setdefault(into, []).append(target)
    for into, members in joining.items():
        await _join(run, into, members)


async def gather_members(run: Run, source: Entry) -> None:
    """Put every migrated member into a migrated group."""
    into = await run.target_dn(object_sid(source), "group")
    if into is None:
        return
    rows = await members_of(run, source)
    await run.locate([object_sid(row) for row in rows])
    found = [await run.target_dn(object_sid(row), kind_of(row)) for row in rows]
    present = {member.decode().lower() for member in (await run.target_entry(into)).all("member")}
    await _join(run, into, [dn for dn in found if dn is not None and dn.lower() not in present])


async def members_of(run: Run, group: Entry) -> list[Entry]:
    """Return the direct members of a group of the source that have a SID."""
    names = [member.decode("utf-8") for member in group.all("member")]
    found: list[Entry] = []
    for start in range(0, len(names), AT_ONCE):
        tests = "".join(f"(distinguishedName={escape(dn)})" for dn in names[start : start + AT_ONCE])
        where = f"(&(objectSid=*)(|{tests}))"
        found += await run.source.remote.search(run.source.facts.base_dn, "sub", where, NEEDED)
    return found


def kind_of(source: Entry) -> str:
    """Return the kind under which the database knows an object."""
    classes = source.all("objectClass")
    return "group" if b"group" in classes else "computer" if b"computer" in classes else "user"


async def _join(run: Run, group: str, members: Sequence[str]) -> None:
    """Add members in one change; one that the directory refuses shows when each is added alone."""
    if members and not await _added(run, group, members):
        for member in members:
            await _join_alone(run, group, member)
        return
    for member in members:
        run.log.line(f"{first_rdn(member)} - Added to group {first_rdn(group)}.")


async def _added(run: Run, group: str, members: Iterable[str]) -> bool:
    values = tuple(member.encode("utf-8") for member in members)
    try:
        await run.target.remote.modify(group, [Change("member", "add", values)])
    except DirectoryRefused:
        return False
    return True


async def _join_alone(run: Run, group: str, member: str) -> None:
    try:
        await run.target.remote.modify(group, [Change("member", "add", (member.encode("utf-8"),))])
    except DirectoryRefused as refusal:
        if refusal.code not in _ALREADY_MEMBER:
            run.log.error(9813, f"Failed to add {first_rdn(member)} to {first_rdn(group)}. {reason(refusal)}")
        return
    run.log.line(f"{first_rdn(member)} - Added to group {first_rdn(group)}.")

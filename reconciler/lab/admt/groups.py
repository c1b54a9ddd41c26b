"""Migrating groups, and putting migrated members into migrated groups."""

from __future__ import annotations

from reconciler.lab.admt.errors import AccountRefused, reason
from reconciler.lab.admt.include_file import Included
from reconciler.lab.admt.names import (
    GROUP_ATTRIBUTES,
    NEEDED,
    TargetNames,
    as_bytes,
    copied,
    first_rdn,
    is_built_in,
    object_sid,
    target_names,
)
from reconciler.lab.admt.run import GROUPS, Run
from reconciler.lab.admt.sid_history import add_sid_history
from reconciler.lab.windows.accounts import escape
from reconciler.lab.windows.contract import Change, DirectoryRefused, Entry

_ALREADY_MEMBER = (20, 68)


async def migrate_group(run: Run, included: Included, source: Entry) -> None:
    """Migrate one group without its members.

    Raises:
        AccountRefused: The group was not migrated.
    """
    if is_built_in(source):
        raise AccountRefused(f"{first_rdn(source.dn)}: built-in groups cannot be migrated.")
    names = target_names(included, source, run.target.facts)
    target = await run.existing(names.sam)
    if target is None:
        target = await _create(run, names, source)
    elif b"group" not in target.all("objectClass"):
        raise AccountRefused(f"{names.sam}: an object of another type has this name in the target domain.")
    elif not run.merges:
        if not await _is_ours(run, source, target):
            raise AccountRefused(f"{names.sam}: a group with this name already exists in the target domain.")
        run.log.warning(9811, f"{first_rdn(target.dn)} - already exists. The group was not migrated again.")
        return
    run.remember("group", source, target)
    if run.options.yes("MIGRATESIDS"):
        try:
            await add_sid_history(run, source, target)
        except AccountRefused as refusal:
            run.log.error(9812, str(refusal))
    run.succeeded += 1


async def migrate_groups_of(run: Run, users: list[Entry]) -> None:
    """Migrate every group that a user is in, and the groups that these are in (``/MGS:YES``)."""
    seen: set[str] = set()
    waiting = list(users)
    while waiting:
        for group in await _groups_with(run, waiting.pop().dn):
            if group.dn in seen or is_built_in(group) or group.dn == run.local_group:
                continue
            seen.add(group.dn)
            waiting.append(group)
            known = await run.target_dn(object_sid(group), "group")
            if known is not None and not run.options.yes("UPDATEPREVIOUSLYMIGRATEDOBJECTS"):
                continue
            try:
                await migrate_group(run, Included(group.text("sAMAccountName") or ""), group)
            except AccountRefused as refusal:
                run.log.error(9810, str(refusal))
    for dn in seen:
        group = (await run.source.remote.search(dn, "base", GROUPS, NEEDED))[0]
        await join_groups(run, group, "group")


async def join_groups(run: Run, source: Entry, kind: str) -> None:
    """Put a migrated object into every migrated group that it is in on the other side (``/FGM``); nothing leaves."""
    target = await run.target_dn(object_sid(source), kind)
    if target is None:
        return
    for group in await _groups_with(run, source.dn):
        into = await run.target_dn(object_sid(group), "group")
        if into is not None:
            await _join(run, into, target)


async def gather_members(run: Run, source: Entry) -> None:
    """Put every migrated member into a migrated group."""
    into = await run.target_dn(object_sid(source), "group")
    if into is None:
        return
    for member in source.all("member"):
        rows = await run.source.remote.search(member.decode("utf-8"), "base", "(objectClass=*)", NEEDED)
        if not rows or not rows[0].all("objectSid"):
            continue
        kind = "group" if b"group" in rows[0].all("objectClass") else "user"
        target = await run.target_dn(object_sid(rows[0]), kind)
        if target is not None:
            await _join(run, into, target)


async def _groups_with(run: Run, dn: str) -> list[Entry]:
    where = f"(&{GROUPS}(member={escape(dn)}))"
    return await run.source.remote.search(run.source.facts.base_dn, "sub", where, (*NEEDED, *GROUP_ATTRIBUTES))


async def _join(run: Run, group: str, member: str) -> None:
    try:
        await run.target.remote.modify(group, [Change("member", "add", (member.encode("utf-8"),))])
    except DirectoryRefused as refusal:
        if refusal.code not in _ALREADY_MEMBER:
            run.log.error(9813, f"Failed to add {first_rdn(member)} to {first_rdn(group)}. {reason(refusal)}")
        return
    run.log.line(f"{first_rdn(member)} - Added to group {first_rdn(group)}.")


async def _is_ours(run: Run, source: Entry, target: Entry) -> bool:
    if source.all("objectSid")[0] in target.all("sIDHistory"):
        return True
    known = run.database.find(run.source.facts.netbios, object_sid(source))
    return known is not None and known.target_sid == object_sid(target)


async def _create(run: Run, names: TargetNames, source: Entry) -> Entry:
    dn = f"{names.rdn},{run.target_base}"
    attributes = {
        "objectClass": [b"top", b"group"],
        **as_bytes({"sAMAccountName": names.sam, "groupType": source.text("groupType") or ""}),
        **copied(source, GROUP_ATTRIBUTES, run.options.text("GROUPPROPERTIESTOEXCLUDE")),
    }
    try:
        await run.target.remote.add(dn, attributes)
    except DirectoryRefused as refusal:
        raise AccountRefused(f"Failed to create {names.rdn}. {reason(refusal)}") from refusal
    run.log.line(f"{names.rdn} - Created")
    return await run.target_entry(dn)

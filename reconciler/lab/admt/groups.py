"""Migrating groups, and with them, where that is asked for, the groups that users are in and the members of groups."""

from __future__ import annotations

from collections.abc import Iterable

from reconciler.lab.admt.errors import AccountRefused
from reconciler.lab.admt.include_file import Included
from reconciler.lab.admt.membership import join_groups
from reconciler.lab.admt.merging import create, merge
from reconciler.lab.admt.names import (
    GROUP_ATTRIBUTES,
    TargetNames,
    as_bytes,
    copied,
    first_rdn,
    is_built_in,
    object_sid,
    target_names,
)
from reconciler.lab.admt.run import Run
from reconciler.lab.admt.sid_history import add_sid_history
from reconciler.lab.windows.contract import Entry


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
    elif run.merges:
        target = await _merge(run, names, source, target)
    elif run.is_known(source, target):
        run.log.warning(9811, f"{first_rdn(target.dn)} - already exists. The group was not migrated again.")
        run.remember("group", source, target)
        return
    else:
        raise AccountRefused(f"{names.sam}: a group with this name already exists in the target domain.")
    run.remember("group", source, target)
    if run.options.yes("MIGRATESIDS"):
        try:
            await add_sid_history(run, source, target)
        except AccountRefused as refusal:
            run.log.error(9812, str(refusal))
    run.succeeded += 1


async def migrate_groups_of(run: Run, users: Iterable[Entry]) -> None:
    """Migrate every group that a user is in, and the groups that these are in (``/MGS:YES``)."""
    seen: dict[str, Entry] = {}
    waiting = list(users)
    while waiting:
        for dn in map(bytes.decode, waiting.pop().all("memberOf")):
            group = await run.source_group(dn) if dn not in seen else None
            if group is None or is_built_in(group) or group.dn == run.local_group:
                continue
            seen[dn] = group
            waiting.append(group)
            known = await run.target_dn(object_sid(group), "group")
            if known is not None and not run.options.yes("UPDATEPREVIOUSLYMIGRATEDOBJECTS"):
                continue
            try:
                await migrate_group(run, Included(group.text("sAMAccountName") or ""), group)
            except AccountRefused as refusal:
                run.log.error(9810, str(refusal))
    await join_groups(run, list(seen.values()))


async def _merge(run: Run, names: TargetNames, source: Entry, before: Entry) -> Entry:
    """Bring an existing group up to date; its scope stays, and so do its members unless ``REMOVEMEMBERS`` is given."""
    values = copied(source, GROUP_ATTRIBUTES, run.options.text("GROUPPROPERTIESTOEXCLUDE"))
    if "REMOVEMEMBERS" in run.options.words("CONFLICTOPTIONS", "IGNORE") and before.all("member"):
        values["member"] = []
    return await merge(run, names.rdn, before, values)


async def _create(run: Run, names: TargetNames, source: Entry) -> Entry:
    attributes = {
        "objectClass": [b"top", b"group"],
        **as_bytes({"sAMAccountName": names.sam, "groupType": source.text("groupType") or ""}),
        **copied(source, GROUP_ATTRIBUTES, run.options.text("GROUPPROPERTIESTOEXCLUDE")),
    }
    return await create(run, names.rdn, attributes)

"""Migrating the members of groups together with the groups (``/MMB:YES``). What the real tool does then is background knowledge. [K]"""

from __future__ import annotations

from collections.abc import Sequence

from reconciler.lab.admt.errors import AccountRefused
from reconciler.lab.admt.groups import migrate_group
from reconciler.lab.admt.include_file import Included
from reconciler.lab.admt.membership import kind_of, members_of
from reconciler.lab.admt.names import is_built_in, object_sid
from reconciler.lab.admt.run import Run
from reconciler.lab.admt.selecting import WANTED
from reconciler.lab.admt.users import migrate_user
from reconciler.lab.windows.contract import Entry


async def migrate_members_of(run: Run, groups: Sequence[Entry]) -> list[Entry]:
    """Migrate users and groups that are in these groups, nested ones too, and return them.

    Users get a generated password: ``admt group`` has no option to copy one. What was migrated before is left alone, unless
    ``/UMO:YES`` asks for it.
    """
    done: list[Entry] = []
    seen = {group.dn for group in groups}
    waiting = list(groups)
    while waiting:
        for member in await members_of(run, waiting.pop()):
            kind = kind_of(member)
            if member.dn in seen or kind == "computer" or is_built_in(member):
                continue
            seen.add(member.dn)
            if kind == "group":
                waiting.append(member)
            known = await run.target_dn(object_sid(member), kind)
            if known is not None and not run.options.yes("UPDATEPREVIOUSLYMIGRATEDOBJECTS"):
                continue
            if await _migrated(run, member, kind):
                done.append(member)
    return done


async def _migrated(run: Run, member: Entry, kind: str) -> bool:
    item = Included(member.text("sAMAccountName") or "")
    try:
        if kind == "group":
            await migrate_group(run, item, await _whole(run, member))
        else:
            await migrate_user(run, item, await _whole(run, member))
    except AccountRefused as refusal:
        run.log.error(9810, str(refusal))
        return False
    return True


async def _whole(run: Run, member: Entry) -> Entry:
    return (await run.source.remote.search(member.dn, "base", "(objectClass=*)", WANTED))[0]

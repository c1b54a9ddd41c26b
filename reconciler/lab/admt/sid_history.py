"""Adding the old SID to a migrated object, the way DsAddSidHistory leaves its traces in the source domain."""

from __future__ import annotations

from reconciler.lab.admt.errors import CLASS_MISMATCH, MEMBER_IN_ALIAS, SID_EXISTS, AccountRefused, coded, reason
from reconciler.lab.admt.names import object_sid
from reconciler.lab.admt.run import Run
from reconciler.lab.windows.accounts import escape_bytes, sid_text
from reconciler.lab.windows.contract import Change, DirectoryRefused, Entry

_ALREADY_THERE = (20, 68)  # attributeOrValueExists, entryAlreadyExists: Samba gives the second for a member


async def add_sid_history(run: Run, source: Entry, target: Entry) -> None:
    """Add the source's SID to the target; the same pair again changes nothing. [DSADD]

    Raises:
        AccountRefused: Nothing was added.
    """
    sid = object_sid(source)
    if sid in (sid_text(value) for value in target.all("sIDHistory")):
        run.log.line(f"{target.dn} - SID {sid} is already in sIDHistory.")
        return
    if _scope(source) != _scope(target):
        raise _refused(target, coded(CLASS_MISMATCH))
    raw = escape_bytes(source.all("objectSid")[0])
    where = f"(|(sIDHistory={raw})(objectSid={raw}))"
    holders = await run.target.directory.search(run.target.facts.base_dn, "sub", where, ("objectSid",))
    # The lab carries old SIDs in tokens by groups of that name; they are not there as far as Windows is concerned.
    if any(not holder.dn.lower().startswith("cn=sidhist-") for holder in holders):
        raise _refused(target, coded(SID_EXISTS))
    await _audited(run, source, target, sid)
    run.log.line(f"{target.dn} - SID {sid} added to sIDHistory.")


async def _audited(run: Run, source: Entry, target: Entry, sid: str) -> None:
    """Add the SID while the source object is a member of ``SOURCE$$$``; its audit event is the proof of the call."""
    member = (source.dn.encode("utf-8"),)
    try:
        await run.source.remote.modify(run.local_group, [Change("member", "add", member)])
    except DirectoryRefused as refusal:
        text = coded(MEMBER_IN_ALIAS) if refusal.code in _ALREADY_THERE else reason(refusal)
        raise _refused(target, text) from refusal
    try:
        await run.target.directory.add_sid_history(target.dn, sid)
    except DirectoryRefused as refusal:
        raise _refused(target, reason(refusal)) from refusal
    finally:
        await run.source.remote.modify(run.local_group, [Change("member", "delete", member)])


def _scope(entry: Entry) -> str:
    """Name what may be paired: users with users, local groups with local ones, others with others. [DSADD]"""
    if b"group" not in entry.all("objectClass"):
        return "user"
    return "local" if int(entry.text("groupType") or 0) & 0x4 else "global"


def _refused(target: Entry, text: str) -> AccountRefused:
    return AccountRefused(f"SIDHistory could not be updated for {target.text('sAMAccountName')}. {text}")

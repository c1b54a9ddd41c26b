"""Migrating one user: the account, its old SID, its password, and what both accounts look like afterwards."""

from __future__ import annotations

import secrets
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

from reconciler.lab.admt.errors import AccountRefused, CopyRefused, reason
from reconciler.lab.admt.include_file import Included
from reconciler.lab.admt.log import PASSWORDS, append_passwords
from reconciler.lab.admt.merging import create, merge
from reconciler.lab.admt.names import (
    DISABLED,
    USER_ATTRIBUTES,
    TargetNames,
    as_bytes,
    copied,
    first_rdn,
    flags,
    is_built_in,
    is_disabled,
    must_change_password,
    target_names,
)
from reconciler.lab.admt.run import Run
from reconciler.lab.admt.sid_history import add_sid_history
from reconciler.lab.windows.contract import Change, DirectoryRefused, Entry

_CLASSES = [b"top", b"person", b"organizationalPerson", b"user"]
_EPOCH = datetime(1601, 1, 1, tzinfo=UTC)


async def migrate_user(run: Run, included: Included, source: Entry) -> None:
    """Migrate one user; what fails after the account exists is written to the log and the rest goes on.

    Raises:
        AccountRefused: The account was not migrated.
    """
    if is_built_in(source):
        raise AccountRefused(f"{first_rdn(source.dn)}: built-in accounts cannot be migrated.")
    names = target_names(included, source, run.target.facts)
    before = await run.existing(names.sam)
    if before is not None and not _may_touch(run, source, before):
        return
    if before is None:
        target = await _create(run, names, source)
    else:
        target = await _merge(run, names, source, before)
    run.remember("user", source, target)
    if run.options.yes("MIGRATESIDS"):
        await _step(run, add_sid_history(run, source, target))
    await _step(run, set_password(run, source, target, is_new=before is None))
    await _step(run, _settle(run, source, target, is_new=before is None))
    run.succeeded += 1


async def set_password(run: Run, source: Entry, target: Entry, *, is_new: bool) -> None:
    """Copy the password, or generate one; a failed copy leaves a generated one and says so (7557).

    Raises:
        AccountRefused: Not even a generated password could be set.
    """
    words = run.options.words("PASSWORDOPTION", "COMPLEX")
    if not is_new and "NOTEXISTING" in words:
        return
    # The first account proves that the caller may reset passwords in this container. After that a password is generated
    # only where one is needed: hashing it takes longer than everything else about an account.
    generates = run.export is None or (is_new and not run.may_reset)
    if generates:
        await _generate(run, source, target)
        run.may_reset = True
    if run.export is not None:
        await copy_password(run, source, target, generated=generates)


async def copy_password(run: Run, source: Entry, target: Entry, *, generated: bool) -> None:
    """Copy one password; ``generated`` says that the account has a generated one already."""
    assert run.export is not None
    try:
        await run.export.copy(source.dn, target.dn, must_change=must_change_password(source))
    except CopyRefused as refusal:
        if not generated:
            await _generate(run, source, target)
        run.log.warning(
            7557,
            f"Failed to copy the password for {target.text('sAMAccountName')}. "
            f"A strong password has been generated instead. Unable to copy password. {refusal}",
        )
        return
    run.log.line(f"{first_rdn(target.dn)} - Password copied.")


def _may_touch(run: Run, source: Entry, before: Entry) -> bool:
    """Decide about an account that exists; raises AccountRefused where somebody else's stands in the way."""
    name = before.text("sAMAccountName")
    if run.merges:
        if b"user" not in before.all("objectClass") or b"computer" in before.all("objectClass"):
            raise AccountRefused(f"{name}: the existing object is of another type and cannot be merged with.")
        return True
    if run.is_known(source, before):
        run.log.warning(9811, f"{first_rdn(before.dn)} - already exists. The account was not migrated again.")
        return False
    raise AccountRefused(f"{name}: an object with this name already exists in the target domain. It was not migrated.")


async def _create(run: Run, names: TargetNames, source: Entry) -> Entry:
    attributes = {
        "objectClass": _CLASSES,
        # Enabled only when it has a password.
        **as_bytes({"sAMAccountName": names.sam, "userAccountControl": str(flags(source, enabled=False))}),
        **as_bytes({"userPrincipalName": names.upn}),
        **copied(source, USER_ATTRIBUTES, run.options.text("USERPROPERTIESTOEXCLUDE")),
    }
    return await create(run, names.rdn, attributes)


async def _merge(run: Run, names: TargetNames, source: Entry, before: Entry) -> Entry:
    """Bring an existing account up to date; its RDN and its UPN change too. [GIST]"""
    chosen = copied(source, USER_ATTRIBUTES, run.options.text("USERPROPERTIESTOEXCLUDE"))
    return await merge(run, names.rdn, before, {**chosen, **as_bytes({"userPrincipalName": names.upn})})


async def _generate(run: Run, source: Entry, target: Entry) -> None:
    """Set a generated password with the caller's own right to reset it, and leave it in the password file."""
    password = secrets.token_urlsafe(15) + "-aA1"
    changes = [Change("unicodePwd", "replace", (f'"{password}"'.encode("utf-16-le"),))]
    if must_change_password(source):
        changes.append(Change("pwdLastSet", "replace", (b"0",)))
    try:
        for change in changes:  # one after the other: a password write sets pwdLastSet itself
            await run.target.remote.modify(target.dn, [change])
    except DirectoryRefused as refusal:
        raise AccountRefused(f"Failed to set the password for {first_rdn(target.dn)}. {reason(refusal)}") from refusal
    path = run.options.text("PASSWORDFILE", PASSWORDS)
    append_passwords(run.machine, path, target.text("sAMAccountName") or "", password)
    run.log.line(f"{first_rdn(target.dn)} - Strong password generated.")


async def _settle(run: Run, source: Entry, target: Entry, *, is_new: bool) -> None:
    """Enable or disable both accounts and date the source's end, as /DOT and /SEP say."""
    words = run.options.words("DISABLEOPTION", "TARGETSAMEASSOURCE")
    enabled = "ENABLETARGET" in words or (not is_disabled(source) and "DISABLETARGET" not in words)
    if is_new or "DISABLEOPTION" in run.options.given:
        await _write_flags(run, target, flags(source, enabled=enabled))
    if "DISABLESOURCE" in words:
        current = int(source.text("userAccountControl") or 0)
        await _write_source(run, source, "userAccountControl", str(current | DISABLED))
    days = run.options.text("SOURCEEXPIRATION", "NONE")
    if days.isdigit():
        end = run.machine.clock() + timedelta(days=int(days))
        await _write_source(run, source, "accountExpires", str(int((end - _EPOCH).total_seconds()) * 10_000_000))


async def _write_flags(run: Run, target: Entry, wanted: int) -> None:
    if int(target.text("userAccountControl") or 0) == wanted:
        return
    try:
        await run.replace(target.dn, userAccountControl=str(wanted))
    except DirectoryRefused as refusal:
        raise AccountRefused(f"Failed to update {first_rdn(target.dn)}. {reason(refusal)}") from refusal


async def _write_source(run: Run, source: Entry, attribute: str, value: str) -> None:
    try:
        await run.source.remote.modify(source.dn, [Change(attribute, "replace", (value.encode(),))])
    except DirectoryRefused as refusal:
        raise AccountRefused(f"Failed to update {source.dn}. {reason(refusal)}") from refusal


async def _step(run: Run, work: Coroutine[Any, Any, None]) -> None:
    """Do one thing to an account that exists; a failure is a line in the log."""
    try:
        await work
    except AccountRefused as refusal:
        run.log.error(9812, str(refusal))

"""One run of ``admt user``, ``group``, ``computer`` or ``password`` from its command line to the last line of its log."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from reconciler.lab.admt.computers import dispatch_agents, migrate_computer
from reconciler.lab.admt.database import Database, Task, exclusive
from reconciler.lab.admt.domains import Side, container, disconnect
from reconciler.lab.admt.errors import AccountRefused, RunRefused, UsageRefused, reason
from reconciler.lab.admt.export import open_export
from reconciler.lab.admt.groups import migrate_group, migrate_groups_of
from reconciler.lab.admt.include_file import Included, decode
from reconciler.lab.admt.log import CURRENT, MigrationLog, read_log
from reconciler.lab.admt.members import migrate_members_of
from reconciler.lab.admt.membership import gather_members, join_groups
from reconciler.lab.admt.names import expected_sam, first_rdn, object_sid
from reconciler.lab.admt.options import Options
from reconciler.lab.admt.options import parse as parse_options
from reconciler.lab.admt.preconditions import check_sid_history, local_group, open_domains
from reconciler.lab.admt.run import AT_ONCE, Run
from reconciler.lab.admt.selecting import included, reader, selected
from reconciler.lab.admt.users import copy_password, migrate_user
from reconciler.lab.windows.contract import DirectoryRefused, Entry, Process

if TYPE_CHECKING:
    from reconciler.lab.windows.machine import Machine

CRASHES = r"C:\LabFaults\admt-crash.txt"
"""A fault of this lab: the program dies when it comes to an account whose name stands in this file, one per line."""
ACCESS_VIOLATION = -1073741819  # 0xC0000005 as a signed exit code


class Crashed(Exception):
    """The program is gone; whatever it did stays done, and it wrote nothing more."""


_NOT_SIMULATED = ("TRANSLATEROAMINGPROFILE", "UPDATEUSERRIGHTS", "UPDATEGROUPRIGHTS", "MIGRATESERVICEACCOUNTS")


async def migrate(process: Process, verb: str) -> int:
    """Run a verb; 0 where it ran to its end, failed accounts included, 1 where it did not start.

    The exit code of the real tool is documented nowhere; nobody may rely on this one.
    """
    machine: Machine = process.machine
    read = reader(machine, process.directory)
    try:
        options = parse_options(verb, process.arguments[1:], read)
        items = included(options, read)
    except UsageRefused as refusal:
        process.err(str(refusal))
        return 1
    try:
        with exclusive(machine):
            return await _logged(process, options, items)
    except RunRefused as refusal:  # somebody else runs, so the log is theirs
        process.err(refusal.text)
        return 1


async def _logged(process: Process, options: Options, items: list[Included] | None) -> int:
    machine: Machine = process.machine
    started = machine.clock()
    log = MigrationLog(machine)
    database = Database(machine)
    log.line(f"Active Directory Migration Tool, {options.verb} migration started by {process.logon.account}.")
    log.line(f"Source domain: {options.text('SOURCEDOMAIN')}  Target domain: {options.text('TARGETDOMAIN')}")
    run: Run | None = None
    completed = False
    crashed = False
    sides: tuple[Side, ...] = ()
    try:
        sides = source, target = await open_domains(machine, process.logon, options)
        run = await _start(machine, options, log, Run(machine, options, log, database, source, target))
        await _work(run, items)
        completed = True
    except Crashed:
        crashed = True
    except RunRefused as refusal:
        log.error(refusal.number, refusal.text)
        process.err(refusal.text)
    except (DirectoryRefused, OSError) as error:
        log.error(9803, f"The migration was interrupted. {reason(error)}")
        process.err(f"The migration was interrupted. {reason(error)}")
    finally:
        for side in sides:
            await disconnect(side)
    if crashed:
        return ACCESS_VIOLATION
    log.line("Operation completed." if completed else "Operation failed.")
    _finish(machine, options, database, log, run, started)
    if run is not None:
        process.out(f"Migrated: {run.succeeded}  Warnings: {log.warnings}  Errors: {log.errors}")
    process.out(f"Log file: {CURRENT}")
    process.out("Operation completed." if completed else "Operation failed.")
    return 0 if completed else 1


async def _start(machine: Machine, options: Options, log: MigrationLog, run: Run) -> Run:
    """Check the rest of what the run needs: SIDs, containers, the password export server."""
    if options.yes("MIGRATESIDS"):
        await check_sid_history(run.source, run.target)
        run.local_group = await local_group(run.source)
    run.source_base = await _container(run.source, options.text("SOURCEOU"))
    run.target_base = await _container(run.target, options.text("TARGETOU"))
    copies = options.verb == "user" and options.words("PASSWORDOPTION", "COMPLEX")[0] == "COPY"
    if options.verb == "password" or copies:
        run.export = open_export(machine, options.text("PASSWORDSERVER"), run.source, run.target)
    for name in _NOT_SIMULATED:
        if options.yes(name):
            log.line(f"{name} is accepted and ignored by this lab.")
    return run


async def _work(run: Run, items: list[Included] | None) -> None:
    done: list[Entry] = []
    chosen = await selected(run, items)
    deadly = _deadly(run.machine)
    for start in range(0, len(chosen), AT_ONCE):
        part = chosen[start : start + AT_ONCE]
        await run.expect(expected_sam(item, source) for item, source in part)
        if run.local_group:
            await run.source.directory.forget_members(run.local_group)
        for item, source in part:
            if (source.text("sAMAccountName") or "").lower() in deadly:
                raise Crashed
            try:
                await _one(run, item, source)
            except AccountRefused as refusal:
                run.log.error(9810, str(refusal))
            else:
                done.append(source)
    if run.options.verb == "computer":
        dispatch_agents(run, done)
    if run.options.verb in ("password", "computer"):
        return
    if run.options.yes("MIGRATEMEMBERS"):
        done += await migrate_members_of(run, done)
    if run.options.yes("MIGRATEGROUPS"):
        await migrate_groups_of(run, done)
    if run.options.yes("FIXGROUPMEMBERSHIP", default=True):
        await join_groups(run, done)
        for source in done:
            if b"group" in source.all("objectClass"):
                await gather_members(run, source)


def _deadly(machine: Machine) -> set[str]:
    item = machine.files.item(CRASHES)
    return set(decode(item.content).lower().split("\r\n")) - {""} if item is not None and item.content else set()


async def _one(run: Run, item: Included, source: Entry) -> None:
    if run.options.verb == "user":
        await migrate_user(run, item, source)
    elif run.options.verb == "group":
        await migrate_group(run, item, source)
    elif run.options.verb == "computer":
        await migrate_computer(run, item, source)
    else:
        await _password_only(run, source)


async def _password_only(run: Run, source: Entry) -> None:
    dn = await run.target_dn(object_sid(source), "user")
    if dn is None:
        raise AccountRefused(f"{first_rdn(source.dn)}: the account has not been migrated.")
    await copy_password(run, source, await run.target_entry(dn), generated=False)
    run.succeeded += 1


async def _container(side: Side, path: str) -> str:
    dn = await container(side, path) if path else side.facts.base_dn
    if dn is None:
        raise RunRefused(f"The container '{path}' could not be found in the domain {side.facts.dns}.", 9804)
    return dn


def _finish(
    machine: Machine, options: Options, database: Database, log: MigrationLog, run: Run | None, started: datetime
) -> None:
    database.finish(
        Task(
            number=database.next_task(),
            verb=options.verb,
            started=started.isoformat(),
            finished=machine.clock().isoformat(),
            succeeded=run.succeeded if run is not None else 0,
            warnings=log.warnings,
            errors=log.errors,
            log=read_log(machine.files.read(CURRENT)),
        )
    )

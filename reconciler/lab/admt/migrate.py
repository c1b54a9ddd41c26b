"""One run of ``admt user``, ``group`` or ``password`` from its command line to the last line of its log."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from reconciler.lab.admt.database import Database, Task, exclusive
from reconciler.lab.admt.domains import Side, container, disconnect
from reconciler.lab.admt.errors import AccountRefused, RunRefused, UsageRefused, reason
from reconciler.lab.admt.export import open_export
from reconciler.lab.admt.groups import gather_members, join_groups, migrate_group, migrate_groups_of
from reconciler.lab.admt.include_file import Included, decode
from reconciler.lab.admt.include_file import parse as parse_include_file
from reconciler.lab.admt.log import CURRENT, MigrationLog, read_log
from reconciler.lab.admt.names import NEEDED, USER_ATTRIBUTES, first_rdn, object_sid
from reconciler.lab.admt.options import Options
from reconciler.lab.admt.options import parse as parse_options
from reconciler.lab.admt.preconditions import check_sid_history, local_group, open_domains
from reconciler.lab.admt.run import GROUPS, USERS, Run
from reconciler.lab.admt.users import copy_password, migrate_user
from reconciler.lab.windows.contract import DirectoryRefused, Entry, Process
from reconciler.lab.windows.files import DriveNotFound, NoSuchPath, normal

if TYPE_CHECKING:
    from reconciler.lab.windows.machine import Machine

_SAVE_EVERY = 25
_NOT_SIMULATED = ("TRANSLATEROAMINGPROFILE", "UPDATEUSERRIGHTS", "UPDATEGROUPRIGHTS", "MIGRATESERVICEACCOUNTS")


async def migrate(process: Process, verb: str) -> int:
    """Run a verb; 0 where it ran to its end, failed accounts included, 1 where it did not start.

    The exit code of the real tool is documented nowhere; nobody may rely on this one.
    """
    machine: Machine = process.machine
    read = _reader(machine, process.directory)
    try:
        options = parse_options(verb, process.arguments[1:], read)
        included = _included(options, read)
    except UsageRefused as refusal:
        process.err(str(refusal))
        return 1
    try:
        with exclusive(machine):
            return await _logged(process, options, included)
    except RunRefused as refusal:  # somebody else runs, so the log is theirs
        process.err(refusal.text)
        return 1


async def _logged(process: Process, options: Options, included: list[Included] | None) -> int:
    machine: Machine = process.machine
    started = machine.clock()
    log = MigrationLog(machine)
    database = Database(machine)
    log.line(f"Active Directory Migration Tool, {options.verb} migration started by {process.logon.account}.")
    log.line(f"Source domain: {options.text('SOURCEDOMAIN')}  Target domain: {options.text('TARGETDOMAIN')}")
    run: Run | None = None
    completed = False
    sides: tuple[Side, ...] = ()
    try:
        sides = source, target = await open_domains(machine, process.logon, options)
        run = await _start(machine, options, log, Run(machine, options, log, database, source, target))
        await _work(run, included)
        completed = True
    except RunRefused as refusal:
        log.error(refusal.number, refusal.text)
        process.err(refusal.text)
    except (DirectoryRefused, OSError) as error:
        log.error(9803, f"The migration was interrupted. {reason(error)}")
        process.err(f"The migration was interrupted. {reason(error)}")
    finally:
        database.save()
        for side in sides:
            await disconnect(side)
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
    if options.verb == "password" or options.words("PASSWORDOPTION", "COMPLEX")[0] == "COPY":
        run.export = open_export(machine, options.text("PASSWORDSERVER"), run.source, run.target)
    for name in _NOT_SIMULATED:
        if options.yes(name):
            log.line(f"{name} is accepted and ignored by this lab.")
    return run


async def _work(run: Run, included: list[Included] | None) -> None:
    where = GROUPS if run.options.verb == "group" else USERS
    rows = await _selected(run, included, where)
    done: list[Entry] = []
    for count, (item, source) in enumerate(rows, start=1):
        try:
            await _one(run, item, source)
        except AccountRefused as refusal:
            run.log.error(9810, str(refusal))
        else:
            done.append(source)
        if count % _SAVE_EVERY == 0:
            run.database.save()
    if run.options.verb == "password":
        return
    if run.options.yes("MIGRATEGROUPS"):
        await migrate_groups_of(run, done)
    if run.options.yes("FIXGROUPMEMBERSHIP", default=True):
        for source in done:
            await join_groups(run, source, run.options.verb)
            if run.options.verb == "group":
                await gather_members(run, source)


async def _one(run: Run, item: Included, source: Entry) -> None:
    if run.options.verb == "user":
        await migrate_user(run, item, source)
    elif run.options.verb == "group":
        await migrate_group(run, item, source)
    else:
        await _password_only(run, source)


async def _password_only(run: Run, source: Entry) -> None:
    dn = await run.target_dn(object_sid(source), "user")
    if dn is None:
        raise AccountRefused(f"{first_rdn(source.dn)}: the account has not been migrated.")
    await copy_password(run, source, await run.target_entry(dn), generated=False)
    run.succeeded += 1


async def _selected(run: Run, included: list[Included] | None, where: str) -> list[tuple[Included, Entry]]:
    """Return what to migrate; names that mean nothing, or too much, become errors in the log."""
    if included is None:
        scope: Literal["one", "sub"] = "sub" if "RECURSE" in run.options.words("INCLUDEDOMAIN", "") else "one"
        everything = await run.source.remote.search(run.source_base, scope, where, (*NEEDED, *USER_ATTRIBUTES))
        chosen = [(Included(row.text("sAMAccountName") or ""), row) for row in everything]
    else:
        chosen = []
        for item in included:
            rows = await run.sources(item, where)
            if len(rows) == 1:
                chosen.append((item, rows[0]))
            else:
                problem = "could not be found" if not rows else "is not unique"
                run.log.error(9814, f"The object '{item.source}' {problem} in the source domain.")
    excluded = _excluded(run)
    return [(item, row) for item, row in chosen if not _names_of(row) & excluded]


def _excluded(run: Run) -> set[str]:
    names = [name.lower() for name in run.options.excluded]
    if run.options.text("EXCLUDEFILE"):
        text = _reader(run.machine, "C:\\")(run.options.text("EXCLUDEFILE"))
        names += [item.source.lower() for item in parse_include_file(text)]
    return set(names)


def _names_of(entry: Entry) -> set[str]:
    rdn = first_rdn(entry.dn).lower()
    return {(entry.text("sAMAccountName") or "").lower(), rdn, rdn[3:]}


def _included(options: Options, read: Callable[[str], str]) -> list[Included] | None:
    """Return the names to migrate, or None for everything in the source OU."""
    if "EXCLUDEFILE" in options.given:
        parse_include_file(read(options.text("EXCLUDEFILE")))
    if options.names:
        return [Included(name) for name in options.names]
    if "INCLUDEFILE" in options.given:
        return parse_include_file(read(options.text("INCLUDEFILE")))
    return None


def _reader(machine: Machine, directory: str) -> Callable[[str], str]:
    def read(path: str) -> str:
        try:
            return decode(machine.files.read(normal(path, directory)))
        except (NoSuchPath, DriveNotFound, IsADirectoryError):
            raise UsageRefused(f"The file '{path}' could not be opened.") from None

    return read


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

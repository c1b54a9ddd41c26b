"""The scheduled tasks of a simulated host: registered with a password, started by hand, by the clock or at boot."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from reconciler.lab.windows.contract import Logon
from reconciler.lab.windows.logons import LogonRefused, batch_logon, check_account, system_logon
from reconciler.lab.windows.task_xml import Definition, Exec, parse_task, split_arguments

if TYPE_CHECKING:
    from reconciler.lab.windows.machine import Machine

RUNNING_RESULT = 0x41301
NEVER_RUN_RESULT = 0x41303
TERMINATED_RESULT = 0x41306
FILE_NOT_FOUND_RESULT = 0x80070002

CRASHED_RESULT = 0xC0000005

log = logging.getLogger(__name__)

CLOCK_S = 1.0
SYSTEM = "S-1-5-18"
_STORED = ("path", "name", "xml", "user", "password", "missed", "last_result")
_VARIABLE = re.compile(r"%([^%]+)%")
_ENVIRONMENT = {
    "windir": r"C:\Windows",
    "systemroot": r"C:\Windows",
    "systemdrive": "C:",
    "programfiles": r"C:\Program Files",
    "temp": r"C:\Windows\Temp",
}
_SYSTEM_NAMES = (SYSTEM.lower(), "system", r"nt authority\system", "localsystem")


@dataclass(slots=True)
class ScheduledTask:
    """One registered task. ``path`` is its folder with a backslash at both ends."""

    path: str
    name: str
    xml: str
    definition: Definition
    user: str  # TARGET\migrator, or S-1-5-18
    password: str | None = field(default=None, repr=False)
    registered: datetime | None = None
    checked: datetime | None = None  # time triggers up to this moment are done with
    last_run: datetime | None = None
    last_result: int = NEVER_RUN_RESULT
    missed: int = 0
    job: asyncio.Task[Any] | None = field(default=None, repr=False)

    @property
    def uri(self) -> str:
        """The full path of the task."""
        return self.path + self.name

    @property
    def running(self) -> bool:
        """True while its program runs."""
        return self.job is not None and not self.job.done()

    def next_run(self) -> datetime | None:
        """Return when the clock will start it next."""
        if not self.definition.enabled or self.checked is None:
            return None
        return min((moment for moment in self.definition.times if moment > self.checked), default=None)


class Tasks:
    """Every task by its full path (without case)."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._tasks: dict[str, ScheduledTask] = {}

    def __iter__(self) -> Iterator[ScheduledTask]:
        return iter(sorted(self._tasks.values(), key=lambda task: task.uri.lower()))

    def get(self, path: str, name: str) -> ScheduledTask | None:
        """Return a task, or None."""
        return self._tasks.get((folder(path) + name).lower())

    async def register(
        self, path: str, name: str, xml: str, user: str = "", password: str | None = None
    ) -> ScheduledTask:
        """Register a task, or replace it.

        Args:
            path: Its folder.
            name: Its name.
            xml: The definition.
            user: Who runs it; '' takes the principal of the definition.
            password: Checked now, and kept for each start.

        Raises:
            BadTaskXml: The definition is wrong.
            LogonRefused: The account is unknown (1332) or its password wrong or missing (1326).
        """
        definition = parse_task(xml)
        account = user or definition.user
        if account.lower() in _SYSTEM_NAMES:
            account, password = SYSTEM, None
        else:
            principal = await check_account(self._machine, account, password or "")
            account = principal.account
        now = self._machine.clock()
        task = ScheduledTask(folder(path), name, xml, definition, account, password, registered=now, checked=now)
        before = self._tasks.get(task.uri.lower())
        if before is not None:
            self.stop(before)
        self._tasks[task.uri.lower()] = task
        self._machine.changed()
        return task

    def remove(self, task: ScheduledTask) -> None:
        """Unregister a task; what it started goes on, as on Windows."""
        self._tasks.pop(task.uri.lower(), None)
        self._machine.changed()

    def start(self, task: ScheduledTask) -> None:
        """Start a task; a second instance is ignored."""
        if not task.running:
            task.last_run = self._machine.clock()
            task.last_result = RUNNING_RESULT
            self._machine.changed()
            task.job = self._machine.start_job(self._run(task))

    def stop(self, task: ScheduledTask) -> None:
        """End what a task runs, in the middle of its work."""
        if task.running and task.job is not None:
            task.job.cancel()

    async def _run(self, task: ScheduledTask) -> None:
        result = TERMINATED_RESULT
        try:
            limit = task.definition.time_limit
            async with asyncio.timeout(None if limit is None else limit.total_seconds()):
                logon = await self._logon(task)
                for action in task.definition.actions:
                    result = await self._execute(action, logon)
        except LogonRefused as refused:
            result = 0x80070000 | refused.code
        except TimeoutError:
            result = TERMINATED_RESULT
        except asyncio.CancelledError:
            result = TERMINATED_RESULT
            raise
        except Exception:
            # A program of the lab that breaks is the lab's fault; the task shows what a crash shows on Windows.
            log.exception("a program broke in task %s", task.uri)
            result = CRASHED_RESULT
        finally:
            task.last_result = result & 0xFFFFFFFF
            self._machine.changed()
            self._machine.save()

    async def _logon(self, task: ScheduledTask) -> Logon:
        if task.user == SYSTEM:
            return system_logon(self._machine)
        return await batch_logon(self._machine, task.user, task.password or "")

    async def _execute(self, action: Exec, logon: Logon) -> int:
        from reconciler.lab.windows.machine import SYSTEM32, ProgramNotFound

        arguments = split_arguments(expanded(action.arguments))
        directory = expanded(action.directory) or SYSTEM32
        try:
            return await self._machine.run_program(
                expanded(action.command), arguments, logon, _nowhere, _nowhere, directory
            )
        except ProgramNotFound:
            return FILE_NOT_FOUND_RESULT

    # -- the clock

    async def watch_clock(self) -> None:
        """Start what is due, for ever."""
        self._skip_missed()
        while True:
            self.fire_due()
            await asyncio.sleep(CLOCK_S)

    def fire_due(self) -> list[ScheduledTask]:
        """Start every task whose time has come since the last call; return them."""
        now = self._machine.clock()
        due = [task for task in self if (moment := task.next_run()) is not None and moment <= now]
        for task in due:
            task.checked = now
            self.start(task)
        return due

    def _skip_missed(self) -> None:
        """Leave out what was due while the machine was off, unless the task wants to be caught up."""
        boot = self._machine.boot_time
        for task in self:
            moment = task.next_run()
            if moment is not None and moment < boot and not task.definition.start_when_available:
                task.checked = boot
                task.missed += 1
                self._machine.changed()

    async def fire_boot(self) -> None:
        """Start every task that has a boot trigger."""
        for task in self:
            if task.definition.at_boot and task.definition.enabled:
                self.start(task)

    def to_disk(self) -> list[dict[str, Any]]:
        """Return every task as JSON can hold it; passwords too, as Windows keeps them among its secrets."""
        return [
            {
                **{name: getattr(task, name) for name in _STORED},
                **{name: moment and moment.isoformat() for name, moment in _moments(task).items()},
            }
            for task in self._tasks.values()
        ]

    def from_disk(self, disk: list[Mapping[str, Any]]) -> None:
        """Take every task from what ``to_disk`` returned; none of them runs."""
        self._tasks = {}
        for stored in disk:
            moments = {
                name: datetime.fromisoformat(stored[name]) if stored[name] else None
                for name in ("registered", "checked", "last_run")
            }
            task = ScheduledTask(**{**stored, **moments}, definition=parse_task(stored["xml"]))
            self._tasks[task.uri.lower()] = task


def folder(path: str) -> str:
    """Return a task folder with a backslash at both ends."""
    inner = path.replace("/", "\\").strip("\\")
    return f"\\{inner}\\" if inner else "\\"


def expanded(text: str) -> str:
    """Return text with the environment variables of the system replaced; unknown ones stay as they are."""
    return _VARIABLE.sub(lambda found: _ENVIRONMENT.get(found[1].lower(), found[0]), text)


def _moments(task: ScheduledTask) -> dict[str, datetime | None]:
    return {"registered": task.registered, "checked": task.checked, "last_run": task.last_run}


def _nowhere(line: str) -> None:
    """Take a line that nobody sees."""
    del line

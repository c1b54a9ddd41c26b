"""One simulated Windows host: its state on a disk, its programs and cmdlets, and how it boots."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from reconciler.lab.windows.audit import AuditPolicy
from reconciler.lab.windows.contract import (
    Cmdlet,
    ConnectDirectory,
    Directory,
    DirectoryRefused,
    DomainFacts,
    Logon,
    NetworkCredential,
    Program,
    RemoteDirectory,
)
from reconciler.lab.windows.files import DriveNotFound, Files
from reconciler.lab.windows.logons import LogonRefused, check_account
from reconciler.lab.windows.registry import LSA, ByName, Registry
from reconciler.lab.windows.security_database import SecurityDatabase
from reconciler.lab.windows.services import BUILT_IN_ACCOUNTS, ERROR_SERVICE_LOGON_FAILED, Service, Services
from reconciler.lab.windows.software import Software
from reconciler.lab.windows.tasks import Tasks

T = TypeVar("T")

REFRESH_S = 300.0  # domain controllers refresh Group Policy every five minutes
FLUSH_S = 0.05  # one write for a burst of changes, such as the lines of a log
FLUSH_SHARE = 20  # a large disk takes long to write, so that is done more rarely: no more than this part of the time
NEVER = datetime(1601, 1, 1, tzinfo=UTC)
SYSTEM32 = r"C:\Windows\System32"


class ProgramNotFound(LookupError):
    """No such program on this machine."""


@dataclass(slots=True)
class RunningProgram:
    """A native program while it runs; what contract.Process asks for, and the path it was started by."""

    path: str
    arguments: Sequence[str]
    logon: Logon
    machine: Machine
    out: Callable[[str], None]
    err: Callable[[str], None]
    directory: str = SYSTEM32
    id: int = 0


@dataclass(slots=True, eq=False)
class Machine:
    """A domain controller that runs Windows Server 2019, or a member server, as far as the lab needs one.

    A member server has no directory of its own: ``directory`` is then its channel to a controller, which is used only while that
    one answers (``authority``). Its local groups are in ``local``.

    Life: ``load`` -> ``boot`` -> ... -> ``shut_down`` -> ``boot`` ... The supervisor sets ``connect``, ``peers`` and
    ``restart_hook`` before the first boot.
    """

    path: Path
    facts: DomainFacts
    directory: Directory
    locale: str = "en"  # "de": native tools speak German
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    name: str = ""  # SRCDC1
    fqdn: str = ""  # srcdc1.source.lab; another name than that of the domain's controller is one of a member server
    address: str = ""
    ahead: timedelta = timedelta(0)  # how much time has passed here beside the time that really has; see advance
    boot_time: datetime = NEVER
    booted: ByName = field(default_factory=lambda: ByName({}))  # values of the Lsa key as they were at boot
    up: bool = False
    going_down: bool = False  # a restart was ordered and has not begun
    peers: Mapping[str, Machine] = field(default_factory=dict)  # every other host, by lower-case FQDN
    programs: dict[str, Program] = field(default_factory=dict)  # "admt.exe": lower case, with extension
    installers: dict[str, Program] = field(default_factory=dict)  # "msiexec.exe", "admtsetup32.exe"
    cmdlets: dict[str, Cmdlet] = field(default_factory=dict)  # by lower-case name, without aliases
    boot_hooks: list[Callable[[Machine], Awaitable[None]]] = field(default_factory=list)  # before services start
    restart_hook: Callable[[float], None] | None = None  # takes the seconds until the machine goes down
    connect: ConnectDirectory = field(default_factory=lambda: _unconnected)
    registry: Registry = field(init=False)
    services: Services = field(init=False)
    files: Files = field(init=False)
    software: Software = field(init=False)
    audit: AuditPolicy = field(init=False)
    tasks: Tasks = field(init=False)
    local: SecurityDatabase = field(init=False)
    _dirty: bool = field(default=False, init=False)
    _flush: asyncio.Handle | None = field(default=None, init=False)
    _write_s: float = field(default=0.0, init=False)  # how long the last write of the disk took
    _jobs: set[asyncio.Task[Any]] = field(default_factory=set, init=False)
    _last_id: int = field(default=3000, init=False)

    def __post_init__(self) -> None:
        self.fqdn = self.fqdn or self.facts.controller
        self.address = self.address or self.facts.address
        self.name = self.name or self.fqdn.partition(".")[0].upper()
        self.registry = Registry(self.now, self.changed)
        self.services = Services(self.changed)
        self.services.log_on = self._log_on_service
        self.files = Files(self.now, self.changed)
        self.software = Software(self.registry)
        self.audit = AuditPolicy(self.files, self.changed)
        self.tasks = Tasks(self)
        self.local = SecurityDatabase(self.changed)

    @property
    def is_controller(self) -> bool:
        """Whether it holds the directory of its domain."""
        return self.fqdn.lower() == self.facts.controller.lower()

    @property
    def authority(self) -> Machine | None:
        """The controller that knows who is who in its domain: this one, or that of its domain while it answers."""
        if self.is_controller:
            return self
        found = self.peers.get(self.facts.controller.lower())
        return found if found is not None and found.up else None

    def now(self) -> datetime:
        """Return the machine's time."""
        return self.clock()

    def advance(self, by: timedelta) -> list[asyncio.Task[Any]]:
        """Let time pass on this machine alone, and start what is due by then; return what runs.

        Nothing else moves: what was started, stays started at the moment at which it was.
        """
        before = self.clock
        self.clock = lambda: before() + by
        self.ahead += by
        self.changed()
        return [task.job for task in self.tasks.fire_due() if task.job is not None] if self.up else []

    @classmethod
    def load(
        cls,
        path: Path,
        facts: DomainFacts,
        directory: Directory,
        *,
        locale: str = "en",
        fqdn: str = "",
        address: str = "",
    ) -> Machine:
        """Return the machine of a disk file, with every cmdlet and program of Windows; it is not booted yet.

        Args:
            fqdn: That of a member server, with its ``address``; the controller of the domain where not given.

        Raises:
            FileNotFoundError: There is no disk; write one with ``pristine.write_disk``.
        """
        from reconciler.lab.windows.catalog import CMDLETS, CONTROLLERS_ONLY, PROGRAMS

        machine = cls(path=path, facts=facts, directory=directory, locale=locale, fqdn=fqdn, address=address)
        machine.read(json.loads(path.read_text("utf-8")))
        kept_out = frozenset() if machine.is_controller else CONTROLLERS_ONLY
        machine.cmdlets.update({one.name.lower(): one for one in CMDLETS if one.name.lower() not in kept_out})
        machine.programs.update({name: program for name, program in PROGRAMS.items() if name not in kept_out})
        return machine

    # -- the disk

    def disk(self) -> dict[str, Any]:
        """Return everything that survives a crash, as JSON can hold it."""
        return {
            "format": 1,
            "registry": self.registry.to_disk(),
            "services": self.services.to_disk(),
            "files": self.files.to_disk(),
            "audit": self.audit.to_disk(),
            "tasks": self.tasks.to_disk(),
            "local": self.local.to_disk(),
            "ahead_s": self.ahead.total_seconds(),
        }

    def read(self, disk: Mapping[str, Any]) -> None:
        """Take the state of a disk."""
        self.registry.from_disk(disk["registry"])
        self.services.from_disk(disk["services"])
        self.files.from_disk(disk["files"])
        self.audit.from_disk(disk["audit"])
        self.tasks.from_disk(disk["tasks"])
        self.local.from_disk(disk.get("local", {}))
        if missing := timedelta(seconds=disk.get("ahead_s", 0.0)) - self.ahead:
            self.advance(missing)
        self._dirty = False

    def changed(self) -> None:
        """Note a change; it reaches the disk at the next ``save`` or a moment later."""
        self._dirty = True
        if self._flush is None:
            try:
                pause_s = max(FLUSH_S, FLUSH_SHARE * self._write_s)
                self._flush = asyncio.get_running_loop().call_later(pause_s, self.save)
            except RuntimeError:
                return  # no event loop: whoever builds a machine by hand saves by hand

    def save(self) -> None:
        """Write the disk if anything changed: all of it or nothing, and on the platter when this returns."""
        if self._flush is not None:
            self._flush.cancel()
            self._flush = None
        if self._dirty:
            started = time.monotonic()
            write_disk(self.path, self.disk())
            self._dirty = False
            self._write_s = time.monotonic() - started

    # -- power

    async def boot(self) -> None:
        """Start the machine: what counts from boot is read now, then services, policy and boot triggers."""
        self.boot_time = self.clock()
        key = self.registry.key(LSA)
        self.booted = ByName({} if key is None else key.values)
        for hook in self.boot_hooks:
            await hook(self)
        await self.services.boot()
        self.refresh_policy()
        self.up = True
        self.start_job(self._refresh_for_ever())
        self.start_job(self.tasks.watch_clock())
        await self.tasks.fire_boot()
        self.save()

    async def shut_down(self) -> None:
        """Stop everything that runs, programs in the middle of their work included, and write the disk."""
        self.up = self.going_down = False
        this = asyncio.current_task()
        jobs = [job for job in self._jobs if job is not this]
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)
        for service in self.services:
            self.services.stop(service.name)
        self.save()

    def restart(self, reason: str, delay_s: float = 0.3) -> None:
        """Ask for a restart in ``delay_s`` seconds and return at once; without a supervisor it is done alone."""
        self.going_down = True
        line = f"{self.clock().isoformat()} {reason}\r\n".encode()
        self.files.append(r"C:\Windows\System32\winevt\restarts.log", line, parents=True)
        self.save()
        if self.restart_hook is not None:
            self.restart_hook(delay_s)
        else:
            task = asyncio.get_running_loop().create_task(self._restart_alone(delay_s))
            _alone.add(task)
            task.add_done_callback(_alone.discard)

    async def _restart_alone(self, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        await self.shut_down()
        await self.boot()

    async def _log_on_service(self, service: Service) -> int:
        if service.password is None or service.account.lower() in BUILT_IN_ACCOUNTS:
            return 0
        try:
            await check_account(self, service.account, service.password)
        except LogonRefused:
            return ERROR_SERVICE_LOGON_FAILED
        return 0

    def booted_dword(self, name: str) -> int | None:
        """Return a DWord of the Lsa key as it was at boot; None if it was absent or of another kind."""
        value = self.booted.get(name)
        return None if value is None else value.dword()

    def refresh_policy(self) -> list[str]:
        """Apply Group Policy; return the GUIDs of the audit subcategories it changed."""
        return self.audit.refresh()

    async def _refresh_for_ever(self) -> None:
        while True:
            await asyncio.sleep(REFRESH_S)
            self.refresh_policy()

    # -- programs

    def start_job(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run a coroutine that ends with the machine: what is still going at a restart is cancelled."""
        job = asyncio.get_running_loop().create_task(work)
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)
        return job

    def next_id(self) -> int:
        """Return a new process id."""
        self._last_id += 4
        return self._last_id

    def find_program(self, name: str) -> Program:
        """Return a program by name or path, '.exe' optional, case-insensitive.

        A path counts only where the file is on this machine; a bare name is looked up as the PATH would.

        Raises:
            ProgramNotFound: There is none, or what was installed is gone.
        """
        text = name.strip().strip('"').replace("/", "\\")
        base = text.rpartition("\\")[2].lower()
        program = None
        for spelled in (base, f"{base}.exe"):
            program = program or self.programs.get(spelled) or self.installers.get(spelled)
        if program is None or ("\\" in text and not self._is_file(text)):
            raise ProgramNotFound(name)
        return program

    def _is_file(self, path: str) -> bool:
        try:
            items = [self.files.item(spelled) for spelled in (path, f"{path}.exe")]
        except DriveNotFound:
            return False
        return any(item is not None and not item.is_directory for item in items)

    async def run_program(
        self,
        name: str,
        arguments: Sequence[str],
        logon: Logon,
        out: Callable[[str], None],
        err: Callable[[str], None],
        directory: str = SYSTEM32,
    ) -> int:
        """Run a native program to its end and return its exit code; what it changed is on the disk by then.

        It ends with the machine: a shutdown cancels it, and this call with it.

        Raises:
            ProgramNotFound: See ``find_program``.
        """
        program = self.find_program(name)
        running = RunningProgram(name, tuple(arguments), logon, self, out, err, directory, self.next_id())
        try:
            return await self.start_job(_exit_code(program, running))
        finally:
            self.save()


async def _exit_code(program: Program, running: RunningProgram) -> int:
    return await program(running)


_alone: set[asyncio.Task[None]] = set()


def write_disk(path: Path, disk: Mapping[str, Any]) -> None:
    """Write a disk file atomically and durably, readable by its owner only."""
    beside = path.with_name(path.name + ".new")
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        json.dump(disk, stream, ensure_ascii=False, separators=(",", ":"))
        stream.flush()
        os.fsync(stream.fileno())
    beside.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


async def _unconnected(host: str, credential: NetworkCredential) -> RemoteDirectory:
    """Stand for the network until the supervisor has connected it."""
    raise DirectoryRefused(52, f"no network: {host} cannot be reached")

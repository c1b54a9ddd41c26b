"""Programs under a real logon: a scheduled task made for one run, waited for, and taken away again."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from msgspec import Struct

from reconciler.core.errors import Refused, UnexpectedAnswer, Unreachable, WorldError
from reconciler.core.query import Argument, Command, Row, Rows, show
from reconciler.core.secret import CredentialPart, Template
from reconciler.core.steps import RunTask
from reconciler.core.task_xml import NO_TASK, task_xml
from reconciler.edge import files
from reconciler.edge.accounts import holds_secret

RUNNING = 267009  # SCHED_S_TASK_RUNNING
NEVER_RAN = 267011  # SCHED_S_TASK_HAS_NOT_RUN
STARTING_S = 60.0
_STATES = {0: "Unknown", 1: "Disabled", 2: "Queued", 3: "Ready", 4: "Running"}
_BUSY = ("Running", "Queued")
_LOG_MARK = re.compile(r"\[log (\d+) ([0-9a-f]{16})\]")
_ABOUT = re.compile(r"\[about ([^\]]*)\]")
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.2, 5.0


@dataclass(slots=True)
class Patience:
    """Waits that grow, until a deadline. Time is given from outside."""

    timeout_s: float
    pause: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    wait_s: float = _FIRST_WAIT_S
    longest_s: float = _LONGEST_WAIT_S
    started: float = field(init=False)

    def __post_init__(self) -> None:
        self.started = self.clock()

    @property
    def elapsed_s(self) -> float:
        """Seconds since the beginning."""
        return self.clock() - self.started

    def spent(self) -> bool:
        """Return whether the deadline has passed."""
        return self.elapsed_s >= self.timeout_s

    def rest(self) -> None:
        """Wait a little, each time somewhat longer."""
        self.pause(self.wait_s)
        self.wait_s = min(self.wait_s * 1.5, self.longest_s)


class LogMark(Struct, frozen=True):
    """Where a log ended before a run: its length, and a digest that tells an appended log from a rotated one."""

    length: int = 0
    digest: str = ""

    @classmethod
    def of(cls, content: bytes) -> LogMark:
        """Mark the end of what is there now."""
        return cls(len(content), hashlib.sha256(content).hexdigest()[:16])

    def begins(self, content: bytes) -> bool:
        """Return whether ``content`` is what was there, and more."""
        return LogMark.of(content[: self.length]) == self


class Names(Struct, frozen=True):
    """Which task belongs to a run."""

    host: str
    task: str
    log: str

    def command(
        self, name: str, *parameters: tuple[str, Argument], absent: tuple[str, ...] = (), repeatable: bool = True
    ) -> Command:
        """Return a command about this task."""
        return Command(self.host, name, (("TaskName", self.task), *parameters), absent=absent, repeatable=repeatable)


def run_task(run: files.Run, effect: RunTask, username: str, *, pause: Callable[[float], None] = time.sleep) -> Rows:
    """Run a program by a scheduled task and return its exit code and what it wrote to its log.

    A task of that name which still runs was started before we were interrupted: it is waited for, not started again, unless it is
    about something else.

    Args:
        run: Runs a command on a host.
        username: Of the credential.
        pause: Waits.

    Raises:
        TypeError: An argument holds a secret; it would lie in the task's definition, readable on the host.
        Unreachable: The host is gone, or the program did not end in time.
        Refused: The host does not register or start the task.
    """
    arguments = tuple(_argument(argument, username, effect.credential) for argument in effect.arguments)
    names = Names(effect.host, task_name(effect.name), effect.log)
    patience = Patience(effect.timeout_s + STARTING_S, pause)
    found = _find(run, names)
    busy = found is not None and _state(found) in _BUSY
    if found is not None and busy and _about(found) == effect.about:
        before = _mark_in(found)
    else:
        if busy:  # two at once would be in each other's way
            _await(run, names, patience)
        if found is not None:  # it ended while nobody was looking; its last result would be taken for ours
            _remove(run, names)
        before = _start(run, effect, names, arguments, username)
    try:
        code = _await(run, names, patience)
        lines = _new_lines(run, names, before)
    except BaseException:
        with suppress(WorldError):  # what went wrong first is what counts
            _remove(run, names)
        raise
    _remove(run, names)
    return ({"exit_code": code}, *lines)


def task_name(name: str) -> str:
    """Return the name of the task of a run; characters that a file name cannot hold are replaced."""
    return "Reconcile-" + re.sub(r'[\\/:*?"<>|\[\]]', "_", name)


def _argument(argument: Argument, username: str, credential: str) -> str:
    if holds_secret(argument):
        raise TypeError(f"a secret cannot be an argument of a scheduled task: {show(argument)}")
    if isinstance(argument, str):
        return argument
    if isinstance(argument, bool) or not isinstance(argument, int | CredentialPart | Template):
        raise TypeError(f"not an argument of a program: {show(argument)}")
    if isinstance(argument, int):
        return str(argument)
    parts = argument.parts if isinstance(argument, Template) else (argument,)
    return "".join(part if isinstance(part, str) else _name(part, username, credential) for part in parts)


def _name(part: object, username: str, credential: str) -> str:
    if isinstance(part, CredentialPart) and part.credential == credential:
        return username
    raise TypeError(f"only the credential of the task itself can be named in its arguments, not {part}")


def _find(run: files.Run, names: Names) -> Row | None:
    rows = run(names.command("Get-ScheduledTask", absent=NO_TASK))
    return rows[0] if rows else None


def _state(task: Row) -> str:
    state = task.get("State")
    return _STATES.get(state, str(state)) if isinstance(state, int) else str(state)


def _start(run: files.Run, effect: RunTask, names: Names, arguments: tuple[str, ...], username: str) -> LogMark:
    """Register the task and start it; return where the log ended before."""
    before = LogMark.of((files.read(run, names.host, names.log) or b"") if names.log else b"")
    xml = task_xml(
        program=effect.program,
        arguments=arguments,
        username=username,
        timeout_s=effect.timeout_s,
        description=f"Made by reconcile for one run, and removed after it. [log {before.length} {before.digest}]{_about_mark(effect.about)}",
    )
    password = CredentialPart(effect.credential, "password")
    # Registering again replaces it, so that may be repeated; starting twice would be two runs.
    logon = (("User", username), ("Password", password))
    run(names.command("Register-ScheduledTask", ("Xml", xml), *logon, ("Force", True)))
    try:
        run(names.command("Start-ScheduledTask", repeatable=False))
    except Refused:
        with suppress(WorldError):
            _remove(run, names)
        raise
    except Unreachable as error:
        if not error.sent:
            with suppress(WorldError):
                _remove(run, names)
            raise
        # Whether it runs is seen by waiting for it.
    return before


def _await(run: files.Run, names: Names, patience: Patience) -> int:
    """Wait until the task has ended; a host that does not answer meanwhile is waited for too."""
    while not patience.spent():
        try:
            code = _result(run, names)
        except Unreachable:
            if patience.spent():
                raise
        else:
            if code is not None and code != NEVER_RAN:
                return code
            if code == NEVER_RAN and patience.elapsed_s > STARTING_S:
                raise Refused(
                    f"the scheduled task '{names.task}' does not start",
                    target=names.host,
                    code="TaskNotStarted",
                    do="see the Task Scheduler log of the host",
                )
        patience.rest()
    with suppress(WorldError):
        run(names.command("Stop-ScheduledTask", absent=NO_TASK))
    raise Unreachable(
        f"the scheduled task '{names.task}' did not end in time and was stopped", target=names.host, sent=True
    )


def _result(run: files.Run, names: Names) -> int | None:
    """Return the result of a task that has ended; None while it runs."""
    task = _find(run, names)
    if task is None:
        raise Refused(
            f"the scheduled task '{names.task}' is gone",
            target=names.host,
            code="TaskGone",
            do="somebody removed it while it ran",
        )
    if _state(task) in _BUSY:
        return None
    rows = run(names.command("Get-ScheduledTaskInfo", absent=NO_TASK))
    code = rows[0].get("LastTaskResult") if rows else None
    if not isinstance(code, int):
        raise UnexpectedAnswer(
            f"'{names.host}' gives no result of the scheduled task '{names.task}'", target=names.host
        )
    return None if code == RUNNING else code


def _remove(run: files.Run, names: Names) -> None:
    run(names.command("Unregister-ScheduledTask", ("Confirm", False), absent=NO_TASK))


def _mark_in(task: Row) -> LogMark:
    found = _LOG_MARK.search(str(task.get("Description") or ""))
    return LogMark(int(found[1]), found[2]) if found else LogMark()


def _about_mark(about: str) -> str:
    return f" [about {about}]" if about else ""


def _about(task: Row) -> str:
    found = _ABOUT.search(str(task.get("Description") or ""))
    return found[1] if found else ""


def _new_lines(run: files.Run, names: Names, before: LogMark) -> tuple[Row, ...]:
    content = files.read(run, names.host, names.log) if names.log else None
    return tuple({"line": line} for line in new_lines(content or b"", before))


def new_lines(content: bytes, before: LogMark) -> list[str]:
    """Return the lines that a run wrote: those after the mark, all of them where the log was rotated or replaced.

    UTF-16 is known by its mark at the very beginning, and anything else is read as UTF-8.
    """
    new = content[before.length :] if before.begins(content) else content
    if content.startswith(b"\xff\xfe"):
        text = new.decode("utf-16-le", "replace")
    elif content.startswith(b"\xfe\xff"):
        text = new.decode("utf-16-be", "replace")
    else:
        text = new.decode("utf-8", "replace")
    return text.removeprefix("\ufeff").splitlines()

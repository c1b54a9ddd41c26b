"""A dead-man's switch: a task on the host that puts a dangerous setting back by itself unless its deadline is pushed forward.

The law: it is armed before the setting is made, with what was there before, and disarmed after the setting was put back.
"""

from __future__ import annotations

import hashlib
import unicodedata
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from reconciler.core.errors import NeedsPerson, UnexpectedAnswer
from reconciler.core.lengths import PATTERN, duration, spoken
from reconciler.core.query import Command, Query, Recall, Rows
from reconciler.core.resource import Key, Resource, differences
from reconciler.core.secret import Template
from reconciler.core.steps import Note, Step
from reconciler.core.task_xml import (
    NO_TASK,
    SYSTEM,
    CommandLine,
    Definition,
    Task,
    command_line,
    read_task,
    system_task_xml,
)
from reconciler.resources.boot import boot_query
from reconciler.resources.facts import fact
from reconciler.resources.rows import one, text

SHORTEST, LONGEST = timedelta(minutes=15), timedelta(days=7)
DEFAULT = timedelta(hours=8)
SYSTEM32 = r"C:\Windows\System32"
TIMEOUT_S = 600.0
LONGEST_LINE = 8000  # of one command line; Windows takes somewhat more
_LINE_ENDS = "\u2028\u2029"
_SLACK = timedelta(minutes=1)
_SYSTEM_NAMES = (SYSTEM.casefold(), "system", r"nt authority\system", "localsystem")


class Inexpressible(ValueError):
    """What was there before cannot be brought back by a command line; the argument says why."""


def _waiting(value: object) -> object:
    if value == "off":
        return value
    length = duration(value)
    if not SHORTEST <= length <= LONGEST:
        raise ValueError("a dead-man's switch waits from 15 minutes to 7 days")
    return length


Waiting = Annotated[
    timedelta | Literal["off"],
    BeforeValidator(_waiting),
    WithJsonSchema({"type": "string", "pattern": f"^(off|{PATTERN})$", "examples": ["8h", "off"]}),
]


class Guarded(Resource):
    """A setting that may have a dead-man's switch.

    With one, the setting and its switch are one thing that is always there: what is absent has None in its fields, so that
    both are compared whether or not there is a value.
    """

    renews: ClassVar[tuple[str, ...]] = ("switch",)

    dead_mans_switch: Waiting | None = Field(
        None,
        description="How long after the last pass the host itself puts the setting back, such as `8h`: "
        "a scheduled task is armed before the setting is made. `off` removes that task.",
    )
    switch: Literal["armed", "none"] | None = Field(
        None, description="Whether that task is there, as it has to be, and has more than half its time; leave it out."
    )

    @model_validator(mode="before")
    @classmethod
    def _manage_switch(cls, data: Any) -> Any:
        if not isinstance(data, Mapping) or data.get("dead_mans_switch") is None or data.get("switch") is not None:
            return data
        return {**data, "switch": "none" if data["dead_mans_switch"] == "off" else "armed"}

    @property
    @abstractmethod
    def on(self) -> str:
        """Name of the host."""

    @abstractmethod
    def restoring(self) -> tuple[CommandLine, ...]:
        """Return the programs that bring this observed state back on its host.

        Raises:
            Inexpressible: No command line does.
        """

    @property
    def task_name(self) -> str:
        """Name of the task of the switch."""
        return task_name(self.key)

    def switch_queries(self) -> tuple[Query, ...]:
        """Ask for the host's clock, the task, and what it was armed with; nothing where there is no switch."""
        if self.switch is None:
            return ()
        task = Command(self.on, "Export-ScheduledTask", (("TaskName", self.task_name),), absent=NO_TASK)
        return (boot_query(self.on), task, Recall(switch_fact(self.key)))

    def judged(self, found: Self, answers: Sequence[Rows]) -> Self:
        """Return what was found, with the state of the switch as it counts for this wanted state."""
        if self.switch is None:
            return found
        clock, task, facts = answers
        restore, there = _kept(facts, self.key), _exported(task)
        if self.switch == "none":
            return found.model_copy(update={"switch": "none" if there is None else "armed"})
        now = _clock(clock, self.on)
        right = all(difference.field == "switch" for difference in differences(self, found))
        # What was right without us is not ours to put back, and a task that somebody left is not ours to replace.
        nothing_ours = right and not restore
        sound = bool(restore) and there is not None and _is_sound(there, restore, self._length(), now)
        made = found.model_copy(update={"switch": "armed" if nothing_ours or sound else "none"})
        return made.with_facts(now=now, restore=restore)

    def around(self, observed: Self, differs: frozenset[str], changes: tuple[Step, ...]) -> tuple[Step, ...]:
        """Put arming before the changes, or disarming after them."""
        if "switch" not in differs:
            return changes
        return (self._arming(observed), *changes) if self.switch == "armed" else (*changes, self._disarming())

    def remembers(self, observed: Self) -> Mapping[str, Mapping[str, Any]]:
        """Forget what the switch was armed with once it is gone: the next original may be another one."""
        return {switch_fact(self.key): {}} if self.switch == "none" else {}

    def _length(self) -> timedelta:
        return self.dead_mans_switch if isinstance(self.dead_mans_switch, timedelta) else DEFAULT

    def _arming(self, observed: Self) -> Step:
        length = self._length()
        try:
            restore = observed.facts["restore"] or _checked(observed.restoring())
        except Inexpressible as error:
            raise NeedsPerson(
                f"{self.title()}: no dead-man's switch can be armed, because {error}",
                where=self.on,
                do="change what is there now to something simpler by hand, "
                "or go without: `dead_mans_switch: off`; then nothing puts it back if this program does not come back",
            ) from error
        at = (observed.facts["now"] + length).replace(microsecond=0)
        undoing = "; ".join(command_line(line) for line in restore)
        xml = system_task_xml(
            restore,
            at=at,
            timeout_s=TIMEOUT_S,
            description=f"Made by reconcile: puts {self.title()} back unless it is pushed forward before {at:%Y-%m-%d %H:%M:%S} UTC.",
        )
        shown = Template((Definition(xml, f"after {spoken(length)}, as SYSTEM: {undoing}"),))
        register = Command(
            self.on, "Register-ScheduledTask", (("TaskName", self.task_name), ("Xml", shown), ("Force", True))
        )
        note = Note(
            switch_fact(self.key), {"restore": [list(line) for line in restore], "lease_s": int(length.total_seconds())}
        )
        says = (
            f"arm the dead-man's switch of {self.title()}: after {spoken(length)} without us, {self.on} runs {undoing}"
        )
        return Step(register, says, (note,))

    def _disarming(self) -> Step:
        remove = Command(
            self.on, "Unregister-ScheduledTask", (("TaskName", self.task_name), ("Confirm", False)), absent=NO_TASK
        )
        return Step(remove, f"disarm the dead-man's switch of {self.title()}", (Note(switch_fact(self.key), {}),))


def task_name(key: Key) -> str:
    """Return the name of the task that guards a resource."""
    return f"Reconcile-DeadMan-{hashlib.sha256(key.encode()).hexdigest()[:12]}"


def switch_fact(key: Key) -> str:
    """Return the key of the fact that holds what a switch was armed with; empty while there is none."""
    return f"switch/{key}"


def _kept(facts: Rows, key: Key) -> tuple[CommandLine, ...]:
    lines = fact(facts, switch_fact(key)).get("restore") or ()
    return tuple(tuple(str(word) for word in line) for line in lines)


def _exported(rows: Rows) -> Task | str | None:
    """Return the task; its text where that is no definition; None where there is no task."""
    if not rows:
        return None
    xml = "\n".join(str(row.get("value", "")) for row in rows)
    return read_task(xml) or xml


def _is_sound(task: Task | str, restore: Sequence[CommandLine], length: timedelta, now: datetime) -> bool:
    """Whether the task does what it has to, in time, and not so soon that it has to be pushed forward."""
    if isinstance(task, str) or task.start is None or task.start.tzinfo is None:
        return False
    wanted = tuple((program, command_line(arguments)) for program, *arguments in restore)
    left = task.start - now
    return (
        task.user.casefold() in _SYSTEM_NAMES
        and task.actions == wanted
        and task.will_start
        and length / 2 < left <= length + _SLACK
    )


def _clock(rows: Rows, host: str) -> datetime:
    said = text(one(rows, "the operating system", host), "LocalDateTime")
    with suppress(ValueError):
        now = datetime.fromisoformat(said)
        if now.tzinfo is not None:
            return now.astimezone(UTC)
    raise UnexpectedAnswer(f"the clock of '{host}' reads {said!r}, which is no time with a zone", target=host)


def _checked(lines: tuple[CommandLine, ...]) -> tuple[CommandLine, ...]:
    """Return the commands if a scheduled task runs them as they are.

    Raises:
        Inexpressible: It does not.
    """
    for program, *arguments in lines:
        line = command_line(arguments)
        if line.count("%") > 1:
            raise Inexpressible("%...% on the command line of a scheduled task is replaced by an environment variable")
        if any(unicodedata.category(sign)[0] == "C" or sign in _LINE_ENDS for sign in line):
            raise Inexpressible("a control character cannot stand on a command line")
        if len(program) + len(line) > LONGEST_LINE:
            raise Inexpressible("it is too long for a command line")
    return lines

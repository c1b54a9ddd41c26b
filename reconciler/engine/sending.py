"""Send the steps of one change, each with its facts committed before and its record after; different lanes at the same time.

The law: a step that was not carried out stops those that build on it, and one whose fate is unknown all that were not sent yet.
Only the effects themselves are under way at once: whatever is written down or told about them, and the decision whether another one
is sent, happens in turn. Changes of one directory that do not build on each other are announced, sent and recorded many at a time:
what is synced for each group costs more than the writes themselves.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import groupby
from typing import Any

from msgspec.structs import replace

from reconciler.core.audit import Stage
from reconciler.core.errors import Fenced, ReconcileError, Refused, Stale, Unreachable
from reconciler.core.plan import Change
from reconciler.core.ports import DoesTogether, ModifiesTogether, World
from reconciler.core.query import Rows
from reconciler.core.steps import ModifyEntry, Step
from reconciler.engine.events import Event
from reconciler.engine.portions import how_far
from reconciler.engine.records import announce, record
from reconciler.engine.run import Progress, Tools

SHOWN = 20
AT_ONCE = 128
"""So many changes of a directory at once: more win little, and an end that is asked for waits for the whole group."""


def send(change: Change, tools: Tools, progress: Progress) -> ReconcileError | None:
    """Send every step of a change; return the error that stopped it, or what was refused on the way."""
    sending = _Sending(change, tools, progress)
    for lanes in _stretches(change.steps):
        if len(lanes) > 1 and isinstance(tools.world, DoesTogether):
            tools.world.do_together([partial(sending.walk, lane) for lane in lanes])
        else:
            for lane in lanes:
                sending.walk(lane)
        if sending.over:
            break
    return sending.outcome()


def _stretches(steps: Sequence[Step]) -> Iterator[list[list[Step]]]:
    """Return the lanes that may be under way at once, one such list after the other; what has no lane goes alone."""
    for laned, stretch in groupby(steps, key=lambda step: bool(step.lane)):
        lanes: dict[str, list[Step]] = {}
        for step in stretch:
            lanes.setdefault(step.lane, []).append(step)
        assert laned or list(lanes) == [""]
        yield list(lanes.values())


@dataclass(slots=True)
class _Sending:
    """How far the steps of a change have come, in all lanes.

    Attributes:
        refused: By steps that stand apart.
        errors: Those that ended a lane.
        over: Nothing that builds on all lanes is sent any more.
        dead: Nothing at all is sent any more.
        done: How many of what portions count have ended.
    """

    change: Change
    tools: Tools
    progress: Progress
    refused: list[Refused] = field(default_factory=list)
    errors: list[ReconcileError] = field(default_factory=list)
    over: bool = False
    dead: bool = False
    first: datetime = field(init=False)
    done: int = field(init=False)
    _turn: threading.Lock = field(default_factory=threading.Lock, init=False)

    def __post_init__(self) -> None:
        self.first = self.tools.clock.now()
        self.done = min((step.portion.before for step in self.change.steps if step.portion), default=0)

    def walk(self, lane: Sequence[Step]) -> None:
        """Send the steps of one lane, until one of them or another lane ends it."""
        for steps in _at_once(lane, self.tools.world):
            if not self._send(steps):
                return

    def outcome(self) -> ReconcileError | None:
        """Return the error for all that was met."""
        return _first_of(self.errors) or _together(self.refused, self.change)

    def _send(self, steps: Sequence[Step]) -> bool:
        """Send steps at once; return whether those after them in their lane may follow."""
        with self._in_turn():
            if not self._may_go_on(steps[0]):
                return False
            began = self._begin(steps)
        try:
            found = self._answers(steps)
        except BaseException:
            with self._in_turn():
                self.over = self.dead = True
            raise
        with self._in_turn():
            return self._ended(list(zip(steps, found, strict=True)), began)

    def _answers(self, steps: Sequence[Step]) -> list[Rows | ReconcileError]:
        """Carry out the effects; return what each answered, or why it was not carried out."""
        world = self.tools.world
        try:
            if len(steps) > 1 and isinstance(world, ModifiesTogether):
                changes = [step.effect for step in steps if isinstance(step.effect, ModifyEntry)]
                return [() if error is None else error for error in world.modify_together(changes)]
            return [world.do(step.effect) for step in steps]
        except ReconcileError as error:
            return [error] * len(steps)

    @contextmanager
    def _in_turn(self) -> Iterator[None]:
        """Keep the other lanes out; what cannot be written down ends them all before they are let in again."""
        with self._turn:
            try:
                yield
            except BaseException:
                self.over = self.dead = True
                raise

    def _may_go_on(self, step: Step) -> bool:
        if self.dead:
            return False
        if self.tools.stopping():
            do = "apply again: it goes on from here"
            self._stop(ReconcileError("interrupted before this step", where=str(step), do=do))
            return False
        return True

    def _begin(self, steps: Sequence[Step]) -> datetime:
        for step in steps:
            self.tools.listen(Event("step", self.change.key, str(step)))
        began = self.tools.clock.now()
        if notes := {note.key: note.value for step in steps for note in step.notes}:
            self.tools.journal.note(notes, began)
        announce(self.change, steps, self.tools)
        return began

    def _ended(self, answers: Sequence[tuple[Step, Rows | ReconcileError]], began: datetime) -> bool:
        """Keep what became of steps; return whether those after them in their lane may follow."""
        learned: dict[str, Mapping[str, Any]] = {}
        for step, answer in answers:
            if not isinstance(answer, ReconcileError):
                learned |= self.change.wanted.learns(step, answer)
        if learned:
            self.progress.learned = True
            self.tools.journal.note(learned, self.tools.clock.now())
        record(self.change, [(step, _stage(answer)) for step, answer in answers], began, self.tools)
        followed = [
            self._failed(step, answer) if isinstance(answer, ReconcileError) else self._did(step, answer)
            for step, answer in answers
        ]
        return all(followed)

    def _did(self, step: Step, rows: Rows) -> bool:
        """Tell of a step that was carried out; return whether those after it are not in vain."""
        self._tell(step)
        vain = self.change.wanted.in_vain(step, rows)
        self.over |= vain
        return not vain

    def _failed(self, step: Step, error: ReconcileError) -> bool:
        """Weigh a step that failed; return whether those after it in its lane may follow."""
        if kept := self.change.wanted.fails(step, error):
            self.tools.journal.note(kept, self.tools.clock.now())
            self._tell(step)
            self.over = True
            return False
        if isinstance(error, Refused) and step.apart and not isinstance(error, Fenced):
            self.refused.append(error)
            self._count(step)
            return True
        self._stop(error)
        return False

    def _stop(self, error: ReconcileError) -> None:
        """End the lane; where the error does not say that its step alone was not carried out, end all of them."""
        self.errors.append(error)
        self.over = True
        self.dead |= not _of_one_step(error)

    def _tell(self, step: Step) -> None:
        if step.portion is None:
            return
        portion = replace(step.portion, before=self.done)
        self.tools.listen(Event("progress", self.change.key, how_far(portion, self.tools.clock.now() - self.first)))
        self._count(step)

    def _count(self, step: Step) -> None:
        self.done += step.portion.size if step.portion else 0


def _at_once(lane: Sequence[Step], world: World) -> Iterator[Sequence[Step]]:
    """Return the steps of a lane in groups of which each is sent at once."""
    for domain, alike in groupby(lane, key=_domain_of if isinstance(world, ModifiesTogether) else lambda step: ""):
        steps = list(alike)
        most = AT_ONCE if domain else 1
        yield from (steps[start : start + most] for start in range(0, len(steps), most))


def _domain_of(step: Step) -> str:
    """Return which directory a step changes, if it may go together with others: it stands apart, and says all that it needs."""
    return (
        step.effect.domain if step.apart and isinstance(step.effect, ModifyEntry) and not step.effect.sd_flags else ""
    )


def _stage(answer: Rows | ReconcileError) -> Stage:
    if not isinstance(answer, ReconcileError):
        return "done"
    return "refused" if isinstance(answer, Refused) else "unknown"


def _of_one_step(error: ReconcileError) -> bool:
    """Whether it is sure that the step was not carried out, and nothing is said about any other."""
    if isinstance(error, Unreachable):
        return not error.sent
    return isinstance(error, Refused) and not isinstance(error, Fenced)


def _first_of(errors: Sequence[ReconcileError]) -> ReconcileError | None:
    """Return the error that stopped most, and say what the others were."""
    if not errors:
        return None
    worst, *others = sorted(errors, key=_of_one_step)
    if meanwhile := dict.fromkeys(error.what for error in others if error.what != worst.what):
        worst = copy(worst)
        worst.do = "\n".join([*worst.do.splitlines(), *(f"meanwhile: {what}" for what in meanwhile)])
    return worst


def _together(refused: Sequence[Refused], change: Change) -> ReconcileError | None:
    """Return one error for all; it is stale only where observing again is all that can be done about each of them."""
    if len(refused) < 2:
        return refused[0] if refused else None
    kind = Stale if all(isinstance(error, Stale) for error in refused) else Refused
    lines = [error.what for error in refused[:SHOWN]]
    rest = [f"... and {len(refused) - SHOWN} more"] if len(refused) > SHOWN else []
    what = f"{len(refused)} of {len(change.steps)} steps were refused, the others were made"
    return kind(what, where=change.key, do="\n".join([*lines, *rest]), code=refused[0].code)

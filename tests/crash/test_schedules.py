"""A crash or a lost reply anywhere in the whole article: the same end, everything restored, nothing done twice.

The real engine, the real kinds and the real article run against the simulated world. Every state in which one disturbance
leaves world and journal is started from; what two to four lead to is drawn by a seed. ``RECONCILE_SOAK=1`` starts more often.
"""

from __future__ import annotations

import gc
import os
import random
import sys
from collections.abc import Callable, Iterator

import pytest

from reconciler.core.errors import Unreachable
from reconciler.core.steps import Effect
from reconciler.core.values import Phase
from reconciler.engine.converge import Result, Tools, converge, plan_only
from reconciler.engine.intents import scope
from reconciler.resources.kinds import revive
from tests.crash.explorer import Explorer
from tests.crash.schedules import (
    SimulatedJournal,
    StoppedClock,
    article,
    completing,
    first,
    run,
    without_threads,
)
from tests.crash.simulated import SimulatedWorld, items, leftovers, people
from tests.crash.simulated_start import start
from tests.fake_journal import MemoryJournal

SOAK = os.environ.get("RECONCILE_SOAK") == "1"
RUNS = 12_000 if SOAK else 720
FROM_SCRATCH = 600 if SOAK else 25


@pytest.fixture(autouse=True)
def fast() -> Iterator[None]:
    """Without threads, and without looking through what is kept for garbage."""
    gc.collect()
    gc.disable()
    with without_threads():
        yield
    gc.enable()


def test_the_undisturbed_run_migrates_and_restores() -> None:
    migrated = run(first())
    assert migrated.wrong == {}
    assert migrated.final is not None
    assert len(people(migrated.final.tables)) == 3
    assert all(
        history and secret != ("random",) and not must
        for history, secret, must in people(migrated.final.tables).values()
    )
    completed = run(completing(migrated.final, whole=True))
    assert completed.wrong == {}
    assert completed.final is not None
    assert items(completed.final.tables) == items(start())
    assert completed.final.journal.obligations() == []
    assert leftovers(completed.final.tables) == []


def test_every_schedule_ends_as_if_nothing_had_happened(record_testsuite_property: Callable[..., None]) -> None:
    done = Explorer(seed=int(os.environ.get("RECONCILE_SEED", "1"))).explore(RUNS)
    text = (
        f"{done.effects} effects and {done.writes} journal writes undisturbed; {done.runs} runs ({done.singles} for every single disturbance), {done.lost} of them with a lost "
        f"reply, request or target; schedules by number of disturbances: {done.schedules}; {done.rest} states not started from"
    )
    sys.stdout.write(text + "\n")
    record_testsuite_property("schedules", text)
    assert not done.failures, "\n\n".join(done.failures.values())
    assert done.singles > 0, "the budget does not even do for every single disturbance"
    assert sum(done.schedules) >= 10_000


def test_what_is_merged_holds_everything_a_run_depends_on() -> None:
    """Whoever adds memory to the journal has to add it to ``SimulatedJournal.copy`` and ``identity``."""
    assert set(vars(MemoryJournal())) == {"_facts", "_obligations", "_history"}
    again = [
        (trace.effects, trace.writes, [point.key for point in trace.points]) for trace in (run(first()), run(first()))
    ]
    assert again[0] == again[1]


class Crash(BaseException):
    """The program is gone."""


class Doom:
    """Ends the program at the n-th thing it does, or loses a reply there; it does both but once."""

    def __init__(self, world: SimulatedWorld, journal: SimulatedJournal, at: int, lose: bool) -> None:
        self.left, self.lose = at, lose
        world.before, world.after, journal.written = self._before, self._after, self._written

    def _before(self, effect: Effect) -> None:
        self._tick(lost=None)

    def _after(self, effect: Effect) -> None:
        self._tick(lost=Unreachable("the reply was lost", sent=True))

    def _written(self, what: str) -> None:
        self._tick(lost=None)

    def _tick(self, lost: Unreachable | None) -> None:
        self.left -= 1
        if self.left == 0:
            if self.lose and lost is not None:
                raise lost
            raise Crash


@pytest.mark.parametrize("seed", range(FROM_SCRATCH))
def test_a_schedule_from_scratch(seed: int) -> None:
    """The same without merging: up to four crashes while migrating, up to two while completing, each ends the program."""
    chance = random.Random(seed)
    world = SimulatedWorld(start(), None)
    journal = SimulatedJournal()
    phases: tuple[Phase, Phase] = ("migrate", "complete")
    for phase in phases:
        for _ in range(chance.randint(0, 4 if phase == "migrate" else 2)):
            world, journal = SimulatedWorld(world.tables.copy(), journal.copy()), journal.copy()
            world.journal = journal
            Doom(world, journal, chance.randint(1, 260), chance.random() < 0.3)
            try:
                started(phase, world, journal)
            except Crash:
                continue
        world, journal = SimulatedWorld(world.tables.copy(), None), journal.copy()
        world.journal = journal
        ended = started(phase, world, journal)
        assert ended.converged
        assert {o.key: o.error for o in ended.outcomes if o.status not in ("changed", "unchanged")} == {}
        assert plan_only(scope(article(), phase, journal, revive), Tools(world, journal, StoppedClock(), "r")).quiet
    assert items(world.tables) == items(start())
    assert journal.obligations() == []


def started(phase: Phase, world: SimulatedWorld, journal: SimulatedJournal) -> Result:
    return converge(scope(article(), phase, journal, revive), Tools(world, journal, StoppedClock(), "run"))


def test_a_key_file_that_could_not_be_deleted_is_ours_also_when_the_original_is_gone() -> None:
    """The copy is compared with its original, which goes as well: that is no edit by somebody else."""
    migrated = run(first()).final
    assert migrated is not None
    begin = completing(migrated, whole=True)
    deletions = [
        number for number, how in enumerate(point.how for point in run(begin).points if "before effect" in point.how) if "Remove-Item -LiteralPath C:\\PES\\source.pes" in how
    ]  # fmt: skip
    assert len(deletions) == 2
    unlucky = run(begin, (deletions[0], "request")).final
    assert unlucky is not None
    assert run(unlucky).wrong == {}


def test_no_file_of_a_run_of_admt_is_left() -> None:
    trace = run(first())
    (ran,) = (n for n, point in enumerate(trace.points) if "after effect" in point.how and "admt.exe user" in point.how)
    ends = [run(point).final for point in trace.points[ran - 8 :]]
    assert [leftovers(end.tables) for end in ends if end] == [[] for _ in ends]

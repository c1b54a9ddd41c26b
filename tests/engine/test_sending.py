"""Steps of one change: what a refusal stops and what it does not, and what somebody else did meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from threading import Barrier, Event
from typing import ClassVar, Literal, Self

import pytest

from reconciler.core.errors import Fenced, JournalError, ReconcileError, Refused, Stale, Unreachable
from reconciler.core.graph import Graph
from reconciler.core.ports import Json
from reconciler.core.query import Command, Query, Rows
from reconciler.core.report import Outcome
from reconciler.core.resource import Declaration, Resource
from reconciler.core.steps import Note, Portion, Step
from reconciler.engine.converge import converge
from reconciler.engine.intents import scope
from reconciler.engine.run import Tools
from tests.fake_journal import MemoryJournal
from tests.fake_world import FakeClock, FakeWorld, revive

NAMES = ("a", "b", "c", "d")


class Many(Resource):
    """Values by name, of which each is a step."""

    identity: ClassVar[tuple[str, ...]] = ("name",)
    inputs: ClassVar[tuple[str, ...]] = ("apart",)
    restores: ClassVar[bool] = False

    kind: Literal["test.many"] = "test.many"
    name: str = "many"
    apart: bool = True
    missing: tuple[str, ...] = ()

    def queries(self) -> tuple[Query, ...]:
        return tuple(Command("h", "get", arguments=(name,)) for name in NAMES)

    def parse(self, *answers: Rows) -> Self:
        return self.observed(missing=tuple(name for name, rows in zip(NAMES, answers, strict=True) if not rows))

    def steps(self, observed: Self, differs: frozenset[str]) -> tuple[Step, ...]:
        return tuple(
            Step(Command("h", "set", arguments=(name, {"value": 1})), f"set {name}", apart=self.apart)
            for name in observed.missing
        )

    def remarks(self, observed: Self) -> tuple[str, ...]:
        return (f"{len(observed.missing)} missing",)


def apply(world: FakeWorld, *, apart: bool = True) -> Outcome:
    wanted = Graph([Declaration(Many.model_validate({"apart": apart, "missing": ()}))])
    journal = MemoryJournal()
    result = converge(scope(wanted, "migrate", journal, revive), Tools(world, journal, FakeClock(), "run"))
    (outcome,) = result.outcomes
    return outcome


def refusing(world: FakeWorld, errors: dict[str, ReconcileError]) -> None:
    """Let the world refuse to set some names."""
    change = world._change

    def first(effect: Command) -> None:
        name = str(effect.arguments[0])
        if name in errors:
            raise errors[name]
        change(effect)

    world._change = first  # type: ignore[method-assign]


def there(world: FakeWorld) -> str:
    return "".join(name for name in NAMES if ("h", name) in world.values)


def test_what_stands_apart_is_sent_though_another_was_refused() -> None:
    world = FakeWorld()
    refusing(world, {"b": Refused("b is protected")})
    outcome = apply(world)
    assert there(world) == "acd"
    assert outcome.status == "failed"
    assert str(outcome.error) == "b is protected"
    assert outcome.remarks == ("1 missing",)


def test_all_that_was_refused_is_named() -> None:
    world = FakeWorld()
    refusing(world, {"a": Refused("a is protected", code="x"), "d": Refused("d is protected")})
    outcome = apply(world)
    assert there(world) == "bc"
    assert outcome.error is not None
    assert outcome.error.what == "2 of 4 steps were refused, the others were made"
    assert outcome.error.do == "a is protected\nd is protected"


def test_what_builds_on_a_refused_step_is_not_sent() -> None:
    world = FakeWorld()
    refusing(world, {"b": Refused("b is protected")})
    assert apply(world, apart=False).status == "failed"
    assert there(world) == "a"


@pytest.mark.parametrize("error", [Unreachable("gone", sent=True), Fenced("another process has taken over")])
def test_what_is_no_answer_about_one_step_stops_all(error: ReconcileError) -> None:
    world = FakeWorld()
    refusing(world, {"b": error})
    assert apply(world).status == "failed"
    assert there(world) == "a"


@pytest.mark.parametrize("apart", [True, False])
def test_what_somebody_else_did_meanwhile_is_news_and_the_rest_is_done(apart: bool) -> None:
    world = FakeWorld()
    change = world._change

    def somebody(effect: Command) -> None:
        name = str(effect.arguments[0])
        if name == "b" and ("h", "b") not in world.values:
            world.values[("h", "b")] = {"value": 1}
            raise Stale("already there")
        change(effect)

    world._change = somebody  # type: ignore[method-assign]
    outcome = apply(world, apart=apart)
    assert outcome.status == "changed"
    assert there(world) == "abcd"
    assert world.writes.count("set a") == 1


def test_a_stale_answer_that_changes_nothing_is_not_asked_for_ever() -> None:
    world = FakeWorld()
    refusing(world, dict.fromkeys(NAMES, Stale("already there, it says")))
    outcome = apply(world)
    assert outcome.status == "failed"
    assert isinstance(outcome.error, Stale)


LANES = {"a": "one", "b": "two", "c": "one", "d": "two"}
PATIENCE_S = 30.0


class Laned(Many):
    """The same values, set in two lanes; the last one waits for both where it has none."""

    inputs: ClassVar[tuple[str, ...]] = ("apart", "last")

    last: bool = False

    def steps(self, observed: Self, differs: frozenset[str]) -> tuple[Step, ...]:
        return tuple(
            Step(
                Command("h", "set", arguments=(name, {"value": 1})),
                f"set {name}",
                (Note(f"noted/{name}", {}),),
                portion=Portion(index, 1, len(observed.missing)),
                apart=self.apart,
                lane="" if self.last and name == "d" else LANES[name],
            )
            for index, name in enumerate(observed.missing)
        )


class ParallelWorld(FakeWorld):
    """Does pieces of work at the same time, each in a thread of its own."""

    def do_together(self, works: Sequence[Callable[[], None]]) -> None:
        with ThreadPoolExecutor(len(works)) as pool:
            begun = [pool.submit(work) for work in works]
        for one in begun:
            one.result()


@dataclass
class Course:
    """One apply in lanes: how it ended, what was told meanwhile, and the facts that are there."""

    outcome: Outcome
    told: list[str]
    journal: MemoryJournal


def apply_in_lanes(
    world: FakeWorld, journal: MemoryJournal | None = None, *, stopping: Callable[[], bool] = lambda: False, last: bool = False
) -> Course:  # fmt: skip
    told: list[str] = []
    kept = journal or MemoryJournal()
    graph = Graph([Declaration(Laned.model_validate({"apart": False, "missing": (), "last": last}))])
    tools = Tools(world, kept, FakeClock(), "run", stopping=stopping, listen=lambda event: told.append(event.text))
    (outcome,) = converge(scope(graph, "migrate", kept, revive), tools).outcomes
    return Course(outcome, told, kept)


def meeting(world: FakeWorld, *names: str) -> None:
    """Let effects only be carried out once all of these are under way."""
    change, gate = world._change, Barrier(len(names))

    def wait(effect: Command) -> None:
        if effect.arguments[0] in names:
            gate.wait(PATIENCE_S)
        change(effect)

    world._change = wait  # type: ignore[method-assign]


def test_lanes_are_under_way_at_once_and_each_goes_in_its_order() -> None:
    world = ParallelWorld()
    meeting(world, "a", "b")
    done = apply_in_lanes(world)
    assert done.outcome.status == "changed"
    assert there(world) == "abcd"
    assert world.writes.index("set a") < world.writes.index("set c")
    assert world.writes.index("set b") < world.writes.index("set d")


def test_what_has_no_lane_waits_for_all_of_them() -> None:
    world = ParallelWorld()
    meeting(world, "a", "b")
    apply_in_lanes(world, last=True)
    assert world.writes[-1] == "set d"
    assert len(world.writes) == 4


def test_a_world_that_does_one_thing_at_a_time_goes_lane_by_lane() -> None:
    world = FakeWorld()
    assert apply_in_lanes(world).outcome.status == "changed"
    assert world.writes == ["set a", "set c", "set b", "set d"]


def test_progress_counts_what_is_done_in_all_lanes() -> None:
    done = apply_in_lanes(ParallelWorld())
    counted = [text.partition(" of ")[0] for text in done.told if " of 4 accounts" in text]
    assert counted == ["1", "2", "3", "4"]


@pytest.mark.parametrize("error", [Refused("a is protected"), Unreachable("nothing answers", sent=False)])
def test_a_step_that_was_not_carried_out_ends_its_own_lane(error: ReconcileError) -> None:
    world = ParallelWorld()
    refusing(world, {"a": error})
    done = apply_in_lanes(world)
    assert there(world) == "bd"
    assert done.outcome.status == "failed"
    assert done.outcome.error is error


def test_nothing_that_builds_on_all_lanes_follows_a_refusal() -> None:
    world = ParallelWorld()
    refusing(world, {"a": Refused("a is protected")})
    apply_in_lanes(world, last=True)
    assert there(world) == "b"


@pytest.mark.parametrize("error", [Unreachable("gone", sent=True), Fenced("another process has taken over")])
def test_a_step_of_unknown_fate_ends_every_lane(error: ReconcileError) -> None:
    world = ParallelWorld()
    lost, change = Event(), world._change

    def first(effect: Command) -> None:
        if effect.arguments[0] == "a":
            meet.wait(PATIENCE_S)
            raise error
        meet.wait(PATIENCE_S)
        assert lost.wait(PATIENCE_S)
        change(effect)

    class Watched(MemoryJournal):
        def record(self, event: str, at: datetime, *details: Json) -> None:
            super().record(event, at, *details)
            lost.set()

    meet = Barrier(2)
    world._change = first  # type: ignore[method-assign]
    done = apply_in_lanes(world, Watched())
    assert there(world) == "b"  # it was under way, and what comes after it was not sent
    assert done.outcome.error is error
    assert [name for name in NAMES if f"noted/{name}" in done.journal.facts("noted/")] == ["a", "b"]


def test_two_lanes_that_end_badly_are_both_told() -> None:
    world = ParallelWorld()
    meeting(world, "a", "b")
    refusing(world, {"c": Refused("c is protected"), "d": Unreachable("d is gone", sent=True)})
    meeting(world, "c", "d")
    error = apply_in_lanes(world).outcome.error
    assert isinstance(error, Unreachable)
    assert "d is gone" in str(error)
    assert "meanwhile: c is protected" in str(error)


def test_asked_to_stop_no_lane_sends_another_step() -> None:
    world = ParallelWorld()
    meeting(world, "a", "b")
    done = apply_in_lanes(world, stopping=lambda: len(world.writes) > 0)
    assert there(world) == "ab"
    assert "interrupted before this step" in str(done.outcome.error)


def test_where_nothing_can_be_written_down_no_lane_sends_anything() -> None:
    class Full(MemoryJournal):
        def record(self, event: str, at: datetime, *details: Json) -> None:
            raise JournalError("the disk is full")

    world = ParallelWorld()
    meeting(world, "a", "b")
    with pytest.raises(JournalError):
        apply_in_lanes(world, Full())
    assert there(world) == "ab"


def test_facts_are_there_before_a_step_and_its_record_after_it_in_every_lane() -> None:
    class Ordered(MemoryJournal):
        def note(self, facts: Mapping[str, Json], at: datetime) -> None:
            super().note(facts, at)
            seen.extend(key for key in facts if key.startswith("noted/"))

        def record(self, event: str, at: datetime, *details: Json) -> None:
            super().record(event, at, *details)
            seen.extend(f"{detail['outcome']} {detail['step']}" for detail in details)

    seen: list[str] = []
    world = ParallelWorld()
    change = world._change

    def set_(effect: Command) -> None:
        seen.append(f"sent {effect.arguments[0]!s}")
        change(effect)

    world._change = set_  # type: ignore[method-assign]
    apply_in_lanes(world, Ordered())
    for name in NAMES:
        assert seen.index(f"noted/{name}") < seen.index(f"sent {name}") < seen.index(f"done set {name}")

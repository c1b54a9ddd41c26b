"""Tests of what ends a pass early, what goes on after a step that failed, and what is not tried twice in a round."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from reconciler.core.errors import ReconcileError, Refused
from reconciler.core.graph import Graph
from reconciler.core.query import Query, Recall, Rows, Search
from reconciler.core.resource import Declaration, Resource
from reconciler.core.steps import AddEntry, DeleteEntry, Note, Step
from reconciler.engine.converge import converge
from reconciler.engine.intents import scope
from reconciler.engine.run import Result, Tools
from tests.fake_journal import MemoryJournal
from tests.fake_world import FakeClock, FakeWorld, revive

FACT = "try/"


class Try(Resource):
    """Makes an entry, does a second thing, and removes the entry again; what it came to is a fact."""

    identity: ClassVar[tuple[str, ...]] = ("name",)
    inputs: ClassVar[tuple[str, ...]] = ("vain", "keeps")

    kind: Literal["test.try"] = "test.try"
    name: str = "a"
    vain: bool = False
    keeps: bool = True
    unproven: bool = False
    left: bool = False

    def managed(self) -> tuple[str, ...]:
        return ("unproven", "left")

    def queries(self) -> tuple[Query, ...]:
        return (Search("d", self.name), Recall(FACT))

    def parse(self, *answers: Rows) -> Self:
        there, facts = answers
        standing = dict(facts[0]["value"])["standing"] if facts else ""  # type: ignore[call-overload]
        return self.observed(unproven=standing != "good", left=bool(there)).with_facts(standing=standing)

    def steps(self, observed: Self, differs: frozenset[str]) -> tuple[Step, ...]:
        if observed.left:
            done = {"standing": "good"} if observed.facts["standing"] == "begun" else {}
            return (Step(DeleteEntry("d", self.name), notes=(Note(FACT, done),) if done else ()),)
        begun = (Note(FACT, {"standing": "begun"}),)
        return (
            Step(AddEntry("d", self.name, (("value", ("1",)),)), notes=begun),
            Step(AddEntry("d", "second", (("value", ("1",)),))),
        )

    def in_vain(self, step: Step, rows: Rows) -> bool:
        return self.vain

    def learns(self, step: Step, rows: Rows) -> Mapping[str, Mapping[str, Any]]:
        return {FACT: {"standing": "bad"}} if self.vain and isinstance(step.effect, AddEntry) else {}

    def fails(self, step: Step, error: ReconcileError) -> Mapping[str, Mapping[str, Any]]:
        return {FACT: {"standing": "bad"}} if self.keeps else {}

    def ended(self, observed: Self) -> ReconcileError | None:
        return ReconcileError("it was bad") if observed.facts["standing"] == "bad" and not observed.left else None


def run(world: FakeWorld, wanted: Try, journal: MemoryJournal | None = None) -> Result:
    journal = journal or MemoryJournal()
    tools = Tools(world, journal, FakeClock(), "run")
    return converge(scope(Graph([Declaration(wanted)]), "migrate", journal, revive), tools)


def refusing(number: int) -> FakeWorld:
    def before(place: int) -> None:
        if place == number:
            world.before = lambda place: None
            raise Refused("no", target="d")

    world = FakeWorld()
    world.before = before
    return world


def test_undisturbed_it_is_made_proven_and_removed() -> None:
    world = FakeWorld()
    result = run(world, Try())
    assert [one.status for one in result.outcomes] == ["changed"]
    assert world.writes == ["add a", "add second", "delete a"]


def test_what_is_in_vain_is_not_sent_and_the_try_is_not_repeated() -> None:
    world = FakeWorld()
    (outcome,) = run(world, Try(vain=True)).outcomes
    assert world.writes == ["add a", "delete a"]
    assert outcome.status == "failed"
    assert outcome.error is not None
    assert outcome.error.what == "it was bad"


def test_a_step_that_failed_and_is_kept_is_cleared_up_at_once() -> None:
    world = refusing(1)
    (outcome,) = run(world, Try()).outcomes
    assert world.writes == ["add a", "delete a"]
    assert (outcome.status, str(outcome.error)) == ("failed", "it was bad")


def test_a_step_that_failed_and_is_not_kept_ends_the_work() -> None:
    world = refusing(1)
    (outcome,) = run(world, Try(keeps=False)).outcomes
    assert world.writes == ["add a"]
    assert outcome.error is not None
    assert outcome.error.what == "no"


def test_the_next_run_tries_again() -> None:
    world, journal = refusing(1), MemoryJournal()
    run(world, Try(), journal)
    (outcome,) = run(world, Try(), journal).outcomes
    assert outcome.status == "changed"
    assert world.writes == ["add a", "delete a", "add a", "add second", "delete a"]

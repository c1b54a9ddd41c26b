"""Changes of one directory that are announced, sent and recorded at once: each has its own fate, and what comes after knows it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar, Literal, Self

import pytest

from reconciler.core.audit import Record
from reconciler.core.errors import Fenced, ReconcileError, Refused, Unreachable
from reconciler.core.graph import Graph
from reconciler.core.ports import Json
from reconciler.core.query import Query, Rows, Search
from reconciler.core.report import Outcome
from reconciler.core.resource import Declaration, Resource
from reconciler.core.steps import AttributeChange, Effect, ModifyEntry, Step
from reconciler.engine.converge import converge
from reconciler.engine.intents import scope
from reconciler.engine.run import Tools
from reconciler.engine.sending import AT_ONCE
from tests.fake_journal import MemoryJournal
from tests.fake_world import FakeClock, revive


class Attributes(Resource):
    """Many entries of which each has an attribute; some steps build on those before them."""

    identity: ClassVar[tuple[str, ...]] = ("name",)
    inputs: ClassVar[tuple[str, ...]] = ("count", "building", "flagged", "domains")
    restores: ClassVar[bool] = False

    kind: Literal["test.attributes"] = "test.attributes"
    name: str = "attributes"
    count: int = 5
    building: tuple[int, ...] = ()
    flagged: tuple[int, ...] = ()
    domains: int = 1
    missing: tuple[int, ...] = ()

    def queries(self) -> tuple[Query, ...]:
        return tuple(Search("d0", str(number)) for number in range(self.count))

    def parse(self, *answers: Rows) -> Self:
        return self.observed(missing=tuple(number for number, rows in enumerate(answers) if not rows))

    def steps(self, observed: Self, differs: frozenset[str]) -> tuple[Step, ...]:
        change = AttributeChange("description", "add", ("x",))
        return tuple(
            Step(
                ModifyEntry(
                    f"d{number % self.domains}", str(number), (change,), sd_flags=4 if number in self.flagged else 0
                ),
                f"set {number}",
                apart=number not in self.building,
            )
            for number in observed.missing
        )


@dataclass
class OneByOne:
    """A directory that takes one change at a time.

    Attributes:
        sent: The numbers of the entries of each message.
        errors: What goes wrong with an entry.
    """

    sent: list[list[int]] = field(default_factory=list)
    there: set[int] = field(default_factory=set)
    errors: dict[int, ReconcileError] = field(default_factory=dict)
    before: Callable[[], None] = lambda: None

    def ask(self, query: Query) -> Rows:
        assert isinstance(query, Search)
        return ({"dn": query.base},) if int(query.base) in self.there else ()

    def controllers(self, domain: str) -> tuple[str, ...]:
        return ("dc1",)

    def do(self, effect: Effect) -> Rows:
        assert isinstance(effect, ModifyEntry)
        self.sent.append([int(effect.dn)])
        if (error := self._changed(effect)) is not None:
            raise error
        return ()

    def _changed(self, effect: ModifyEntry) -> ReconcileError | None:
        number = int(effect.dn)
        if number not in self.errors:
            self.there.add(number)
        return self.errors.get(number)


class AtOnce(OneByOne):
    """A directory that takes many."""

    def modify_together(self, changes: Sequence[ModifyEntry]) -> list[ReconcileError | None]:
        self.before()
        self.sent.append([int(change.dn) for change in changes])
        return [self._changed(change) for change in changes]


@dataclass
class Written:
    """What was written down, in order: the audit log's records by the groups in which they were added."""

    groups: list[list[str]] = field(default_factory=list)
    details: list[Json] = field(default_factory=list)

    def append(self, *records: Record) -> None:
        self.groups.append([f"{record.event} {record.step}" for record in records if record.event != "read"])


def apply(
    world: OneByOne, written: Written | None = None, *, stopping: Callable[[], bool] = lambda: False, **fields: object
) -> Outcome:
    class Kept(MemoryJournal):
        def record(self, event: str, at: datetime, *details: Json) -> None:
            super().record(event, at, *details)
            noted.details.extend(details)

    noted = written or Written()
    graph = Graph([Declaration(Attributes.model_validate({"missing": (), **fields}))])
    tools = Tools(world, Kept(), FakeClock(), "run", stopping=stopping, audit=noted)
    (outcome,) = converge(scope(graph, "migrate", tools.journal, revive), tools).outcomes
    return outcome


def test_what_stands_apart_is_announced_sent_and_recorded_at_once() -> None:
    world, written = AtOnce(), Written()
    world.before = lambda: marks.append(len(written.groups))
    marks: list[int] = []
    assert apply(world, written, count=3).status == "changed"
    assert world.sent == [[0, 1, 2]]
    assert written.groups[:2] == [["sending set 0", "sending set 1", "sending set 2"], ["done set 0", "done set 1", "done set 2"]]  # fmt: skip
    assert marks == [1]  # announced before it was sent, and recorded after
    assert [(one["step"], one["outcome"]) for one in written.details] == [(f"set {number}", "done") for number in range(3)]  # fmt: skip


def test_a_world_that_takes_one_change_at_a_time_gets_them_so() -> None:
    world, written = OneByOne(), Written()
    assert apply(world, written, count=2).status == "changed"
    assert world.sent == [[0], [1]]
    assert written.groups[:4] == [["sending set 0"], ["done set 0"], ["sending set 1"], ["done set 1"]]


def test_what_builds_on_others_goes_alone_and_in_its_order() -> None:
    world = AtOnce()
    apply(world, count=6, building=(2, 3))
    assert world.sent == [[0, 1], [2], [3], [4, 5]]


def test_what_needs_a_control_goes_alone() -> None:
    world = AtOnce()
    apply(world, count=4, flagged=(1,))
    assert world.sent == [[0], [1], [2, 3]]


def test_no_message_goes_to_two_domains() -> None:
    world = AtOnce()
    apply(world, count=4, domains=2)
    assert world.sent == [[0], [1], [2], [3]]


def test_no_message_is_longer_than_it_may_be() -> None:
    world = AtOnce()
    apply(world, count=2 * AT_ONCE + 1)
    assert [len(numbers) for numbers in world.sent] == [AT_ONCE, AT_ONCE, 1]


def test_what_was_refused_stops_nothing_and_is_recorded_as_such() -> None:
    world, written = AtOnce(errors={1: Refused("1 is protected")}), Written()
    outcome = apply(world, written, count=3)
    assert world.there == {0, 2}
    assert str(outcome.error) == "1 is protected"
    assert written.groups[1] == ["done set 0", "refused set 1", "done set 2"]


@pytest.mark.parametrize("error", [Unreachable("gone", sent=True), Fenced("another process has taken over")])
def test_after_a_message_of_unknown_fate_nothing_is_sent(error: ReconcileError) -> None:
    world, written = AtOnce(errors=dict.fromkeys(range(1, 5), error)), Written()
    outcome = apply(world, written, count=5, building=(4,))
    assert world.sent == [[0, 1, 2, 3]]
    assert outcome.status == "failed"
    assert outcome.error is not None
    assert outcome.error.what == error.what
    assert "meanwhile" not in outcome.error.do  # the same, said once
    kind = "unknown" if isinstance(error, Unreachable) else "refused"
    assert written.groups[1] == ["done set 0", f"{kind} set 1", f"{kind} set 2", f"{kind} set 3"]


def test_where_nothing_was_sent_it_is_said_once() -> None:
    def gone() -> None:
        raise Unreachable("no controller answers")

    world = AtOnce(before=gone)
    outcome = apply(world, count=3)
    assert str(outcome.error) == "no controller answers"
    assert world.there == set()


def test_asked_to_stop_the_message_in_flight_is_the_last() -> None:
    world = AtOnce()
    outcome = apply(world, stopping=lambda: bool(world.sent), count=AT_ONCE + 1)
    assert [len(numbers) for numbers in world.sent] == [AT_ONCE]
    assert "interrupted before this step" in str(outcome.error)

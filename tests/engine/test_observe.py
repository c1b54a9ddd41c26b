"""Many resources are observed as each alone; what is answered about one is read while others are still under way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.errors import ReconcileError, UnexpectedAnswer, Unreachable
from reconciler.core.graph import Graph
from reconciler.core.looks import Reading, plainly
from reconciler.core.plan import build
from reconciler.core.query import Command, Query, Recall, Rows
from reconciler.core.resource import Declaration, Resource
from reconciler.engine.intents import scope
from reconciler.engine.observe import observe, observe_all, recall
from tests.fake_journal import MemoryJournal
from tests.fake_world import FakeWorld, Reboot, Setting, revive
from tests.one_by_one import one_by_one

NOW = datetime(2026, 11, 20, tzinfo=UTC)


class Wordy(Setting):
    """Asks with a parameter that cannot be a key."""

    def queries(self) -> tuple[Query, ...]:
        return (Command(self.host, "get", arguments=(self.name, {"all": True})), Command(self.host, "boot"))


class Odd(Setting):
    """Cannot read what is answered."""

    def parse(self, *answers: Rows) -> Odd:
        raise UnexpectedAnswer(f"{self.name} is odd")


class Together(FakeWorld):
    """Answers what is asked together in the order of these places, and tells when."""

    def __init__(self, order: Sequence[int] = (), **values: int) -> None:
        super().__init__({("h", name): {"value": value} for name, value in values.items()})
        self.order = order
        self.told: list[str] = []

    def ask_each(self, queries: Sequence[Query]) -> Iterator[tuple[int, Rows | ReconcileError]]:
        assert len(set(queries)) == len(queries)
        answers = one_by_one(self.ask, queries)
        for place in sorted(range(len(queries)), key=lambda place: self.order[place % len(self.order)] if self.order else place):  # fmt: skip
            self.told.append(f"answered {place}")
            yield place, answers[place]


KINDS = st.sampled_from([Setting, Wordy, Odd])
RESOURCES = st.lists(
    st.builds(lambda kind, name: kind(name=name, value=1), KINDS, st.sampled_from("abcd")) | st.just(Reboot()),
    max_size=6,
    unique_by=lambda resource: resource.key,
)


def named(resources: Sequence[Resource]) -> dict[str, Resource]:
    return {resource.key: resource for resource in resources}


@given(RESOURCES, st.lists(st.integers(0, 9), max_size=9), st.sets(st.sampled_from("abcd")))
def test_each_is_observed_as_it_is_alone_in_whatever_order_answers_come(
    resources: list[Resource], order: list[int], broken: set[str]
) -> None:
    world, journal = Together(order, a=1, b=2), MemoryJournal()
    world.broken = {name: Unreachable(f"{name} is gone") for name in broken}
    journal.note({"restart/h/x": {"boot_time": 0}}, NOW)
    asked = named(resources)
    found = observe_all(asked, world, journal)
    assert list(found) == list(asked)
    assert found == {key: observe(resource, world, journal) for key, resource in asked.items()}


@given(RESOURCES, st.lists(st.integers(0, 9), max_size=9))
def test_what_is_read_as_it_comes_makes_the_plan_that_reading_later_makes(
    resources: list[Resource], order: list[int]
) -> None:
    world, journal = Together(order, a=1, b=2), MemoryJournal()
    journal.note({"restart/h/x": {"boot_time": 0}}, NOW)
    whole = scope(Graph([Declaration(one) for one in resources]), "migrate", journal, revive)
    early, late = (observe_all(named(resources), world, journal, read) for read in (plainly, None))
    plans = [build(whole.graph, "migrate", whole.intents, found, Reading(partial(recall, journal))) for found in (early, late)]  # fmt: skip
    first, second = ((plan.changes, plan.unchanged, plan.observed, {k: str(e) for k, e in plan.errors.items()}) for plan in plans)  # fmt: skip
    assert first == second


def test_what_is_answered_about_one_is_read_before_another_is_answered() -> None:
    world = Together(a=1, b=2)

    def read(wanted: Resource, answers: Sequence[Rows]) -> Resource:
        world.told.append(f"read {wanted.key}")
        return plainly(wanted, answers)

    observe_all(named([Setting(name="a"), Setting(name="b")]), world, MemoryJournal(), read)
    assert world.told == ["answered 0", "answered 1", "read test.setting/h/a", "answered 2", "read test.setting/h/b"]


def test_what_the_journal_has_a_part_in_is_read_when_the_plan_is_made() -> None:
    found = observe_all(named([Reboot(), Setting(name="a")]), Together(a=1), MemoryJournal(), plainly)
    assert {key: one.read is None for key, one in found.items()} == {"test.restart/h": True, "test.setting/h/a": False}


def test_what_was_read_of_one_resource_is_not_taken_for_what_another_would_be_read_as() -> None:
    """A resource that is wanted otherwise by then, such as with an approval, is read again."""
    asked, journal = named([Setting(name="a", value=1)]), MemoryJournal()
    found = observe_all(asked, Together(a=1), journal, lambda wanted, answers: wanted.absent())
    plans = []
    for resources in (list(asked.values()), [Setting(name="a", value=1)]):
        whole = scope(Graph([Declaration(one) for one in resources]), "migrate", journal, revive)
        plans.append(build(whole.graph, "migrate", whole.intents, found, Reading(partial(recall, journal))))
    assert [len(plan.changes) for plan in plans] == [1, 0]


def test_equal_questions_are_recalled_once_and_asked_once() -> None:
    world = Together(a=1)
    observe_all(named([Setting(name="a"), Setting(name="b"), Reboot()]), world, MemoryJournal())
    assert len(world.told) == 3
    assert observe_all({}, world, MemoryJournal()) == {}
    assert [query for query in Reboot().queries() if isinstance(query, Recall)]

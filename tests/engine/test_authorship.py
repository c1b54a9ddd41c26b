"""Who changed it: asked only where there is a conflict, never blamed on somebody for what we did, and never in the way."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, Self

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.edit import Edit
from reconciler.core.errors import Refused, UnexpectedAnswer, Unreachable
from reconciler.core.graph import Graph
from reconciler.core.plan import Plan
from reconciler.core.ports import Json
from reconciler.core.query import Command, Query, Rows
from reconciler.core.report import Outcome
from reconciler.core.resource import Declaration, Resource
from reconciler.core.values import Phase
from reconciler.engine.converge import converge, plan_only
from reconciler.engine.intents import scope
from reconciler.engine.run import Tools
from tests.fake_journal import MemoryJournal
from tests.fake_world import FakeClock, FakeWorld, Setting

KEY = "test.setting/h/a"
Policy = Literal["ask", "keep", "restore"]


class Traced(Setting):
    """A setting of which somebody knows who changed it."""

    kind: Literal["test.setting"] = "test.setting"

    def trail(self, observed: Self) -> tuple[Query, ...]:
        return (Command(self.host, "who"),)

    def edits(self, ours: Self, observed: Self, *answers: Rows) -> tuple[Edit, ...]:
        (found,) = answers
        return tuple(Edit("value", "v", "DC2", row["at"], 7, row["told_at"]) for row in found)  # type: ignore[arg-type]


def revive(written: Json) -> Resource:
    return Traced.model_validate(dict(written))


@dataclass
class Telling(FakeWorld):
    """A world whose directory tells when the setting was last changed; its clock is off by ``skew``."""

    clock: FakeClock = field(default_factory=FakeClock)
    skew: timedelta = timedelta()
    changed_at: datetime | None = None  # by our clock
    trouble: Exception | None = None
    asked: int = 0

    def ask(self, query: Query) -> Rows:
        if not (isinstance(query, Command) and query.name == "who"):
            return super().ask(query)
        self.asked += 1
        if self.trouble is not None:
            raise self.trouble
        if self.changed_at is None:
            return ()
        whole = [(time + self.skew).replace(microsecond=0) for time in (self.changed_at, self.clock.at)]
        return ({"at": whole[0], "told_at": whole[1]},)


class Bench:
    """One setting, migrated; then somebody else sets it to 5."""

    def __init__(self, policy: Policy = "ask", skew: timedelta = timedelta()) -> None:
        self.world, self.journal = Telling({("h", "a"): {"value": 0}}, skew=skew), MemoryJournal()
        self.resource = Traced.model_validate(
            {"name": "a", "value": 1, "during": ["migrate"], "on_conflict": policy, "kind": "test.setting"}
        )
        self.apply("migrate")
        self.wrote_at = datetime.fromisoformat(
            str(next(entry["at"] for entry in self.journal.history() if entry["event"] == "step"))
        )
        assert self.world.asked == 0
        self.world.clock.at += timedelta(minutes=10, microseconds=250_000)

    def edit(self, later: timedelta = timedelta(minutes=5)) -> None:
        self.world.values["h", "a"] = {"value": 5}
        self.world.changed_at = self.wrote_at + later

    def _tools(self) -> Tools:
        return Tools(self.world, self.journal, self.world.clock, "run")

    def _scope(self, phase: Phase) -> Any:
        return scope(Graph([Declaration(self.resource)]), phase, self.journal, revive)

    def apply(self, phase: Phase = "complete") -> Outcome:
        (outcome,) = converge(self._scope(phase), self._tools()).outcomes
        return outcome

    def plan(self) -> Plan:
        return plan_only(self._scope("complete"), self._tools())


def test_nothing_is_asked_where_nobody_else_changed_anything() -> None:
    bench = Bench()
    assert bench.apply().status == "changed"
    assert bench.world.asked == 0


@pytest.mark.parametrize(
    ("policy", "status", "left"), [("ask", "waiting", 5), ("keep", "unchanged", 5), ("restore", "changed", 0)]
)
def test_the_outcome_says_where_and_when(policy: Policy, status: str, left: int) -> None:
    bench = Bench(policy)
    bench.edit()
    (planned,) = bench.plan().edits[KEY]
    outcome = bench.apply()
    assert (outcome.status, bench.world.values["h", "a"]) == (status, {"value": left})
    (edit,) = outcome.edits
    assert (edit.field, edit.original, edit.ours, edit.current) == ("value", 0, 1, 5)
    for found in (edit, planned):
        assert found.edit is not None
        assert (found.edit.on, found.edit.version, found.ours_at) == ("DC2", 7, bench.wrote_at)
        assert found.edit.at == (bench.wrote_at + timedelta(minutes=5)).replace(microsecond=0)


def test_the_question_says_it_too_and_begins_as_it_does_without() -> None:
    bench = Bench()
    bench.edit()
    bench.world.trouble = Unreachable("no answer")
    silent = bench.apply().error
    bench.world.trouble = None
    telling = bench.apply().error
    assert silent is not None
    assert telling is not None
    assert silent.what == telling.what  # a saved plan is compared by it
    assert "DC2" not in str(silent)
    assert "v was last changed on DC2 at 2026-11-20 18:05" in str(telling)
    assert "not by us: our last write was at 2026-11-20 18:00" in str(telling)


@pytest.mark.parametrize("trouble", [Unreachable("no"), Refused("no"), UnexpectedAnswer("what?"), ValueError("a bug")])
@pytest.mark.parametrize(
    ("policy", "status", "left"), [("ask", "waiting", 5), ("keep", "unchanged", 5), ("restore", "changed", 0)]
)
def test_not_to_learn_it_changes_nothing(trouble: Exception, policy: Policy, status: str, left: int) -> None:
    bench = Bench(policy)
    bench.edit()
    bench.world.trouble = trouble
    outcome = bench.apply()
    assert bench.world.asked > 0
    assert (outcome.status, bench.world.values["h", "a"]) == (status, {"value": left})
    assert [(edit.field, edit.edit) for edit in outcome.edits] == [("value", None)]


skews = st.timedeltas(timedelta(hours=-30), timedelta(hours=30))


@given(skews, st.timedeltas(timedelta(seconds=-30), timedelta()))
def test_our_own_write_is_nobody_elses_whatever_the_clocks_say(skew: timedelta, before: timedelta) -> None:
    bench = Bench(skew=skew)
    bench.edit(before)
    assert [edit.edit for edit in bench.apply().edits] == [None]


@given(skews, st.timedeltas(timedelta(seconds=3), timedelta(minutes=9)))
def test_a_later_change_is_told_whatever_the_clocks_say(skew: timedelta, later: timedelta) -> None:
    bench = Bench(skew=skew)
    bench.edit(later)
    assert [edit.edit is not None for edit in bench.apply().edits] == [True]


def test_nobody_is_blamed_where_it_is_not_known_when_we_wrote() -> None:
    bench = Bench()
    bench.edit()
    detail = {"run": "run", "key": KEY, "direction": "apply", "step": "set", "outcome": "unknown"}
    bench.journal.record("step", bench.wrote_at, detail)
    assert [edit.edit for edit in bench.apply().edits] == [None]

"""Exposure in real runs: dangerous things last in and first out, forecasts that are kept and learned, and the limit."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from reconciler.core.errors import UnsafePlan
from reconciler.core.graph import Graph
from reconciler.core.limits import Limits, Permit
from reconciler.core.plan import Plan
from reconciler.core.ports import Obligation
from reconciler.core.resource import Declaration, Resource
from reconciler.core.values import Phase
from reconciler.engine.converge import converge, plan_only
from reconciler.engine.intents import Scope, scope
from reconciler.engine.run import Tools
from tests.fake_journal import MemoryJournal
from tests.fake_world import FakeClock, FakeWorld, Setting, revive

MIGRATE: frozenset[Phase] = frozenset({"migrate"})
EFFECT = timedelta(minutes=5)


def setting(name: str, weight: int = 0, **fields: Any) -> Setting:
    about: dict[str, Any] = {"weakens": f"{name} is open", "weight": weight} if weight else {}
    return Setting(name=name, value=1, during=MIGRATE, **about, **fields)


class Slow:
    """A world in which every effect takes five minutes."""

    def __init__(self, *resources: Resource) -> None:
        self.graph = Graph([Declaration(resource) for resource in resources])
        self.clock, self.journal = FakeClock(), MemoryJournal()
        self.world = FakeWorld(before=self._pass_time)
        self.tools = Tools(self.world, self.journal, self.clock, "run")

    def _pass_time(self, number: int) -> None:
        self.clock.at += EFFECT

    def scope(self, phase: Phase) -> Scope:
        return scope(self.graph, phase, self.journal, revive)

    def apply(self, phase: Phase, limit: timedelta | None = None) -> list[str]:
        self.world.writes.clear()
        result = converge(self.scope(phase), replace(self.tools, permit=Permit(Limits(max_exposure=limit))))
        assert result.converged
        return list(self.world.writes)

    def plan(self, phase: Phase = "migrate") -> Plan:
        return plan_only(self.scope(phase), self.tools)

    def closed(self) -> dict[str, Obligation]:
        return {promise.key.rpartition("/")[2]: promise for promise in self.journal.closed()}


def measured_s(promise: Obligation) -> float:
    assert promise.closed_at is not None and promise.changed_at is not None
    return (promise.closed_at - promise.changed_at).total_seconds()


def test_dangerous_settings_are_made_last_and_put_back_first() -> None:
    bench = Slow(setting("door", 50), setting("work"), setting("crack", 1), setting("room", needs=("work",)))
    assert bench.apply("migrate") == ["set work", "set room", "set crack", "set door"]
    assert bench.apply("complete")[:2] == ["remove door", "remove crack"]


def test_requirements_come_first_whatever_things_weigh() -> None:
    bench = Slow(setting("door", 50), setting("room", needs=("door",)), setting("crack", 1, needs=("room",)))
    assert bench.apply("migrate") == ["set door", "set room", "set crack"]
    assert bench.apply("complete") == ["remove crack", "remove room", "remove door"]


def test_plan_foresees_and_the_journal_keeps_it() -> None:
    bench = Slow(setting("work"), setting("door", 50))
    plan = bench.plan()
    assert [exposure.key for exposure in plan.exposure] == ["test.setting/h/door"]
    assert bench.journal.obligations() == [], "a plan writes nothing"
    bench.apply("migrate")
    kept = {promise.key: promise.forecast_s for promise in bench.journal.obligations()}
    assert kept == {"test.setting/h/door": plan.foreseen_s("test.setting/h/door"), "test.setting/h/work": None}


def test_later_passes_change_nothing_about_what_was_foreseen_at_first() -> None:
    bench = Slow(setting("door", 50), setting("work"))
    bench.apply("migrate")
    (before,) = (promise for promise in bench.journal.obligations() if promise.weakens)
    bench.clock.at += timedelta(hours=3)
    bench.world.values[("h", "door")] = {"value": 7}
    bench.apply("migrate")
    (after,) = (promise for promise in bench.journal.obligations() if promise.weakens)
    assert after.forecast_s == before.forecast_s
    assert after.changed_at == before.changed_at


def test_forecast_comes_true_once_the_steps_were_measured() -> None:
    bench = Slow(setting("door", 50), setting("work", needs=("door",)), setting("crack", 1))
    for _ in range(2):
        bench.apply("migrate")
        bench.apply("complete")
    first, second = ([p for p in bench.journal.closed() if p.key.endswith("/door")][run] for run in (0, 1))
    assert first.forecast_s is not None and second.forecast_s is not None
    assert measured_s(second) > 4 * EFFECT.total_seconds()
    assert first.forecast_s < 60, "what is typical is far from five minutes"
    assert second.forecast_s == pytest.approx(measured_s(second), rel=0.05)


def test_time_of_every_step_is_in_the_history() -> None:
    bench = Slow(setting("door", 50))
    bench.apply("migrate")
    (step,) = (entry for entry in bench.journal.history() if entry["event"] == "step")
    assert EFFECT.total_seconds() <= step["took_s"] < EFFECT.total_seconds() + 10
    assert step["effect"] == "Command"


def test_plan_beyond_the_limit_is_refused_before_anything_is_sent_or_written() -> None:
    bench = Slow(setting("door", 50), setting("work", needs=("door",)))
    with pytest.raises(UnsafePlan, match=r"test\.setting/h/door"):
        bench.apply("migrate", timedelta(seconds=10))
    assert bench.world.writes == []
    assert bench.journal.obligations() == []
    assert len(bench.apply("migrate", timedelta(hours=1))) == 2


def test_going_back_is_never_held_up_by_the_limit() -> None:
    bench = Slow(setting("door", 50))
    bench.apply("migrate")
    bench.clock.at += timedelta(days=3)
    assert bench.apply("complete", timedelta(minutes=1)) == ["remove door"]


def test_what_was_live_for_longer_than_the_limit_lets_nothing_more_be_opened() -> None:
    bench = Slow(setting("door", 50), setting("crack", 1))
    bench.apply("migrate")
    bench.world.values.pop(("h", "crack"))
    bench.clock.at += timedelta(hours=5)
    with pytest.raises(UnsafePlan, match=r"test\.setting/h/door: 5 h"):
        bench.apply("migrate", timedelta(hours=4))
    assert bench.world.writes == []


def test_second_run_writes_nothing_although_the_limit_is_passed() -> None:
    bench = Slow(setting("door", 50))
    bench.apply("migrate")
    bench.clock.at += timedelta(hours=5)
    assert bench.apply("migrate", timedelta(hours=4)) == []

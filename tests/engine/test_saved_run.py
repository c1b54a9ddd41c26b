"""A run that follows a saved plan, has limits, or has approvals for one plan."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from reconciler.core.errors import UnsafePlan
from reconciler.core.graph import Graph
from reconciler.core.limits import Approval, Limits, Permit, owed
from reconciler.core.plan import Plan
from reconciler.core.report import Outcome
from reconciler.core.resource import Declaration
from reconciler.core.saved_plan import Origin, SavedPlan, read_value, save_value
from reconciler.core.values import Phase
from reconciler.engine.converge import converge, plan_only
from reconciler.engine.intents import Scope, scope
from reconciler.engine.run import Tools
from tests.fake_journal import MemoryJournal
from tests.fake_world import FakeClock, FakeWorld, Setting, revive

MIGRATE: frozenset[Phase] = frozenset({"migrate"})


class Bench:
    """A world, a journal and a state file, and what a run of it may do."""

    def __init__(self, *resources: Setting) -> None:
        self.resources = resources
        self.world, self.journal, self.clock = FakeWorld(), MemoryJournal(), FakeClock()

    def scope(self, phase: Phase) -> Scope:
        return scope(Graph([Declaration(r) for r in self.resources]), phase, self.journal, revive)

    def permit(self, **more: Any) -> Permit:
        return Permit(approvable=frozenset(r.key for r in self.resources), **more)

    def plan(self, phase: Phase = "migrate", **more: Any) -> Plan:
        return plan_only(
            self.scope(phase), Tools(self.world, self.journal, self.clock, "run", permit=self.permit(**more))
        )

    def save(self, phase: Phase = "migrate") -> SavedPlan:
        origin = Origin(self.clock.now(), "run", "demo", "state.yaml", "0" * 64)
        plan = self.plan(phase)
        return read_value(save_value(plan, origin, [], owed=owed(self.journal.obligations()), steps_sha256=plan.digest))

    def apply(self, phase: Phase = "migrate", **more: Any) -> dict[str, Outcome]:
        tools = Tools(self.world, self.journal, self.clock, "run", permit=self.permit(**more))
        return {outcome.key.rpartition("/")[2]: outcome for outcome in converge(self.scope(phase), tools).outcomes}


def ab() -> Bench:
    return Bench(Setting(name="a", value=1, during=MIGRATE), Setting(name="b", value=1, during=MIGRATE, needs=("a",)))


def test_in_an_unmoved_world_a_saved_plan_is_carried_out() -> None:
    bench = ab()
    saved = bench.save()
    assert bench.world.writes == []
    assert {o.status for o in bench.apply(saved=saved).values()} == {"changed"}
    assert bench.world.writes == ["set a", "set b"]


def test_a_saved_plan_is_carried_out_once() -> None:
    bench = ab()
    saved = bench.save()
    bench.apply(saved=saved)
    with pytest.raises(UnsafePlan, match='ensure "absent" -> "present"'):
        bench.apply(saved=saved)


def test_in_a_moved_world_nothing_is_sent_and_nothing_is_noted() -> None:
    bench = ab()
    saved = bench.save()
    bench.world.values[("h", "b")] = {"value": 7}
    with pytest.raises(UnsafePlan, match=r'test\.setting/h/b: ensure "absent" -> "present"'):
        bench.apply(saved=saved)
    assert bench.world.writes == []
    assert bench.journal.obligations() == []


def test_what_comes_up_on_the_way_waits_for_another_plan() -> None:
    bench = ab()
    bench.world.values[("h", "b")] = {"value": 1}
    saved = bench.save()

    def somebody(number: int) -> None:
        bench.world.values[("h", "b")] = {"value": 9}

    bench.world.after = somebody
    found = bench.apply(saved=saved)
    assert {name: outcome.status for name, outcome in found.items()} == {"a": "changed", "b": "waiting"}
    assert bench.world.writes == ["set a"]


def test_a_saved_way_back_goes_back() -> None:
    bench = ab()
    bench.apply()
    bench.world.writes.clear()
    bench.apply("complete", saved=bench.save("complete"), limits=Limits(max_changes=0))
    assert bench.world.writes == ["remove b", "remove a"]
    assert owed(bench.journal.obligations()) == []


def test_a_run_beyond_its_limit_changes_nothing() -> None:
    bench = ab()
    with pytest.raises(UnsafePlan, match="2 changes, and at most 1"):
        bench.apply(limits=Limits(max_changes=1))
    assert bench.world.writes == []


def test_deleting_much_is_refused_unless_it_is_allowed() -> None:
    bench = Bench(*(Setting(name=name, ensure="absent") for name in "abc"))
    bench.world.values = {("h", name): {"value": 1} for name in "abc"}
    with pytest.raises(UnsafePlan, match="3 deletions among 3"):
        bench.apply()
    assert len(bench.world.values) == 3
    bench.apply(limits=Limits(deletion_share=1))
    assert bench.world.values == {}


def test_an_approval_for_these_steps_holds_for_the_whole_run_and_for_no_others() -> None:
    risky = Setting(name="a", value=1, risk="weaken", during=MIGRATE)
    bench = Bench(risky)
    digest = bench.plan().digest
    approvals = (Approval(step="weaken", plan=digest),)
    assert bench.plan(approvals=approvals).digest == digest
    bench.resources = (risky.model_copy(update={"value": 2}),)
    assert bench.apply(approvals=approvals)["a"].status == "waiting"
    bench.resources = (risky,)
    assert bench.apply(approvals=approvals)["a"].status == "changed"


def test_an_approval_lapses() -> None:
    bench = Bench(Setting(name="a", value=1, risk="weaken", during=MIGRATE))
    until = bench.clock.at + timedelta(seconds=60)
    bench.clock.at = until
    assert bench.apply(approvals=(Approval(step="weaken", until=until),))["a"].status == "waiting"
    bench.clock.at = until - timedelta(seconds=60)
    assert bench.apply(approvals=(Approval(step="weaken", until=until),))["a"].status == "changed"

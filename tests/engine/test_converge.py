"""The loop, judged by the state of the world: order, baselines, restarts, failures, crashes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.core.errors import Refused, Unreachable
from reconciler.core.graph import Graph
from reconciler.core.report import Outcome
from reconciler.core.resource import After, Declaration, Resource
from reconciler.core.values import PHASES, Phase
from reconciler.engine.converge import converge, plan_only
from reconciler.engine.intents import scope
from reconciler.engine.run import Tools
from reconciler.engine.unsettled import FAILED_REVERT
from tests.fake_journal import MemoryJournal
from tests.fake_world import FakeClock, FakeWorld, Reboot, Setting, revive
from tests.soak import examples

MIGRATE: frozenset[Phase] = frozenset({"migrate"})
PREPARED: frozenset[Phase] = frozenset({"prepare", "migrate"})


class Bench:
    """A world, a journal and a state file that can be changed between runs."""

    def __init__(self, *resources: Resource, world: FakeWorld | None = None) -> None:
        self.resources = resources
        self.world = world or FakeWorld()
        self.journal = MemoryJournal()
        self.clock = FakeClock()

    def tools(self) -> Tools:
        return Tools(self.world, self.journal, self.clock, "run")

    def apply(self, phase: Phase = "migrate") -> dict[str, Outcome]:
        found = scope(Graph([Declaration(r) for r in self.resources]), phase, self.journal, revive)
        result = converge(found, self.tools())
        self.rounds, self.converged = result.rounds, result.converged
        return {outcome.key: outcome for outcome in result.outcomes}

    def plan(self, phase: Phase = "migrate") -> Any:
        return plan_only(
            scope(Graph([Declaration(r) for r in self.resources]), phase, self.journal, revive), self.tools()
        )

    def owed(self) -> list[str]:
        return [obligation.key for obligation in self.journal.obligations() if obligation.changed_at]


def test_apply_reaches_the_declared_state_and_a_second_run_writes_nothing() -> None:
    bench = Bench(Setting(name="a", value=1, during=MIGRATE))
    assert bench.apply()["test.setting/h/a"].status == "changed"
    assert bench.world.values[("h", "a")] == {"value": 1}
    bench.world.writes.clear()
    assert bench.apply()["test.setting/h/a"].status == "unchanged"
    assert bench.world.writes == []


def test_plan_never_writes() -> None:
    bench = Bench(Setting(name="a", value=1, during=MIGRATE))
    plan = bench.plan()
    assert [change.key for change in plan.changes] == ["test.setting/h/a"]
    assert bench.world.writes == []
    assert bench.journal.obligations() == []


def test_unmanaged_field_is_left_as_found() -> None:
    bench = Bench(Setting(name="a", value=1, during=MIGRATE), world=FakeWorld({("h", "a"): {"value": 0, "text": 7}}))
    bench.world.values[("h", "a")] = {"value": 0, "text": "kept"}
    bench.apply()
    assert bench.world.values[("h", "a")] == {"value": 1, "text": "kept"}
    bench.apply("complete")
    assert bench.world.values[("h", "a")] == {"value": 0, "text": "kept"}


def test_absent_is_not_zero_when_going_back() -> None:
    bench = Bench(Setting(name="a", value=1, during=MIGRATE), Setting(name="b", value=1, during=MIGRATE))
    bench.world.values[("h", "b")] = {"value": 0}
    bench.apply()
    bench.apply("complete")
    assert bench.world.values == {("h", "b"): {"value": 0}}
    assert bench.owed() == []


def test_what_was_right_at_first_stays_when_complete() -> None:
    bench = Bench(Setting(name="a", value=1, during=MIGRATE))
    bench.world.values[("h", "a")] = {"value": 1}
    bench.apply()
    bench.apply("complete")
    assert bench.world.values == {("h", "a"): {"value": 1}}
    assert bench.world.writes == []


def test_what_was_right_at_first_comes_back_although_somebody_removed_it_meanwhile() -> None:
    bench = Bench(Setting(name="a", value=1, during=MIGRATE))
    bench.world.values[("h", "a")] = {"value": 1}
    bench.apply()
    bench.world.values.clear()
    bench.apply()
    bench.apply("complete")
    assert bench.world.values == {("h", "a"): {"value": 1}}


def test_what_we_never_changed_is_not_put_back() -> None:
    bench = Bench(Setting(name="a", value=1, during=MIGRATE))
    bench.world.values[("h", "a")] = {"value": 1}
    bench.apply()
    bench.world.values[("h", "a")] = {"value": 0}  # somebody closes the hole; opening it again would be ours
    bench.apply("complete")
    assert bench.world.values == {("h", "a"): {"value": 0}}
    assert bench.journal.obligations() == []


def test_requirements_go_first_and_are_undone_last() -> None:
    bench = Bench(
        Setting(name="last", value=1, during=MIGRATE, needs=("middle",)),
        Setting(name="middle", value=1, during=MIGRATE, needs=("first",)),
        Setting(name="first", value=1, during=MIGRATE),
    )
    bench.apply()
    assert bench.world.writes == ["set first", "set middle", "set last"]
    bench.world.writes.clear()
    bench.apply("complete")
    assert bench.world.writes == ["remove last", "remove middle", "remove first"]


def test_one_restart_serves_all_that_wait_for_it_in_both_directions() -> None:
    settings_ = [Setting(name=name, value=1, restart=True, during=MIGRATE) for name in ("a", "b")]
    bench = Bench(*settings_, Reboot(pending=(), after=tuple(After(key=s.key) for s in settings_)))
    foreseen = [change.key for change in bench.plan().changes]
    assert foreseen == ["test.setting/h/a", "test.setting/h/b", "test.restart/h"]
    bench.apply()
    assert bench.world.writes == ["set a", "set b", "restart h"]
    bench.world.writes.clear()
    bench.apply("complete")
    assert bench.world.writes == ["remove b", "remove a", "restart h"]


def test_a_failed_observation_never_leads_to_a_change() -> None:
    bench = Bench(Setting(name="a", value=1, during=MIGRATE), Setting(name="b", value=1, during=MIGRATE, needs=("a",)))
    bench.world.broken["a"] = Unreachable("no answer", target="h")
    outcomes = bench.apply()
    assert bench.world.writes == []
    assert outcomes["test.setting/h/a"].status == "failed"
    assert outcomes["test.setting/h/b"].status == "skipped"


def test_a_change_that_does_not_take_is_a_failure_and_the_rest_goes_on() -> None:
    bench = Bench(Setting(name="a", value=1, during=MIGRATE), Setting(name="b", value=1, during=MIGRATE))
    bench.world.deaf.add("a")
    outcomes = bench.apply()
    assert outcomes["test.setting/h/a"].status == "failed"
    assert outcomes["test.setting/h/b"].status == "changed"
    assert bench.owed() == ["test.setting/h/a", "test.setting/h/b"]


def test_an_unapproved_risk_waits_for_a_person() -> None:
    risky = Setting(name="a", value=1, risk="weaken", during=MIGRATE)
    bench = Bench(risky)
    assert bench.apply()["test.setting/h/a"].status == "waiting"
    assert bench.world.writes == []
    bench.resources = (risky.model_copy(update={"approved": frozenset({"weaken"})}),)
    assert bench.apply()["test.setting/h/a"].status == "changed"


def test_what_left_the_state_file_goes_back() -> None:
    bench = Bench(Setting(name="a", value=1, during=MIGRATE), Setting(name="b", value=1, during=MIGRATE))
    bench.apply()
    bench.resources = bench.resources[:1]
    bench.apply()
    assert bench.world.values == {("h", "a"): {"value": 1}}
    assert bench.owed() == ["test.setting/h/a"]


def test_going_back_is_not_held_up_by_what_fails() -> None:
    bench = Bench(Setting(name="a", value=1, during=MIGRATE), Setting(name="b", value=1, during=MIGRATE, needs=("a",)))
    bench.apply()
    bench.world.deaf.add("b")
    outcomes = bench.apply("complete")
    assert ("h", "a") not in bench.world.values
    assert outcomes["test.setting/h/b"].status == "failed"
    assert bench.owed() == ["test.setting/h/b"]
    bench.world.deaf.clear()
    bench.apply("complete")
    assert bench.world.values == {}
    assert bench.owed() == []


class Crash(BaseException):
    """The program is gone."""


@pytest.mark.parametrize("lost", [False, True], ids=["before the effect", "after the effect, reply lost"])
@pytest.mark.parametrize("number", range(6))
def test_a_crash_anywhere_ends_in_the_same_state(number: int, lost: bool) -> None:
    parts = [Setting(name=name, value=1, restart=True, during=MIGRATE) for name in ("a", "b")]
    bench = Bench(*parts, Reboot(pending=(), after=tuple(After(key=part.key) for part in parts)))
    bench.world.values[("h", "b")] = {"value": 0}

    def crash(at: int) -> None:
        if at == number:
            raise Crash

    for phase in PHASES[1:]:
        setattr(bench.world, "after" if lost else "before", crash)
        try:
            bench.apply(phase)
        except Crash:
            bench.world.before = bench.world.after = lambda at: None
            bench.apply(phase)
    assert bench.world.values == {("h", "b"): {"value": 0}}
    assert bench.owed() == []


def test_a_refusal_is_reported_and_nothing_is_repeated() -> None:
    bench = Bench(Setting(name="a", value=1, during=MIGRATE))

    def refuse(number: int) -> None:
        raise Refused("no", target="h", code="denied")

    bench.world.before = refuse
    outcome = bench.apply()["test.setting/h/a"]
    assert outcome.status == "failed"
    assert isinstance(outcome.error, Refused)
    assert bench.rounds == 1


values = st.one_of(st.none(), st.integers(0, 3))


@settings(deadline=None, max_examples=examples(150))
@given(
    originals=st.lists(values, min_size=4, max_size=4),
    wanted=st.lists(st.integers(0, 3), min_size=4, max_size=4),
    wishes=st.lists(st.sampled_from([MIGRATE, PREPARED]), min_size=4, max_size=4),
    phases=st.lists(st.sampled_from(["prepare", "migrate"]), max_size=4),
)
def test_revert_restores_the_baseline_whatever_it_was(
    originals: list[int | None], wanted: list[int], wishes: list[frozenset[Phase]], phases: list[Phase]
) -> None:
    before = {("h", f"s{i}"): {"value": value} for i, value in enumerate(originals) if value is not None}
    world = FakeWorld({key: dict(value) for key, value in before.items()})
    bench = Bench(
        *(Setting(name=f"s{i}", value=value, during=wishes[i]) for i, value in enumerate(wanted)), world=world
    )
    for phase in [*phases, "complete"]:
        bench.apply(phase)
        assert bench.converged
        assert bench.plan(phase).quiet
    assert world.values == before
    assert bench.owed() == []


@pytest.mark.parametrize(
    ("policy", "status", "left"),
    [("ask", "waiting", {"value": 5}), ("keep", "unchanged", {"value": 5}), ("restore", "changed", {"value": 0})],
)
def test_somebody_elses_edit_is_settled_by_policy(policy: str, status: str, left: dict[str, object]) -> None:
    bench = Bench(Setting.model_validate({"name": "a", "value": 1, "during": MIGRATE, "on_conflict": policy}))
    bench.world.values[("h", "a")] = {"value": 0}
    bench.apply()
    bench.world.values[("h", "a")] = {"value": 5}
    outcome = bench.apply("complete")["test.setting/h/a"]
    assert outcome.status == status
    assert bench.world.values[("h", "a")] == left
    assert bench.owed() == (["test.setting/h/a"] if policy == "ask" else [])


def test_what_somebody_put_back_for_us_is_no_conflict() -> None:
    bench = Bench(Setting(name="a", value=1, during=MIGRATE))
    bench.world.values[("h", "a")] = {"value": 0}
    bench.apply()
    bench.world.values[("h", "a")] = {"value": 0}
    assert bench.apply("complete")["test.setting/h/a"].status == "unchanged"
    assert bench.owed() == []


def test_an_edit_of_an_earlier_migration_is_not_held_against_this_one() -> None:
    bench = Bench(Setting(name="a", value=1, during=MIGRATE))
    for original in (0, 3):
        bench.world.values[("h", "a")] = {"value": original}
        bench.apply()
        bench.apply("complete")
        assert bench.world.values[("h", "a")] == {"value": original}


def test_a_stop_finishes_the_step_in_flight_and_the_next_run_goes_on() -> None:
    bench = Bench(*(Setting(name=name, value=1, during=MIGRATE) for name in "abc"))
    tools = bench.tools()
    tools.stopping = lambda: len(bench.world.writes) >= 2
    found = scope(Graph([Declaration(r) for r in bench.resources]), "migrate", bench.journal, revive)
    result = converge(found, tools)
    assert result.interrupted
    assert bench.world.writes == ["set a", "set b"]
    assert bench.owed() == ["test.setting/h/a", "test.setting/h/b"]
    bench.apply()
    assert bench.world.writes == ["set a", "set b", "set c"]


def test_a_failed_revert_is_remembered_until_it_succeeds() -> None:
    bench = Bench(Setting(name="a", value=1, during=MIGRATE))
    bench.apply()
    bench.world.deaf.add("a")
    bench.apply("complete")
    (fact,) = bench.journal.facts(FAILED_REVERT).values()
    assert "test.setting/h/a" in fact["what"]
    bench.world.deaf.clear()
    bench.apply("complete")
    assert list(bench.journal.facts(FAILED_REVERT).values()) == [{}]

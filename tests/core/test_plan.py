"""Plans: what differs becomes steps, in an order and with reasons; what is unknown becomes an error, never a step."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal, Self

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.errors import NeedsPerson, NotYet, ReconcileError, UnexpectedAnswer, Unreachable
from reconciler.core.graph import Graph
from reconciler.core.looks import Reading
from reconciler.core.plan import (
    Change,
    Finding,
    Intent,
    Observation,
    Plan,
    answered,
    blockers,
    build,
    examine,
    intend,
    walk_order,
    with_orphans,
)
from reconciler.core.ports import Obligation
from reconciler.core.query import Command, Recall, Rows
from reconciler.core.resource import After, Declaration, Key, Need, Resource, differences
from reconciler.core.steps import Note, Step
from reconciler.core.values import ALL, PHASES, Phase
from tests.fake_world import Reboot, Setting

AT = datetime(2026, 11, 20, 18, tzinfo=UTC)
MIGRATE: frozenset[Phase] = frozenset({"migrate"})
BOOT: Rows = ({"value": 0},)


class Odd(Setting):
    """A setting that cannot be planned, in one way or another."""

    kind: Literal["test.setting"] = "test.setting"
    trouble: ClassVar[ReconcileError]

    def steps(self, observed: Self, differs: frozenset[str]) -> tuple[Step, ...]:
        raise self.trouble


class Kept(Setting):
    restores: ClassVar[bool] = False


def odd(trouble: ReconcileError) -> Odd:
    return type("Odd", (Odd,), {"trouble": trouble})(name="a", value=1)  # type: ignore[no-any-return]


def graph(*resources: Resource) -> Graph:
    return Graph([Declaration(resource) for resource in resources])


def seen(**fields: object) -> Observation:
    return Observation(((fields,) if fields else (), BOOT))


def nothing(query: Recall) -> Rows:
    return ()


def planned(found: Graph, seen_: Mapping[Key, Observation], phase: Phase = "migrate", recall: Any = nothing) -> Plan:
    intents = {key: Intent("apply", found[key]) for key in found.declarations}
    return build(found, phase, intents, seen_, Reading(recall))


def only(resource: Resource, observation: Observation) -> Finding:
    return examine(graph(resource), resource.key, Intent("apply", resource), observation, Reading(nothing))


def obligation(resource: Resource, *, changed: bool = True) -> Obligation:
    return Obligation(resource.key, {}, {}, (), "", AT, AT if changed else None)


# One resource.


def test_what_is_as_wanted_is_right() -> None:
    found = only(Setting(name="a", value=1), seen(value=1))
    assert found.right
    assert found.change is None
    assert found.observed is not None
    assert found.observed.model_dump() == Setting(name="a", value=1).model_dump()


def test_what_differs_becomes_a_change_with_its_steps() -> None:
    change = only(Setting(name="a", value=1), seen(value=0)).change
    assert change is not None
    assert [tuple(difference) for difference in change.differs] == [("value", 0, 1)]
    assert [str(step) for step in change.steps] == ["set a @{value=1}"]
    assert (change.direction, change.symbol, change.pending, change.gate) == ("apply", "~", "", None)


@pytest.mark.parametrize(
    ("ensure", "observation", "symbol"),
    [("present", seen(), "+"), ("present", seen(value=0), "~"), ("absent", seen(value=0), "-")],
)
def test_symbol_says_whether_it_comes_changes_or_goes(ensure: str, observation: Observation, symbol: str) -> None:
    fields: dict[str, Any] = {"value": 1} if ensure == "present" else {"ensure": "absent"}
    change = only(Setting(name="a", **fields), observation).change
    assert change is not None
    assert change.symbol == symbol


def test_absent_is_not_zero() -> None:
    assert not only(Setting(name="a", value=0), seen()).right
    assert only(Setting(name="a", ensure="absent"), seen()).right


def test_unmanaged_field_makes_no_change() -> None:
    assert only(Setting(name="a", value=1), seen(value=1, text="whatever")).right


def test_failed_observation_is_an_error_and_no_change() -> None:
    error = Unreachable("no answer", target="h")
    found = only(Setting(name="a", value=1), Observation(error=error))
    assert (found.observed, found.change, found.error, found.right) == (None, None, error, False)


def test_answer_that_cannot_be_read_is_an_error_and_no_change() -> None:
    class Strange(Setting):
        def parse(self, *answers: Rows) -> Self:
            raise UnexpectedAnswer("what?", target="h")

    found = only(Strange(name="a", value=1), seen(value=0))
    assert (found.observed, found.change) == (None, None)
    assert isinstance(found.error, UnexpectedAnswer)


def test_error_while_planning_keeps_what_was_read() -> None:
    found = only(odd(ReconcileError("odd")), seen(value=0))
    assert found.change is None
    assert found.error is not None
    assert found.observed is not None


def test_steps_that_are_not_known_yet_leave_a_change_without_any() -> None:
    change = only(odd(NotYet("the file is not there")), seen(value=0)).change
    assert change is not None
    assert (change.pending, change.steps, change.gate) == ("the file is not there", (), None)


def test_what_only_a_person_can_do_is_a_gate() -> None:
    gate = NeedsPerson("run it", do="there")
    change = only(odd(gate), seen(value=0)).change
    assert change is not None
    assert (change.gate, change.steps) == (gate, ())


def test_unapproved_risk_is_a_gate_that_names_the_approval_and_shows_the_steps() -> None:
    change = only(Setting(name="a", value=1, risk="weaken"), seen(value=0)).change
    assert change is not None and change.gate is not None
    assert change.gate.approval == "weaken"
    assert "`weaken`" in change.gate.do
    assert len(change.steps) == 1


def test_approved_risk_is_no_gate() -> None:
    change = only(Setting(name="a", value=1, risk="weaken", approved=frozenset({"weaken"})), seen(value=0)).change
    assert change is not None
    assert change.gate is None


def test_going_back_needs_no_approval() -> None:
    resource = Setting(name="a", value=0, risk="weaken")
    found = examine(graph(resource), resource.key, Intent("revert", resource), seen(value=1), Reading(nothing))
    assert found.change is not None
    assert found.change.gate is None


def test_only_what_the_journal_answers_is_asked_again() -> None:
    queries = (Command("h", "boot"), Recall("restart/h/"))
    fresh: Rows = ({"key": "restart/h/x", "value": {}},)
    assert answered(queries, (BOOT, ()), lambda query: fresh) == [BOOT, fresh]
    with pytest.raises(ValueError, match="argument"):
        answered(queries, (BOOT,), nothing)


# A whole plan.


def test_plan_holds_changes_in_order_with_their_reasons() -> None:
    found = graph(Setting(name="b", value=1, needs=("a",)), Setting(name="a", value=1))
    plan = planned(found, {key: seen() for key in found.declarations})
    assert [change.key for change in plan.changes] == ["test.setting/h/a", "test.setting/h/b"]
    assert plan.changes[0].reasons == ()
    assert plan.changes[1].reasons == (Need("test.setting/h/a", "because it says so"),)
    assert not plan.quiet


def test_plan_sorts_into_changes_unchanged_and_unknown() -> None:
    found = graph(*(Setting(name=name, value=1) for name in "abc"))
    error = Unreachable("no", target="h")
    plan = planned(
        found,
        {"test.setting/h/a": seen(value=1), "test.setting/h/b": seen(value=2), "test.setting/h/c": Observation(error=error)},
    )  # fmt: skip
    assert plan.unchanged == ("test.setting/h/a",)
    assert [change.key for change in plan.changes] == ["test.setting/h/b"]
    assert plan.errors == {"test.setting/h/c": error}
    assert set(plan.observed) == {"test.setting/h/a", "test.setting/h/b"}


def test_plan_is_quiet_only_where_nothing_differs_and_all_is_known() -> None:
    found = graph(Setting(name="a", value=1))
    assert planned(found, {"test.setting/h/a": seen(value=1)}).quiet
    assert not planned(found, {"test.setting/h/a": Observation(error=Unreachable("no"))}).quiet
    assert Plan("migrate").quiet


def test_restart_is_foreseen_from_the_notes_of_planned_steps() -> None:
    setting = Setting(name="a", value=1, restart=True)
    found = graph(setting, Reboot(pending=(), after=(After(key=setting.key),)))
    observations = {setting.key: seen(), "test.restart/h": Observation((BOOT, ()))}
    assert [change.key for change in planned(found, observations).changes] == [setting.key, "test.restart/h"]
    observations[setting.key] = seen(value=1)
    assert planned(found, observations).quiet


def test_planned_note_takes_the_place_of_an_older_fact_of_the_same_key() -> None:
    setting = Setting(name="a", value=1, restart=True)
    found = graph(setting, Reboot(pending=(), after=(After(key=setting.key),)))
    old: Rows = ({"key": f"restart/h/{setting.key}", "value": {"boot_time": -1}},)
    observations = {setting.key: seen(), "test.restart/h": Observation((BOOT, old))}
    plan = planned(found, observations, recall=lambda query: old)
    assert plan.changes[1].observed.model_dump()["pending"] == (f"restart/h/{setting.key}",)


def test_notes_of_a_gate_are_foreseen_too() -> None:
    note = Note("restart/h/x", {"boot_time": 0})
    first = odd(NeedsPerson("run it", notes=(note,)))
    found = graph(first, Reboot(pending=(), after=(After(key=first.key),)))
    plan = planned(found, {first.key: seen(), "test.restart/h": Observation((BOOT, ()))})
    assert [change.key for change in plan.changes] == [first.key, "test.restart/h"]


# What is wanted in a phase.


@pytest.mark.parametrize("phase", PHASES)
def test_resource_is_applied_in_its_phases_and_goes_back_in_the_others(phase: Phase) -> None:
    resource = Setting(name="a", value=1, during=MIGRATE)
    intent = intend(resource, phase, obligation(resource), Setting(name="a", value=7), None)
    assert intent is not None
    assert intent.direction == ("apply" if phase == "migrate" else "revert")
    assert intent.wanted.model_dump()["value"] == (1 if phase == "migrate" else 7)


def test_what_was_never_ours_does_not_go_back() -> None:
    resource = Setting(name="a", value=1, during=MIGRATE)
    assert intend(resource, "complete", None, None, None) is None
    assert intend(resource, "complete", obligation(resource), None, None) is None


def test_what_restores_nothing_does_not_go_back() -> None:
    resource = Kept(name="a", value=1, during=MIGRATE)
    assert intend(resource, "complete", obligation(resource), Setting(name="a", value=7), None) is None


# Order.


@st.composite
def journeys(draw: st.DrawFn) -> tuple[Graph, dict[Key, Intent]]:
    count = draw(st.integers(1, 8))
    resources = [
        Setting(name=str(n), value=1, needs=tuple(map(str, draw(st.sets(st.integers(0, n - 1), max_size=3)) if n else ())))
        for n in range(count)
    ]  # fmt: skip
    found = graph(*resources)
    directions = st.sampled_from(["apply", "revert", None])
    intents = {r.key: Intent(d, r) for r in resources if (d := draw(directions)) is not None}  # type: ignore[arg-type]
    return found, intents


@given(journeys())
def test_way_back_comes_first_and_backwards_and_no_step_precedes_what_it_requires(
    journey: tuple[Graph, dict[Key, Intent]],
) -> None:
    found, intents = journey
    order = walk_order(found, intents)
    assert sorted(order) == sorted(intents)
    directions = [intents[key].direction for key in order]
    assert directions == sorted(directions, reverse=True), "revert before apply"
    place = {key: index for index, key in enumerate(order)}
    for first, then, _ in found.edges():
        if first in intents and then in intents and intents[first].direction == intents[then].direction:
            forward = intents[first].direction == "apply"
            assert (place[first] < place[then]) is forward


def test_blockers_are_requirements_forward_and_dependents_backward() -> None:
    found = graph(Setting(name="a", value=1), Setting(name="b", value=1, needs=("a",)))
    assert [need.key for need in blockers(found, "test.setting/h/b", "apply")] == ["test.setting/h/a"]
    assert blockers(found, "test.setting/h/b", "revert") == ()
    assert [need.key for need in blockers(found, "test.setting/h/a", "revert")] == ["test.setting/h/b"]


# What is no longer in the state file.


def test_orphan_is_added_with_what_it_required_and_is_wanted_in_no_phase() -> None:
    kept, gone = Setting(name="a", value=1), Setting(name="b", value=1, during=ALL)
    found = with_orphans(graph(kept), [(gone, (kept.key, "test.setting/h/forgotten"))])
    assert found.faults == []
    assert found[gone.key].during == frozenset()
    assert [need.key for need in found.needs[gone.key]] == [kept.key]
    assert found.order == (kept.key, gone.key)


def test_orphans_keep_their_order_among_each_other() -> None:
    first, then = Setting(name="a", value=1), Setting(name="b", value=1)
    found = with_orphans(graph(), [(then, (first.key,)), (first, ())])
    assert found.order == (first.key, then.key)


def test_what_is_declared_is_no_orphan() -> None:
    declared = graph(Setting(name="a", value=1))
    assert with_orphans(declared, [(Setting(name="a", value=2), ())]) is declared


def test_circle_among_orphans_does_not_keep_everything_from_going_back() -> None:
    one, other = Setting(name="a", value=1), Setting(name="b", value=1)
    found = with_orphans(graph(Setting(name="c", value=1)), [(one, (other.key,)), (other, (one.key,))])
    assert sorted(found.order) == ["test.setting/h/a", "test.setting/h/b", "test.setting/h/c"]


def test_change_is_a_value() -> None:
    wanted = Setting(name="a", value=1)
    differs = differences(wanted, wanted.absent())
    one, other = (Change(wanted.key, "apply", wanted, wanted.absent(), differs) for _ in range(2))
    assert one == other

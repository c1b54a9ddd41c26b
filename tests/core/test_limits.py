"""Limits, approvals, and what a run may do beyond what was looked through."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Self

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from pydantic import TypeAdapter, ValidationError

from reconciler.core.errors import NeedsPerson, UnsafePlan
from reconciler.core.exposure import Exposure
from reconciler.core.graph import Graph
from reconciler.core.limits import (
    AnyApproval,
    Approval,
    Limits,
    Permit,
    check,
    foreseen,
    grant,
    lapsed,
    standing,
    steps_digest,
    too_long,
)
from reconciler.core.looks import Reading
from reconciler.core.plan import Change, Intent, Observation, Plan, build
from reconciler.core.ports import Obligation
from reconciler.core.resource import Declaration, Resource
from reconciler.core.saved_plan import Origin, read_value, save_value
from reconciler.core.steps import DeleteEntry, Step
from tests.fake_world import Setting

NOW = datetime(2026, 11, 20, 18, 0, tzinfo=UTC)
PLAN, OTHER = "a" * 64, "b" * 64
ORIGIN = Origin(NOW, "run", "demo", "state.yaml", "0" * 64)
APPROVALS: TypeAdapter[tuple[AnyApproval, ...]] = TypeAdapter(tuple[AnyApproval, ...])


def setting(name: str, *, there: bool = True) -> Setting:
    return Setting(name=name, value=1) if there else Setting(name=name).absent()


def deletion(name: str, direction: str = "apply") -> Change:
    return change(name, setting(name, there=False), setting(name), direction)


def addition(name: str, direction: str = "apply") -> Change:
    return change(name, setting(name), setting(name, there=False), direction)


def change(name: str, wanted: Resource, observed: Resource, direction: str) -> Change:
    return Change(wanted.key, "revert" if direction == "revert" else "apply", wanted, observed, ())


def plan_of(*changes: Change, existing: int = 0) -> Plan:
    others = [setting(f"other-{number}") for number in range(existing)]
    observed = {change.key: change.observed for change in changes} | {other.key: other for other in others}
    return Plan("migrate", changes, observed=observed)


def promise(key: str, baseline: str, *, changed: bool = True) -> Obligation:
    return Obligation(key, {}, {"ensure": baseline}, (), "", NOW, NOW if changed else None)


def test_a_plan_without_deletions_is_within_the_default_limits() -> None:
    assert check(plan_of(*(addition(str(number)) for number in range(50))), Limits(), ()) == ()


def test_more_changes_than_allowed_are_named() -> None:
    (reason,) = check(plan_of(addition("a"), addition("b")), Limits(max_changes=1), ())
    assert reason == "2 changes, and at most 1 may be made: test.setting/h/a, test.setting/h/b"


def test_what_goes_back_counts_for_no_limit() -> None:
    plan = plan_of(*(deletion(str(number), "revert") for number in range(50)))
    assert check(plan, Limits(max_changes=0), ()) == ()


def test_what_we_made_ourselves_may_be_deleted() -> None:
    plan = plan_of(*(deletion(str(number)) for number in range(4)))
    assert check(plan, Limits(), ())
    assert check(plan, Limits(), {change.key for change in plan.changes}) == ()


def test_few_deletions_pass_whatever_their_share() -> None:
    assert check(plan_of(deletion("a"), deletion("b")), Limits(), ()) == ()
    assert check(plan_of(deletion("a"), deletion("b")), Limits(deletions_at_least=1), ())


def test_an_object_that_is_deleted_and_made_anew_counts_as_deleted() -> None:
    again = [
        Change(s.key, "apply", s, s, (), (Step(DeleteEntry("source", "CN=x")),)) for s in map(setting, ("a", "b", "c"))
    ]
    assert check(plan_of(*again), Limits(), ())


def test_what_waits_for_a_person_is_not_counted() -> None:
    waiting = Change("k", "apply", setting("k"), setting("k"), (), gate=NeedsPerson("no"))
    assert check(plan_of(waiting), Limits(max_changes=0), ()) == ()


@settings(deadline=None)
@given(st.integers(0, 12), st.integers(0, 30), st.floats(0, 1), st.integers(1, 5))
def test_deletions_are_refused_exactly_above_the_share(gone: int, rest: int, share: float, at_least: int) -> None:
    plan = plan_of(*(deletion(str(number)) for number in range(gone)), existing=rest)
    refused = bool(check(plan, Limits(deletion_share=share, deletions_at_least=at_least), ()))
    assert refused == (gone >= at_least and gone > share * (gone + rest))


@settings(deadline=None)
@given(st.lists(st.sampled_from("abcdef")), st.lists(st.sampled_from("abcdef"), unique=True), st.integers(0, 7))
def test_a_resource_counts_once_in_a_run(done: list[str], now: list[str], most: int) -> None:
    reasons = check(plan_of(*map(addition, now)), Limits(max_changes=most), (), map(addition, done))
    assert bool(reasons) == (len({*done, *now}) > most)


@pytest.mark.parametrize("wrong", [{"max_changes": -1}, {"deletion_share": 1.5}, {"deletions_at_least": 0}])
def test_limits_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Limits(**wrong)  # type: ignore[arg-type]


def test_an_approval_is_a_name_or_says_for_what_and_how_long() -> None:
    until = "2026-11-20T22:00:00+01:00"
    found = APPROVALS.validate_python(["reset-trust", {"step": "weaken", "plan": PLAN, "until": until}])
    assert found == (
        "reset-trust",
        Approval(step="weaken", plan=PLAN, until=datetime(2026, 11, 20, 21, tzinfo=UTC)),
    )


@pytest.mark.parametrize(
    "wrong",
    [
        "Not a name",
        "",
        {"plan": PLAN},
        {"step": "x", "plan": "abc"},
        {"step": "x", "until": "2026-11-20"},
        {"step": "x", "until": "2026-11-20T22:00:00"},
        {"step": "x", "until": 4102444800},
        {"step": "x", "for": "me"},
    ],
)
def test_an_approval_that_could_be_misread_is_refused(wrong: object) -> None:
    with pytest.raises(ValidationError):
        APPROVALS.validate_python([wrong])


def test_an_approval_stands_for_its_plan_until_its_time() -> None:
    later, past = NOW + timedelta(seconds=1), NOW
    approvals = (
        "always",
        Approval(step="this-plan", plan=PLAN),
        Approval(step="other-plan", plan=OTHER),
        Approval(step="in-time", plan=PLAN, until=later),
        Approval(step="too-late", plan=PLAN, until=past),
    )
    assert standing(approvals, PLAN, NOW) == {"always", "this-plan", "in-time"}
    assert [line.split("`")[1] for line in lapsed(approvals, PLAN, NOW)] == ["other-plan", "too-late"]


def approved(resource: Setting, *names: str) -> Plan:
    intents = grant({resource.key: Intent("apply", resource)}, frozenset(names), {resource.key})
    found = {resource.key: Observation(((), ({"value": 0},)))}
    return build(Graph([Declaration(resource)]), "migrate", intents, found, Reading(lambda query: ()))


class Shy(Setting):
    """Knows its steps only with the approval."""

    def steps(self, observed: Self, differs: frozenset[str]) -> tuple[Step, ...]:
        if "dare" not in self.approved:
            raise NeedsPerson("dare?", approval="dare")
        return super().steps(observed, differs)


@pytest.mark.parametrize("risky", [Setting(name="a", value=1, risk="dare"), Shy(name="a", value=1, risk="also")])
def test_the_digest_that_is_approved_is_the_same_before_and_after_the_approval(risky: Setting) -> None:
    before = foreseen(lambda names: approved(risky, *names))
    given_already = risky.model_copy(update={"approved": frozenset({"dare", "also"})})
    after = foreseen(lambda names: approved(given_already, *names))
    assert before.changes[0].gate is None
    assert before.changes[0].steps
    assert steps_digest(before.changes) == steps_digest(after.changes)
    assert approved(risky).changes[0].gate is not None


def test_another_value_is_another_plan_to_approve() -> None:
    def digest(value: int) -> str:
        return steps_digest(
            foreseen(lambda names: approved(Setting(name="a", value=value, risk="dare"), *names)).changes
        )

    assert digest(1) == digest(1)
    assert digest(1) != digest(2)


def test_only_the_resources_meant_get_the_approval() -> None:
    intents = {s.key: Intent("apply", s) for s in (setting("a"), setting("b"))}
    found = grant(intents, frozenset({"dare"}), {"test.setting/h/a"})
    assert [intent.wanted.approved for intent in found.values()] == [{"dare"}, frozenset()]


def saved_permit(plan: Plan) -> Permit:
    value = save_value(plan, ORIGIN, [], owed=(), steps_sha256=steps_digest(plan.changes))
    return Permit(Limits(max_changes=2), read_value(value), "plan.json")


def test_a_run_begins_only_in_the_world_of_its_plan() -> None:
    permit = saved_permit(plan_of(addition("a")))
    permit.accept(plan_of(addition("a")), [promise("x", "present", changed=False)])
    with pytest.raises(UnsafePlan, match=r"test\.setting/h/x: has to be put back now"):
        permit.accept(plan_of(addition("a")), [promise("test.setting/h/x", "present")])
    with pytest.raises(UnsafePlan, match=r"the world moved .*\n  - test\.setting/h/b"):
        permit.accept(plan_of(addition("a"), addition("b")), [])


def test_a_run_beyond_its_limits_does_not_begin() -> None:
    with pytest.raises(UnsafePlan, match="at most 0 may be made"):
        Permit(Limits(max_changes=0)).accept(plan_of(addition("a")), [])
    gone = plan_of(*map(deletion, "abc"))
    with pytest.raises(UnsafePlan, match="3 deletions among 3 that exist, and at most 30%"):
        Permit().accept(gone, [promise(change.key, "present") for change in gone.changes])
    Permit().accept(gone, [promise(change.key, "absent") for change in gone.changes])


def test_what_comes_up_on_the_way_waits_unless_it_goes_back() -> None:
    plan = plan_of(addition("a"))
    permit = saved_permit(plan)
    assert permit.gate(addition("a"), plan, [], []) is None
    assert permit.gate(deletion("b", "revert"), plan, [], []) is None
    found = permit.gate(addition("b"), plan, [], [])
    assert found is not None
    assert "not in the saved plan" in found.what


def test_the_limit_holds_for_the_whole_run() -> None:
    permit, plan = Permit(Limits(max_changes=2)), plan_of()
    done = [addition("a"), addition("b"), addition("b")]
    assert permit.gate(addition("b"), plan, [], done) is None
    assert permit.gate(deletion("c", "revert"), plan, [], done) is None
    found = permit.gate(addition("c"), plan, [], done)
    assert found is not None
    assert "3 changes, and at most 2" in found.what


def test_another_state_file_is_refused() -> None:
    saved = saved_permit(plan_of()).saved
    assert saved is not None
    saved.check_state("0" * 64)
    with pytest.raises(UnsafePlan, match=r"state\.yaml changed"):
        saved.check_state(OTHER)


# How long a weakening may be live.

FOUR_HOURS = Limits(max_exposure=timedelta(hours=4))


def exposure(name: str, hours: float | None, *, going_back: bool = False) -> Exposure:
    live = None if hours is None else timedelta(hours=hours)
    return Exposure(f"test.setting/h/{name}", "all is open", 9, live, going_back)


def exposed(*found: Exposure, changes: tuple[Change, ...]) -> Plan:
    return replace(plan_of(*changes), exposure=found)


@pytest.mark.parametrize(("hours", "beyond"), [(3.9, False), (4, False), (4.1, True), (None, True)])
def test_plan_that_would_weaken_for_longer_than_allowed_is_refused_by_name(hours: float | None, beyond: bool) -> None:
    plan = exposed(exposure("a", hours), exposure("b", 1), changes=(addition("a"), addition("b")))
    if not beyond:
        Permit(FOUR_HOURS).accept(plan, ())
        return
    with pytest.raises(UnsafePlan) as refusal:
        Permit(FOUR_HOURS).accept(plan, ())
    assert "longer than 4 h 00 min" in refusal.value.what
    said = "for good, nothing puts it back" if hours is None else "4 h 06 min"
    assert refusal.value.what.splitlines()[1:] == [f"  - test.setting/h/a: {said}"]
    assert "--max-exposure" in refusal.value.do


def test_without_a_limit_a_weakening_may_be_live_for_any_time() -> None:
    Permit().accept(exposed(exposure("a", None), exposure("b", 9999), changes=(addition("a"), addition("b"))), ())


def test_what_is_open_already_counts_too() -> None:
    plan = exposed(exposure("open", 5), changes=(addition("a"),))
    assert list(too_long(plan, FOUR_HOURS, {"test.setting/h/open"})) == ["test.setting/h/open"]
    with pytest.raises(UnsafePlan, match="h/open"):
        Permit(FOUR_HOURS).accept(plan, [promise("test.setting/h/open", "present")])


def test_going_back_is_never_held_up_however_long_something_was_live() -> None:
    back = (deletion("a", "revert"),)
    plan = exposed(exposure("a", 100, going_back=True), exposure("open", 100), changes=back)
    Permit(FOUR_HOURS).accept(plan, [promise("test.setting/h/a", "absent"), promise("test.setting/h/open", "present")])
    assert Permit(FOUR_HOURS).gate(back[0], plan, (), ()) is None


@pytest.mark.parametrize(("on_our_behalf", "beyond"), [(False, False), (True, True)])
def test_what_waits_for_a_person_counts_only_if_that_person_makes_it_ours(on_our_behalf: bool, beyond: bool) -> None:
    waiting = replace(addition("a"), gate=NeedsPerson("look", on_our_behalf=on_our_behalf))
    assert bool(too_long(exposed(exposure("a", 5), changes=(waiting,)), FOUR_HOURS, ())) is beyond


def test_weakening_that_came_up_on_the_way_waits_where_it_would_be_live_for_too_long() -> None:
    later = addition("later")
    gate = Permit(FOUR_HOURS).gate(later, exposed(exposure("later", 5), changes=(later,)), (), ())
    assert gate is not None
    assert "5 h 00 min" in gate.what
    assert Permit(FOUR_HOURS).gate(later, exposed(exposure("later", 3), changes=(later,)), (), ()) is None


@pytest.mark.parametrize("length", [timedelta(), timedelta(hours=-1)])
def test_limit_of_no_time_at_all_is_refused(length: timedelta) -> None:
    with pytest.raises(ValueError, match="max_exposure"):
        Limits(max_exposure=length)

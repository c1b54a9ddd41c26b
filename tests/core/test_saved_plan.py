"""A saved plan runs as it was looked through, or not at all."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from reconciler.core.canonical import canonical, digest_of, plain
from reconciler.core.errors import DesiredStateError, NeedsPerson, ReconcileError, Unreachable, UnsafePlan
from reconciler.core.limits import steps_digest
from reconciler.core.plan import Change, Plan
from reconciler.core.query import Command, Query, Rows
from reconciler.core.resource import Resource, differences
from reconciler.core.saved_plan import (
    Origin,
    SavedPlan,
    read_value,
    save_value,
    seen,
)
from reconciler.core.secret import SecretRef
from reconciler.core.steps import Note, Step
from reconciler.core.values import Sid

ORIGIN = Origin(datetime(2026, 11, 20, 18, 0, tzinfo=UTC), "run", "demo", "states/demo.yaml", "0" * 64)


class Lamp(Resource):
    identity: ClassVar[tuple[str, ...]] = ("name",)
    inputs: ClassVar[tuple[str, ...]] = ("password",)

    kind: Literal["test.lamp"] = "test.lamp"
    name: str
    password: SecretRef | None = None
    level: int | str | bytes | None = None
    tags: frozenset[str] = frozenset()
    people: tuple[str, ...] = ()
    owner: Sid | None = None

    def queries(self) -> tuple[Query, ...]:
        return ()

    def parse(self, *answers: Rows) -> Lamp:
        return self

    def steps(self, observed: Lamp, differs: frozenset[str]) -> tuple[Step, ...]:
        values = {name: getattr(self, name) for name in sorted(differs) if name != "ensure"}
        note = Note("lamp", {"boot": observed.facts.get("boot")})
        return (Step(Command("h", "set", arguments=(self.name, plain(values))), notes=(note,)),)


LEVELS = st.none() | st.integers() | st.text(max_size=5) | st.binary(max_size=5)
FIELDS = st.fixed_dictionaries(
    {
        "ensure": st.sampled_from(["present", "absent"]),
        "level": LEVELS,
        "tags": st.frozensets(st.text(max_size=3), max_size=4),
        "people": st.lists(st.sampled_from(["ann", "bob", "carl", "dora"]), max_size=4).map(tuple),
        "owner": st.none() | st.integers(500, 510).map(lambda number: Sid(f"S-1-5-21-{number}")),
    }
)
WANTED = {"level": 7, "people": ("ann",)}


def lamp(name: str, **fields: Any) -> Lamp:
    return Lamp.model_validate({"name": name, **fields})


def plan_of(observed: dict[str, dict[str, Any]], errors: dict[str, ReconcileError] | None = None) -> Plan:
    """Plan for lamps that shall all have the same level and people."""
    found = {name: lamp(name, **fields) for name, fields in observed.items()}
    changes = []
    for name, state in found.items():
        wanted = lamp(name, password=SecretRef(env="LAMP"), **WANTED)
        if differs := differences(wanted, state):
            steps = wanted.steps(state, frozenset(difference.field for difference in differs))
            changes.append(Change(wanted.key, "apply", wanted, state, differs, steps))
    failed = {f"test.lamp/{name}": error for name, error in (errors or {}).items()}
    return Plan("migrate", tuple(changes), observed={state.key: state for state in found.values()}, errors=failed)


def value_of(plan: Plan, *, owed: tuple[str, ...] = ()) -> dict[str, Any]:
    shown = [{"key": change.key, "says": [str(step) for step in change.steps]} for change in plan.changes]
    value = save_value(plan, ORIGIN, shown, owed=owed, steps_sha256=steps_digest(plan.changes))
    return dict(json.loads(json.dumps(value)))  # as a file would give it back


def save(plan: Plan, **more: Any) -> SavedPlan:
    return read_value(value_of(plan, **more))


PLANS = st.dictionaries(st.sampled_from(["a", "b", "c"]), FIELDS, max_size=3)


@settings(deadline=None)
@given(PLANS)
def test_in_an_unmoved_world_nothing_moved(observed: dict[str, dict[str, Any]]) -> None:
    assert save(plan_of(observed)).moved(plan_of(observed), ()) == ()


@settings(deadline=None)
@given(PLANS.filter(bool), FIELDS, st.data())
def test_whatever_moves_is_named_and_nothing_else(
    observed: dict[str, dict[str, Any]], fields: dict[str, Any], data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(sorted(observed)))
    now = {**observed, name: fields}
    lines = save(plan_of(observed)).moved(plan_of(now), ())
    both = "present" == observed[name]["ensure"] == fields["ensure"]
    if observed[name]["ensure"] != fields["ensure"]:
        assert lines == (f'test.lamp/{name}: ensure "{observed[name]["ensure"]}" -> "{fields["ensure"]}"',)
    elif both and any(type(observed[name][f]) is not type(fields[f]) or observed[name][f] != fields[f] for f in fields):
        assert len(lines) == 1
        moving = [f for f in fields if observed[name][f] != fields[f]]
        assert lines[0].startswith(f"test.lamp/{name}: ")
        assert all(f"{field} " in lines[0] for field in moving)
    else:
        assert lines == ()


def test_lists_are_compared_by_member() -> None:
    before, now = plan_of({"a": {"people": ("ann", "bob")}}), plan_of({"a": {"people": ("bob", "carl", "dora")}})
    assert save(before).moved(now, ()) == ('test.lamp/a: people gained "carl", "dora" and lost "ann"',)
    turned = plan_of({"a": {"people": ("bob", "ann")}})
    assert save(before).moved(turned, ()) == ("test.lamp/a: people has another order",)


def test_zero_text_and_absence_are_three_things() -> None:
    for was, now, said in ((0, None, "0 -> absent"), (0, "0", '0 -> "0"'), (None, 0, "absent -> 0")):
        assert save(plan_of({"a": {"level": was}})).moved(plan_of({"a": {"level": now}}), ()) == (
            f"test.lamp/a: level {said}",
        )


def test_values_cannot_play_tricks_on_a_terminal() -> None:
    (line,) = save(plan_of({"a": {"level": 1}})).moved(plan_of({"a": {"level": "\x1b[2J\n\u202e" + "x" * 500}}), ())
    assert line.isprintable()
    assert len(line) < 200


def test_what_cannot_be_read_any_more_moved_and_what_can_be_now_too() -> None:
    fine, broken = plan_of({"a": WANTED}), plan_of({}, {"a": Unreachable("no answer")})
    assert save(fine).moved(broken, ()) == ("test.lamp/a: cannot be observed now: no answer",)
    assert save(broken).moved(fine, ()) == ("test.lamp/a: is known now, but was not when the plan was made: no answer",)
    assert save(broken).moved(broken, ()) == ()


def test_promises_that_opened_or_closed_are_named() -> None:
    saved = save(plan_of({}), owed=("x", "y"))
    assert saved.moved(plan_of({}), ("y", "x")) == ()
    lines = saved.moved(plan_of({}), ("y", "z"))
    assert [line.partition(":")[0] for line in lines] == ["z", "x"]


def test_other_steps_for_the_same_observation_are_refused() -> None:
    plan = plan_of({"a": {"level": 1}})
    (change,) = plan.changes
    hidden = replace(change.steps[0], effect=Command("h", "set", arguments=("a", b"\x01")))
    other = replace(hidden, effect=Command("h", "set", arguments=("a", b"\x02")))
    one, two = (replace(plan, changes=(replace(change, steps=(step,)),)) for step in (hidden, other))
    assert str(hidden) == str(other)
    (line,) = save(one).moved(two, ())
    assert line.startswith("test.lamp/a: reads the same")
    (line,) = save(one).moved(replace(one, changes=(replace(one.changes[0], direction="revert"),)), ())
    assert "the plan would apply it, but now that is revert" in line


def test_a_gate_that_came_up_is_named() -> None:
    plan = plan_of({"a": {"level": 1}})
    gated = replace(plan, changes=(replace(plan.changes[0], gate=NeedsPerson("ask", approval="dare")),))
    assert save(plan).moved(gated, ()) == ('test.lamp/a: waits for "dare" now, and did not when planned',)


def test_another_order_of_work_is_refused() -> None:
    plan = plan_of({"a": {"level": 1}, "b": {"level": 1}})
    (line,) = save(plan).moved(replace(plan, changes=plan.changes[::-1]), ())
    assert line == "the order of work is another: test.lamp/b, test.lamp/a"


def test_facts_of_the_journal_do_not_make_another_plan() -> None:
    plan = plan_of({"a": {"level": 1}})
    (change,) = plan.changes
    later = replace(
        change, steps=change.wanted.steps(change.observed.with_facts(boot=2), frozenset({"level", "people"}))
    )
    assert later.steps != change.steps
    assert save(plan).moved(replace(plan, changes=(later,)), ()) == ()


def test_no_secret_and_no_input_is_in_what_was_observed() -> None:
    declared = lamp("a", password=SecretRef(env="LAMP"), level=1)
    assert set(seen(declared).fields) == {"ensure", "level", "tags", "people", "owner"}
    assert seen(declared.absent()).fields == {"ensure": "absent"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)


@settings(deadline=None)
@given(PLANS, st.data())
def test_any_altered_value_is_refused(observed: dict[str, dict[str, Any]], data: st.DataObject) -> None:
    value = value_of(plan_of(observed))
    name = data.draw(st.sampled_from([*value, "more"]))
    new = data.draw(JSON)
    if canonical(value.get(name)) == canonical(new):
        return
    with pytest.raises((UnsafePlan, DesiredStateError)):
        read_value({**value, name: new})


@settings(deadline=None)
@given(PLANS, st.sampled_from(["made_at", "observed", "planned", "steps_sha256", "changes", "owed", "digest"]))
def test_a_part_that_is_missing_is_refused(observed: dict[str, dict[str, Any]], name: str) -> None:
    value = value_of(plan_of(observed))
    del value[name]
    with pytest.raises(UnsafePlan, match="altered"):
        read_value(value)


def test_what_is_no_plan_or_of_another_version_is_said_so() -> None:
    value = value_of(plan_of({}))
    for wrong, said in (
        ([], "not a saved plan"),
        ({**value, "kind": "Migration"}, "not a saved plan"),
        ({**value, "apiVersion": "reconciler/v2"}, 'version "reconciler/v2"'),
    ):
        with pytest.raises(DesiredStateError) as refusal:
            read_value(wrong, "plan.json")
        assert said in str(refusal.value)
        assert "at: plan.json" in str(refusal.value)


def test_a_well_sealed_plan_of_another_shape_is_refused_in_words() -> None:
    value = {**value_of(plan_of({})), "phase": "later"}
    del value["digest"]
    with pytest.raises(DesiredStateError) as refusal:
        read_value({**value, "digest": digest_of(value)})
    assert "`phase`" in str(refusal.value)


@settings(deadline=None)
@given(PLANS.filter(lambda observed: bool(plan_of(observed).changes)))
def test_the_digest_of_steps_covers_key_direction_difference_and_text(observed: dict[str, dict[str, Any]]) -> None:
    changes = plan_of(observed).changes
    first, rest = changes[0], changes[1:]
    others = [
        replace(first, key="test.lamp/else"),
        replace(first, direction="revert"),
        replace(first, differs=()),
        replace(first, steps=(*first.steps, Step(Command("h", "more")))),
        replace(first, steps=(replace(first.steps[0], says="something else"),)),
    ]
    found = {steps_digest(changes)} | {steps_digest((other, *rest)) for other in others}
    assert len(found) == 1 + len(others)
    gated = replace(first, gate=NeedsPerson("ask", approval="dare"))
    assert steps_digest((gated, *rest)) == steps_digest(changes)


def test_a_digest_is_the_same_in_every_process() -> None:
    code = "from reconciler.core.canonical import *; print(digest_of(plain(frozenset('abcdefgh'))))"
    found = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert found == {digest_of(sorted("abcdefgh")) + "\n"}

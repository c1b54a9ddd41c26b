"""The laws of every resource, tried on a small one."""

from __future__ import annotations

from typing import ClassVar, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from reconciler.core.query import Query, Rows
from reconciler.core.resource import Difference, Resource, differences, restored
from reconciler.core.steps import Step


class Lamp(Resource):
    identity: ClassVar[tuple[str, ...]] = ("room", "name")
    inputs: ClassVar[tuple[str, ...]] = ("switch",)

    kind: Literal["test.lamp"] = "test.lamp"
    room: str
    name: str
    switch: str = "wall"
    colour: str | None = None
    level: int | None = None

    def queries(self) -> tuple[Query, ...]:
        return ()

    def parse(self, *answers: Rows) -> Lamp:
        return self.absent()

    def steps(self, observed: Lamp, differs: frozenset[str]) -> tuple[Step, ...]:
        return ()


def lamp(**fields: object) -> Lamp:
    return Lamp.model_validate({"room": "hall", "name": "one", **fields})


FIELDS = st.fixed_dictionaries(
    {}, optional={"colour": st.sampled_from(["red", "blue", None]), "level": st.sampled_from([0, 1, None])}
)
DECLARED = st.builds(
    lambda fields, ensure, during, switch: lamp(**fields, ensure=ensure, during=during, switch=switch),
    FIELDS,
    st.sampled_from(["present", "absent"]),
    st.sampled_from([["prepare"], ["prepare", "migrate"], []]),
    st.sampled_from(["wall", "cord"]),
)


@st.composite
def observed_of(draw: st.DrawFn, declared: Lamp) -> Lamp:
    if draw(st.booleans()):
        return declared.absent()
    return declared.observed(
        colour=draw(st.sampled_from(["red", "blue", None])), level=draw(st.sampled_from([0, 1, None]))
    )


PAIRS = DECLARED.flatmap(lambda declared: st.tuples(st.just(declared), observed_of(declared)))


def test_key_names_kind_and_identity() -> None:
    assert lamp(level=1).key == "test.lamp/hall/one"


def test_unmanaged_field_is_left_as_found() -> None:
    wanted = lamp(level=1)
    assert wanted.managed() == ("level",)
    assert differences(wanted, wanted.observed(level=1, colour="red")) == ()
    assert differences(wanted, wanted.observed(level=0, colour="red")) == (Difference("level", 0, 1),)


def test_inputs_and_bookkeeping_are_never_compared() -> None:
    wanted = lamp(level=1, switch="cord", during=["prepare"], weakens="sleep", after=["test.lamp/hall/two"])
    assert wanted.managed() == ("level",)
    assert differences(wanted, lamp(level=1)) == ()


def test_absent_is_not_zero_and_not_none() -> None:
    wanted = lamp(level=0)
    assert differences(wanted, wanted.absent())[0] == Difference("ensure", "absent", "present")
    assert differences(lamp(level=None), lamp(level=0)) == (Difference("level", 0, None),)


def test_absent_thing_differs_in_everything_wanted() -> None:
    wanted = lamp(level=1, colour="red")
    assert [found.field for found in differences(wanted, wanted.absent())] == ["ensure", "colour", "level"]


def test_wanted_absent_differs_only_by_being_there() -> None:
    assert differences(lamp(ensure="absent", level=1), lamp(level=0)) == (Difference("ensure", "present", "absent"),)
    assert differences(lamp(ensure="absent"), lamp().absent()) == ()


def test_different_things_are_not_compared() -> None:
    other = Lamp(room="hall", name="two")
    with pytest.raises(ValueError, match="compared"):
        differences(lamp(), other)
    with pytest.raises(ValueError, match="compared"):
        restored(lamp(), other)


def test_unknown_fields_and_changes_are_refused() -> None:
    with pytest.raises(ValidationError):
        lamp(colr="red")
    with pytest.raises(ValidationError):
        lamp().level = 1  # type: ignore[misc]


def test_facts_are_carried_and_never_compared() -> None:
    one = lamp(level=1).with_facts(dn="x")
    assert one.with_facts(boot="y").facts == {"dn": "x", "boot": "y"}
    assert one.facts == {"dn": "x"}
    assert lamp(level=1).facts == {}
    assert differences(lamp(level=1), one) == ()


def test_only_what_ends_with_a_phase_is_temporary() -> None:
    assert lamp(during=["prepare"]).temporary
    assert not lamp().temporary


@given(DECLARED)
def test_a_state_does_not_differ_from_itself(wanted: Lamp) -> None:
    assert differences(wanted, wanted) == ()


@given(PAIRS)
def test_going_back_leads_exactly_to_the_baseline(pair: tuple[Lamp, Lamp]) -> None:
    declared, baseline = pair
    back = restored(declared, baseline)
    assert differences(back, baseline) == ()
    assert back.key == declared.key
    assert back.ensure == baseline.ensure
    assert (back.switch, back.during, back.after) == (declared.switch, declared.during, declared.after)


@given(PAIRS)
def test_going_back_touches_only_what_was_managed(pair: tuple[Lamp, Lamp]) -> None:
    declared, baseline = pair
    if declared.ensure == "present":  # who declared absence wrote no fields, and gets all of them back
        assert set(restored(declared, baseline).managed()) <= set(declared.managed())


@given(PAIRS)
def test_going_back_twice_is_going_back_once(pair: tuple[Lamp, Lamp]) -> None:
    declared, baseline = pair
    back = restored(declared, baseline)
    assert restored(back, baseline) == back


@given(PAIRS)
def test_no_difference_means_nothing_to_put_back(pair: tuple[Lamp, Lamp]) -> None:
    declared, baseline = pair
    if not differences(declared, baseline):
        assert differences(restored(declared, baseline), baseline) == ()
        assert differences(declared, restored(declared, baseline)) == ()


@given(PAIRS)
def test_json_of_a_resource_reads_back_as_the_same(pair: tuple[Lamp, Lamp]) -> None:
    for one in pair:
        back = Lamp.model_validate(one.model_dump(mode="json", exclude_unset=True))
        assert back == one
        assert back.managed() == one.managed()

"""Tests of the group kind: what a directory answers -> differences and steps."""

from __future__ import annotations

import pytest

from reconciler.core.errors import NeedsPerson, UnexpectedAnswer
from reconciler.core.query import Row
from reconciler.core.resource import restored
from reconciler.core.steps import AddEntry, DeleteEntry, ModifyEntry
from reconciler.resources.ad_group import Group
from tests.resources.directory import SOURCE_DN, entry, fields, head, rid, settle

DOMAIN_LOCAL = -2147483644
DN = f"CN=SOURCE$$$,CN=Users,{SOURCE_DN}"
ANN = f"CN=Ann,OU=Staff,{SOURCE_DN}"
FOREIGN = f"CN=S-1-5-21-4-5-6-1105,CN=ForeignSecurityPrincipals,{SOURCE_DN}"


def wanted(**fields: object) -> Group:
    more = {"domain": "source", "name": "SOURCE$$$", "scope": "domain-local", "security": True, "members": [], **fields}
    return Group.model_validate(more)


def found(
    *members: str, group_type: int = DOMAIN_LOCAL, classes: tuple[str, ...] = ("top", "group")
) -> tuple[Row, ...]:
    return (entry(DN, objectClass=classes, groupType=group_type, objectSid=rid("source", 1200), member=members),)


def test_a_missing_group_is_created() -> None:
    differs, steps = settle(wanted(), (), head("source"))
    assert fields(differs)["ensure"] == ("absent", "present")
    (step,) = steps
    expected = (("objectClass", ("group",)), ("sAMAccountName", ("SOURCE$$$",)), ("groupType", ("-2147483644",)))
    assert step.effect == AddEntry("source", DN, expected)


def test_the_right_group_is_left_alone() -> None:
    assert settle(wanted(), found(), head("source")) == ((), ())


def test_leftover_members_are_removed_one_by_one() -> None:
    differs, steps = settle(wanted(), found(ANN, FOREIGN), head("source"))
    assert set(fields(differs)) == {"members"}
    assert [str(step.effect) for step in steps] == [
        f"modify {DN}: delete member: {ANN}",
        f"modify {DN}: delete member: {FOREIGN}",
    ]


def test_members_that_were_there_before_come_back() -> None:
    before = wanted().parse(found(ANN, FOREIGN), head("source"))
    _, steps = settle(restored(wanted(), before), found(), head("source"))
    values = [step.effect.changes[0].values[0] for step in steps if isinstance(step.effect, ModifyEntry)]
    assert values == [ANN, "<SID=S-1-5-21-4-5-6-1105>"]


@pytest.mark.parametrize(("group_type", "field"), [(-2147483646, "scope"), (4, "security")])
def test_another_kind_of_group_is_never_changed(group_type: int, field: str) -> None:
    observed = wanted().parse(found(group_type=group_type), head("source"))
    with pytest.raises(NeedsPerson, match="of another kind"):
        wanted().steps(observed, frozenset({field}))


def test_a_user_of_that_name_is_an_error_and_not_an_absent_group() -> None:
    with pytest.raises(UnexpectedAnswer, match="no group, but a user"):
        wanted().parse(found(classes=("top", "person", "user")), head("source"))


def test_a_group_that_was_not_there_is_deleted_when_empty() -> None:
    back = restored(wanted(during=["prepare"]), wanted(during=["prepare"]).parse((), head("source")))
    _, steps = settle(back, found(), head("source"))
    assert [step.effect for step in steps] == [DeleteEntry("source", DN)]
    with pytest.raises(NeedsPerson, match="not empty"):
        settle(back, found(ANN), head("source"))


def test_a_group_cannot_be_deleted_for_a_while() -> None:
    with pytest.raises(ValueError, match="another SID"):
        wanted(ensure="absent", during=["migrate"])


def test_a_baseline_survives_the_journal() -> None:
    before = wanted(during=["prepare"]).parse((), head("source"))
    assert Group.model_validate(before.model_dump(mode="json")).ensure == "absent"

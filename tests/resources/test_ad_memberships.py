"""Tests of memberships: who lacks in which group of the target, what is written for that, and what is only told."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.errors import NeedsPerson, UnexpectedAnswer
from reconciler.core.query import Row, Rows
from reconciler.core.resource import differences
from reconciler.core.steps import AttributeChange, ModifyEntry, Step, Values
from reconciler.resources.ad_memberships import Memberships
from tests.resources.directory import SOURCE_DN, TARGET_DN, entry, rid, settle

STAFF, MOVED = f"OU=Staff,{SOURCE_DN}", f"OU=Migrated,{TARGET_DN}"
WANTED = Memberships.model_validate({"source": "source", "base": SOURCE_DN, "target": "target"})
GLOBAL, LOCAL, UNIVERSAL = -2147483646, -2147483644, -2147483640
NUMBERS = {"ann": 1104, "bob": 1105, "eve": 1106, "pc1$": 1107, "Sales": 1200, "Europe": 1201, "All": 1202}


def old(name: str, where: str = STAFF) -> str:
    return f"CN={name},{where}"


def new(name: str) -> str:
    return f"CN={name},{MOVED}"


def group(name: str, *members: str) -> Row:
    """Return a group of the source; members are DNs."""
    return entry(old(name), objectSid=rid("source", NUMBERS[name]), sAMAccountName=name, member=members)


def account(name: str, primary: int = 513, where: str = STAFF) -> Row:
    return entry(old(name, where), objectSid=rid("source", NUMBERS[name]), primaryGroupID=primary)


def moved(name: str, *, history: bool = True, called: str = "", **more: Any) -> Row:
    """Return an account of the target."""
    past = {"sIDHistory": rid("source", NUMBERS[name])} if history else {}
    called = called or name
    return entry(new(called), objectSid=rid("target", 1000 + NUMBERS[name]), sAMAccountName=called, **past, **more)


def moved_group(name: str, *members: str, scope: int = GLOBAL, **more: Any) -> Row:
    return moved(name, groupType=scope, member=members, **more)


EVERYBODY = tuple(account(name) for name in NUMBERS)


def answers(groups: Rows, targets: Rows, facts: Rows = (), accounts: Rows = EVERYBODY) -> tuple[Rows, ...]:
    return groups, accounts, targets, facts


def missing(*given: Rows) -> tuple[str, ...]:
    return WANTED.parse(*answers(*given)).missing


def remarks(*given: Rows) -> tuple[str, ...]:
    observed = WANTED.parse(*answers(*given))
    return observed.remarks(observed)


def writes(steps: tuple[Step, ...]) -> list[tuple[str, Values]]:
    found = []
    for step in steps:
        assert isinstance(step.effect, ModifyEntry)
        (change,) = step.effect.changes
        assert (change.attribute, change.operation) == ("member", "add")
        found.append((step.effect.dn, change.values))
    return found


def test_a_migrated_member_that_lacks_is_added() -> None:
    given = answers(
        (group("Sales", old("ann"), old("bob"), old("Europe")),),
        (moved("ann"), moved("bob"), moved_group("Europe"), moved_group("Sales", new("bob"))),
    )
    differs, (step,) = settle(WANTED, *given)
    assert [(one.field, one.observed) for one in differs] == [("missing", ("Sales: ann", "Sales: Europe"))]
    change = AttributeChange("member", "add", (new("ann"), new("Europe")))
    assert step.effect == ModifyEntry("target", new("Sales"), (change,))
    assert step.says == "add ann, Europe to Sales"
    assert step.apart


def test_whole_groups_are_left_alone() -> None:
    # In another spelling, and with a member that only the target knows.
    held = (new("ann").lower(), f"CN=new here,{MOVED}")
    given = answers((group("Sales", old("ann").upper()),), (moved("ann"), moved_group("Sales", *held)))
    assert settle(WANTED, *given) == ((), ())


def test_a_group_counts_by_its_sid_whatever_it_is_called() -> None:
    targets = (moved("ann", called="ann.adler"), moved_group("Sales", called="Vertrieb"))
    _, steps = settle(WANTED, *answers((group("Sales", old("ann")),), targets))
    assert writes(steps) == [(new("Vertrieb"), (new("ann.adler"),))]


def test_a_name_alone_brings_nobody_into_a_group() -> None:
    groups = (group("Sales", old("ann")),)
    assert missing(groups, (moved("ann", history=False), moved_group("Sales"))) == ()
    assert missing(groups, (moved("ann"), moved_group("Sales", history=False))) == ()


def test_without_sid_history_the_journal_tells_who_is_who() -> None:
    def fact(name: str, **value: Any) -> Row:
        return {"key": f"account/source/{rid('source', NUMBERS[name])}", "value": value}

    groups, targets = (
        (group("Sales", old("pc1$")),),
        (moved("pc1$", history=False), moved_group("Sales", history=False)),
    )
    proven = tuple(fact(name, target_sid=str(rid("target", 1000 + NUMBERS[name]))) for name in ("pc1$", "Sales"))
    assert missing(groups, targets, proven) == ("Sales: pc1$",)
    assert missing(groups, targets, (*proven[1:], fact("pc1$", password="attempted"))) == ()
    gone = fact("pc1$", target_sid=str(rid("target", 9)))  # that account is not there any more
    assert missing(groups, targets, (*proven[1:], gone)) == ()


def test_who_has_a_group_as_primary_group_is_a_member_of_it() -> None:
    accounts = (*(account(name) for name in NUMBERS if name != "ann"), account("ann", primary=NUMBERS["Sales"]))
    groups = (group("Sales"),)
    assert WANTED.parse(groups, accounts, (moved("ann"), moved_group("Sales")), ()).missing == ("Sales: ann",)
    # There too `member` does not list who has it as primary group, and refuses to.
    already = moved("ann", primaryGroupID=1000 + NUMBERS["Sales"])
    assert WANTED.parse(groups, accounts, (already, moved_group("Sales")), ()).missing == ()


def test_members_of_domain_users_are_nobody_s_choice() -> None:
    users = entry(f"CN=Domain Users,CN=Users,{SOURCE_DN}", objectSid=rid("source", 513), sAMAccountName="Domain Users")
    assert missing((users,), (moved("ann"),)) == ()


def test_a_member_is_added_once_however_often_it_is_named() -> None:
    groups = (group("Sales", old("ann"), old("ann")),)
    assert missing(groups, (moved("ann"), moved_group("Sales"))) == ("Sales: ann",)


def test_two_accounts_that_became_one_are_one_member() -> None:
    both = entry(
        new("ann"), objectSid=rid("target", 2104), sAMAccountName="ann", sIDHistory=(rid("source", 1104), rid("source", 1105))
    )  # fmt: skip
    assert missing((group("Sales", old("ann"), old("bob")),), (both, moved_group("Sales"))) == ("Sales: ann",)


def test_groups_that_contain_each_other_are_whole_as_well() -> None:
    groups = (group("Sales", old("Europe")), group("Europe", old("Sales")))
    assert missing(groups, (moved_group("Sales"), moved_group("Europe"))) == ("Europe: Sales", "Sales: Europe")


def test_members_of_another_wave_are_told_by_group_and_container() -> None:
    accounts = (account("ann"), account("bob"), account("eve", where=f"OU=Leavers,{SOURCE_DN}"), account("Sales"))
    groups = (group("Sales", old("ann"), old("bob"), old("eve", f"OU=Leavers,{SOURCE_DN}")),)
    observed = WANTED.parse(groups, accounts, (moved("ann"), moved_group("Sales", new("ann"))), ())
    assert observed.missing == ()
    assert observed.remarks(observed) == (
        f"Sales: 2 members are not in the target yet: bob of {STAFF}; eve of OU=Leavers,{SOURCE_DN}",
    )


def test_a_group_that_is_not_migrated_says_nothing_yet() -> None:
    assert remarks((group("Sales", old("ann")),), (moved("ann"),)) == ()


def test_foreign_and_built_in_members_are_told_and_never_written() -> None:
    foreign = f"CN=S-1-5-11,CN=ForeignSecurityPrincipals,{SOURCE_DN}"
    administrator = entry(f"CN=Administrator,CN=Users,{SOURCE_DN}", objectSid=rid("source", 500))
    groups = (group("Sales", foreign, str(administrator["dn"]), "CN=x,OU=y,DC=child,DC=source,DC=lab"),)
    observed = WANTED.parse(groups, (*EVERYBODY, administrator), (moved_group("Sales"),), ())
    assert observed.missing == ()
    (line,) = observed.remarks(observed)
    assert line.startswith(
        "Sales: 3 members are from another domain, built in, or no account, and not migrated: S-1-5-11 of"
    )


@pytest.mark.parametrize(
    ("holds", "member", "fits"),
    [
        (GLOBAL, GLOBAL, True), (GLOBAL, UNIVERSAL, False), (GLOBAL, LOCAL, False),
        (UNIVERSAL, GLOBAL, True), (UNIVERSAL, UNIVERSAL, True), (UNIVERSAL, LOCAL, False),
        (LOCAL, GLOBAL, True), (LOCAL, UNIVERSAL, True), (LOCAL, LOCAL, True),
    ],
)  # fmt: skip
def test_what_the_scope_forbids_waits_for_a_person_and_holds_up_nobody(holds: int, member: int, fits: bool) -> None:
    groups = (group("All", old("ann"), old("Europe")),)
    given = (moved("ann"), moved_group("Europe", scope=member), moved_group("All", scope=holds))
    differs, steps = settle(WANTED, *answers(groups, given))
    assert differs[0].observed == ("All: ann", "All: Europe")
    assert writes(steps) == [(new("All"), (new("ann"), new("Europe")) if fits else (new("ann"),))]
    if not fits:
        later = answers(groups, (*given[:2], moved_group("All", new("ann"), scope=holds)))
        with pytest.raises(NeedsPerson, match="1 memberships cannot be as in source") as gate:
            settle(WANTED, *later)
        assert "All: Europe: a " in gate.value.do


def test_a_large_group_is_written_in_parts() -> None:
    numbers = range(3000, 4200)
    accounts = tuple(entry(old(f"u{n}"), objectSid=rid("source", n)) for n in numbers)
    targets = tuple(
        entry(new(f"u{n}"), objectSid=rid("target", n), sAMAccountName=f"u{n}", sIDHistory=rid("source", n)) for n in numbers
    )  # fmt: skip
    sales = entry(old("Sales"), objectSid=rid("source", 1200), sAMAccountName="Sales", member=tuple(old(f"u{n}") for n in numbers))  # fmt: skip
    given = ((sales,), (*accounts, account("Sales")), (*targets, moved_group("Sales")), ())
    _, steps = settle(WANTED, *given)
    assert [len(values) for _, values in writes(steps)] == [500, 500, 200]
    assert [(step.portion.before, step.portion.whole) for step in steps if step.portion] == [
        (0, 1200),
        (500, 1200),
        (1000, 1200),
    ]
    assert steps[0].says == "add u3000, u3001, u3002, u3003, u3004 and 495 more to Sales"


def test_a_row_without_a_sid_is_an_error_and_no_stranger() -> None:
    with pytest.raises(UnexpectedAnswer, match="objectSid"):
        WANTED.parse((group("Sales", old("ann")),), (entry(old("ann")),), (moved_group("Sales"),), ())


def test_the_same_name_with_another_escape_is_the_same() -> None:
    comma, digits = f"CN=Adler\\, Ann,{STAFF}", f"CN=Adler\\2C Ann,{STAFF}"
    accounts = (entry(digits, objectSid=rid("source", 1104)), account("Sales"))
    there = entry(f"CN=Adler\\, Ann,{MOVED}", objectSid=rid("target", 9), sAMAccountName="ann", sIDHistory=rid("source", 1104))  # fmt: skip
    groups = (group("Sales", comma),)
    assert WANTED.parse(groups, accounts, (there, moved_group("Sales")), ()).missing == ("Sales: ann",)
    held = moved_group("Sales", f"CN=Adler\\2C Ann,{MOVED}")
    assert WANTED.parse(groups, accounts, (there, held), ()).missing == ()


PEOPLE = ("ann", "bob", "eve", "pc1$")
GROUPS = ("Sales", "Europe", "All")


@st.composite
def forests(draw: st.DrawFn) -> tuple[dict[str, list[str]], set[str], dict[str, list[str]]]:
    """Return members by group in the source, who is in the target, and members by group there."""
    names = st.sampled_from(PEOPLE + GROUPS)
    drawn = {name: draw(st.lists(names, max_size=8)) for name in GROUPS}
    source = {name: [one for one in members if one != name] for name, members in drawn.items()}
    there = draw(st.sets(names))
    target = {
        name: draw(st.lists(st.sampled_from(sorted(there)), unique=True)) for name in GROUPS if name in there
    }  # fmt: skip
    return source, there, target


@given(forests())
def test_one_pass_makes_it_right_and_removes_nobody(
    forest: tuple[dict[str, list[str]], set[str], dict[str, list[str]]],
) -> None:
    source, there, target = forest
    groups = tuple(group(name, *map(old, members)) for name, members in source.items())

    def look() -> tuple[Rows, ...]:
        people = tuple(moved(name) for name in sorted(there) if name in PEOPLE)
        return answers(groups, (*people, *(moved_group(name, *map(new, members)) for name, members in target.items())))

    before = {name: list(members) for name, members in target.items()}
    _, steps = settle(WANTED, *look())
    dns = {new(name): name for name in NUMBERS}
    for dn, values in writes(steps):
        for value in values:
            assert dns[str(value)] not in target[dns[dn]]  # the directory would refuse the whole write
            target[dns[dn]].append(dns[str(value)])
    assert differences(WANTED, WANTED.parse(*look())) == ()
    for name, members in target.items():
        assert set(members) == set(before[name]) | (set(source[name]) & there)

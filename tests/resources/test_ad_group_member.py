"""Tests of single memberships: by SID, by name, foreign and well-known."""

from __future__ import annotations

import pytest

from reconciler.core.errors import UnexpectedAnswer
from reconciler.core.query import Row, Search
from reconciler.core.resource import restored
from reconciler.core.steps import AttributeChange, ModifyEntry
from reconciler.core.values import Sid
from reconciler.resources.ad_group_member import GroupMember
from tests.resources.directory import SOURCE_DN, TARGET_DN, crossrefs, entry, fields, head, rid, settle

ADMINISTRATORS = f"CN=Administratoren,CN=Builtin,{SOURCE_DN}"
MIGRATOR = entry(f"CN=migrator,CN=Users,{TARGET_DN}", objectSid=rid("target", 1105))
OPERATOR = GroupMember(domain="source", group="S-1-5-32-544", member="TARGET\\migrator", member_domain="target")
ANONYMOUS = GroupMember(domain="target", group="S-1-5-32-554", member="S-1-5-7")
PRE_2000 = f"CN=Prä-Windows 2000,CN=Builtin,{TARGET_DN}"


def group(dn: str, *members: str) -> tuple[Row, ...]:
    return (entry(dn, member=members),)


def test_a_foreign_member_is_added_by_sid() -> None:
    answers = (
        group(ADMINISTRATORS, f"CN=Administrator,CN=Users,{SOURCE_DN}"),
        head("source"),
        (MIGRATOR,),
        head("target"),
        crossrefs("target"),
    )
    differs, steps = settle(OPERATOR, *answers)
    assert fields(differs) == {"ensure": ("absent", "present")}
    change = AttributeChange("member", "add", (f"<SID={rid('target', 1105)}>",))
    assert [step.effect for step in steps] == [ModifyEntry("source", ADMINISTRATORS, (change,))]


def test_a_foreign_member_is_found_by_its_sid_and_removed_by_its_dn() -> None:
    foreign = f"CN={rid('target', 1105)},CN=ForeignSecurityPrincipals,{SOURCE_DN}"
    answers = (group(ADMINISTRATORS, foreign), head("source"), (MIGRATOR,), head("target"), crossrefs("target"))
    assert settle(OPERATOR, *answers) == ((), ())
    back = restored(OPERATOR, OPERATOR.absent())
    _, (step,) = settle(back, *answers)
    assert step.effect == ModifyEntry("source", ADMINISTRATORS, (AttributeChange("member", "delete", (foreign,)),))


def test_a_well_known_sid_needs_no_account() -> None:
    nobody = (group(PRE_2000), head("target"), (), head("target"), crossrefs("target"))
    _, (step,) = settle(ANONYMOUS, *nobody)
    assert step.effect == ModifyEntry("target", PRE_2000, (AttributeChange("member", "add", ("<SID=S-1-5-7>",)),))
    there = (group(PRE_2000, f"cn=s-1-5-7,cn=foreignsecurityprincipals,{TARGET_DN.lower()}"), *nobody[1:])
    assert settle(ANONYMOUS, *there) == ((), ())


def test_a_well_known_sid_may_have_two_objects() -> None:
    # Samba answers <SID=S-1-5-7> with the object in the configuration, Windows with a foreign security principal.
    known = f"CN=Anonymous Logon,CN=WellKnown Security Principals,CN=Configuration,{TARGET_DN}"
    twice = tuple(
        entry(dn, objectSid=Sid("S-1-5-7")) for dn in (known, f"CN=S-1-5-7,CN=ForeignSecurityPrincipals,{TARGET_DN}")
    )
    assert settle(ANONYMOUS, group(PRE_2000, known), head("target"), twice, head("target"), crossrefs("target")) == (
        (),
        (),
    )


def test_the_same_sid_as_a_name_elsewhere_does_not_count() -> None:
    lookalike = (
        group(PRE_2000, f"CN=S-1-5-7,OU=Odd,{TARGET_DN}"),
        head("target"),
        (),
        head("target"),
        crossrefs("target"),
    )
    differs, _ = settle(ANONYMOUS, *lookalike)
    assert fields(differs) == {"ensure": ("absent", "present")}


def test_a_name_of_another_domain_is_not_taken_for_ours() -> None:
    mistaken = GroupMember(domain="source", group="S-1-5-32-544", member="TARGET\\migrator")
    namesake = entry(f"CN=migrator,CN=Users,{SOURCE_DN}", objectSid=rid("source", 1105))
    with pytest.raises(UnexpectedAnswer, match="another domain"):
        mistaken.parse(group(ADMINISTRATORS), head("source"), (namesake,), head("source"), crossrefs("source"))


def test_a_missing_group_is_an_error_unless_the_member_shall_go() -> None:
    answers = ((), head("target"), (), head("target"), crossrefs("target"))
    with pytest.raises(UnexpectedAnswer, match="has no group"):
        ANONYMOUS.parse(*answers)
    assert ANONYMOUS.absent().parse(*answers).ensure == "absent"


def test_names_are_escaped_in_filters() -> None:
    query = GroupMember(domain="source", group="A*)(b", member="SOURCE\\x)(y*").queries()[0]
    assert isinstance(query, Search)
    assert query.where == "(&(objectClass=group)(sAMAccountName=A\\2a\\29\\28b))"


@pytest.mark.parametrize("member", ["", "\\x", "SOURCE\\", "S-1-x"])
def test_what_is_no_account_is_refused(member: str) -> None:
    with pytest.raises(ValueError, match=r"SID|NETBIOS"):
        GroupMember(domain="source", group="S-1-5-32-544", member=member)

"""Memberships of migrated groups: they come back, those of accounts that are not migrated are told, and nobody is taken out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.directory import Directory, ldif_line
from tests.e2e.lab import EVERYBODY, FEW, ONLY_FEW, Lab, Ran

pytestmark = pytest.mark.lab

KEY = "ad.memberships/source/migrated groups"
MIGRATED = "OU=Migrated,DC=target,DC=lab"
INTO = f"into: '{MIGRATED}'"


@pytest.fixture(scope="module")
def state(lab: Lab) -> Path:
    """A few accounts, with the groups that they are in."""
    return lab.state("migrate", (EVERYBODY, ONLY_FEW), (INTO, f"{INTO}, groups: true"))


@pytest.fixture(scope="module")
def applied(lab: Lab, state: Path) -> Ran:
    ran = lab.apply(state)
    assert ran.code == 0, str(ran)
    return ran


def members(directory: Directory, name: str) -> set[bytes]:
    """Return the DNs in a group."""
    found = directory.one(directory.base_dn, f"(&(objectClass=group)(sAMAccountName={name}))", "member")
    return set(found.get("member", []))


def translated(lab: Lab) -> dict[bytes, bytes]:
    """Return the DN in the target by the DN in the source of everything that was migrated, by SID."""
    asked = ("objectSid", "sIDHistory")
    old = {
        entry["objectSid"][0]: entry["dn"][0]
        for entry in lab.source.search(lab.source.base_dn, "(objectSid=*)", *asked)
    }
    new = lab.target.search(MIGRATED, "(sIDHistory=*)", *asked)
    return {old[entry["sIDHistory"][0]]: entry["dn"][0] for entry in new}


def wanted(lab: Lab) -> dict[str, set[bytes]]:
    """Return who should be in each migrated group, as OpenLDAP's clients see the source."""
    known = translated(lab)
    groups = lab.source.search(lab.source.base_dn, "(objectClass=group)", "sAMAccountName")
    groups = [group for group in groups if group["dn"][0] in known]
    names = [group["sAMAccountName"][0].decode() for group in groups]
    return {name: {known[dn] for dn in members(lab.source, name) if dn in known} for name in names}


def wrong(lab: Lab, allowed: Callable[[str], set[bytes]] = lambda name: set()) -> dict[str, set[bytes]]:
    """Return what differs in each migrated group; ``allowed`` are those that only the target has."""
    return {
        name: found
        for name, should in wanted(lab).items()
        if (found := members(lab.target, name) ^ (should | allowed(name)))
    }


def told(ran: Ran) -> list[str]:
    return [line for one in ran.document["remarks"] if one["key"] == KEY for line in one["lines"]]


def dn_of(directory: Directory, name: str) -> str:
    return directory.one(directory.base_dn, f"(sAMAccountName={name})", "dn")["dn"][0].decode()


def test_after_the_migration_every_group_has_those_who_were_migrated(lab: Lab, applied: Ran) -> None:
    should = wanted(lab)
    assert len(should) >= 3
    assert sum(map(len, should.values())) > len(FEW)
    assert wrong(lab) == {}


def test_members_that_are_not_migrated_are_told_with_their_container(lab: Lab, applied: Ran) -> None:
    known, lines = translated(lab), told(applied)
    for name in wanted(lab):
        apart = {dn for dn in members(lab.source, name) if dn not in known}
        said = [line for line in lines if line.startswith(f"{name}: ")]
        assert len(said) == (1 if apart else 0)
        if said:
            assert said[0].startswith(f"{name}: {len(apart)} member")
            assert said[0].endswith("of OU=Staff,DC=source,DC=lab")


def test_they_are_no_drift(lab: Lab, state: Path, applied: Ran) -> None:
    ran = lab.drift(state)
    assert ran.code == 0, str(ran)
    assert told(ran) == told(applied)
    assert KEY in lab.reconcile("drift", state).out


@pytest.fixture(scope="module")
def damaged(lab: Lab, state: Path, applied: Ran) -> tuple[Ran, set[bytes]]:
    """A person, a group and everybody of one group were taken out, somebody was put in; what drift says, and who was put in."""
    should = wanted(lab)
    for name in sorted(should, key=lambda one: len(should[one]))[-2:]:
        (gone, *_) = sorted(should[name])
        lab.target.change(dn_of(lab.target, name), "delete", "member", gone.decode())
    nested = next(name for name in should if any(dn in map(bytes, _groups(lab)) for dn in members(lab.target, name)))
    for dn in members(lab.target, nested):
        lab.target.change(dn_of(lab.target, nested), "delete", "member", dn.decode())
    stranger = dn_of(lab.target, "migrator")
    lab.target.change(dn_of(lab.target, nested), "add", "member", stranger)
    return lab.drift(state), {stranger.encode()}


def _groups(lab: Lab) -> list[bytes]:
    return [entry["dn"][0] for entry in lab.target.search(MIGRATED, "(objectClass=group)", "dn")]


def test_who_was_taken_out_is_named(lab: Lab, damaged: tuple[Ran, set[bytes]]) -> None:
    ran, _ = damaged
    assert ran.code == 2, str(ran)
    assert ran.keys == {KEY}
    (change,) = ran.document["changes"]
    (difference,) = change["differs"]
    lacking = sum(len(should - members(lab.target, name)) for name, should in wanted(lab).items())
    assert lacking >= 4
    assert len(difference["observed"]) == lacking


def test_they_come_back_and_nobody_is_taken_out(lab: Lab, state: Path, damaged: tuple[Ran, set[bytes]]) -> None:
    ran = lab.apply(state)
    assert ran.code == 0, str(ran)
    assert ran.outcomes("changed") == {KEY}
    _, stranger = damaged
    assert wrong(lab, lambda name: members(lab.target, name) & stranger) == {}
    assert any(stranger <= members(lab.target, name) for name in wanted(lab))


def test_a_second_apply_writes_nothing(lab: Lab, state: Path, damaged: tuple[Ran, set[bytes]]) -> None:
    before = lab.source.usn(), lab.target.usn()
    assert lab.apply(state).code == 0
    assert (lab.source.usn(), lab.target.usn()) == before


def test_who_joins_a_group_in_the_source_joins_it_in_the_target(lab: Lab, state: Path, applied: Ran) -> None:
    known = translated(lab)
    should = wanted(lab)
    person = dn_of(lab.source, FEW[0])
    new = next(name for name in should if known[person.encode()] not in should[name])
    lab.source.change(dn_of(lab.source, new), "add", "member", person)
    assert lab.apply(state).code == 0
    assert known[person.encode()] in members(lab.target, new)


def test_a_member_by_primary_group_alone_joins_as_well(lab: Lab, state: Path, applied: Ran) -> None:
    person = next(name for name in FEW[1:] if _can_lead(lab, name))
    group = next(
        name for name, dns in wanted(lab).items() if translated(lab)[dn_of(lab.source, person).encode()] in dns
    )
    sid = lab.source.one(dn_of(lab.source, group), "(objectClass=*)", "objectSid")["objectSid"][0]
    line = ldif_line("primaryGroupID", str(int.from_bytes(sid[-4:], "little")))
    lab.source.modify(
        f"{ldif_line('dn', dn_of(lab.source, person))}changetype: modify\nreplace: primaryGroupID\n{line}-\n"
    )
    moved = translated(lab)[dn_of(lab.source, person).encode()]
    assert dn_of(lab.source, person).encode() not in members(lab.source, group), "the directory took it out of `member`"
    lab.target.change(dn_of(lab.target, group), "delete", "member", moved.decode())
    assert lab.apply(state).code == 0
    assert moved in members(lab.target, group)


def _can_lead(lab: Lab, name: str) -> bool:
    """Whether somebody is in a migrated group of the source directly: only such a group can become the primary one."""
    person = translated(lab)[dn_of(lab.source, name).encode()]
    return any(person in dns for dns in wanted(lab).values())

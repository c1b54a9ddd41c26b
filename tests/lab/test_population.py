"""Who lives in a large lab: the same each time, nested as AD allows, and the small lab as it always was."""

from __future__ import annotations

from reconciler.lab.forest.population import DOMAIN_LOCAL, GLOBAL, SCOPES, STAFF, UNIVERSAL, Group, source_population

SIX = ("Sales", "Engineering", "Vertrieb Sued", "All Staff", "Projects", "File Readers")


def test_small_lab_has_no_crowd() -> None:
    small = source_population(40)
    assert small.units == (STAFF, "OU=Groups")
    assert tuple(group.sam_account_name for group in small.groups) == SIX
    assert small.computers == ()
    assert {(one.parent, one.department, one.old_keys) for one in small.accounts} == {(STAFF, "", False)}


def test_everything_but_passwords_is_the_same_each_time() -> None:
    one, other = (source_population(1000, 50, 9, 10).document() for _ in range(2))
    passwords = [[account.pop("password") for account in document["accounts"]] for document in (one, other)]
    assert one == other
    assert len(set(passwords[0] + passwords[1])) == 2000


def test_names_are_unique_and_numbers_are_what_was_asked_for() -> None:
    crowd = source_population(10_000, 500, 200, 12)
    names = [one.sam_account_name.lower() for one in crowd.accounts]
    names += [one.sam_account_name.lower() for one in crowd.groups]
    assert len(set(names)) == len(names) == 10_000 + 500 + 6
    assert len({computer.name for computer in crowd.computers}) == 200
    assert max(map(len, names)) <= 20


def test_numbered_staff_is_spread_over_the_departments() -> None:
    crowd = source_population(1405, units=10)
    units = [unit for unit in crowd.units if unit.endswith(f",{STAFF}")]
    spread = [sum(account.parent == unit for account in crowd.accounts) for unit in units]
    assert spread == [100] * 10
    assert r"OU=Research\, Süd,OU=Staff" in units
    assert all(account.department for account in crowd.accounts if account.old_keys)


def test_nested_groups_go_several_levels_deep_and_never_break_a_scope() -> None:
    crowd = source_population(2000, groups=500)
    teams = {group.sam_account_name: group for group in crowd.groups if group.sam_account_name not in SIX}
    people = {account.sam_account_name for account in crowd.accounts}
    inner = {member for group in teams.values() for member in group.members if member in teams}
    assert len(teams) == 500
    assert len(inner) == 499  # all but one at the top

    def depth(group: Group) -> int:
        return 1 + max((depth(teams[member]) for member in group.members if member in teams), default=0)

    assert max(map(depth, teams.values())) >= 4
    for group in teams.values():
        scopes = {teams[member].group_type for member in group.members if member in teams}
        assert scopes <= {GLOBAL: {GLOBAL}, UNIVERSAL: {GLOBAL, UNIVERSAL}, DOMAIN_LOCAL: set(SCOPES)}[group.group_type]
        assert people & set(group.members)
    assert {group.group_type for group in teams.values()} == set(SCOPES)


def test_members_of_a_group_come_before_it() -> None:
    crowd = source_population(60, groups=30)
    seen = {account.sam_account_name for account in crowd.accounts}
    for group in crowd.groups:
        assert set(group.members) <= seen
        seen.add(group.sam_account_name)

"""What `migration:` means: every step of the article, in an order that lets passwords out last and in first."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.core.graph import Graph
from reconciler.core.plan import Intent, walk_order
from reconciler.core.resource import After, Key
from reconciler.resources.misfit import Misfit
from tests.declared import LSA, graph, lab, passwords
from tests.soak import examples

OPERATOR = r"TARGET\migrator"
INTO = "OU=Migrated,DC=target,DC=lab"
TRUST = "ad.trust/source/target"
ADMT = "win.software/admt/Active Directory Migration Tool"
SOURCE_ADMIN = rf"ad.group_member/source/S-1-5-32-544/{OPERATOR}"
LOCAL_ADMIN = rf"win.local_group_member/admt/S-1-5-32-544/{OPERATOR}"
ACCESS_OU = rf"ad.access/target/{INTO}/{OPERATOR}"
ACCESS_HEAD = rf"ad.access/target//{OPERATOR}"
GROUP = "ad.group/source/SOURCE$$$"
TCPIP = rf"win.registry/source-pdc/{LSA}/TcpipClientSupport"
AUDIT_SOURCE = "win.audit_policy/source-pdc/account-management"
AUDIT_TARGET = "win.audit_policy/admt/account-management"
DIRECTORY_ADMT = r"win.directory/admt/C:\PES"
DIRECTORY_PES = r"win.directory/source-pdc/C:\PES"
KEY = "pes.key/admt/source"
KEY_FILE = r"win.file/source-pdc/C:\PES\source.pes"
PPL = rf"win.registry/source-pdc/{LSA}/RunAsPPL"
PES = "win.software/source-pdc/*Password Migration DLL*"
IMPORT = "pes.key_import/admt/source"
EVERYONE = "ad.group_member/target/S-1-5-32-554/S-1-1-0"
ANONYMOUS = "ad.group_member/target/S-1-5-32-554/S-1-5-7"
RESTRICT = rf"win.registry/admt/{LSA}/RestrictAnonymous"
EXPORT = rf"win.registry/source-pdc/{LSA}/AllowPasswordExport"
RESTART = "win.restart/source-pdc"
SERVICE = "win.service/source-pdc/PesSvc"
CANARY = "ad.canary/source/all"
ACCOUNTS = "ad.accounts/source/OU=Staff,DC=source,DC=lab"

PREPARED = frozenset({"prepare", "migrate"})
MIGRATING = frozenset({"migrate"})
ALWAYS = frozenset({"prepare", "migrate", "complete"})

RIGHTS = [SOURCE_ADMIN, LOCAL_ADMIN, ACCESS_OU, ACCESS_HEAD]
READY = [TRUST, ADMT, *RIGHTS, GROUP, TCPIP, AUDIT_SOURCE, AUDIT_TARGET]
TARGET_SIDE = [EVERYONE, ANONYMOUS, RESTRICT]
EDGES: dict[Key, list[Key]] = {
    TRUST: [],
    ADMT: [],
    SOURCE_ADMIN: [TRUST],
    LOCAL_ADMIN: [],
    ACCESS_OU: [],
    ACCESS_HEAD: [],
    GROUP: [],
    TCPIP: [],
    AUDIT_SOURCE: [],
    AUDIT_TARGET: [],
    DIRECTORY_ADMT: [],
    KEY: [ADMT, DIRECTORY_ADMT],
    DIRECTORY_PES: [],
    KEY_FILE: [KEY, DIRECTORY_PES],
    PPL: [],
    PES: [KEY_FILE, PPL],
    IMPORT: [KEY, ADMT],
    EVERYONE: [PES, IMPORT],
    ANONYMOUS: [PES, IMPORT],
    RESTRICT: [PES, IMPORT],
    EXPORT: [*READY, PES, IMPORT, *TARGET_SIDE],
    RESTART: [TCPIP, PPL, PES, EXPORT],
    SERVICE: [RESTART, PES, EXPORT],
    CANARY: [*READY, IMPORT, *TARGET_SIDE, RESTART, SERVICE],
    ACCOUNTS: [*READY, IMPORT, *TARGET_SIDE, RESTART, SERVICE, CANARY],
}
"""The example, in order; each resource with what it directly requires."""

TABLE = [
    ("trust between the domains", TRUST, PREPARED),
    ("ADMT installed on the ADMT host", ADMT, PREPARED),
    ("domain local group SOURCE$$$", GROUP, PREPARED),
    ("TcpipClientSupport on the source PDC emulator", TCPIP, PREPARED),
    ("auditing in the source", AUDIT_SOURCE, PREPARED),
    ("auditing in the target", AUDIT_TARGET, PREPARED),
    ("encryption key", KEY, PREPARED),
    ("directory of the key file on the ADMT host", DIRECTORY_ADMT, PREPARED),
    ("directory of the key file on the PES host", DIRECTORY_PES, PREPARED),
    ("key file on the PES host", KEY_FILE, PREPARED),
    ("LSA protection", PPL, PREPARED),
    ("PES installed", PES, PREPARED),
    ("key imported", IMPORT, PREPARED),
    ("AllowPasswordExport", EXPORT, MIGRATING),
    ("restart", RESTART, ALWAYS),
    ("PES service", SERVICE, MIGRATING),
    ("administrator in the source", SOURCE_ADMIN, PREPARED),
    ("local administrator on the ADMT host", LOCAL_ADMIN, PREPARED),
    ("rights on the target OU", ACCESS_OU, PREPARED),
    ("rights on the target domain", ACCESS_HEAD, PREPARED),
    ("Everyone in Pre-Windows 2000 Compatible Access", EVERYONE, MIGRATING),
    ("Anonymous Logon in Pre-Windows 2000 Compatible Access", ANONYMOUS, MIGRATING),
    ("RestrictAnonymous", RESTRICT, MIGRATING),
    ("throw-away account", CANARY, MIGRATING),
    ("accounts", ACCOUNTS, MIGRATING),
]


def keys(found: Graph) -> list[Key]:
    return list(found.declarations)


def fields(found: Graph, key: Key) -> dict[str, Any]:
    return found[key].model_dump()


def laws(found: Graph) -> None:
    """Assert what has to be true of every migration, whatever it leaves out."""
    assert found.faults == []
    assert list(found.sequence) == keys(found), "the article is written down in an order that works"
    assert all(because and because != After(key="x").because for _, _, because in found.edges())
    accounts = [key for key in keys(found) if key.startswith("ad.accounts/")]
    later = {key for key in keys(found) if key.startswith(("ad.memberships/", "ad.sid_history_removal/"))}
    for key in accounts:
        assert found.required(key) - set(accounts) == set(keys(found)) - set(accounts) - later, (
            "accounts come last, after everything but what is made of them"
        )
    weak = {need.key for key in accounts for need in found.needs[key] if not need.must}
    assert weak == set(accounts[:-1]), "one population after the other, and none waits for all of another"
    canaries = {key for key in keys(found) if key.startswith("ad.canary/")}
    assert all(found.required(key) == set(keys(found)) - canaries - set(accounts) - later for key in canaries)
    export = next((key for key in keys(found) if key.endswith("/AllowPasswordExport")), None)
    if export is None:
        assert not any("pes" in key.lower() for key in keys(found))
        return
    assert found[export].during == MIGRATING
    service = next(key for key in keys(found) if key.startswith("win.service/"))
    restarts = {key for key in keys(found) if found[key].barrier}
    assert found.required(export) == set(keys(found)) - {export, service, *restarts, *canaries, *accounts, *later}
    assert restarts <= found.required(service)
    assert export in found.required(f"win.restart/{export.split('/')[1]}")


# The example.


def test_example_means_exactly_these_resources_in_this_order() -> None:
    assert keys(graph(lab())) == list(EDGES)


@pytest.mark.parametrize("key", EDGES)
def test_example_has_exactly_these_edges(key: Key) -> None:
    assert [need.key for need in graph(lab()).needs[key]] == EDGES[key]


@pytest.mark.parametrize(("row", "key", "during"), TABLE, ids=[row for row, _, _ in TABLE])
def test_every_step_of_the_article_is_a_resource_wanted_in_its_phases(row: str, key: Key, during: set[str]) -> None:
    assert graph(lab())[key].during == during


def test_no_resource_of_the_example_is_missing_in_the_table() -> None:
    assert {key for _, key, _ in TABLE} == set(EDGES)


@pytest.mark.parametrize("phase", ["prepare", "migrate", "complete"])
def test_phase_changes_nothing_about_what_is_declared(phase: str) -> None:
    assert graph(lab(phase)).edges() == graph(lab()).edges()


def test_example_obeys_the_laws() -> None:
    laws(graph(lab()))


def test_way_back_begins_with_the_service_and_the_export_setting() -> None:
    found = graph(lab())
    intents = {
        key: Intent("revert" if found[key].temporary else "apply", found[key])
        for key in keys(found)
        if found[key].temporary or found[key].barrier
    }
    order = walk_order(found, intents)
    assert order[:2] == [SERVICE, EXPORT]
    assert order[-1] == RESTART, "one restart, when everything is undone"
    place = {key: index for index, key in enumerate(order)}
    undone = [(first, then) for first, then, _ in found.edges() if {first, then} <= set(order) - {RESTART}]
    assert undone
    assert all(place[then] < place[first] for first, then in undone)


def test_settings_of_the_article_have_their_types_and_values() -> None:
    found = graph(lab())
    values = {key.rpartition("/")[2]: found[key] for key in (TCPIP, RESTRICT, EXPORT)}
    assert {name: (r.model_dump()["type"], r.model_dump()["value"]) for name, r in values.items()} == {
        "TcpipClientSupport": ("DWord", 1),
        "RestrictAnonymous": ("DWord", 0),
        "AllowPasswordExport": ("DWord", 1),
    }
    assert {key for key in keys(found) if fields(found, key).get("restart") is True} == {TCPIP, PPL, PES, EXPORT}


def test_lsa_protection_is_never_switched_off_without_approval() -> None:
    found = graph(lab())
    protection = fields(found, PPL)
    assert (protection["type"], protection["value"], protection["risk"]) == (None, None, "disable-lsa-protection")
    assert protection["explanation"]
    assert found[PPL].approved == frozenset()


@pytest.mark.parametrize(("given", "switch"), [("PT8H", "armed"), ("2h", "armed"), ("off", "none"), (None, "none")])
def test_what_is_dangerous_has_a_dead_mans_switch_and_nothing_else_has(given: str | None, switch: str) -> None:
    document = lab()
    document["migration"]["dead_mans_switch"] = given
    found = graph(document)
    switched = {key: fields(found, key)["switch"] for key in keys(found) if fields(found, key).get("dead_mans_switch")}
    assert switched == dict.fromkeys((EXPORT, PPL, RESTRICT, SERVICE), switch)
    assert fields(graph(lab()), EXPORT)["dead_mans_switch"] == timedelta(hours=8)


def test_group_of_the_source_is_domain_local_secure_and_empty() -> None:
    group = fields(graph(lab()), GROUP)
    assert (group["scope"], group["security"], group["members"]) == ("domain-local", True, ())


def test_service_stands_on_manual_under_the_declared_account() -> None:
    service = fields(graph(lab()), SERVICE)
    assert (service["status"], service["start_mode"], service["account"]) == ("running", "manual", "LocalSystem")


def test_what_weakens_security_says_so_and_is_temporary() -> None:
    found = graph(lab())
    weakening = {key for key in keys(found) if found[key].weakens}
    assert weakening >= {TRUST, *RIGHTS, TCPIP, PPL, EXPORT, SERVICE, *TARGET_SIDE}
    assert all(found[key].temporary for key in weakening)


def test_export_server_under_an_account_of_the_target_is_installed_only_once_that_is_trusted() -> None:
    assert TRUST not in graph(lab()).required(PES)
    for account, trusted in ((r"target\pes", True), (r"SOURCE\pes", False), (r"NT AUTHORITY\NetworkService", False)):
        found = graph(lab(passwords=passwords(run_as=account, run_as_credential="target-admin")))
        assert (TRUST in found.required(PES)) is trusted


def test_what_is_most_dangerous_weighs_most_and_only_what_weakens_weighs() -> None:
    found = graph(lab())
    order = sorted((key for key in keys(found) if found[key].weakens), key=lambda key: -found[key].danger)
    assert order[:3] == [EXPORT, SERVICE, SOURCE_ADMIN]
    assert order[-1] == TCPIP
    assert all(found[key].weight is not None for key in order), "the article gives every weight itself"


def test_forward_what_weakens_comes_after_all_that_does_not_need_it() -> None:
    found = graph(lab())
    place = {key: index for index, key in enumerate(found.order)}
    waits = {key for key in keys(found) if any(found[need].weakens for need in found.required(key))}
    harmless = {key for key in keys(found) if not found[key].weakens} - waits
    assert {ADMT, GROUP, AUDIT_SOURCE, AUDIT_TARGET, KEY, KEY_FILE, IMPORT} <= harmless
    assert max(place[key] for key in harmless) < min(place[key] for key in keys(found) if found[key].weakens)
    assert place[EXPORT] == max(place[key] for key in keys(found) if found[key].weakens and key != SERVICE)


def test_accounts_stay_and_everything_else_but_the_import_goes_back() -> None:
    found = graph(lab())
    assert {key for key in keys(found) if not found[key].temporary} == {ACCOUNTS, CANARY, IMPORT, RESTART}
    assert found[ACCOUNTS].restores is False


def test_operator_gets_the_rights_that_admt_needs_and_no_others() -> None:
    head, container = fields(graph(lab()), ACCESS_HEAD), fields(graph(lab()), ACCESS_OU)
    assert [grant["of"] for grant in head["grants"]] == ["Migrate SID History"]
    assert {(grant["right"], grant["of"]) for grant in container["grants"]} == {
        ("create-child", "user"),
        ("delete-child", "user"),
        ("control", "User-Force-Change-Password"),
        ("read-property", None),
        ("write-property", None),
        ("control", "Migrate SID History"),
    }


def test_key_password_stays_a_reference() -> None:
    found = graph(lab())
    for key in (KEY, IMPORT):
        assert str(getattr(found[key], "key_password")) == "<secret file:../.lab/secrets/key-password>"  # noqa: B009


# What is left out.


def test_without_passwords_there_is_nothing_of_pes_and_no_export_setting() -> None:
    found = graph(lab(passwords=None))
    assert keys(found) == [*READY, RESTART, CANARY, ACCOUNTS]
    assert fields(found, CANARY)["passwords"] is False
    assert fields(found, ACCOUNTS)["passwords"] is False
    assert RESTART in found.required(ACCOUNTS)
    laws(found)


def test_with_rights_present_nothing_is_granted() -> None:
    found = graph(lab(operator={"account": OPERATOR, "credential": "migrator", "rights": "present"}))
    assert set(EDGES) - set(keys(found)) == set(RIGHTS)
    laws(found)


def test_without_sid_history_its_preparations_are_not_made() -> None:
    found = graph(lab(sid_history=False))
    assert set(EDGES) - set(keys(found)) == {GROUP, TCPIP, ACCESS_HEAD}
    assert "Migrate SID History" not in [grant["of"] for grant in fields(found, ACCESS_OU)["grants"]]
    assert fields(found, ACCOUNTS)["sid_history"] is False
    laws(found)


def test_without_audit_no_policy_is_touched() -> None:
    assert set(EDGES) - set(keys(graph(lab(audit=None)))) == {AUDIT_SOURCE, AUDIT_TARGET}


def test_without_trust_none_is_made() -> None:
    assert set(EDGES) - set(keys(graph(lab(trust=None)))) == {TRUST}


def test_trust_that_is_kept_is_wanted_in_every_phase() -> None:
    trust = graph(lab(trust={"keep": True}))[TRUST]
    assert trust.during == ALWAYS
    assert not trust.temporary


def test_without_accounts_everything_is_prepared_all_the_same() -> None:
    assert keys(graph(lab(accounts=[]))) == [key for key in EDGES if key not in (CANARY, ACCOUNTS, ACCESS_OU)]


# What can be chosen.


def test_canary_takes_the_way_of_the_first_users_that_are_migrated_now() -> None:
    waves = [{"name": "later", "phase": "prepare"}, {"name": "now"}]
    groups = {"of": "groups", "from": "OU=Groups,DC=source,DC=lab", "into": INTO, "wave": "now"}
    later = {"from": "OU=Board,DC=source,DC=lab", "into": INTO, "wave": "later"}
    now = {"into": "OU=Sales,DC=target,DC=lab", "leave_out": ["info"], "wave": "now"}
    found = graph(lab(waves=waves, accounts=[groups, later, now]))
    canary = fields(found, CANARY)
    assert (canary["base"], canary["into"]) == ("CN=Users,DC=source,DC=lab", "OU=Sales,DC=target,DC=lab")
    assert canary["leave_out"] == ("info",)
    assert canary["booted"] == ("admt", "source-pdc")


def test_canary_has_containers_of_its_own_where_they_are_given_with_rights_in_them() -> None:
    found = graph(lab(canary={"in": "OU=Lab,DC=source,DC=lab", "into": "OU=Lab,DC=target,DC=lab"}))
    canary = fields(found, CANARY)
    assert (canary["base"], canary["into"]) == ("OU=Lab,DC=source,DC=lab", "OU=Lab,DC=target,DC=lab")
    assert rf"ad.access/target/OU=Lab,DC=target,DC=lab/{OPERATOR}" in found.required(CANARY)
    laws(found)


@pytest.mark.parametrize(
    "change", [{"canary": "off"}, {"accounts": [{"of": "groups", "into": INTO}]}], ids=["off", "no users"]
)
def test_without_users_or_where_it_is_off_there_is_no_canary(change: dict[str, Any]) -> None:
    found = graph(lab(**change))
    assert CANARY not in keys(found)


def test_canary_waits_where_no_wave_of_users_is_migrated_yet() -> None:
    waves = [{"name": "all", "phase": "prepare"}]
    assert graph(lab(waves=waves))[CANARY].during == frozenset()


def test_key_made_on_another_host_is_imported_on_the_admt_host() -> None:
    found = graph(lab(passwords=passwords(key_created_on="source-pdc")))
    assert "pes.key/source-pdc/source" in keys(found)
    assert KEY not in keys(found)
    assert fields(found, IMPORT)["created_on"] == "source-pdc"
    assert "pes.key/source-pdc/source" in found.required(IMPORT)
    assert KEY_FILE not in keys(found), "it lies there already"
    laws(found)


@pytest.mark.parametrize("server", ["source-pdc", "pes"])
def test_key_made_on_another_host_is_brought_to_the_admt_host(server: str) -> None:
    document = lab(passwords=passwords(key_created_on="source-pdc", export_server=server))
    document["hosts"]["pes"] = {"domain": "source", "address": "srcdc2.source.lab"}
    found = graph(document)
    assert r"win.file/admt/C:\PES\source.pes" in found.required(IMPORT)


def test_host_that_makes_the_key_has_admt() -> None:
    found = graph(lab(passwords=passwords(key_created_on="source-pdc")))
    assert "win.software/source-pdc/Active Directory Migration Tool" in found.required("pes.key/source-pdc/source")


def test_export_server_beside_the_pdc_emulator_gets_the_setting_and_both_restart() -> None:
    document = lab(passwords=passwords(export_server="pes"))
    document["hosts"]["pes"] = {"domain": "source", "address": "srcdc2.source.lab"}
    found = graph(document)
    export = EXPORT.replace("source-pdc", "pes")
    assert EXPORT not in keys(found)
    assert {"win.restart/pes", RESTART} <= found.required("win.service/pes/PesSvc")
    assert export in found.required("win.restart/pes")
    assert [need.key for need in found.needs[RESTART]] == [TCPIP]
    assert fields(found, ACCOUNTS)["export_server_address"] == "srcdc2.source.lab"
    laws(found)


def test_pes_without_arguments_is_left_to_a_person_who_is_told_everything() -> None:
    found = graph(lab(passwords=passwords(install=None)))
    pes = fields(found, PES)
    assert pes["arguments"] == ()
    for said in (r"C:\PES\source.pes", "LocalSystem", "elevated", "do not restart"):
        assert said in pes["instructions"]
    laws(found)


def test_two_populations_for_one_container_share_their_rights_and_two_containers_do_not() -> None:
    one = {"from": "OU=Staff,DC=source,DC=lab", "into": INTO}
    two = {"from": "OU=Sales,DC=source,DC=lab", "into": INTO}
    three = {"from": "OU=Board,DC=source,DC=lab", "into": "OU=Board,DC=target,DC=lab"}
    found = graph(lab(accounts=[one, two, three]))
    access = [key for key in keys(found) if key.startswith("ad.access/")]
    assert access == [ACCESS_OU, rf"ad.access/target/OU=Board,DC=target,DC=lab/{OPERATOR}", ACCESS_HEAD]
    assert len([key for key in keys(found) if key.startswith("ad.accounts/")]) == 3
    laws(found)


def test_rights_on_groups_are_granted_only_where_groups_come_along() -> None:
    one = {"from": "OU=Staff,DC=source,DC=lab", "into": INTO, "groups": True}
    two = {"from": "OU=Board,DC=source,DC=lab", "into": "OU=Board,DC=target,DC=lab"}
    found = graph(lab(accounts=[one, two]))
    of = {
        key: {grant["of"] for grant in fields(found, key)["grants"]}
        for key in keys(found)
        if key.startswith("ad.access/target/OU")
    }
    assert ["group" in granted for granted in of.values()] == [True, False]


MEMBERSHIPS = "ad.memberships/source/migrated groups"


def test_memberships_come_last_and_what_failed_before_does_not_hold_them_up() -> None:
    users = {"from": "OU=Staff,DC=source,DC=lab", "into": INTO}
    groups = {"from": "OU=Teams,DC=source,DC=lab", "of": "groups", "into": INTO}
    found = graph(lab(accounts=[users, groups]))
    accounts = [key for key in keys(found) if key.startswith("ad.accounts/")]
    assert [need.key for need in found.needs[MEMBERSHIPS]] == accounts
    assert not any(need.must for need in found.needs[MEMBERSHIPS])
    assert keys(found)[-1] == MEMBERSHIPS
    of = fields(found, MEMBERSHIPS)
    assert (of["base"], of["target"], found[MEMBERSHIPS].during) == ("DC=source,DC=lab", "target", MIGRATING)
    laws(found)


@pytest.mark.parametrize(
    ("population", "said", "there"),
    [({"of": "groups"}, {}, True), ({"groups": True}, {}, True), ({}, {}, False), ({"of": "groups"}, {"memberships": False}, False)],
)  # fmt: skip
def test_memberships_are_fixed_where_groups_are_migrated(
    population: dict[str, Any], said: dict[str, Any], there: bool
) -> None:
    one = {"from": "OU=Staff,DC=source,DC=lab", "into": INTO, **population}
    assert (MEMBERSHIPS in keys(graph(lab(accounts=[one], **said)))) is there


def test_sid_history_is_removed_only_when_that_is_declared_and_everything_is_complete() -> None:
    removal = "ad.sid_history_removal/source/target"
    assert removal not in keys(graph(lab()))
    found = graph(lab(cleanup=["sid_history"]))
    assert found[removal].during == {"complete"}
    assert found[removal].approved == frozenset()
    assert fields(found, removal)["host"] == "admt"
    assert found.needs[removal] == ()
    assert not any(need.key == removal for key in keys(found) for need in found.needs[key]), "nothing waits for it"
    laws(found)


def test_key_file_in_the_root_of_a_drive_needs_no_directory() -> None:
    found = graph(lab(passwords=passwords(key_file=r"D:\source.pes")))
    assert not any(key.startswith("win.directory/") for key in keys(found))


def test_approvals_reach_every_resource() -> None:
    found = graph(lab(approvals=["disable-lsa-protection"]))
    made = [key for key in keys(found) if not found[key].barrier]
    assert all(found[key].approved == {"disable-lsa-protection"} for key in made)


def test_names_of_the_domains_are_the_authors() -> None:
    document = lab(source="old", target="new", operator={"account": r"NEW\migrator", "credential": "migrator"})
    document["domains"] = {"old": document["domains"]["source"], "new": document["domains"]["target"]}
    document["domains"]["old"]["netbios"] = "OLD"
    document["hosts"]["source-pdc"]["domain"], document["hosts"]["admt"]["domain"] = "old", "new"
    found = graph(document)
    assert "ad.trust/old/new" in keys(found)
    assert "ad.group/old/OLD$$$" in keys(found)
    assert not any("/source/" in key or "/target/" in key for key in keys(found))
    laws(found)


def test_every_resource_knows_where_in_the_file_it_comes_from() -> None:
    found = graph(lab())
    origins = {key: ".".join(map(str, found.declarations[key].origin)) for key in keys(found)}
    assert origins[TRUST] == "migration.trust"
    assert origins[EXPORT] == "migration.passwords"
    assert origins[KEY] == "migration.passwords.key_file"
    assert origins[RESTART] == "hosts.source-pdc"
    assert origins[ACCOUNTS] == "migration.accounts.0"
    assert all(origins.values())


@pytest.mark.parametrize(
    ("change", "origin", "says"),
    [
        ({"admt": {"installer": r"C:\a.exe", "arguments": ["{nothing}"]}}, ("migration", "admt"), "{nothing}"),
        ({"passwords": passwords(key_file=r"C:\PES\source.key")}, ("migration", "passwords", "key_file"), "pes.key"),
    ],
)
def test_what_a_kind_refuses_is_told_at_the_place_in_the_migration(
    change: dict[str, Any], origin: tuple[str | int, ...], says: str
) -> None:
    with pytest.raises(Misfit) as caught:
        graph(lab(**change))
    (problem,) = caught.value.problems
    assert problem[0] == origin
    assert says in problem[1]


@settings(deadline=None, max_examples=examples(60))
@given(
    trust=st.sampled_from([None, {"keep": True}, {"direction": "outbound"}]),
    audit=st.sampled_from([None, "account-management"]),
    sid_history=st.booleans(),
    rights=st.sampled_from(["least", "present"]),
    install=st.booleans(),
    exporting=st.sampled_from([None, "source-pdc", "pes"]),
    created_on=st.sampled_from([None, "admt", "source-pdc", "pes"]),
    populations=st.integers(0, 3),
)
def test_every_migration_obeys_the_laws(
    trust: dict[str, Any] | None, audit: str | None, sid_history: bool, rights: str, install: bool,
    exporting: str | None, created_on: str | None, populations: int,
) -> None:  # fmt: skip
    block = passwords(export_server=exporting, key_created_on=created_on, **({} if install else {"install": None}))
    document = lab(
        trust=trust,
        audit=audit,
        sid_history=sid_history,
        operator={"account": OPERATOR, "credential": "migrator", "rights": rights},
        passwords=block if exporting else None,
        accounts=[{"from": f"OU=O{n},DC=source,DC=lab", "into": INTO} for n in range(populations)],
    )
    document["hosts"]["pes"] = {"domain": "source", "address": "srcdc2.source.lab"}
    laws(graph(document))


def test_policies_of_the_migration_are_those_of_what_it_means() -> None:
    found = graph(lab(lease="8h", on_conflict="restore", on_drift="report"))
    resources = [declaration.resource for declaration in found.declarations.values()]
    assert {resource.on_conflict for resource in resources if not resource.barrier} == {"restore"}
    assert {resource.on_drift for resource in resources if not resource.barrier} == {"report"}
    leased = {resource.key for resource in resources if resource.lease == timedelta(hours=8)}
    assert leased == {resource.key for resource in resources if resource.weakens}
    assert leased


def test_only_the_group_that_admt_fills_itself_has_to_settle() -> None:
    settling = {key: one.resource.settle for key, one in graph(lab()).declarations.items() if one.resource.settle}
    assert settling == {"ad.group/source/SOURCE$$$": timedelta(minutes=2)}

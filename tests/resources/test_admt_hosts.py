"""Several hosts that run ADMT: each gets what the first one gets, and the accounts are dealt out over them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.query import Row, Rows
from reconciler.core.resource import Key
from reconciler.core.steps import RunTask, Step
from reconciler.core.values import Sid
from reconciler.resources.account_batches import host_of
from reconciler.resources.account_runs import note_files
from reconciler.resources.ad_accounts import Accounts
from reconciler.resources.admt_command import removed_by
from reconciler.resources.misfit import Found, Misfit
from tests.declared import graph, lab, passwords
from tests.resources.directory import settle
from tests.resources.test_ad_accounts import WANTED, answers, fact, source, target
from tests.resources.test_article import ACCOUNTS, EXPORT, LOCAL_ADMIN, laws
from tests.resources.test_resolve import problems

SIDS = st.integers(1000, 2**31).map(lambda rid: Sid(f"S-1-5-21-1-2-3-{rid}").to_bytes())
SEVERAL = WANTED.model_copy(
    update={"also_hosts": Accounts.model_validate({**WANTED.model_dump(exclude_unset=True), "also_hosts": [
        {"host": "admt2", "address": "tgtdc2.target.lab"}]}).also_hosts, "host_address": "tgtdc1.target.lab"}
)  # fmt: skip
MANY = tuple(source(f"user{number}", number) for number in range(2000, 2040))


def several(*hosts: dict[str, Any], sid_history: bool = False, **migration: Any) -> dict[str, Any]:
    """Return the example with further hosts, called admt2 and so on."""
    names = [f"admt{number}" for number in range(2, 2 + len(hosts))]
    document = lab(also_admt_hosts=names, sid_history=sid_history, **migration)
    for number, (name, host) in enumerate(zip(names, hosts, strict=True), start=2):
        document["hosts"][name] = {"domain": "target", "address": f"tgt{number}.target.lab", **host}
    return document


MEMBER, CONTROLLER = {"member_server": True}, {"member_server": False}


def test_each_host_gets_what_a_run_needs_and_accounts_wait_for_all_of_it() -> None:
    found = graph(several(MEMBER, CONTROLLER))
    for host in ("admt2", "admt3"):
        needed: list[Key] = [
            f"win.software/{host}/Active Directory Migration Tool",
            f"pes.key_import/{host}/source",
            rf"win.file/{host}/C:\PES\source.pes",
            rf"win.directory/{host}/C:\PES",
        ]
        assert set(needed) <= found.required(ACCOUNTS)
        assert rf"win.file/{host}/C:\PES\source.pes" in found.required(f"pes.key_import/{host}/source")
        assert f"pes.key_import/{host}/source" in found.required(EXPORT), "passwords come out last"
        assert found[f"pes.key_import/{host}/source"].created_on == "admt"  # type: ignore[attr-defined]
    laws(found)


def test_administrators_of_a_controller_are_a_group_of_its_whole_domain() -> None:
    found = graph(several(MEMBER, CONTROLLER))
    assert {LOCAL_ADMIN, LOCAL_ADMIN.replace("/admt/", "/admt2/")} <= found.required(ACCOUNTS)
    assert LOCAL_ADMIN.replace("/admt/", "/admt3/") not in found.declarations


def settings_of(document: dict[str, Any]) -> set[str]:
    """Return the hosts with an audit policy, and those where anonymous users get in."""
    found = [key.split("/") for key in graph(document).declarations]
    return {
        f"{kind} {host}"
        for kind, host, *rest in found
        if kind == "win.audit_policy" or rest[-1:] == ["RestrictAnonymous"]
    }


def test_without_sids_all_hosts_write_to_one_controller() -> None:
    document = several(MEMBER, CONTROLLER)
    accounts = graph(document)[ACCOUNTS]
    assert isinstance(accounts, Accounts)
    assert accounts.hosts == ("admt", "admt2", "admt3")
    assert accounts.host_address == "tgtdc1.target.lab"
    assert {one.address for one in accounts.also_hosts} == {"tgtdc1.target.lab"}
    assert settings_of(document) == {"win.audit_policy source-pdc", "win.audit_policy admt", "win.registry admt"}


def test_with_sids_each_writes_to_itself_and_is_set_up_for_that() -> None:
    document = several(CONTROLLER, sid_history=True)
    accounts = graph(document)[ACCOUNTS]
    assert isinstance(accounts, Accounts)
    assert [one.address for one in accounts.also_hosts] == ["tgt2.target.lab"]
    assert {"win.audit_policy admt2", "win.registry admt2"} <= settings_of(document)


def test_a_member_server_in_the_first_place_writes_to_the_controller_beside_it() -> None:
    document = several(CONTROLLER)
    document["hosts"]["admt"]["member_server"] = True
    accounts = graph(document)[ACCOUNTS]
    assert isinstance(accounts, Accounts)
    assert (accounts.host_address, accounts.also_hosts[0].address) == ("tgt2.target.lab", "tgt2.target.lab")
    assert {LOCAL_ADMIN, LOCAL_ADMIN.replace("/admt/", "/admt2/")} <= graph(document).required(ACCOUNTS)
    assert "win.registry admt2" in settings_of(document)


def test_key_made_on_a_further_host_is_imported_on_the_others() -> None:
    found = graph(several(MEMBER, passwords=passwords(key_created_on="admt2")))
    assert [key for key in found.declarations if key.startswith("win.software/admt2/")] != []
    assert "pes.key/admt2/source" in found.required("pes.key_import/admt/source")
    assert found["pes.key_import/admt/source"].created_on == "admt2"  # type: ignore[attr-defined]
    laws(found)


def test_groups_that_come_along_go_through_one_database() -> None:
    block = lab()["migration"]["accounts"][0]
    accounts = graph(several(MEMBER, accounts=[{**block, "groups": True}]))[ACCOUNTS]
    assert isinstance(accounts, Accounts)
    assert accounts.hosts == ("admt",)


FURTHER: Found = ("migration", "also_admt_hosts", 0)


@pytest.mark.parametrize(
    ("document", "origin", "says"),
    [
        (several(MEMBER, sid_history=True), FURTHER, "migrates SIDs only on a controller"),
        (several({"domain": "source"}), FURTHER, "is not in the target domain"),
        (lab(also_admt_hosts=["admt"]), FURTHER, "runs ADMT already"),
        (lab(also_admt_hosts=["nowhere"]), FURTHER, "no host is called 'nowhere'"),
        (
            several(MEMBER, memberships=False, accounts=[{"of": "groups", "into": "OU=Migrated,DC=target,DC=lab"}]),
            ("migration", "memberships"),
            "several ADMT hosts migrate groups",
        ),
    ],
    ids=["member server", "other domain", "twice", "unknown", "memberships"],
)
def test_what_cannot_work_is_told_at_its_place(document: dict[str, Any], origin: Found, says: str) -> None:
    assert says in problems(document)[origin][0]


def test_the_first_host_has_to_be_a_controller_for_sids_too() -> None:
    document = lab()
    document["hosts"]["admt"]["member_server"] = True
    assert "only on a controller" in problems(document)["migration", "admt_host"][0]


def test_an_unknown_host_of_accounts_that_are_declared_directly_is_told() -> None:
    one = {
        **WANTED.model_dump(mode="json", exclude_unset=True),
        "kind": "ad.accounts",
        "also_hosts": [{"host": "nowhere"}],
    }
    one |= {"credential": "migrator"}
    with pytest.raises(Misfit) as caught:
        graph(lab(resources=[one]))
    assert ("resources", 0, "also_hosts", 0, "host") in [origin for origin, _, _ in caught.value.problems]


@given(st.sets(SIDS, min_size=200, max_size=200), st.integers(2, 4))
def test_accounts_are_dealt_out_about_evenly_and_always_alike(sids: set[bytes], count: int) -> None:
    hosts = [f"admt{number}" for number in range(count)]
    dealt = [host_of(sid, hosts) for sid in sids]
    assert all(dealt.count(host) > 200 / count / 3 for host in hosts)
    assert dealt == [host_of(sid, hosts) for sid in sids]
    assert {host_of(sid, hosts[:1]) for sid in sids} == {"admt0"}


def runs(steps: Sequence[Step]) -> dict[str, list[Step]]:
    """Return the runs of ADMT by the host on which they go."""
    found: dict[str, list[Step]] = {}
    for step in steps:
        if isinstance(step.effect, RunTask):
            found.setdefault(step.effect.host, []).append(step)
    return found


def test_each_host_runs_its_own_part_in_a_lane_of_its_own() -> None:
    _, steps = settle(SEVERAL.model_copy(update={"batch": 5}), *answers(MANY, ()))
    found = runs(steps)
    names = {host: [note.value["sam"] for run in on for note in run.notes] for host, on in found.items()}
    assert set(names) == {"admt", "admt2"}
    assert sorted(name for part in names.values() for name in part) == sorted(f"user{n}" for n in range(2000, 2040))
    assert all(getattr(step.effect, "host", None) == step.lane for step in steps)
    assert all("/TDC:tgtdc1.target.lab" in str(run.effect) for run in found["admt"])
    assert all("/TDC:tgtdc2.target.lab" in str(run.effect) for run in found["admt2"])
    assert len({step.effect.name for on in found.values() for step in on if isinstance(step.effect, RunTask)}) == 2


def test_one_host_needs_no_lane() -> None:
    _, steps = settle(WANTED, *answers(MANY, ()))
    assert {step.lane for step in steps} == {""}


def test_an_account_that_failed_is_tried_again_on_the_same_host() -> None:
    _, first = settle(SEVERAL, *answers(MANY, ()))
    before = {note.value["sam"]: host for host, on in runs(first).items() for run in on for note in run.notes}
    facts = tuple(fact(number, "attempted", batch=20) for number in range(2000, 2040))
    _, again = settle(SEVERAL, *answers(MANY, (), facts))
    after = {note.value["sam"]: host for host, on in runs(again).items() for run in on for note in run.notes}
    assert after == before
    assert max(len(run.notes) for on in runs(again).values() for run in on) == 10, "halved"


def test_repairs_wait_for_the_runs_of_all_hosts() -> None:
    there = target("done", 3000, history=1900, pwd_last_set=0)
    _, steps = settle(SEVERAL, *answers((source("done", 1900), *MANY), (there,), (fact(1900, "copied", source_set=1),)))
    assert steps[-1].lane == ""
    assert {step.lane for step in steps[:-1]} == {"admt", "admt2"}


def left_on(*hosts: str, paths: Sequence[str]) -> Rows:
    rows: list[Row] = []
    for host, path in zip(hosts, paths, strict=True):
        rows += ({"key": note.key, "value": note.value} for note in note_files(SEVERAL.key, "source", host, [path]))
    return tuple(rows)


def test_files_of_a_run_have_other_names_on_another_host_and_are_noted_with_it() -> None:
    _, steps = settle(SEVERAL, *answers(MANY, ()))
    noted = [note.value for step in steps for note in step.notes if "path" in note.value]
    removed = {path: step.effect.host for step in steps if (path := removed_by(step))}  # type: ignore[union-attr]
    assert {str(note["path"]): note["host"] for note in noted} == removed
    assert sorted(removed.values()) == ["admt", "admt", "admt2", "admt2"]


def test_what_was_left_is_removed_where_it_was_left() -> None:
    facts = left_on("admt", "admt2", "gone", paths=[r"C:\a.csv", r"C:\b.csv", r"C:\c.csv"])
    observed = SEVERAL.parse(*answers((), (), facts))
    assert observed.left_behind == (r"C:\a.csv on admt", r"C:\b.csv on admt2")
    _, steps = settle(SEVERAL, *answers((), (), facts))
    assert [(step.effect.host, removed_by(step)) for step in steps] == [("admt", r"C:\a.csv"), ("admt2", r"C:\b.csv")]  # type: ignore[union-attr]


def test_what_a_run_says_is_kept_for_the_host_on_which_it_went() -> None:
    _, steps = settle(SEVERAL, *answers(MANY, ()))
    (first,), (second,) = runs(steps).values()
    text = "Unable to establish a session. They do not have the same encryption key for the source domain SOURCE."
    bad = ({"exit_code": 1}, {"line": f"2026-01-01 10:00:00 ERR2:7557 {text}"})
    good = ({"exit_code": 0}, {"line": "2026-01-01 10:00:09 Operation completed."})
    told = {**SEVERAL.learns(second, bad), **SEVERAL.learns(first, good)}
    assert told["pes.mismatch/admt2/source"] == {"message": text, "at": "2026-01-01 10:00:00"}
    assert "pes.mismatch/admt/source" not in told
    assert told[f"error/{SEVERAL.key}"] == {"text": ""}, "what went well on one host clears nothing of another"
    assert text in told[f"error/{SEVERAL.key} on admt2"]["text"]

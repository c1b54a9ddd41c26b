"""Phase complete: every temporary setting is what it was before, also where it was awkward before."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.by_hand import KEY_FILE, PRE_WINDOWS_2000
from tests.e2e.lab import EVERYBODY, FEW, ONLY_FEW, Lab, Ran
from tests.e2e.picture import picture
from tests.e2e.windows import Windows

pytestmark = pytest.mark.lab

USER_ACCOUNTS, COMPUTER_ACCOUNTS, SECURITY_GROUPS = (
    f"{{0CCE923{number}-69AE-11D9-BED3-505054503030}}" for number in (5, 6, 7)
)


def make_it_awkward(lab: Lab) -> None:
    """Have somebody change half of what a migration changes, before it was ever heard of."""
    with lab.windows("source") as windows:
        windows.set_value("AllowPasswordExport", "REG_DWORD", "0")
        windows.set_value("TcpipClientSupport", "REG_DWORD", "1")
        audit(windows, USER_ACCOUNTS, success="enable", failure="disable")
        audit(windows, COMPUTER_ACCOUNTS, success="disable", failure="disable")
        audit(windows, SECURITY_GROUPS, success="disable", failure="enable")
        trust_by_hand(lab, windows)
        windows.run("Add-LocalGroupMember", SID="S-1-5-32-544", Member="TARGET\\migrator")
        windows.run("New-Item", Path=r"C:\PES", ItemType="Directory")
        windows.run("Set-Content", LiteralPath=r"C:\PES\notes.txt", Value="not ours")
    with lab.windows("target") as windows:
        windows.set_value("RestrictAnonymous", "REG_DWORD", "2")
        audit(windows, USER_ACCOUNTS, success="enable", failure="enable")
    lab.target.change(PRE_WINDOWS_2000, "add", "member", "<SID=S-1-1-0>")
    lab.restart("source")


def audit(windows: Windows, subcategory: str, *, success: str, failure: str) -> None:
    """Set one audit subcategory."""
    arguments = (f"/subcategory:{subcategory}", f"/success:{success}", f"/failure:{failure}")
    windows.done("auditpol.exe", "/set", *arguments)


def trust_by_hand(lab: Lab, windows: Windows) -> None:
    """Make an external trust; it is quarantined, as every new one."""
    credential = ("/userd:TARGET\\Administrator", f"/passwordd:{lab.secret('target-admin')}")
    windows.done("netdom.exe", "trust", "source.lab", "/domain:target.lab", "/add", "/twoway", *credential)


@pytest.fixture(scope="module")
def before(lab: Lab) -> dict[str, Any]:
    """What it was like before the first apply."""
    make_it_awkward(lab)
    return picture(lab)


@pytest.fixture(scope="module")
def prepared(lab: Lab, before: dict[str, Any]) -> dict[str, Any]:
    """What it is like when everything is prepared."""
    done = lab.apply(lab.state("prepare", (EVERYBODY, ONLY_FEW)))
    assert done.code == 0, done
    return picture(lab)


@pytest.fixture(scope="module")
def completed(lab: Lab, prepared: dict[str, Any]) -> tuple[dict[str, Any], Ran]:
    """What it was like in between, and how going back ended."""
    done = lab.apply(lab.state("migrate", (EVERYBODY, ONLY_FEW)))
    assert done.code == 0, done
    between = picture(lab)
    return between, lab.apply(lab.state("complete", (EVERYBODY, ONLY_FEW)))


@pytest.fixture(scope="module")
def after(lab: Lab, completed: Any) -> dict[str, Any]:
    """What it is like when the migration is complete."""
    return picture(lab)


def test_prepare_opens_nothing_through_which_passwords_could_leave(
    lab: Lab, before: dict[str, Any], prepared: dict[str, Any]
) -> None:
    with lab.windows("source") as windows:
        services = [one.adapted_properties for one in windows.run("Get-CimInstance", ClassName="Win32_Service")]
        assert windows.value("AllowPasswordExport") == ("REG_DWORD", "0x0")
    assert [str(one["State"]) for one in services if one["Name"] == "PesSvc"] == ["Stopped"]
    assert prepared["target host, settings"] == before["target host, settings"]
    assert (
        prepared["target directory, members"][PRE_WINDOWS_2000] == before["target directory, members"][PRE_WINDOWS_2000]
    )


def test_prepare_moves_nobody_and_then_finds_no_drift(lab: Lab, prepared: dict[str, Any]) -> None:
    assert lab.target.search("OU=Migrated,DC=target,DC=lab", "(objectClass=user)", "1.1") == []
    ran = lab.drift(lab.state("prepare", (EVERYBODY, ONLY_FEW)))
    assert (ran.code, ran.keys) == (0, set())


def test_complete_ends_well(completed: tuple[dict[str, Any], Ran]) -> None:
    _, ran = completed
    assert ran.code == 0, str(ran)


@pytest.mark.parametrize(
    "what",
    [
        "source host, settings",
        "target host, settings",
        "source host, software",
        "target host, software",
        "source host, audit",
        "target host, audit",
        "source host, services",
        "target host, services",
        r"source host, files below C:\PES",
        r"target host, files below C:\PES",
        r"source host, files below C:\Program Files",
        r"target host, files below C:\Windows\System32\Tasks",
        "source directory, members",
        "target directory, members",
        "source directory, trusts",
        "target directory, trusts",
        "source directory, entries",
        "target directory, entries",
        "target directory, rights on the domain",
        "rights on the OU",
    ],
)
def test_what_was_there_before_is_there_again(before: dict[str, Any], after: dict[str, Any], what: str) -> None:
    assert after[what] == before[what]


def test_the_picture_is_not_blind(
    before: dict[str, Any], completed: tuple[dict[str, Any], Ran], after: dict[str, Any]
) -> None:
    between, _ = completed
    untouched = {what for what in before if before[what] == between[what]}
    assert {"source host, settings", "source host, audit", "target directory, members", "rights on the OU",
            "source directory, trusts", "source host, services"} & untouched == set()  # fmt: skip
    assert {what: after[what] for what in before} == before


def test_the_key_file_is_gone_from_both_hosts(lab: Lab, completed: Any) -> None:
    for role in ("source", "target"):
        with lab.windows(role) as windows:
            assert not windows.exists(KEY_FILE)


def test_the_settings_are_effective_again_and_not_only_written(lab: Lab, completed: Any) -> None:
    sent = [command["command"] for command in lab.commands("source")]
    restarts = [place for place, name in enumerate(sent) if name == "Restart-Computer"]
    removals = [place for place, command in enumerate(lab.commands("source")) if "AllowPasswordExport" in
                json.dumps(command["parameters"]) and command["command"].startswith(("New-", "Set-", "Remove-"))]  # fmt: skip
    assert restarts
    assert removals
    assert restarts[-1] > removals[-1]


def test_the_users_still_log_on_with_their_history(lab: Lab, completed: Any) -> None:
    assert lab.not_migrated(*FEW) == {}


def test_drift_finds_none(lab: Lab, completed: Any) -> None:
    ran = lab.drift(lab.state("complete", (EVERYBODY, ONLY_FEW)))
    assert ran.code == 0, str(ran)
    assert ran.keys == set()


def test_nothing_is_open_and_each_exposure_has_a_length(lab: Lab, completed: Any) -> None:
    ran = lab.reconcile("status", lab.state("complete"), "--output", "json")
    assert ran.code == 0, str(ran)
    status = json.loads(ran.out)
    assert status["open"] == []
    weakened = [one for one in status["closed"] if one["weakens"] and one["changed_at"]]
    assert weakened
    assert all(one["live_seconds"] > 0 for one in weakened)


def test_complete_again_changes_nothing(lab: Lab, after: dict[str, Any]) -> None:
    usn = lab.source.usn(), lab.target.usn()
    ran = lab.apply(lab.state("complete", (EVERYBODY, ONLY_FEW)))
    assert ran.code == 0, str(ran)
    assert (lab.source.usn(), lab.target.usn()) == usn

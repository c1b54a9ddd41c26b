"""Never restarted: the program dies, nobody starts it again, and the hosts close by themselves what it had opened."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from reconciler.lab.forest.control import ask
from tests.e2e.lab import ROLES, Lab, Role
from tests.e2e.windows import LSA, Windows
from tests.lab.starts import starts
from tests.worker import address

pytestmark = pytest.mark.lab

ACCOUNTS = (
    "accounts:\n    - {from: 'OU=Staff,DC=source,DC=lab', filter: (objectClass=user), into: 'OU=Migrated,DC=target,DC=lab'}",
    "accounts: []",
)
SESSIONS_KEPT = 12
APPROVED = ("  sid_history: true", "  sid_history: true\n  approvals: [disable-lsa-protection]")
READS = {
    "Export-ScheduledTask", "Get-ChildItem", "Get-CimInstance", "Get-FileHash", "Get-Item", "Get-ItemProperty", "Get-LocalGroupMember",
    "Get-Variable", "Select-Object", "Select-String", "Test-Path", "auditpol.exe", "nltest.exe", "reg.exe",
}  # fmt: skip
Picture = dict[str, object]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A small lab of this module alone: its clock is turned."""
    directory = Path(tempfile.mkdtemp(prefix="rl-dm-"))
    lab = Lab(directory, tmp_path_factory.mktemp("states"), address(65, 1), address(65, 2))
    try:
        lab.up(6)
        yield lab
    finally:
        lab.down()
        shutil.rmtree(directory, ignore_errors=True)


def opened(lab: Lab) -> Picture:
    """Return how the dangerous settings stand, and which tasks are there, as an administrator sees it."""
    found: Picture = {}
    for role in ROLES:
        with lab.windows(role) as windows:
            tasks = [str(task.adapted_properties["TaskName"]) for task in windows.run("Get-ScheduledTask")]
            found[f"{role} tasks"] = len([name for name in tasks if name.startswith("Reconcile-DeadMan-")])
            if role == "source":
                found["AllowPasswordExport"] = windows.value("AllowPasswordExport")
                found["PesSvc"] = _state(windows)
                found["RunAsPPL"] = windows.value("RunAsPPL")
            else:
                found["RestrictAnonymous"] = windows.value("RestrictAnonymous")
    return found


def _state(windows: Windows) -> str:
    finished = windows.program("sc.exe", "query", "PesSvc")
    return next((line.split()[-1] for line in finished.text.splitlines() if "STATE" in line), "not there")


def forward(lab: Lab, hours: int) -> None:
    """Let time pass on the hosts; no program of ours runs."""
    ask(Path(lab.document["control_socket"]), "advance-clock", {"host": "all", "seconds": hours * 3600})


def restart_hosts(lab: Lab) -> None:
    """Rid the hosts of the sessions of the dead, which they keep for a minute and of which they allow 30."""
    for role in ROLES:
        lab.restart(role)


def written(lab: Lab, since: dict[Role, int]) -> list[str]:
    """Return the commands since then that are no reads."""
    return [
        one["command"]
        for role in ROLES
        for one in lab.commands(role)[since[role] :]
        if one["command"] not in READS or "/set" in str(one["parameters"])
    ]


def test_killed_after_any_effect_what_is_dangerous_comes_back(
    lab: Lab, record_testsuite_property: Callable[..., None]
) -> None:
    """Every effect of the run is once the last one. What is not dangerous stays, so that the next start goes on from there.

    What the hosts put back has to be done again: after an effect that was the last one before, a start may do one more.
    """
    with lab.windows("target") as windows:
        windows.set_value("RestrictAnonymous", "REG_DWORD", "2")
    with lab.windows("source") as windows:
        windows.set_value("RunAsPPL", "REG_DWORD", "1")
    lab.restart("source")
    since = {role: len(lab.commands(role)) for role in ROLES}
    migrate = lab.state("migrate", ACCOUNTS, APPROVED)
    done, last, most = lab.work / "done", list[str](), 1
    with starts(lab.work / "said.log") as program:
        while (ended := program.run("apply", migrate, effects=most)).killed:
            effect = done.read_text(encoding="utf-8").splitlines()[-1]
            most += effect in last
            last.append(effect)
            forward(lab, 9)
            if len(last) % SESSIONS_KEPT == 0:
                restart_hosts(lab)
            now = opened(lab)
            assert now["AllowPasswordExport"] is None, effect
            assert now["RunAsPPL"] == ("REG_DWORD", "0x1"), effect
            assert now["RestrictAnonymous"] == ("REG_DWORD", "0x2"), effect
            assert now["PesSvc"] in ("STOPPED", "not there"), effect
    assert ended.code == 0, (lab.work / "said.log").read_text(encoding="utf-8")[-3000:]
    dangerous = {effect for effect in last if effect.startswith("! ")}
    text = f"{len(last)} starts died, after {len(set(last))} different effects, {len(dangerous)} of them dangerous"
    sys.stdout.write(text + "\n")
    record_testsuite_property("never restarted", text)
    assert set(done.read_text(encoding="utf-8").splitlines()) == set(last)  # every effect was the last one once
    assert written(lab, since).count("Start-Service") >= 2


def test_only_what_is_pushed_forward_stays_open_and_complete_leaves_no_task(lab: Lab) -> None:
    lab.reset()
    migrate, complete = (lab.state(phase, ACCOUNTS, name=phase) for phase in ("migrate", "complete"))
    done = lab.apply(migrate)
    assert done.code == 0, done
    live = opened(lab)
    assert (live["AllowPasswordExport"], live["PesSvc"]) == (("REG_DWORD", "0x1"), "RUNNING")
    assert live["source tasks"] == 2

    since = {role: len(lab.commands(role)) for role in ROLES}
    again = lab.apply(migrate)
    assert again.code == 0, again
    assert written(lab, since) == []

    forward(lab, 7)
    again = lab.apply(migrate)
    assert again.code == 0, again
    assert set(written(lab, since)) == {"Register-ScheduledTask"}
    forward(lab, 7)
    assert opened(lab) == live

    done = lab.apply(complete)
    assert done.code == 0, done
    now = opened(lab)
    assert (now["AllowPasswordExport"], now["PesSvc"]) == (None, "not there")
    assert (now["source tasks"], now["target tasks"]) == (0, 0)


def test_value_that_was_zero_is_zero_again(lab: Lab) -> None:
    with lab.windows("source") as windows:
        windows.set_value("AllowPasswordExport", "REG_DWORD", "0")
    document = yaml.safe_load(lab.state().read_text(encoding="utf-8"))
    del document["migration"]
    document["metadata"] = {"name": "alone"}
    document["resources"] = [
        {"kind": "win.registry", "host": "source-pdc", "path": LSA.replace("HKLM", "HKLM:"), "name": "AllowPasswordExport",
         "type": "DWord", "value": 1, "during": ["migrate"], "dead_mans_switch": "15m"},
    ]  # fmt: skip
    path = lab.work / "alone.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    assert lab.apply(path).code == 0
    assert opened(lab)["AllowPasswordExport"] == ("REG_DWORD", "0x1")
    ran = lab.reconcile("lab", "clock", "--forward", "16m", "--host", "source", "--dir", lab.directory)
    assert "1 scheduled tasks became due" in ran.err, str(ran)
    assert opened(lab)["AllowPasswordExport"] == ("REG_DWORD", "0x0")

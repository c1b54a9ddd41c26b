"""One writer: a program that sleeps past its lease wakes, and what it sends late is refused by the other side."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.lab import ROLES, Lab, Ran, Role
from tests.lab.judge import small_lab
from tests.lab.paused import CHANGES
from tests.worker import address

pytestmark = pytest.mark.lab

ROOT = Path(__file__).parents[2]
CYCLES = 50
PHASES = ("migrate", "complete")
LSA = "HKLM:\\SYSTEM\\CurrentControlSet\\Control\\Lsa"
OURS = "HKLM:\\SOFTWARE\\Reconcile"
RESOURCES: list[dict[str, Any]] = [
    {"kind": "win.registry", "host": "source-pdc", "path": LSA, "name": "AllowPasswordExport", "type": "DWord", "value": 1},
    {"kind": "win.registry", "host": "source-pdc", "path": LSA, "name": "LateWriter", "type": "String", "value": "here"},
    {"kind": "win.audit_policy", "host": "source-pdc", "settings": {"0cce9235-69ae-11d9-bed3-505054503030": "both"}},
    {"kind": "win.registry", "host": "admt", "path": LSA, "name": "LateWriter", "type": "String", "value": "here"},
    {"kind": "ad.group", "domain": "source", "name": "Late Writers", "members": []},
    {"kind": "ad.group_member", "domain": "target", "group": "S-1-5-32-554", "member": "TARGET\\migrator"},
    {"kind": "ad.group_member", "domain": "target", "group": "S-1-5-32-551", "member": "TARGET\\migrator"},
]  # fmt: skip


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A small lab of this module alone."""
    with small_lab(tmp_path_factory.mktemp("states"), address(67, 1), address(67, 2)) as found:
        yield found


@pytest.fixture(scope="module")
def states(lab: Lab) -> dict[str, Path]:
    """The same few settings, wanted in one phase and taken back in the other."""
    found = {}
    for phase in PHASES:
        document = yaml.safe_load(lab.state().read_text(encoding="utf-8"))
        del document["migration"]
        document |= {"metadata": {"name": "two-writers"}, "phase": phase}
        document["resources"] = [{**one, "during": ["migrate"]} for one in RESOURCES]
        found[phase] = lab.work / f"{phase}.yaml"
        found[phase].write_text(yaml.safe_dump(document), encoding="utf-8")
    return found


@dataclass
class Paused:
    """A program of ours, stopped in the middle of a change or already ended."""

    child: subprocess.Popen[str]
    stopped: bool

    def wake(self) -> Ran:
        """Let it go on; return how it ended."""
        self.child.send_signal(signal.SIGCONT)
        out, err = self.child.communicate(timeout=120)
        return Ran(self.child.returncode, out, err)


def paused(state: Path, at: int) -> Paused:
    """Start an apply that stops itself right before it sends its n-th change; return once it has stopped or ended."""
    command = [sys.executable, "-m", "tests.lab.paused", str(at), "apply", str(state)]
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    status = os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
    assert status is not None
    return Paused(child, status.si_code == os.CLD_STOPPED)


def lock_of(lab: Lab) -> Path:
    return lab.directory / "journal" / "two-writers.db.lock"


def age(lab: Lab) -> None:
    """Make the last sign of life of the writer an hour old, as if that time had passed."""
    then = time.time() - 3600
    os.utime(lock_of(lab), (then, then))


def world(lab: Lab) -> dict[str, Any]:
    """What hosts and directories hold, as they themselves say it."""
    found: dict[str, Any] = {}
    for role in ROLES:
        directory = lab.source if role == "source" else lab.target
        entries = directory.search(directory.base_dn, "(objectClass=group)", "member")
        found[f"{role} groups"] = {one["dn"][0]: sorted(one.get("member", [])) for one in entries}
        with lab.windows(role) as windows:
            found[f"{role} Lsa"] = windows.done("reg.exe", "query", "HKLM\\SYSTEM\\CurrentControlSet\\Control\\Lsa")
            found[f"{role} audit"] = windows.audit()
            found[f"{role} fence"] = windows.program("reg.exe", "query", "HKLM\\SOFTWARE\\Reconcile", "/s").text
    return found


def carried_out(lab: Lab, since: dict[Role, int]) -> list[str]:
    """Return the changes that hosts have carried out since, but for those of the number of a writer."""
    return [
        f"{role}: {one}"
        for role in ROLES
        for one in lab.commands(role)[since[role] :]
        if one["outcome"] == "ok" and (one["command"].startswith(CHANGES) or "/set" in str(one["parameters"]))
        and "Reconcile" not in str(one["parameters"])
    ]  # fmt: skip


def usns(lab: Lab) -> dict[Role, int]:
    return {role: (lab.source if role == "source" else lab.target).usn() for role in ROLES}


def test_fifty_times_the_late_write_of_a_paused_writer_is_refused(lab: Lab, states: dict[str, Path]) -> None:
    at, cycles, lived = dict.fromkeys(PHASES, 0), 0, 0
    while cycles < CYCLES:
        phase = PHASES[(cycles + lived) % 2]
        at[phase] += 1
        first = paused(states[phase], at[phase])
        if not first.stopped:  # it had fewer changes to make
            ended = first.wake()
            assert ended.code == 0, ended
            at[phase], lived = 0, lived + 1
            continue
        cycles += 1
        age(lab)
        second = lab.apply(states[phase])
        assert second.code == 0, second
        assert "taking over, for no sign of life since" in second.err, second
        assert str(first.child.pid) in second.err, second
        before, numbers = world(lab), usns(lab)
        since = {role: len(lab.commands(role)) for role in ROLES}
        ended = first.wake()
        assert ended.code != 0, (phase, at, ended)
        assert carried_out(lab, since) == [], (phase, at, ended)
        assert usns(lab) == numbers, (phase, at, ended)
        assert world(lab) == before, (phase, at, ended)
        drift = lab.drift(states[phase])
        assert drift.code == 0, (phase, at, drift)
    assert lived > 1  # every place in both phases had its turn

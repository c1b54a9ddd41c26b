"""How a lab that was disturbed is judged: against a run that nobody disturbed, and with other tools than the program's."""

from __future__ import annotations

import json
import time
from collections import Counter
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from pypsrp.exceptions import WinRMError

from tests.e2e.lab import ROLES, Lab, Role, lab_of_its_own
from tests.e2e.picture import picture
from tests.e2e.windows import CommandFailed
from tests.lab.starts import Starts

USERS = 4
SERVES_WITHIN_S = 120.0
ONCE = {
    "netdom.exe", "admt.exe", "Start-Process", "New-Item", "Remove-Item", "Start-Service", "Stop-Service", "Restart-Computer",
    "Add-LocalGroupMember", "Remove-LocalGroupMember",
}  # fmt: skip
"""Commands that must take effect no more often than in a run that nobody disturbs."""
AGAIN = "reconcile-"
"""Part of the names of files and tasks of a run of ADMT, which is made again where nobody knows how it ended."""

FENCE = r"SOFTWARE\\Reconcile"
"""In JSON, the key of the writer's number: it is made by each run that finds none, and goes when nothing is open."""


def journal(lab: Lab) -> Path:
    return lab.directory / "journal" / "source-to-target.db"


def audit_log(lab: Lab) -> Path:
    return lab.directory / "journal" / "source-to-target.audit.jsonl"


def records(lab: Lab) -> list[dict[str, Any]]:
    """Return what the audit log holds; a line that was cut short is none."""
    lines = audit_log(lab).read_bytes().splitlines() if audit_log(lab).exists() else []
    found = []
    for line in lines:
        with suppress(ValueError):
            found.append(json.loads(line))
    return found


def wait_until_served(lab: Lab) -> None:
    """Wait until both hosts and both directories answer, and no restart is to come that was ordered before."""
    deadline = time.monotonic() + SERVES_WITHIN_S
    while True:
        try:
            lab.source.usn(), lab.target.usn()
            if all(booted(lab, role) >= restarted(lab, role) for role in ROLES):
                return
        except (CommandFailed, WinRMError, OSError, AssertionError):  # requests' errors are OSErrors
            if time.monotonic() > deadline:
                raise
        assert time.monotonic() < deadline
        time.sleep(0.1)


def booted(lab: Lab, role: Role) -> datetime:
    """Return when a host was started."""
    with lab.windows(role) as windows:
        (system,) = windows.run("Get-CimInstance", ClassName="Win32_OperatingSystem")
        return datetime.fromisoformat(str(system.adapted_properties["LastBootUpTime"]))


def restarted(lab: Lab, role: Role) -> datetime:
    """Return when somebody last ordered its restart, which does not come at once."""
    orders = [
        one["time"] for one in lab.commands(role) if one["command"] == "Restart-Computer" and one["outcome"] == "ok"
    ]
    return datetime.fromisoformat(orders[-1]) if orders else datetime.min.replace(tzinfo=UTC)


def took_effect(lab: Lab) -> Counter[str]:
    """Count what took effect on the hosts, of what must not do so twice."""
    found: Counter[str] = Counter()
    for role in ROLES:
        for one in lab.commands(role):
            shown = json.dumps(one["parameters"])
            if one["command"] in ONCE and one["outcome"] == "ok" and AGAIN not in shown and FENCE not in shown:
                found[f"{role}: {one['command']} {shown}"] += 1
    return found


def accounts(lab: Lab) -> dict[str, list[str]]:
    """Return for each SID of the source every object of the target that has it in its history."""
    found: dict[str, list[str]] = {}
    for entry in lab.target.search(lab.target.base_dn, "(sIDHistory=*)", "sIDHistory"):
        for sid in entry["sIDHistory"]:
            found.setdefault(sid.hex(), []).append(entry["dn"][0].decode())
    return found


@dataclass(frozen=True)
class Model:
    """What nobody disturbed: what it was like at first and when everything was open, what took effect, how long it took."""

    pristine: dict[str, Any]
    opened: dict[str, Any]
    effects: Counter[str]
    migrate_s: float
    back_s: float

    @classmethod
    def of(cls, lab: Lab, program: Starts) -> Self:
        """Run everything once."""
        pristine = picture(lab)
        migrated = program.run("apply", lab.state("migrate"))
        opened = picture(lab)
        completed = program.run("apply", lab.state("complete", name="complete"))
        assert (migrated.code, completed.code) == (0, 0), program.log.read_text(encoding="utf-8")
        assert picture(lab) == pristine
        return cls(pristine, opened, took_effect(lab), migrated.seconds, completed.seconds)


def small_lab(work: Path, source: str, target: str) -> AbstractContextManager[Lab]:
    """Run a lab of a few accounts for one module alone."""
    return lab_of_its_own(work, source, target, USERS)


def live(lab: Lab, program: Starts, *arguments: str | Path) -> None:
    """Run the program undisturbed, as soon as the hosts are up that a dead one may have restarted."""
    wait_until_served(lab)
    place = program.log.stat().st_size if program.log.exists() else 0
    ended = program.run(*arguments)
    assert ended.code == 0, f"{arguments} ended with {ended.code}\n{program.log.read_bytes()[place:].decode()}"


def judge_opened(lab: Lab, model: Model) -> None:
    """Look at what is there when everything is migrated. A trust that was made again has another GUID."""
    other = {what: found for what, found in differing(model.opened, picture(lab)).items() if "trusts" not in what}
    assert not other, f"not as in the run that nobody disturbed: {other}"
    assert lab.not_migrated() == {}, lab.not_migrated()


def differing(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    return {
        what: (one.get(what), other.get(what)) for what in one.keys() | other.keys() if one.get(what) != other.get(what)
    }


def judge_restored(lab: Lab, model: Model, again: str = "") -> None:
    """Look at what is left, with other tools than the program's, and at what the program says of it.

    Args:
        again: A command that may have taken effect once more, because what it did was undone by what happened.
    """
    left = differing(model.pristine, picture(lab))
    assert not left, f"not as it was: {left}"
    twice = {shown for shown in took_effect(lab) - model.effects if not again or again not in shown}
    assert not twice, f"took effect too often: {twice}"
    assert lab.not_migrated() == {}, lab.not_migrated()
    found = accounts(lab)
    assert {len(dns) for dns in found.values()} == {1}, f"one history, several accounts: {found}"
    there = lab.target.search("OU=Migrated,DC=target,DC=lab", "(objectClass=user)", "1.1")
    assert len(there) == USERS, there
    files = [path for path in lab.disk("target")["files"] if AGAIN in path]
    assert not files, f"left of a run of ADMT: {files}"
    state = lab.work / "complete.yaml"
    status = lab.reconcile("status", state, "--output", "json")
    assert status.document["open"] == [], status
    verified = lab.reconcile("audit", "verify", state)
    assert verified.code == 0, verified

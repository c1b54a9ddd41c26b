"""Killed by `kill -9` at random moments, hundreds of times: then `apply`, then `complete`, and nothing is open, nothing is twice.

The real program against the lab, over real sockets, with a real journal and audit log. ``RECONCILE_SEED`` repeats a sequence
(the moments; what the lab is doing by then is its own affair), ``RECONCILE_KILLS`` says how often.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pypsrp.exceptions import WinRMError

from tests.e2e.lab import ROLES, Lab, Role
from tests.e2e.picture import picture
from tests.e2e.windows import CommandFailed
from tests.lab.starts import Moment, Starts, starts
from tests.worker import address

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("kill-nine"), pytest.mark.timeout(0)]

KILLS = int(os.environ.get("RECONCILE_KILLS", "300"))
SEED = int(os.environ.get("RECONCILE_SEED") or random.randrange(10**6))
USERS = 4
MIGRATING, GOING_BACK = 18, 12  # kills of one migration
EXECUTED_EVERY = 15  # so many starts: the installed program, executed anew; the others are forked
LOOKING_S, SENDING_S = 0.7, 0.7  # within which it is hit after it was started, or after it first sent something
SERVES_WITHIN_S = 120.0
ONCE = {
    "netdom.exe", "admt.exe", "Start-Process", "New-Item", "Remove-Item", "Start-Service", "Stop-Service", "Restart-Computer",
    "Add-LocalGroupMember", "Remove-LocalGroupMember",
}  # fmt: skip
"""Commands that must take effect no more often than in a run that nobody disturbs."""
AGAIN = "reconcile-"
"""Part of the names of files and tasks of a run of ADMT, which is made again where nobody knows how it ended."""


@dataclass
class Count:
    """What was covered."""

    during: Counter[str] = field(default_factory=Counter)
    lives: list[float] = field(default_factory=list)
    effects: Counter[str] = field(default_factory=Counter)
    migrations: int = 0
    executed: int = 0
    survived: int = 0
    unsent: int = 0

    @property
    def kills(self) -> int:
        return len(self.lives)

    def __str__(self) -> str:
        lives = sorted(self.lives)
        tenths = [f"{lives[len(lives) * part // 10]:.2f}" for part in range(1, 10)] if lives else []
        return (
            f"{self.kills} kills in {self.migrations} migrations: {dict(self.during)}; {self.executed} of freshly executed programs; "
            f"{self.unsent} before anything was sent, {self.effects.total()} with an effect under way, of {len(self.effects)} resources; "
            f"{self.survived} starts ended before their moment; deciles of the lives in s: {', '.join(tenths)}"
        )


class Killer:
    """Starts the program, and kills it or lets it live."""

    def __init__(self, lab: Lab, program: Starts, seed: int) -> None:
        self.lab, self.program, self.chance = lab, program, random.Random(seed)
        self.count = Count()

    def migration(self, during: str, kills: int, undisturbed_s: float, *arguments: str | Path) -> None:
        """Kill it so many times on its way, then let it live.

        The first may be hit anywhere in the whole run. Each later one finds a part done and is hit soon after it began to
        look, or soon after it sent something; once there is nothing left to send, only while it looks.
        """
        self.kill(during, Moment(self.chance.uniform(0, undisturbed_s)), *arguments)
        works = True
        for _ in range(kills - 1):
            if works and self.chance.random() < 0.5:
                works = self.kill(during, Moment(self.chance.uniform(0, SENDING_S), audit_log(self.lab)), *arguments)
            else:
                self.kill(during, Moment(self.chance.uniform(0, LOOKING_S)), *arguments)
        self.live(*arguments)

    def kill(self, during: str, moment: Moment, *arguments: str | Path) -> bool:
        """Start it to die at a moment; one that ends before is no kill. Return whether it was one."""
        count, before = self.count, len(records(self.lab))
        executes = count.kills % EXECUTED_EVERY == EXECUTED_EVERY - 1
        ended = (self.program.execute if executes else self.program.run)(*arguments, dies=moment)
        if not ended.killed:
            count.survived += 1
            return False
        count.lives.append(ended.seconds)
        count.during[during] += 1
        count.executed += executes
        sent = [one for one in records(self.lab)[before:] if one["event"] != "read"]
        count.unsent += not sent
        if sent and sent[-1]["event"] == "sending":
            count.effects[f"{sent[-1]['direction']} {sent[-1]['key']}"] += 1
        return True

    def live(self, *arguments: str | Path) -> None:
        """Run the program undisturbed, as soon as the hosts are up that a dead one may have restarted."""
        wait_until_served(self.lab)
        place = self.program.log.stat().st_size if self.program.log.exists() else 0
        ended = self.program.run(*arguments)
        said = self.program.log.read_bytes()[place:].decode()
        assert ended.code == 0, f"seed {SEED}: {arguments} ended with {ended.code}\n{said}"


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
            if one["command"] in ONCE and one["outcome"] == "ok" and AGAIN not in shown:
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


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A small lab of this module alone."""
    directory = Path(tempfile.mkdtemp(prefix="rl-k9-"))
    lab = Lab(directory, tmp_path_factory.mktemp("states"), address(68, 1), address(68, 2))
    try:
        lab.up(USERS)
        yield lab
    finally:
        lab.down()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="module")
def killer(lab: Lab) -> Iterator[Killer]:
    with starts(lab.work / "said.log") as program:
        yield Killer(lab, program, SEED)


@pytest.fixture(scope="module")
def model(lab: Lab, killer: Killer) -> Model:
    """Run everything once undisturbed."""
    pristine = picture(lab)
    migrated = killer.program.run("apply", lab.state("migrate"))
    opened = picture(lab)
    completed = killer.program.run("apply", lab.state("complete", name="complete"))
    assert (migrated.code, completed.code) == (0, 0), killer.program.log.read_text(encoding="utf-8")
    assert picture(lab) == pristine
    return Model(pristine, opened, took_effect(lab), migrated.seconds, completed.seconds)


def differing(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    return {
        what: (one.get(what), other.get(what)) for what in one.keys() | other.keys() if one.get(what) != other.get(what)
    }


def judge(lab: Lab, model: Model) -> None:
    """Look at what is left, with other tools than the program's, and at what the program says of it."""
    assert differing(model.pristine, picture(lab)) == {}
    assert took_effect(lab) - model.effects == Counter()
    assert lab.not_migrated() == {}
    assert {len(dns) for dns in accounts(lab).values()} == {1}
    assert len(lab.target.search("OU=Migrated,DC=target,DC=lab", "(objectClass=user)", "1.1")) == USERS
    assert [path for path in lab.disk("target")["files"] if AGAIN in path] == []
    state = lab.work / "complete.yaml"
    status = lab.reconcile("status", state, "--output", "json")
    assert status.document["open"] == [], status
    verified = lab.reconcile("audit", "verify", state)
    assert verified.code == 0, verified


def test_killed_at_random_moments_nothing_is_open_and_nothing_is_twice(
    lab: Lab, killer: Killer, model: Model, record_testsuite_property: Callable[..., None]
) -> None:
    migrate, complete = lab.state("migrate"), lab.state("complete", name="complete")
    count = killer.count
    begin = time.monotonic()
    while count.kills < KILLS:
        lab.reset()
        back: tuple[str, tuple[str | Path, ...]] = ("complete", ("apply", complete))
        if count.migrations % 3 == 2:
            back = ("revert", ("revert", lab.directory / "journal" / "source-to-target.db"))
        count.migrations += 1
        killer.migration("migrate", MIGRATING, model.migrate_s, "apply", migrate)
        killer.migration(back[0], GOING_BACK, model.back_s, *back[1])
        judge(lab, model)
    text = f"seed {SEED}: {count}; {time.monotonic() - begin:.0f} s"
    sys.stdout.write(text + "\n")
    record_testsuite_property("kill -9", text)
    assert count.kills >= KILLS
    assert min(count.during["migrate"], count.during["complete"], count.during["revert"]) > KILLS // 12

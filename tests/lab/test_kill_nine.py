"""Killed by `kill -9` at random moments, hundreds of times: then `apply`, then `complete`, and nothing is open, nothing is twice.

The real program against the lab, over real sockets, with a real journal and audit log. ``RECONCILE_SEED`` repeats a sequence
(the moments; what the lab is doing by then is its own affair), ``RECONCILE_KILLS`` says how often.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.e2e.lab import Lab
from tests.lab.judge import Model, audit_log, journal, judge_opened, judge_restored, live, records, small_lab
from tests.lab.starts import Moment, Starts, starts
from tests.worker import address

pytestmark = [pytest.mark.lab, pytest.mark.timeout(0)]

KILLS = int(os.environ.get("RECONCILE_KILLS", "300"))
SEED = int(os.environ.get("RECONCILE_SEED") or random.randrange(10**6))
MIGRATING, GOING_BACK = 18, 12  # kills of one migration
EXECUTED_EVERY = 15  # so many starts: the installed program, executed anew; the others are forked
LOOKING_S, SENDING_S = 0.7, 0.5  # within which it is hit after it was started, or after it first sent something


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
            if works and self.chance.random() < 0.4:
                works = self.kill(during, Moment(self.chance.uniform(0, SENDING_S), audit_log(self.lab)), *arguments)
            else:
                self.kill(during, Moment(self.chance.uniform(0, LOOKING_S)), *arguments)
        live(self.lab, self.program, *arguments)

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


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab of this module alone."""
    with small_lab(tmp_path_factory.mktemp("states"), address(68, 1), address(68, 2)) as lab:
        yield lab


@pytest.fixture(scope="module")
def killer(lab: Lab) -> Iterator[Killer]:
    with starts(lab.work / "said.log") as program:
        yield Killer(lab, program, SEED)


@pytest.fixture(scope="module")
def model(lab: Lab, killer: Killer) -> Model:
    return Model.of(lab, killer.program)


def test_killed_at_random_moments_nothing_is_open_and_nothing_is_twice(
    lab: Lab, killer: Killer, model: Model, record_testsuite_property: Callable[..., None]
) -> None:
    migrate, complete = lab.state("migrate"), lab.state("complete", name="complete")
    count = killer.count
    begin = time.monotonic()
    sys.stdout.write(f"seed {SEED}\n")
    while count.kills < KILLS or count.migrations < 3:
        lab.reset()
        back: tuple[str, tuple[str | Path, ...]] = ("complete", ("apply", complete))
        if count.migrations % 3 == 2:
            back = ("revert", ("revert", journal(lab)))
        count.migrations += 1
        killer.migration("migrate", MIGRATING, model.migrate_s, "apply", migrate)
        judge_opened(lab, model)
        killer.migration(back[0], GOING_BACK, model.back_s, *back[1])
        judge_restored(lab, model)
    text = f"{count}; {time.monotonic() - begin:.0f} s"
    sys.stdout.write(text + "\n")
    record_testsuite_property("kill -9", text)
    assert count.kills >= KILLS
    assert min(count.during["migrate"], count.during["complete"], count.during["revert"]) > KILLS // 12

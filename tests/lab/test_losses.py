"""A host restarts in the middle of a run, or a domain loses its controller for the rest of it: the next `apply` ends as if it had not."""

from __future__ import annotations

import os
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import pytest

from reconciler.lab.forest.control import ask
from tests.e2e.lab import ROLES, Lab, Role
from tests.lab.judge import Model, judge_opened, judge_restored, live, records, small_lab, wait_until_served
from tests.lab.starts import Starts, starts
from tests.worker import address

pytestmark = pytest.mark.lab

Loss = Literal["restart-host", "kill-dc"]
SEED = int(os.environ.get("RECONCILE_SEED") or random.randrange(10**6))
LOOK_EVERY_S = 0.005


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab of this module alone."""
    with small_lab(tmp_path_factory.mktemp("states"), address(68, 3), address(68, 4)) as lab:
        yield lab


@pytest.fixture(scope="module")
def program(lab: Lab) -> Iterator[Starts]:
    with starts(lab.work / "said.log") as program:
        yield program


@pytest.fixture(scope="module")
def model(lab: Lab, program: Starts) -> Model:
    return Model.of(lab, program)


class Nemesis(threading.Thread):
    """Takes something away after every so many effects of a run that is under way, in one domain after the other.

    A host comes back by itself and is taken away again; a controller that was killed stays away for the rest of the run.
    """

    def __init__(self, lab: Lab, loss: Loss, role: Role, chance: random.Random) -> None:
        super().__init__()
        self.lab, self.loss, self.role, self.chance = lab, loss, role, chance
        self.struck: list[str] = []
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.is_set():
            due = done(self.lab) + self.chance.randint(2, 6)
            while (now := done(self.lab)) < due:
                if self.over.wait(LOOK_EVERY_S):
                    return
            self.order(self.loss)
            self.struck.append(f"{self.role} {now}")
            if self.loss == "kill-dc":
                return
            self.role = ROLES[1 - ROLES.index(self.role)]

    def order(self, operation: str) -> None:
        ask(Path(self.lab.document["control_socket"]), operation, {"domain": self.role})


def done(lab: Lab) -> int:
    """Count the effects so far, whatever came of them."""
    return sum(one["event"] in ("done", "refused", "unknown") for one in records(lab))


def towards(lab: Lab, program: Starts, loss: Loss, chance: random.Random, *arguments: str | Path) -> list[str]:
    """Run it twice while something goes away, once in each domain first; then undisturbed. Return where and after which effects."""
    struck = []
    for role in ROLES:
        nemesis = Nemesis(lab, loss, role, chance)
        nemesis.start()
        try:
            program.run(*arguments)
        finally:
            nemesis.over.set()
            nemesis.join()
        if loss == "kill-dc" and nemesis.struck:
            nemesis.order("start-dc")
        wait_until_served(lab)
        struck += nemesis.struck
    live(lab, program, *arguments)
    return struck


@pytest.mark.parametrize("loss", ["restart-host", "kill-dc"])
def test_what_went_away_in_the_middle_of_a_run_changes_nothing_about_the_end(
    loss: Loss, lab: Lab, program: Starts, model: Model, record_testsuite_property: Callable[..., None]
) -> None:
    chance, begin = random.Random(f"{loss} {SEED}"), time.monotonic()
    sys.stdout.write(f"seed {SEED}\n")
    lab.reset()
    forth = towards(lab, program, loss, chance, "apply", lab.state("migrate"))
    judge_opened(lab, model)
    back = towards(lab, program, loss, chance, "apply", lab.state("complete", name="complete"))
    judge_restored(lab, model, again="Start-Service" if loss == "restart-host" else "")
    text = f"{loss}, seed {SEED}: {len(forth)} while migrating ({', '.join(forth)}), {len(back)} while completing ({', '.join(back)}); {time.monotonic() - begin:.0f} s"
    sys.stdout.write(text + "\n")
    record_testsuite_property(loss, text)
    assert len(forth) >= 2
    assert len(back) >= 1

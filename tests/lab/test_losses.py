"""A host restarts in the middle of a run, or a domain loses its controller for the rest of it: the next `apply` ends as if it had not."""

from __future__ import annotations

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

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("kill-nine")]

Loss = Literal["restart-host", "kill-dc"]
MOST_RUNS = 12
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
    """Takes something away right after the n-th effect of a run that is under way."""

    def __init__(self, lab: Lab, loss: Loss, role: Role, after: int) -> None:
        super().__init__()
        self.lab, self.loss, self.role = lab, loss, role
        self.due = done(lab) + after
        self.struck, self.over = False, threading.Event()

    def run(self) -> None:
        while done(self.lab) < self.due:
            if self.over.wait(LOOK_EVERY_S):
                return
        self.struck = True
        ask(Path(self.lab.document["control_socket"]), self.loss, {"domain": self.role})


def done(lab: Lab) -> int:
    """Count the effects so far, whatever came of them."""
    return sum(one["event"] in ("done", "refused", "unknown") for one in records(lab))


def disturbed(lab: Lab, program: Starts, nemesis: Nemesis, *arguments: str | Path) -> bool:
    """Run the program while something goes away; bring it back afterwards. Return whether it went."""
    nemesis.start()
    try:
        program.run(*arguments)
    finally:
        nemesis.over.set()
        nemesis.join()
    if nemesis.loss == "kill-dc" and nemesis.struck:
        ask(Path(lab.document["control_socket"]), "start-dc", {"domain": nemesis.role})
    wait_until_served(lab)
    return nemesis.struck


def towards(lab: Lab, program: Starts, loss: Loss, chance: random.Random, *arguments: str | Path) -> list[str]:
    """Run it again and again, each time with a loss after a few effects, until a run has less to do; then undisturbed."""
    struck = []
    for number in range(MOST_RUNS):
        role, after = ROLES[number % 2], chance.randint(1, 8)
        before = done(lab)
        if not disturbed(lab, program, Nemesis(lab, loss, role, after), *arguments):
            break
        struck.append(f"{role} after {before + after}")
    live(lab, program, *arguments)
    return struck


@pytest.mark.parametrize("loss", ["restart-host", "kill-dc"])
def test_what_went_away_in_the_middle_of_a_run_changes_nothing_about_the_end(
    loss: Loss, lab: Lab, program: Starts, model: Model, record_testsuite_property: Callable[..., None]
) -> None:
    chance, begin = random.Random(loss), time.monotonic()
    lab.reset()
    forth = towards(lab, program, loss, chance, "apply", lab.state("migrate"))
    judge_opened(lab, model)
    back = towards(lab, program, loss, chance, "apply", lab.state("complete", name="complete"))
    judge_restored(lab, model)
    text = f"{loss}: {len(forth)} while migrating ({', '.join(forth)}), {len(back)} while completing ({', '.join(back)}); {time.monotonic() - begin:.0f} s"
    sys.stdout.write(text + "\n")
    record_testsuite_property(loss, text)
    assert len(forth) >= 3
    assert len(back) >= 2

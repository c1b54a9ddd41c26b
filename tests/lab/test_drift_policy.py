"""Drift with a name, policies, a pause and the history, with the installed program against a lab of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pytest

from tests.e2e import by_hand
from tests.e2e.lab import Lab
from tests.e2e.security import RESET_PASSWORD
from tests.e2e.test_watch import heard, watching
from tests.lab.judge import small_lab
from tests.worker import address

pytestmark = pytest.mark.lab

RIGHTS = f"ad.access/target/{by_hand.MIGRATED}/TARGET\\migrator"
IGNORED = "{ignore: {because: known, until: 2099-12-31}}"
State = Callable[..., Path]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A small lab of this module alone."""
    with small_lab(tmp_path_factory.mktemp("states"), address(70, 1), address(70, 2)) as found:
        yield found


@pytest.fixture(scope="module")
def state(lab: Lab) -> State:
    """One object's rights, for a while."""

    def write(policy: str = "correct", phase: str = "migrate") -> Path:
        path = lab.state(phase)
        text = path.read_text(encoding="utf-8")
        path.write_text(
            text[: text.index("migration:\n")] + by_hand.rights(f"on_conflict: restore\n    on_drift: {policy}"),
            encoding="utf-8",
        )
        return path

    return write


@pytest.fixture
def drifted(lab: Lab, state: State) -> tuple[datetime, datetime]:
    """Rights as wanted, and then one of them taken away by another tool, between these two times."""
    assert lab.apply(state()).code == 0
    lab.target.wait_for_another_time()
    before = lab.target.now()
    by_hand.take_away_a_right(lab, by_hand.MIGRATED, RESET_PASSWORD)
    return before, lab.target.now()


def test_drift_has_a_name(lab: Lab, state: State, drifted: tuple[datetime, datetime]) -> None:
    path = state()
    ran = lab.drift(path)
    assert ran.code == 2
    (drift,) = ran.document["drifts"]
    assert (drift["key"], drift["class"], drift["policy"], drift["on"]) == (RIGHTS, "external", "correct", "TGTDC1")
    assert drifted[0] <= datetime.fromisoformat(drift["since"]) <= drifted[1]
    line = next(n for n, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1) if "ad.access" in text)
    assert drift["where"].endswith(f"{path.name}:{line}:5")
    assert len(drift["repair"]) == 1
    shown = " ".join(lab.reconcile("drift", path).out.split())
    assert "drift: external (it was as wanted, and somebody changed it); changed at" in shown


def test_what_is_ignored_is_left_and_counts_for_nothing(
    lab: Lab, state: State, drifted: tuple[datetime, datetime]
) -> None:
    for ran in (lab.drift(state(IGNORED)), lab.apply(state(IGNORED))):
        assert (ran.code, ran.document["changes"]) == (0, []), str(ran)
    assert lab.drift(state()).code == 2


def test_a_watch_reports_and_an_apply_sets_right_and_the_history_knows_both(
    lab: Lab, state: State, drifted: tuple[datetime, datetime]
) -> None:
    with watching(lab, state("report")) as run:
        assert "leaves it to a person" in " ".join(heard(run, "not converged in").split())
    assert lab.drift(state("report")).code == 2
    assert lab.apply(state("report")).code == 0
    (*_, last) = lab.reconcile("history", state("report"), "--output", "json").document["drifts"]
    assert (last["key"], last["class"], last["on"]) == (RIGHTS, "corrective", "TGTDC1")
    assert last["repaired_by"].startswith("us, run ")
    assert datetime.fromisoformat(last["first_seen"]) < datetime.fromisoformat(last["closed_at"])


def test_a_watch_sets_right_what_drifted(lab: Lab, state: State, drifted: tuple[datetime, datetime]) -> None:
    with watching(lab, state()) as run:
        assert "drift: corrective" in heard(run, "converged in")
    assert lab.drift(state()).code == 0


def test_a_pause_keeps_everybody_from_changing_anything_but_what_goes_back(
    lab: Lab, state: State, drifted: tuple[datetime, datetime]
) -> None:
    path = state()
    assert lab.reconcile("pause", path, "--for", "2h", "--because", "maintenance").code == 0
    refused = lab.apply(path)
    assert refused.code == 1
    assert "is paused until" in refused.err
    with watching(lab, path) as run:
        heard(run, "not converged in")
    assert lab.drift(path).code == 2
    assert lab.apply(state(phase="complete")).code == 0  # going back waits for nothing
    assert lab.reconcile("resume", path).code == 0
    assert lab.apply(state()).code == 0


def test_what_a_revert_put_back_is_work_to_be_done_when_it_is_wanted_again(
    lab: Lab, state: State, drifted: tuple[datetime, datetime]
) -> None:
    assert lab.reconcile("revert", state()).code == 0
    assert [drift["class"] for drift in lab.drift(state()).document["drifts"]] == ["intended"]

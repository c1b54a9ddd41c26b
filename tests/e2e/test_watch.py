"""The watch: it ends a lease by itself, follows the state file, keeps the last good one, and stops when it is told to."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from tests.e2e.lab import PROGRAM, Lab
from tests.e2e.windows import LSA
from tests.time_passes import changed

pytestmark = pytest.mark.lab


def written(lab: Lab, phase: str) -> Path:
    """Write a state of one registry value with a lease of 8 hours."""
    document = yaml.safe_load(lab.state().read_text(encoding="utf-8"))
    del document["migration"]
    document |= {"metadata": {"name": "watched"}, "phase": phase}
    document["resources"] = [
        {"kind": "win.registry", "host": "source-pdc", "path": LSA.replace("HKLM", "HKLM:"), "name": "AllowPasswordExport", "type": "DWord",
         "value": 1, "during": ["migrate"], "lease": "8h", "weakens": "password hashes can be exported"},
    ]  # fmt: skip
    path = lab.work / "watched.yaml"
    fresh = path.with_suffix(".new")
    fresh.write_text(yaml.safe_dump(document), encoding="utf-8")
    return fresh.replace(path)


def hours_pass(lab: Lab, hours: int) -> None:
    """Make what was written down so much older: the same as if the time had passed, for who only looks."""
    (journal,) = lab.directory.rglob("watched.db")
    changed(
        journal,
        *(
            f"UPDATE obligations SET {column} = strftime('%Y-%m-%dT%H:%M:%S+00:00', {column}, '-{hours} hours')"
            for column in ("changed_at", "wanted_until")
        ),
    )


def value(lab: Lab) -> tuple[str, str] | None:
    with lab.windows("source") as windows:
        return windows.value("AllowPasswordExport")


@contextmanager
def watching(lab: Lab, state: Path) -> Iterator[subprocess.Popen[str]]:
    """Run the program until the block ends."""
    command: list[str | Path] = [PROGRAM, "watch", state, "--every", "1h"]
    with subprocess.Popen(command, cwd=lab.work, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as run:
        try:
            yield run
        finally:
            run.kill()


def heard(run: subprocess.Popen[str], words: str) -> str:
    """Read until these words are said; the test's own time limit ends a wait in vain."""
    said = ""
    assert run.stdout is not None
    for line in run.stdout:
        said += line
        if words in line:
            return said
    raise AssertionError(f"it ended without saying {words!r}:\n{said}")


def test_a_watch_ends_leases_follows_the_file_and_stops(lab: Lab) -> None:
    with watching(lab, written(lab, "migrate")) as run:
        heard(run, "converged in")
        assert value(lab) == ("REG_DWORD", "0x1")

        hours_pass(lab, 9)
        written(lab, "migrate").touch()  # only a reason to look
        said = heard(run, "not converged in")
        assert "its lease ended" in said
        assert value(lab) is None

        state = written(lab, "migrate")
        state.write_text("phase: [", encoding="utf-8")
        heard(run, "going on with what it said before")

        written(lab, "complete")
        heard(run, "phase complete, converged")
        run.send_signal(signal.SIGTERM)
        assert run.wait(timeout=60) == 0

    status = lab.reconcile("status", lab.work / "watched.yaml", "--output", "json")
    assert status.document["open"] == []


def test_a_lease_that_ended_is_ended_by_apply_too_and_waits_for_a_person(lab: Lab) -> None:
    state = written(lab, "migrate")
    assert lab.apply(state).code == 0
    (promise,) = lab.reconcile("status", state, "--output", "json").document["open"]
    assert promise["wanted_until"] is not None
    hours_pass(lab, 9)
    assert "(over)" in lab.reconcile("status", next(lab.directory.rglob("watched.db"))).out
    ran = lab.apply(state)
    assert ran.code == 7, str(ran)
    assert value(lab) is None
    again = lab.apply(state)
    assert again.code == 7
    assert "renew-lease" in again.error(promise["key"])
    assert value(lab) is None

"""A watch that hears of a change from the directory itself: its timer is an hour away, so nothing else can wake it."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import yaml

from tests.e2e.lab import PROGRAM, Lab, Role
from tests.lab.judge import small_lab
from tests.worker import address

pytestmark = pytest.mark.lab

LSA = "HKLM\\SYSTEM\\CurrentControlSet\\Control\\Lsa"
# One group for each thing that is done: what was set right a moment ago is not set right again at once.
FILLED, DELETED, DELETED_LATER = "Filled", "Deleted", "Deleted later"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A small lab of this module alone."""
    with small_lab(tmp_path_factory.mktemp("states"), address(69, 1), address(69, 2)) as found:
        yield found


def written(lab: Lab) -> Path:
    """Write a state of a group in each domain and a registry value."""
    document = yaml.safe_load(lab.state().read_text(encoding="utf-8"))
    del document["migration"]
    document |= {"metadata": {"name": "events"}, "phase": "migrate"}
    document["resources"] = [
        *(
            {"kind": "ad.group", "domain": domain, "name": name, "members": []}
            for domain in ("source", "target")
            for name in (FILLED, DELETED, DELETED_LATER)
        ),
        {"kind": "win.registry", "host": "source-pdc", "path": LSA.replace("HKLM", "HKLM:"), "name": "Watched", "type": "DWord", "value": 1},
    ]  # fmt: skip
    path = lab.work / "events.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


class Watch:
    """The program, running; what it says is read as it comes."""

    def __init__(self, state: Path, *options: str) -> None:
        command = [str(PROGRAM), "watch", str(state), "--every", "1h", *options]
        self.run = subprocess.Popen(
            command, cwd=state.parent, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.said: list[str] = []
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def until(self, fact: Callable[[list[str]], bool]) -> None:
        """Wait until what was said so far says this; the test's own time limit ends a wait in vain."""
        with self._news:
            self._news.wait_for(lambda: fact(self.said) or self.run.poll() is not None)
        assert fact(self.said), "".join(self.said)

    def changed(self, times: int) -> None:
        """Wait until so many passes have changed something and were through."""
        self.until(lambda said: sum("converged in" in line and " changed" in line for line in said) >= times)

    def stop(self) -> int:
        self.run.send_signal(signal.SIGTERM)
        code = self.run.wait(60)
        self._reader.join()
        return code

    def end(self) -> None:
        """Let nothing of it stay, however the test ended."""
        self.run.kill()
        self.run.wait()
        self._reader.join()
        assert self.run.stdout is not None
        self.run.stdout.close()

    def _read(self) -> None:
        assert self.run.stdout is not None
        for line in self.run.stdout:
            with self._news:
                self.said.append(line)
                self._news.notify_all()
        with self._news:
            self._news.notify_all()


@pytest.fixture
def watch(lab: Lab) -> Iterator[Watch]:
    running = Watch(written(lab))
    try:
        yield running
    finally:
        running.end()


def members(lab: Lab, role: Role, group: str) -> list[bytes] | None:
    """Return the members of a group, None where there is no group."""
    directory = lab.source if role == "source" else lab.target
    found = directory.search(directory.base_dn, f"(sAMAccountName={group})", "member")
    return found[0].get("member", []) if found else None


@pytest.mark.timeout(180)
def test_changes_in_both_domains_are_put_right_without_the_timer(lab: Lab, watch: Watch) -> None:
    watch.changed(1)
    changes = 1
    for role in ("source", "target"):
        directory = lab.source if role == "source" else lab.target
        filled, deleted = (f"CN={group},CN=Users,{directory.base_dn}" for group in (FILLED, DELETED))
        guest = f"dn: {filled}\nchangetype: modify\nadd: member\nmember: CN=Guest,CN=Users,{directory.base_dn}\n"
        for what, change, group in (
            ("a member", partial(directory.modify, guest), FILLED),
            ("a deletion", partial(directory.delete, deleted), DELETED),
        ):
            change()
            began = time.monotonic()
            changes += 1
            watch.changed(changes)
            print(f"{role}: {what} was put right {time.monotonic() - began:.2f} s later")  # noqa: T201 - a figure for people
            assert members(lab, role, group) == []
    assert watch.stop() == 0
    assert sum("converged in" in line for line in watch.said) == changes  # each was reported, and none twice


@pytest.mark.timeout(180)
def test_a_controller_that_restarts_is_listened_to_again(lab: Lab, watch: Watch) -> None:
    watch.until(lambda said: any("converged in" in line for line in said))
    before = sum("converged in" in line and " changed" in line for line in watch.said)
    lab.restart("source")
    lab.source.delete(f"CN={DELETED_LATER},CN=Users,{lab.source.base_dn}")
    watch.changed(before + 1)
    assert members(lab, "source", DELETED_LATER) == []
    assert watch.stop() == 0


@pytest.mark.timeout(180)
def test_a_host_is_asked_at_its_own_interval(lab: Lab) -> None:
    running = Watch(written(lab), "--hosts-every", "1s")
    try:
        running.until(lambda said: any("converged in" in line for line in said))
        before = sum("converged in" in line and " changed" in line for line in running.said)
        with lab.windows("source") as windows:
            windows.done("reg.exe", "add", LSA, "/v", "Watched", "/t", "REG_DWORD", "/d", "7", "/f")
            running.changed(before + 1)
            assert windows.value("Watched") == ("REG_DWORD", "0x1")
        assert running.stop() == 0
    finally:
        running.end()

"""What systemd hears."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.edge import systemd
from reconciler.edge.systemd import Notifier


class Manager:
    """The other end of the socket."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self._socket.setblocking(False)
        self.environment = {"NOTIFY_SOCKET": address}

    def heard(self) -> list[str]:
        found = []
        while True:
            try:
                found.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return found

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    found = Manager(f"@reconcile-test-{os.getpid()}" if request.param == "abstract" else str(tmp_path / "notify"))
    yield found
    found.close()


def test_lines_arrive_as_one_message(manager: Manager) -> None:
    Notifier(manager.environment).say("READY=1", "STATUS=looking")
    assert manager.heard() == ["READY=1\nSTATUS=looking"]


def test_a_status_is_one_line(manager: Manager) -> None:
    Notifier(manager.environment).status("one\nWATCHDOG=trigger")
    assert manager.heard() == ["STATUS=one WATCHDOG=trigger"]


def test_a_reload_says_when(manager: Manager) -> None:
    Notifier(manager.environment).reloading()
    [said] = manager.heard()
    assert said.startswith("RELOADING=1\nMONOTONIC_USEC=") and int(said.rpartition("=")[2]) > 0


def test_without_a_manager_nothing_happens() -> None:
    silent = Notifier({})
    silent.say("READY=1")
    silent.beat()
    with silent.waiting(5):
        silent.beat()


def test_a_manager_that_went_away_stops_nothing(tmp_path: Path) -> None:
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}).say("READY=1")


def test_signs_of_life_are_sent_only_where_asked_for_and_not_too_often(
    manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    Notifier(manager.environment).beat()
    assert manager.heard() == []
    Notifier({**manager.environment, "WATCHDOG_USEC": "120000000", "WATCHDOG_PID": "1"}).beat()
    assert manager.heard() == []
    watched = Notifier({**manager.environment, "WATCHDOG_USEC": "120000000", "WATCHDOG_PID": str(os.getpid())})
    for _ in range(3):
        watched.beat()
    assert manager.heard() == ["WATCHDOG=1"]
    monkeypatch.setattr(systemd, "EVERY_S", 0.0)
    watched.beat()
    assert manager.heard() == ["WATCHDOG=1"]


def test_a_long_wait_is_announced_and_taken_back(manager: Manager) -> None:
    watched = Notifier({**manager.environment, "WATCHDOG_USEC": "120000000"})
    with watched.waiting(10):
        pass
    assert not any("USEC" in said for said in manager.heard())
    with watched.waiting(4200):
        assert manager.heard() == ["WATCHDOG_USEC=4200000000\nWATCHDOG=1"]
        with watched.waiting(600):
            pass
        assert not any("USEC" in said for said in manager.heard())
    assert manager.heard() == ["WATCHDOG_USEC=120000000\nWATCHDOG=1"]

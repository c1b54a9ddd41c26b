"""The number of the writer on a simulated host: what goes behind it, who has to yield, and that nothing stays."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reconciler.core.errors import Fenced, JournalError, Refused, Unreachable
from reconciler.core.query import Command
from reconciler.core.steps import CopyFile, Effect, Restart, RunTask
from reconciler.edge.clock import SystemClock
from reconciler.edge.fence import FACT, MARK, ROOT, Fence
from reconciler.edge.journal_file import JournalFile
from reconciler.edge.secrets import Secrets
from reconciler.edge.world import LiveWorld
from tests.edge.test_world_hosts import ADDRESS, Host, calls, targets

pytestmark = [pytest.mark.lab, pytest.mark.timeout(90)]

KEY = f"{ROOT}\\demo"
CHANGE = Command("pdc", "Measure-Call", (("Word", "change"),))


class Writer:
    """One process's world with its journal, as a run has them."""

    def __init__(self, directory: Path, pki: Any) -> None:
        self.journal = JournalFile.open(directory / "journal" / "demo.db", "demo", holder="a test")
        self.fence = Fence("demo", self.journal, SystemClock().now)
        self.world = LiveWorld(targets(directory, pki), Secrets(directory), directory, self.fence)

    def close(self) -> None:
        self.world.close()
        self.journal.shut()


@pytest.fixture
def host(tmp_path: Path, pki: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    calls.clear()
    monkeypatch.setattr("reconciler.edge.resolve.Names.addresses", lambda self, name: (ADDRESS,))
    host = Host(tmp_path, pki)
    yield host
    host.stop()


@pytest.fixture
def writer(host: Host, tmp_path: Path, pki: Any) -> Iterator[Writer]:
    writer = Writer(tmp_path, pki)
    yield writer
    writer.close()


def successor(directory: Path, pki: Any) -> Writer:
    """Take over from the writer, as another process would after its lease."""
    os.utime(directory / "journal" / "demo.db.lock", (0, 0))
    return Writer(directory, pki)


def names(host: Host, key: str = KEY) -> list[str] | None:
    found = host.machine.registry.key(key)
    return None if found is None else sorted(value.name for value in found.values.values())


def without_checks(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the writer believe in itself: as if it had been paused right after it checked."""
    monkeypatch.setattr(writer.journal, "check_writer", lambda: None)


def test_changes_go_behind_the_number_and_answers_are_as_without_it(writer: Writer, host: Host) -> None:
    assert writer.world.do(CHANGE) == ({"value": 1},)
    assert names(host) == ["writer-1"]
    assert writer.world.do(Command("pdc", "hostname.exe", native=True)) == ({"line": "SRCDC1"}, {"exit_code": 0})
    with pytest.raises(Refused) as raised:
        writer.world.do(Command("pdc", "auditpol.exe", arguments=("/nonsense",), native=True))
    assert raised.value.code.startswith("exit ")
    gone = Command("pdc", "Remove-Item", (("LiteralPath", "C:\\none"),), absent=("PathNotFound",))
    assert writer.world.do(gone) == ()


def test_reading_leaves_no_trace(writer: Writer, host: Host) -> None:
    assert writer.world.ask(CHANGE) == ({"value": 1},)
    assert names(host, ROOT) is None
    assert writer.journal.facts(FACT) == {}
    assert writer.world.lift() == {}


@pytest.mark.parametrize(
    "effect",
    [
        CHANGE,
        Command("pdc", "hostname.exe", native=True),
        Command("pdc", "Remove-Item", (("LiteralPath", "C:\\kept.bin"),), absent=("PathNotFound",)),
        CopyFile("pdc", "C:\\kept.bin", "pdc", "C:\\copy.bin"),
        Restart("pdc", timeout_s=20),
        RunTask("pdc", "job", program="C:\\job.exe", arguments=(), credential="admin", timeout_s=20),
    ],
    ids=lambda effect: type(effect).__name__,
)
@pytest.mark.parametrize("ended", [False, True], ids=["successor at work", "successor gone"])
def test_late_effect_is_refused_by_the_host(
    writer: Writer, host: Host, tmp_path: Path, pki: Any, monkeypatch: pytest.MonkeyPatch, effect: Effect, ended: bool
) -> None:
    host.call(lambda: host.machine.files.write("C:\\kept.bin", b"kept"))
    writer.world.do(CHANGE)
    booted = host.machine.boot_time
    with_new = successor(tmp_path, pki)
    assert with_new.world.overtake() == {}
    assert names(host) == ["writer-2"]
    if ended:
        assert with_new.world.lift() == {}
        assert names(host, ROOT) is None
    with_new.close()
    without_checks(writer, monkeypatch)
    with pytest.raises(Fenced, match="another process has taken over this migration") as raised:
        writer.world.do(effect)
    assert (raised.value.target, raised.value.code) == ("pdc", "Fenced")
    assert calls == ["change"]
    assert host.machine.files.item("C:\\kept.bin") is not None
    assert host.machine.files.item("C:\\copy.bin") is None
    assert (host.machine.boot_time, list(host.machine.tasks)) == (booted, [])


def test_late_first_change_leaves_the_host_as_it_was(
    writer: Writer, host: Host, tmp_path: Path, pki: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Paused after its number was noted and before it was sent: there is nothing on the host yet that could refuse it."""
    overtaken: list[Writer] = []
    add = Fence._add

    def paused(self: Fence, at: str, send: Any) -> None:
        if not overtaken:
            overtaken.append(successor(tmp_path, pki))
            overtaken[0].world.overtake()
            overtaken[0].world.lift()
        add(self, at, send)

    monkeypatch.setattr(Fence, "_add", paused)
    with pytest.raises(JournalError, match="no longer the writer"):
        writer.world.do(CHANGE)
    assert calls == []
    assert names(host, ROOT) is None
    overtaken[0].close()


def test_late_number_yields_to_a_higher_one(
    writer: Writer, host: Host, tmp_path: Path, pki: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_new = successor(tmp_path, pki)
    with_new.world.do(CHANGE)
    without_checks(writer, monkeypatch)
    monkeypatch.setattr(writer.journal, "note", lambda facts, at: None)
    with pytest.raises(Fenced):
        writer.world.do(CHANGE)
    assert names(host) == ["writer-2"]
    assert with_new.world.do(CHANGE) == ({"value": 2},)
    with_new.close()


def test_host_is_asked_only_once_the_older_number_is_gone(writer: Writer, host: Host, tmp_path: Path, pki: Any) -> None:
    writer.world.do(CHANGE)
    with_new = successor(tmp_path, pki)
    with_new.world.ask(CHANGE)
    assert names(host) == ["writer-2"]
    with_new.close()


def test_host_that_cannot_be_reached_stays_due(writer: Writer, host: Host, tmp_path: Path, pki: Any) -> None:
    writer.world.do(CHANGE)
    with_new = successor(tmp_path, pki)
    host.run(host.host.stop())
    assert list(with_new.world.overtake()) == ["pdc"]
    with pytest.raises(Unreachable):
        with_new.world.ask(CHANGE)
    host.run(host.host.start())
    with_new.world.ask(CHANGE)
    assert names(host) == ["writer-2"]
    with_new.close()


def test_what_others_keep_beside_the_number_stays(writer: Writer, host: Host) -> None:
    host.call(lambda: host.machine.registry.set(ROOT, "", "String", MARK))
    host.call(lambda: host.machine.registry.set(f"{ROOT}\\other", "writer-4", "String", "somebody"))
    host.call(lambda: host.machine.registry.set(KEY, "remark", "String", "by hand"))
    writer.world.do(CHANGE)
    assert names(host) == ["remark", "writer-1"]
    assert writer.world.lift() == {}
    assert names(host) == ["remark"]
    assert names(host, f"{ROOT}\\other") == ["writer-4"]


def test_empty_key_of_somebody_else_stays(writer: Writer, host: Host) -> None:
    host.call(lambda: host.machine.registry.create(ROOT))
    writer.world.do(CHANGE)
    assert writer.world.lift() == {}
    assert names(host, ROOT) == []
    assert names(host) is None


def test_number_that_could_not_be_removed_is_removed_by_the_next_run(
    writer: Writer, host: Host, tmp_path: Path, pki: Any
) -> None:
    writer.world.do(CHANGE)
    host.run(host.host.stop())
    assert list(writer.world.lift()) == ["pdc"]
    writer.close()
    host.run(host.host.start())
    again = Writer(tmp_path, pki)
    assert again.journal.epoch == 1
    assert again.world.lift() == {}
    assert names(host, ROOT) is None
    assert again.world.lift() == {}
    again.close()

"""The lock of a journal: who may take it from whom, and what a process that lost it may still do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from reconciler.core.errors import JournalError
from reconciler.edge import writer_lock
from reconciler.edge.journal_file import JournalFile
from reconciler.edge.writer_lock import WriterLock, holder_of

AT = datetime(2026, 1, 1, tzinfo=UTC)
HOLDER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from reconciler.core.errors import JournalError
from reconciler.edge import journal_file
at = datetime(2026, 1, 1, tzinfo=UTC)
try:
    journal = journal_file.JournalFile.open(Path(sys.argv[1]), "demo", holder=sys.argv[2])
except JournalError as error:
    print("refused:", error.what, flush=True)
    sys.exit(1)
if len(sys.argv) > 3:
    journal._connection.execute("BEGIN IMMEDIATE")
print("open", journal.epoch, flush=True)
for line in sys.stdin:
    try:
        journal.note({line.strip(): {"by": sys.argv[2]}}, at)
        print("noted", flush=True)
    except JournalError as error:
        print("refused:", error.what, flush=True)
"""


class Child:
    """Another process that holds a journal open, and writes to it when told."""

    def __init__(self, path: Path, name: str, *more: str) -> None:
        command = [sys.executable, "-c", HOLDER, str(path), name, *more]
        self.popen = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def says(self) -> str:
        assert self.popen.stdout is not None
        return self.popen.stdout.readline().strip()

    def note(self, key: str) -> str:
        self.tell(key)
        return self.says()

    def tell(self, key: str) -> None:
        assert self.popen.stdin is not None
        self.popen.stdin.write(key + "\n")
        self.popen.stdin.flush()

    def pause(self) -> None:
        self.popen.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.popen.pid, os.WSTOPPED | os.WNOWAIT)

    def wake(self) -> None:
        self.popen.send_signal(signal.SIGCONT)


@contextmanager
def child(path: Path, name: str, *more: str) -> Iterator[Child]:
    started = Child(path, name, *more)
    try:
        yield started
    finally:
        started.popen.kill()
        started.popen.communicate()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal" / "demo.db"


def lock_of(path: Path) -> Path:
    return path.with_name("demo.db.lock")


def age(path: Path, seconds: float = 3600) -> None:
    """Let the last sign of life be that old."""
    then = time.time() - seconds
    os.utime(lock_of(path), (then, then))


def test_paused_process_loses_the_lock_and_writes_nothing_more(path: Path) -> None:
    with child(path, "the sleeper") as sleeper:
        assert sleeper.says() == "open 1"
        assert sleeper.note("before") == "noted"
        sleeper.pause()
        age(path)
        with JournalFile.open(path, "demo", holder="the next") as journal:
            assert journal.took_over is not None
            assert (journal.took_over.name, journal.took_over.pid) == ("the sleeper", sleeper.popen.pid)
            assert journal.epoch == 2
            sleeper.wake()
            assert "another process took over at 20" in sleeper.note("late")
            assert list(journal.facts("")) == ["before"]
            (event,) = journal.history()
            assert (event["event"], event["epoch"]) == ("took over", 2)
        assert "refused" in sleeper.note("later still")
    with JournalFile.open(path, "demo", holder="the third") as journal:
        assert (journal.took_over, journal.epoch, list(journal.facts(""))) == (None, 2, ["before"])


def test_holder_that_lives_is_left_alone(path: Path) -> None:
    with child(path, "the worker") as worker:
        assert worker.says() == "open 1"
        worker.pause()
        age(path, writer_lock.LEASE_S - 20)
        with pytest.raises(JournalError, match="another writer is at work on this journal: the worker"):
            JournalFile.open(path, "demo", holder="the impatient")
        worker.wake()
        assert worker.note("still here") == "noted"


def test_lock_of_a_dead_process_is_free_and_the_number_stays(path: Path) -> None:
    with child(path, "the mortal") as mortal:
        assert mortal.says() == "open 1"
    age(path)
    with JournalFile.open(path, "demo", holder="the next") as journal:
        assert (journal.took_over, journal.epoch) == (None, 1)


def test_of_two_that_take_over_at_once_one_gets_it(path: Path) -> None:
    for _ in range(5):
        with child(path, "the sleeper") as sleeper:
            assert sleeper.says().startswith("open")
            sleeper.pause()
            age(path)
            contenders = [Child(path, f"contender {n}") for n in range(4)]
            try:
                said = [one.says() for one in contenders]
                assert sorted(word.split()[0] for word in said) == ["open", "refused:", "refused:", "refused:"], said
                (winner,) = (one for one, word in zip(contenders, said, strict=True) if word.startswith("open"))
                assert winner.note("mine") == "noted"
                sleeper.wake()
                assert "refused" in sleeper.note("late")
            finally:
                for one in contenders:
                    one.popen.kill()
                    one.popen.communicate()


def test_takeover_that_was_not_completed_is_completed_by_the_next(path: Path) -> None:
    with child(path, "the sleeper") as sleeper:
        assert sleeper.says() == "open 1"
        sleeper.pause()
        age(path)
        WriterLock(lock_of(path), "died before it claimed the journal").release()
        with JournalFile.open(path, "demo", holder="the next") as journal:
            assert journal.epoch == 2
            sleeper.wake()
            assert "refused" in sleeper.note("late")


def test_sleeper_in_the_middle_of_a_write_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.edge.journal_storage.BUSY_TIMEOUT_MS", 50)
    with child(path, "the sleeper", "in a transaction") as sleeper:
        assert sleeper.says() == "open 1"
        sleeper.pause()
        age(path)
        with pytest.raises(JournalError, match="in the middle of a write to this journal: the sleeper") as raised:
            JournalFile.open(path, "demo", holder="the next")
        assert f"end process {sleeper.popen.pid}" in raised.value.do
    with JournalFile.open(path, "demo", holder="the next") as journal:
        assert journal.epoch == 2


def test_heart_beats_only_for_the_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_lock, "BEAT_S", 0.01)
    path = tmp_path / "demo.lock"
    first = WriterLock(path, "the first")
    os.utime(path, (0, 0))
    while path.stat().st_mtime == 0:  # ends with the next beat
        first.check()
    path.rename(tmp_path / "old")
    second = WriterLock(path, "the second")
    first._heart.join(10)
    assert not first._heart.is_alive()
    with pytest.raises(JournalError, match=r"the second .* has taken over"):
        first.check()
    first.release()
    second.release()


def test_writer_that_was_paused_for_a_lease_does_not_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = WriterLock(tmp_path / "demo.lock", "the sleeper")
    lock.check()
    monkeypatch.setattr(writer_lock, "_now", lambda: time.clock_gettime(time.CLOCK_BOOTTIME) + 61)
    with pytest.raises(JournalError, match="it was paused for 6"):
        lock.check()
    lock.release()


def test_who_is_at_work_is_told_without_a_trace(path: Path) -> None:
    with child(path, "the worker") as worker:
        assert worker.says() == "open 1"
        content = lock_of(path).read_bytes()
        found = holder_of(lock_of(path))
        assert found is not None
        assert (found.name, found.pid) == ("the worker", worker.popen.pid)
        assert lock_of(path).read_bytes() == content
    assert holder_of(lock_of(path)) is None
    assert holder_of(path.with_name("none.lock")) is None

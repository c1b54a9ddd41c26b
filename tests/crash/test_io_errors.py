"""A disk that is full, fails, or no descriptor left, at the n-th call, n = 1 until none fails: nothing is sent that was not written down."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import apsw
import pytest

from reconciler.core.errors import ReconcileError
from reconciler.core.graph import Graph
from reconciler.core.query import Command, Rows
from reconciler.core.resource import After, Declaration
from reconciler.core.steps import Effect
from reconciler.core.values import Phase
from reconciler.edge.journal_file import JournalFile
from reconciler.engine.converge import converge
from reconciler.engine.intents import scope
from reconciler.engine.run import Tools
from tests.crash.schedules import without_threads
from tests.fake_world import FakeClock, FakeWorld, Reboot, Setting, revive

DURING: frozenset[Phase] = frozenset({"migrate"})
STEP = 1 if os.environ.get("RECONCILE_SOAK") == "1" else 3  # of the failures that last, beyond the first ones
PHASES: tuple[Phase, Phase] = ("migrate", "complete")
ORIGINAL: dict[tuple[str, str], dict[str, object]] = {("h", "b"): {"value": 0}, ("h", "other"): {"value": 9}}
# What fails in which way: calls of the VFS begin with x, calls of Python's os module with os.
KINDS: dict[str, tuple[type[apsw.Error], int, frozenset[str]]] = {
    "ENOSPC": (apsw.FullError, errno.ENOSPC, frozenset({"xWrite", "xSync", "os.open", "os.pwrite", "os.fsync"})),
    "EIO": (
        apsw.IOError, errno.EIO,
        frozenset({"xRead", "xWrite", "xSync", "xTruncate", "xFileSize", "xDelete", "os.open", "os.pwrite", "os.fsync"}),
    ),
    "EMFILE": (apsw.CantOpenError, errno.EMFILE, frozenset({"xOpen", "os.open"})),
}  # fmt: skip


class Failing:
    """Counts the calls of one kind and fails the n-th; a lasting failure fails every later one as well."""

    def __init__(self, kind: str, at: int, lasting: bool) -> None:
        self.error, self.number, self.calls = KINDS[kind]
        self.at, self.lasting = at, lasting
        self.seen = 0
        self.active = True

    def call(self, name: str) -> None:
        """Count, and fail if it is its turn."""
        if not self.active or name not in self.calls:
            return
        self.seen += 1
        if self.seen == self.at or (self.lasting and self.seen > self.at):
            if name.startswith("os."):
                raise OSError(self.number, os.strerror(self.number))
            raise self.error(os.strerror(self.number))

    @contextmanager
    def held_back(self) -> Iterator[None]:
        """Let nothing fail meanwhile: it is not the program that looks."""
        before, self.active = self.active, False
        try:
            yield
        finally:
            self.active = before


class FailingVFS(apsw.VFS):
    """The real file system, except where it fails."""

    def __init__(self, name: str, failing: Failing) -> None:
        self.below, self.failing = apsw.vfs_names()[0], failing
        super().__init__(name, self.below)

    def xOpen(self, name: Any, flags: list[int]) -> FailingFile:
        self.failing.call("xOpen")
        return FailingFile(self, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        self.failing.call("xDelete")
        super().xDelete(filename, syncdir)


class FailingFile(apsw.VFSFile):
    """A file of it."""

    def __init__(self, vfs: FailingVFS, name: Any, flags: list[int]) -> None:
        self.failing = vfs.failing
        super().__init__(vfs.below, name, flags)

    def xRead(self, amount: int, offset: int) -> bytes:
        self.failing.call("xRead")
        found: bytes = super().xRead(amount, offset)
        return found

    def xWrite(self, data: bytes, offset: int) -> None:
        self.failing.call("xWrite")
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:
        self.failing.call("xSync")
        super().xSync(flags)

    def xTruncate(self, newsize: int) -> None:
        self.failing.call("xTruncate")
        super().xTruncate(newsize)

    def xFileSize(self) -> int:
        self.failing.call("xFileSize")
        size: int = super().xFileSize()
        return size


@contextmanager
def disk(failing: Failing, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put the program on a disk that fails."""
    below = apsw.vfs_names()[0]
    vfs = FailingVFS("failing", failing)
    apsw.set_default_vfs("failing")

    def wrapped(name: str) -> Callable[..., Any]:
        real = getattr(os, name)

        def call(*given: Any, **more: Any) -> Any:
            failing.call(f"os.{name}")
            return real(*given, **more)

        return call

    with monkeypatch.context() as patch:
        for name in ("open", "pwrite", "fsync"):
            patch.setattr(os, name, wrapped(name))
        try:
            yield
        finally:
            apsw.set_default_vfs(below)
            vfs.unregister()


class WatchedWorld(FakeWorld):
    """Looks into the journal on the disk before it does anything."""

    path: Path
    failing: Failing

    def do(self, effect: Effect) -> Rows:
        """Carry it out, if the promise is on the disk."""
        if isinstance(effect, Command):
            with self.failing.held_back(), JournalFile.read_only(self.path) as journal:
                name = str(effect.arguments[0])
                promised = [promise.key for promise in journal.obligations() if promise.changed_at is not None]
            assert f"test.setting/h/{name}" in promised, f"sent without a promise: {effect}"
        return super().do(effect)


def program(world: WatchedWorld, phase: Phase) -> None:
    """Run the engine once on the journal on the disk, as ``apply`` does."""
    setting = Setting(name="b", value=1, restart=True, during=DURING)
    reboot = Reboot(pending=(), after=(After(key=setting.key),))
    with JournalFile.open(world.path, "demo", holder="test") as journal:
        graph = Graph([Declaration(setting), Declaration(reboot)])
        converge(scope(graph, phase, journal, revive), Tools(world, journal, FakeClock(), "run"))


def ended(path: Path) -> None:
    """Do what the kernel does when a program ends: close what it left open."""
    for descriptor in map(int, os.listdir("/proc/self/fd")):
        with suppress(OSError):
            if os.readlink(f"/proc/self/fd/{descriptor}").startswith(str(path.parent)):
                os.close(descriptor)


@pytest.mark.parametrize("lasting", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_sent_that_was_not_written_down(
    kind: str, lasting: bool, memory_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    n = 0
    while True:
        n += STEP if lasting and n > 20 else 1
        world = WatchedWorld({key: dict(value) for key, value in ORIGINAL.items()})
        world.path, world.failing = memory_disk / str(n) / "demo.db", Failing(kind, n, lasting)
        with without_threads(), disk(world.failing, monkeypatch):
            for phase in PHASES:
                with suppress(ReconcileError):
                    program(world, phase)
                ended(world.path)
            world.failing.active = False
            program(world, "migrate")
            assert world.values == {**ORIGINAL, ("h", "b"): {"value": 1}}
            program(world, "complete")
        assert world.values == ORIGINAL
        with JournalFile.read_only(world.path) as journal:
            assert [promise.key for promise in journal.obligations()] == []
        if world.failing.seen < n:
            break
    sys.stdout.write(f"{kind} {'lasting' if lasting else 'once'}: calls that failed, up to number {n - 1}" + "\n")
    assert n > 3


def test_a_lock_that_could_not_be_signed_is_given_up(memory_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*given: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = memory_disk / "journal" / "demo.db"
    with monkeypatch.context() as patch, pytest.raises(ReconcileError):
        patch.setattr(os, "pwrite", full)
        JournalFile.open(path, "demo", holder="test")
    try:
        JournalFile.open(path, "demo", holder="test").shut()
    finally:
        ended(path)

"""One writer per journal: a kernel lock that dies with its process, a lease that a paused one lets lapse, and who holds it.

The law: whoever comes or looks does so inside the turnstile, so that two that come at once never both get in.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from msgspec import Struct

from reconciler.core.errors import JournalError

BEAT_S = 5.0
LEASE_S = 60.0
TURNSTILE_S = 5.0


class Holder(Struct, frozen=True):
    """Who holds a lock, as that one wrote it down itself.

    Attributes:
        name: The command; empty where it has not said who it is.
        since: When it took the lock, ISO 8601.
        last_sign: When it last gave a sign of life.
    """

    name: str
    pid: int
    host: str
    since: str
    last_sign: datetime

    @classmethod
    def read(cls, descriptor: int) -> Self:
        """Read what the file of a lock says."""
        found, status = _content(descriptor), os.fstat(descriptor)
        try:
            name, pid, host, since = (
                str(found["holder"]), int(found["pid"]), str(found["host"]), str(found["since"]),
            )  # fmt: skip
        except (KeyError, TypeError, ValueError):
            name, pid, host, since = "", 0, "", ""
        return cls(name, pid, host, since, datetime.fromtimestamp(status.st_mtime, UTC))

    def __str__(self) -> str:
        if not self.name:
            return "it has not said who it is"
        return f"{self.name} (process {self.pid} on {self.host}, since {self.since})"


class WriterLock:
    """An exclusive lock on ``path``, held until ``release`` or the end of this process. The file itself stays.

    A thread touches the file every few seconds. A process that is paused touches nothing, and once its lease is over
    another one may put a lock of its own in the place of this one. Which lock counts is decided by the path alone.

    Attributes:
        took_over: Whose lock this one replaced although its process lives; None where the lock was free.
    """

    def __init__(self, path: Path, holder: str) -> None:
        """Take the lock.

        Raises:
            JournalError: Another writer holds it and lives; names that one.
        """
        self.took_over: Holder | None = None
        self._path = path
        self._said: dict[str, object] = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "since": datetime.now(UTC).isoformat("T", "seconds"),
            "holder": holder,
        }
        self._descriptor = -1
        self._owing = False  # the takeover is not written down in the journal yet
        self._turn = threading.Lock()
        with _turnstile(path.parent):
            self._enter()
        self._beat_at = _now()
        self._stop = threading.Event()
        self._heart = threading.Thread(target=self._live, name="heart", daemon=True)
        self._heart.start()

    def check(self) -> None:
        """Make sure that this is still the writer.

        Raises:
            JournalError: Another one has taken over, or this one was silent for so long that another one may.
        """
        with self._turn:
            lost = self._lost()
        if lost:
            raise JournalError(
                f"this process is no longer the writer of this journal: {lost}; it changes nothing more",
                where=str(self._path),
                do="`reconcile status` says who is; run the command again once that one has ended",
            )

    def settle(self) -> None:
        """Note that the takeover is complete: from now on the lock is like any other."""
        if self._owing:
            self._write(self._descriptor, self._said)
            self._owing = False

    def release(self) -> None:
        """Give the lock up. Harmless the second time."""
        self._stop.set()
        with self._turn:
            if self._descriptor >= 0:
                if not self._owing:
                    os.ftruncate(self._descriptor, 0)
                os.close(self._descriptor)
                self._descriptor = -1

    def _enter(self) -> None:
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            if _lock(descriptor, fcntl.LOCK_EX):
                # A takeover that was begun and not completed is still owed: the one that was paused may yet wake.
                self.took_over = Holder.read(descriptor) if "instead_of" in _content(descriptor) else None
                self._descriptor, descriptor = descriptor, -1
            else:
                self.took_over = self._silent(descriptor)
                self._descriptor = self._replace()
            self._owing = self.took_over is not None
            self._write(
                self._descriptor, {**self._said, **({"instead_of": str(self.took_over)} if self._owing else {})}
            )
        except BaseException:  # a lock that nobody can be named for is given up
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1
            raise
        finally:
            if descriptor >= 0:
                os.close(descriptor)

    def _silent(self, descriptor: int) -> Holder:
        """Return who holds the lock where that one gave no sign of life for a whole lease."""
        other = Holder.read(descriptor)
        if (datetime.now(UTC) - other.last_sign).total_seconds() <= LEASE_S:
            raise JournalError(
                f"another writer is at work on this journal: {other}",
                where=str(self._path),
                do="wait until it ends, or end it; the lock goes with it",
            )
        return other

    def _replace(self) -> int:
        """Put a lock of our own in the place of one whose holder does not answer."""
        beside = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        beside.unlink(missing_ok=True)
        descriptor = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            _lock(descriptor, fcntl.LOCK_EX)
            self._write(descriptor, {**self._said, "instead_of": str(self.took_over)})
            beside.replace(self._path)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _live(self) -> None:
        """Touch the file for as long as this is the writer."""
        while not self._stop.wait(BEAT_S):
            with self._turn:
                if self._lost():
                    return
                os.utime(self._descriptor)
                self._beat_at = _now()

    def _lost(self) -> str:
        """Say why this is no longer the writer; empty while it is."""
        if self._descriptor < 0:
            return "it gave the lock up"
        ours = os.fstat(self._descriptor)
        try:
            there = self._path.lstat()
        except OSError as error:
            return f"its lock is gone ({error.strerror})"
        if (ours.st_dev, ours.st_ino) != (there.st_dev, there.st_ino):
            return f"{self._other()} has taken over"
        silent = _now() - self._beat_at
        return f"it was paused for {silent:.0f} s, and another process may have taken over" if silent > LEASE_S else ""

    def _other(self) -> str:
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return "another process"
        try:
            other = Holder.read(descriptor)
        finally:
            os.close(descriptor)
        return str(other) if other.name else "another process"

    def _write(self, descriptor: int, said: dict[str, object]) -> None:
        content = json.dumps(said).encode()
        os.pwrite(descriptor, content, 0)
        os.ftruncate(descriptor, len(content))


def holder_of(path: Path) -> Holder | None:
    """Return who holds the lock of this path at present, None where nobody does. Nothing is written.

    Raises:
        JournalError: Another process stands in the turnstile.
    """
    if not path.exists():
        return None
    with _turnstile(path.parent):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            return None if _lock(descriptor, fcntl.LOCK_SH) else Holder.read(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def _turnstile(directory: Path) -> Iterator[None]:
    """Let one process at a time take or look at a lock in this directory."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        deadline = time.monotonic() + TURNSTILE_S
        while not _lock(descriptor, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                raise JournalError(
                    "another process is just taking a lock in this directory, and does not get on",
                    where=str(directory),
                    do=f"`fuser {directory}` names it; end it, and start again",
                )
            time.sleep(0.02)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _content(descriptor: int) -> dict[str, Any]:
    try:
        found = json.loads(os.pread(descriptor, 4096, 0))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _now() -> float:
    """Return seconds that also pass while the machine sleeps, and that nobody can set."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)

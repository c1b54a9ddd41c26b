"""One writer per file: a kernel lock that dies with its process, and says who holds it."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from datetime import UTC, datetime
from pathlib import Path

from reconciler.core.errors import JournalError


class WriterLock:
    """An exclusive lock on ``path``, held until ``release`` or the end of this process. The file itself stays."""

    def __init__(self, path: Path, holder: str) -> None:
        """Take the lock.

        Raises:
            JournalError: Another writer holds it; names that one.
        """
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            other = _read_holder(self._descriptor)
            os.close(self._descriptor)
            if not isinstance(error, BlockingIOError):
                raise
            raise JournalError(
                f"another writer is at work on this journal: {other}",
                where=str(path),
                do="wait until it ends, or end it; the lock goes with it",
            ) from None
        try:
            self._write(
                {
                    "pid": os.getpid(),
                    "host": socket.gethostname(),
                    "since": datetime.now(UTC).isoformat("T", "seconds"),
                    "holder": holder,
                }
            )
        except OSError:
            os.close(self._descriptor)  # a lock that nobody can be named for is given up
            self._descriptor = -1
            raise

    def release(self) -> None:
        """Give the lock up. Harmless the second time."""
        if self._descriptor >= 0:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = -1

    def _write(self, holder: dict[str, object]) -> None:
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, json.dumps(holder).encode(), 0)


def _read_holder(descriptor: int) -> str:
    try:
        found = json.loads(os.pread(descriptor, 4096, 0))
        return f"{found['holder']} (process {found['pid']} on {found['host']}, since {found['since']})"
    except (ValueError, KeyError, TypeError):
        return "it has not said who it is"

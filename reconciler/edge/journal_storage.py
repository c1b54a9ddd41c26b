"""Keeps the journal's file sound: private, of the right schema, durable. What it holds is the journal's matter."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import apsw

from reconciler.core.errors import JournalError
from reconciler.edge.journal_schema import APPLICATION_ID, MIGRATIONS, VERSION, VERSION_TABLE
from reconciler.edge.writer_lock import Holder, WriterLock

BUSY_TIMEOUT_MS = 10_000
TOOK_OVER = "took over"
"""The event in the history that says when the number of the writer went up."""


def connect(path: Path) -> apsw.Connection:
    """Open the file, which must exist; whoever else is in it, a backup or a reader after a crash, is waited for."""
    connection = apsw.Connection(os.fspath(path), flags=apsw.SQLITE_OPEN_READWRITE)
    connection.set_busy_timeout(BUSY_TIMEOUT_MS)
    return connection


def configure(connection: apsw.Connection, path: Path, *, known: bool = False) -> None:
    """Choose and verify what makes an acknowledged write durable, and check that the file is sound.

    Args:
        known: This process has checked it, and nobody has written to it since.
    """
    connection.execute("PRAGMA trusted_schema=OFF")
    # Settings that lost no acknowledged row at any simulated power cut; SQLite may refuse one silently, so look.
    for name, wanted, means in (("journal_mode", "TRUNCATE", "truncate"), ("synchronous", "FULL", 2)):
        connection.execute(f"PRAGMA {name}={wanted}")
        if connection.pragma(name) != means:
            raise JournalError(
                f"SQLite does not accept {name}={wanted} for this file",
                where=str(path),
                do="put the journal on a local disk",
            )
    if not known and connection.pragma("quick_check") != "ok":
        raise _damaged(path)


def version_of(connection: apsw.Connection, path: Path) -> int:
    """Return the schema version; 0 for a file without tables. Refuse what is not ours, or newer than we are."""
    tables = {str(row[0]) for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    if not tables:
        return 0
    if connection.pragma("application_id") != APPLICATION_ID:
        raise JournalError(
            "this file is not a journal", where=str(path), do="give the path of the journal, or move that file away"
        )
    version = int(str(connection.execute("SELECT max(version) FROM schema_version").get or 0))
    if version > VERSION:
        raise JournalError(
            f"a newer version of this program wrote this journal (schema {version})",
            where=str(path),
            do="use that version",
        )
    return version


def migrate(connection: apsw.Connection, path: Path) -> None:
    """Bring the schema to the newest version, one transaction per version."""
    for version in range(version_of(connection, path), VERSION):
        with transaction(connection):
            connection.pragma("application_id", APPLICATION_ID)
            connection.execute(VERSION_TABLE)
            connection.execute(MIGRATIONS[version])
            connection.execute("INSERT INTO schema_version VALUES (?, ?)", (version + 1, datetime.now(UTC).isoformat()))


def claim(connection: apsw.Connection, path: Path, state_name: str, lock: WriterLock) -> int:
    """Make this the journal of one state, or refuse it as that of another; return the number of its writer.

    The number goes up where the lock was taken from a process that lives: what that one wrote down as its own no
    longer counts. An ordinary start writes nothing here.
    """
    with transaction(connection):
        lock.check()  # inside: who takes over after this has to wait for the end of the transaction
        row = next(iter(connection.execute("SELECT state, epoch FROM owner")), None)
        if row is None:
            connection.execute("INSERT INTO owner (state) VALUES (?)", (state_name,))
            row = (state_name, 1)
        owner, epoch = str(row[0]), int(str(row[1]))
        if owner != state_name:
            raise JournalError(
                f"this is the journal of '{owner}', not of '{state_name}'",
                where=str(path),
                do="give each state its own journal",
            )
        if lock.took_over is None:
            return epoch
        connection.execute("UPDATE owner SET epoch = ?", (epoch + 1,))
        detail = {"from": str(lock.took_over), "silent_since": lock.took_over.last_sign.isoformat(), "epoch": epoch + 1}
        values = (datetime.now(UTC).isoformat(), TOOK_OVER, json.dumps(detail))
        connection.execute("INSERT INTO history (at, event, detail) VALUES (?, ?, ?)", values)
    return epoch + 1


def check_epoch(connection: apsw.Connection, path: Path, epoch: int) -> None:
    """Refuse to write for a process that another one has taken over from; called inside the transaction."""
    if connection.execute("SELECT epoch FROM owner").get == epoch:
        return
    at = connection.execute("SELECT max(at) FROM history WHERE event = ?", (TOOK_OVER,)).get
    raise JournalError(
        f"another process took over at {at}; this one writes nothing more",
        where=str(path),
        do="`reconcile status` says how it stands; run the command again once the other one has ended",
    )


def empty() -> apsw.Connection:
    """Return a journal that lives in memory only."""
    connection = apsw.Connection(":memory:")
    migrate(connection, Path(":memory:"))
    return connection


def upgraded_copy(connection: apsw.Connection, path: Path) -> apsw.Connection:
    """Read a journal of an older schema without changing it."""
    copy = apsw.Connection(":memory:")
    with copy.backup("main", connection, "main") as backup:
        backup.step()
    connection.close()
    migrate(copy, path)
    return copy


def prepare_directory(directory: Path) -> None:
    """Make the directory private, or refuse one that others can write to."""
    missing = [parent for parent in (directory, *directory.parents) if not parent.exists()]
    for parent in reversed(missing):
        parent.mkdir(mode=0o700, exist_ok=True)
    mode = stat.S_IMODE(directory.stat().st_mode)
    if mode & 0o022:
        raise JournalError(
            f"others can write to the journal's directory (mode {mode:04o})",
            where=str(directory),
            do=f"chmod 700 {directory}, or put it elsewhere",
        )


def prepare_file(path: Path) -> None:
    """Create the file for its owner alone, or refuse one that others can write to."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode):
            raise JournalError("the journal is not a regular file", where=str(path), do="move that away") from None
        mode = stat.S_IMODE(status.st_mode)
        if mode & 0o022:
            raise JournalError(
                f"others can write to the journal (mode {mode:04o})", where=str(path), do=f"chmod 600 {path}"
            ) from None
        if mode & 0o077:
            path.chmod(0o600)
    else:
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        os.fsync(directory)
        os.close(directory)


@contextmanager
def transaction(connection: apsw.Connection) -> Iterator[None]:
    """Write all or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def naming(paused: Holder | None, path: Path) -> Iterator[None]:
    """Say whom to end where a process that was taken over from sleeps in the middle of a write."""
    try:
        yield
    except (apsw.BusyError, apsw.LockedError) as error:
        if paused is None:
            raise
        raise JournalError(
            f"the writer that gives no sign of life is in the middle of a write to this journal: {paused}",
            where=str(path),
            do=f"end process {paused.pid}, and start again; nothing was changed",
        ) from error


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn errors of SQLite and of the system into ones that say what to do."""
    where = str(path)
    try:
        yield
    except (apsw.NotADBError, apsw.CorruptError) as error:
        raise _damaged(path) from error
    except (apsw.BusyError, apsw.LockedError) as error:
        raise JournalError(
            "another process keeps the journal busy", where=where, do="end it, and start again"
        ) from error
    except apsw.FullError as error:
        raise JournalError(
            "there is no room left for the journal", where=where, do="make room on that disk; nothing was lost"
        ) from error
    except apsw.Error as error:
        raise JournalError(
            f"the journal cannot be used: {error}", where=where, do="check the disk and the file's permissions"
        ) from error
    except OSError as error:
        raise JournalError(
            f"the journal cannot be opened: {error.strerror}", where=where, do="check the path and its permissions"
        ) from error


def _damaged(path: Path) -> JournalError:
    do = (
        "it holds what has to be put back, so do not delete it: keep a copy, and restore it from a backup\n"
        f"or rescue it: sqlite3 {path} .recover | sqlite3 rescued.sqlite"
    )
    return JournalError("the journal is damaged, or is not a journal", where=str(path), do=do)

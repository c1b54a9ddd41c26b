"""Keeps the journal's file sound: private, of the right schema, durable. What it holds is the journal's matter."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import apsw

from reconciler.core.errors import JournalError
from reconciler.edge.journal_schema import APPLICATION_ID, MIGRATIONS, VERSION, VERSION_TABLE

BUSY_TIMEOUT_MS = 10_000


def configure(connection: apsw.Connection, path: Path) -> None:
    """Choose and verify what makes an acknowledged write durable, and check that the file is sound."""
    connection.set_busy_timeout(BUSY_TIMEOUT_MS)
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
    found = connection.pragma("quick_check")
    if found != "ok":
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


def claim(connection: apsw.Connection, path: Path, state_name: str) -> None:
    """Make this the journal of one state, or refuse it as that of another."""
    owner = connection.execute("SELECT state FROM owner").get
    if owner is None:
        with transaction(connection):
            connection.execute("INSERT INTO owner (state) VALUES (?)", (state_name,))
    elif owner != state_name:
        raise JournalError(
            f"this is the journal of '{owner}', not of '{state_name}'",
            where=str(path),
            do="give each state its own journal",
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

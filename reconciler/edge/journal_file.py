"""The journal on disk: what must survive a crash, synced before any write returns, with one writer at a time."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import apsw

from reconciler.core.drift import Sighting
from reconciler.core.errors import JournalError
from reconciler.core.ports import Json, Obligation
from reconciler.core.resource import Key
from reconciler.core.runs import BEGUN, ENDED
from reconciler.edge.journal_facts import FactCache
from reconciler.edge.journal_schema import VERSION
from reconciler.edge.journal_storage import (
    check_epoch,
    claim,
    configure,
    connect,
    empty,
    migrate,
    naming,
    prepare_directory,
    prepare_file,
    transaction,
    translated,
    upgraded_copy,
    version_of,
)
from reconciler.edge.writer_lock import Holder, WriterLock, holder_of

_NOTE = "INSERT INTO facts VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value, at = excluded.at"
_KEEP = (
    "INSERT INTO obligations (key, declared, baseline, requires, weakens, seen_at, changed_at)"
    " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) WHERE closed_at IS NULL DO NOTHING"
)
_MARK = (
    "UPDATE obligations SET changed_at = ?, wanted_until = ?, forecast_s = ?"
    " WHERE key = ? AND closed_at IS NULL AND changed_at IS NULL"
)
_UNTIL = "UPDATE obligations SET wanted_until = ? WHERE key = ? AND closed_at IS NULL AND changed_at IS NOT NULL"
_HISTORY = "SELECT id, at, event, detail FROM history"
_RUNS = f"event IN ({', '.join(map(repr, (*BEGUN, *ENDED)))})"
_NOT_THE_LAST = "id < (SELECT max(id) FROM history)"  # else SQLite would give its number to the next entry
_OLD_STEPS = (
    "event = 'step' AND at < ? "  # noqa: S608 - no value of anybody is in it
    f"AND json_extract(detail, '$.key') NOT IN (SELECT key FROM obligations WHERE closed_at IS NULL) AND {_NOT_THE_LAST}"
)
_OBLIGATION = (
    "SELECT key, declared, baseline, requires, weakens, seen_at, changed_at, closed_at, wanted_until, forecast_s"
    " FROM obligations"
)
_Row = tuple[Any, ...]
_DRIFT = "key, fields, comes_from, first_seen, last_seen, closed_at, repaired_by, since, changed_on, found"
_SIGHT = (
    f"INSERT INTO drifts ({_DRIFT}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key, fields) WHERE closed_at IS NULL"  # noqa: S608 - names only
    " DO UPDATE SET comes_from = excluded.comes_from, first_seen = excluded.first_seen, last_seen = excluded.last_seen, since = excluded.since,"
    " changed_on = excluded.changed_on, found = excluded.found"
)
_REPAIRED = "UPDATE drifts SET closed_at = ?, repaired_by = ? WHERE key = ? AND fields = ? AND closed_at IS NULL"


class JournalFile:
    """The journal of one state file. Safe to use from several threads; a context manager.

    Attributes:
        epoch: The number of this writer; 0 where it only reads.
    """

    def __init__(
        self,
        path: Path,
        connection: apsw.Connection,
        lock: WriterLock | None,
        epoch: int = 0,
        facts: FactCache | None = None,
    ) -> None:
        """Use ``open`` or ``read_only``."""
        self.path = path
        self.epoch = epoch
        self._connection = connection
        self._facts = facts or FactCache()
        self._lock = lock
        self._turn = threading.RLock()

    @classmethod
    def open(cls, path: Path, state_name: str, *, holder: str, facts: FactCache | None = None) -> Self:
        """Open for writing, create it if need be, and be its only writer.

        Args:
            path: The file; its directory is made 0700.
            state_name: Whose journal it is; a journal of another state is refused.
            holder: What a second writer is told, such as the command.
            facts: Kept from one writer of this process to its next, which then reads only what it does not know.

        Raises:
            JournalError: Another writer holds it, others could tamper with it, it is damaged, or not ours.
        """
        with translated(path):
            prepare_directory(path.parent)
            lock = WriterLock(_lock_path(path), holder)
        try:
            with translated(path), naming(lock.took_over, path):
                prepare_file(path)
                connection = connect(path)
                known = facts is not None and facts.follow(connection, _identity(path))
                configure(connection, path, known=known)
                migrate(connection, path)
                epoch = claim(connection, path, state_name, lock)
            lock.settle()
        except BaseException:
            lock.release()
            raise
        return cls(path, connection, lock, epoch, facts)

    @classmethod
    def read_only(cls, path: Path) -> Self:
        """Open for reading, beside a writer or without one. A journal that does not exist is empty, and is not created.

        After the crash of a writer SQLite has to roll its half transaction back before anything can be read; that is
        why the file is opened for writing while every statement of ours is kept from it (``query_only``).

        Raises:
            JournalError: It cannot be read, is damaged, or not ours.
        """
        with translated(path):
            if not path.exists():
                return cls(path, empty(), None)
            connection = connect(path)
            connection.execute("PRAGMA query_only=ON")
            if version_of(connection, path) < VERSION:
                connection = upgraded_copy(connection, path)
        return cls(path, connection, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shut()

    def shut(self) -> None:
        """Close the file and give the lock up."""
        with self._turn:
            if self._lock is not None:
                with suppress(OSError, apsw.Error):
                    self._facts.rest(self._connection, _identity(self.path))
            self._connection.close()
            if self._lock is not None:
                self._lock.release()

    def abandon(self, event: str, at: datetime, detail: Json) -> None:
        """Write a last word, close the file and let no other thread in again: for a process that ends right after this.

        The lock is not given up: it goes with the process, so that nobody else begins while this one still lives.
        """
        self._turn.acquire()
        with suppress(JournalError):
            self.record(event, at, detail)
        self._connection.close()

    @property
    def took_over(self) -> Holder | None:
        """The writer that still lives, and whose place this one took; None for an ordinary start."""
        return self._lock.took_over if self._lock is not None else None

    def writer(self) -> Holder | None:
        """Return who writes to this journal at present, None where nobody does."""
        with translated(self.path):
            return holder_of(_lock_path(self.path))

    def check_writer(self) -> None:
        """Make sure that this is still the one writer.

        Raises:
            JournalError: Another process has taken over, or may have; or this journal is only read.
        """
        if self._lock is None:
            raise JournalError("this journal was opened for reading only", where=str(self.path))
        self._lock.check()

    def facts(self, prefix: str) -> Mapping[str, Json]:
        """Return facts whose key starts with ``prefix``."""
        with self._turn, translated(self.path):
            return self._facts.below(self._connection, prefix)

    def note(self, facts: Mapping[str, Json], at: datetime) -> None:
        """Keep facts, all or none; a later one of the same key replaces the earlier."""
        written, when = {key: _json(value) for key, value in facts.items()}, _time(at)
        with self._turn:
            try:
                self._write(_NOTE, [(key, value, when) for key, value in written.items()])
            except BaseException:
                self._facts.forget()  # nobody knows whether it was kept
                raise
            self._facts.took(written)

    def keep_baseline(self, obligation: Obligation) -> None:
        """Keep a baseline unless one is open for this key: the first one wins until it is closed."""
        changed_at = _time(obligation.changed_at) if obligation.changed_at else None
        row = (
            obligation.key, _json(obligation.declared), _json(obligation.baseline), _json(obligation.requires),
            obligation.weakens, _time(obligation.seen_at), changed_at,
        )  # fmt: skip
        self._write(_KEEP, [row])

    def mark_changed(
        self, key: Key, at: datetime, *, until: datetime | None = None, forecast_s: float | None = None
    ) -> None:
        """Commit that we are about to change this resource; the first time wins. Without an open baseline, nothing."""
        self._write(_MARK, [(_time(at), until and _time(until), forecast_s, key)])

    def want_until(self, key: Key, until: datetime | None) -> None:
        """Move the end of the lease of an open promise."""
        self._write(_UNTIL, [(until and _time(until), key)])

    def close(self, key: Key, at: datetime) -> None:
        """Close the promise: the baseline was read back."""
        self._write("UPDATE obligations SET closed_at = ? WHERE key = ? AND closed_at IS NULL", [(_time(at), key)])

    def obligations(self) -> list[Obligation]:
        """Return the open ones, oldest first."""
        return [_obligation(row) for row in self._rows(f"{_OBLIGATION} WHERE closed_at IS NULL ORDER BY id")]

    def closed(self) -> list[Obligation]:
        """Return the closed ones that had been changed, oldest first."""
        return [
            _obligation(row)
            for row in self._rows(f"{_OBLIGATION} WHERE closed_at IS NOT NULL AND changed_at IS NOT NULL ORDER BY id")
        ]

    def record(self, event: str, at: datetime, *details: Json) -> None:
        """Append to the history, an entry for each detail; all or none."""
        rows = [(_time(at), event, _json(detail)) for detail in details]
        self._write("INSERT INTO history (at, event, detail) VALUES (?, ?, ?)", rows)

    def history(self, after: int = 0) -> Sequence[Json]:
        """Return the history, oldest first: ``{"id": int, "at": iso, "event": str, ...detail}``."""
        return [_entry(row) for row in self._rows(f"{_HISTORY} WHERE id > ? ORDER BY id", after)]

    def steps(self, latest: int, key: Key = "") -> Sequence[Json]:
        """Return the latest steps, oldest first."""
        which, values = ("AND json_extract(detail, '$.key') = ? ", (key,)) if key else ("", ())
        rows = self._rows(f"{_HISTORY} WHERE event = 'step' {which}ORDER BY id DESC LIMIT ?", *values, latest)
        return [_entry(row) for row in reversed(rows)]

    def forget_steps(self, before: datetime) -> None:
        """Drop steps from before this moment, but none about what is still to be put back; without any, nothing is written."""
        if self._rows(f"SELECT 1 FROM history WHERE {_OLD_STEPS} LIMIT 1", _time(before)):  # noqa: S608
            self._write(f"DELETE FROM history WHERE {_OLD_STEPS}", [(_time(before),)])  # noqa: S608

    def runs(self, after: int, most: int) -> Sequence[Json]:
        """Return the entries about when runs began and ended, oldest first."""
        return [
            _entry(row) for row in self._rows(f"{_HISTORY} WHERE id > ? AND {_RUNS} ORDER BY id LIMIT ?", after, most)
        ]

    def forget_runs(self, upto: int) -> None:
        """Drop those entries up to this id."""
        self._write(f"DELETE FROM history WHERE id <= ? AND {_RUNS} AND {_NOT_THE_LAST}", [(upto,)])  # noqa: S608

    def sight(self, sightings: Sequence[Sighting]) -> None:
        """Keep drifts, all or none: each replaces the open one of the same key and fields, or begins one."""
        over = [one for one in sightings if one.closed_at is not None]
        closing = [
            (one.closed_at and _time(one.closed_at), one.repaired_by, one.key, _json(one.fields)) for one in over
        ]
        self._write(_SIGHT, [_drift_row(one) for one in sightings], (_REPAIRED, closing))

    def sightings(self, *, open_only: bool = False) -> list[Sighting]:
        """Return the drifts, those first seen first."""
        which = "WHERE closed_at IS NULL " if open_only else ""
        return [_sighting(row) for row in self._rows(f"SELECT {_DRIFT} FROM drifts {which}ORDER BY first_seen, id")]  # noqa: S608

    def forget_sightings(self, before: datetime) -> None:
        """Drop drifts that were closed before this moment; without any, nothing is written."""
        if self._rows("SELECT 1 FROM drifts WHERE closed_at < ? LIMIT 1", _time(before)):
            self._write("DELETE FROM drifts WHERE closed_at < ?", [(_time(before),)])

    def _rows(self, sql: str, *values: apsw.SQLiteValue) -> list[tuple[Any, ...]]:
        with self._turn, translated(self.path):
            return list(self._connection.execute(sql, values))

    def _write(self, sql: str, rows: Sequence[_Row], *more: tuple[str, Sequence[_Row]]) -> None:
        """Execute a statement for each row, and more of them, all or none."""
        if not rows:
            return
        if self._lock is None:
            raise JournalError("this journal was opened for reading only", where=str(self.path))
        with self._turn, translated(self.path), transaction(self._connection):
            check_epoch(self._connection, self.path, self.epoch)
            self._lock.check()
            for statement, values in ((sql, rows), *more):
                self._connection.executemany(statement, values)


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


def _lock_path(path: Path) -> Path:
    return path.with_name(path.name + ".lock")


def _obligation(row: tuple[Any, ...]) -> Obligation:
    key, declared, baseline, requires, weakens, seen_at, changed_at, closed_at, wanted_until, forecast_s = row
    return Obligation(
        key, json.loads(declared), json.loads(baseline), tuple(json.loads(requires)), weakens,
        datetime.fromisoformat(seen_at), _read_time(changed_at), _read_time(closed_at), _read_time(wanted_until), forecast_s,
    )  # fmt: skip


def _drift_row(found: Sighting) -> _Row:
    """Return the row while it is open: what is over is closed by a statement of its own."""
    return (
        found.key, _json(found.fields), found.comes_from, _time(found.first_seen), _time(found.last_seen),
        None, "", found.since and _time(found.since), found.on, found.found,
    )  # fmt: skip


def _sighting(row: tuple[Any, ...]) -> Sighting:
    key, fields, comes_from, first_seen, last_seen, closed_at, repaired_by, since, on, found = row
    first, last = datetime.fromisoformat(first_seen), datetime.fromisoformat(last_seen)
    return Sighting(
        key, tuple(json.loads(fields)), comes_from, first, last, _read_time(closed_at), repaired_by, _read_time(since), on, found
    )  # fmt: skip


def _entry(row: tuple[Any, ...]) -> Json:
    number, at, event, detail = row
    return {"id": number, "at": at, "event": event, **_beside(json.loads(detail))}


def _beside(detail: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in detail.items() if name not in ("id", "at", "event")}


def _json(value: object) -> str:
    return json.dumps(value, allow_nan=False)


def _time(at: datetime) -> str:
    if at.tzinfo is None:
        raise ValueError("a time without a time zone")
    return at.astimezone(UTC).isoformat()


def _read_time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)

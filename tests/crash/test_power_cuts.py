"""The journal under power cuts at every write, truncation, sync and deletion: nothing acknowledged is lost, nothing is corrupt."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import apsw
import pytest

from reconciler.core.errors import JournalError
from reconciler.core.ports import Journal, Obligation
from reconciler.edge import journal_file
from reconciler.edge.journal_file import JournalFile
from tests.crash.power import Disk, Entry, recording
from tests.fake_journal import MemoryJournal

T0 = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
CHANGES = 140
CUTS = 500_000 if os.environ.get("RECONCILE_SOAK") == "1" else 5_000
Content = tuple[Any, ...]


def change(journal: Journal, n: int) -> None:
    """Make the n-th write: promises that are made, marked and closed, facts, and history; some larger than a page."""
    at, key = T0 + timedelta(seconds=n), f"win.registry/host/{n // 7}"
    match n % 7:
        case 0:
            text = "x" * (9000 if n % 5 == 0 else 60)
            journal.keep_baseline(Obligation(key, {"value": n, "text": text}, {"value": 0}, ("a", "b"), "weak", at))
        case 1:
            journal.mark_changed(key, at)
        case 2:
            journal.note({f"fact/{n % 4}": {"n": n}, f"fact/{n}": {"text": "y" * (n % 300)}}, at)
        case 3 | 4:
            journal.record("step", at, {"n": n, "text": "z" * (n * 7 % 900)})
        case 5:
            journal.note({"fact/big": {"text": str(n) * 1500}}, at)
        case 6 if n % 2:
            journal.close(key, at)
        case _:
            journal.record("closing", at, {})


def content(journal: Journal) -> Content:
    """Return everything a journal says."""
    return journal.facts(""), journal.obligations(), journal.closed(), journal.history()


def contents() -> list[Content]:
    """Return what is to be there after 0, 1, 2 ... writes."""
    model = MemoryJournal()
    found = [content(model)]
    for n in range(CHANGES):
        change(model, n)
        found.append(content(model))
    return found


def recorded(path: Path) -> list[Entry]:
    """Write a journal and return what reached the disk."""
    log: list[Entry] = []
    with recording(log), JournalFile.open(path, "demo", holder="test") as journal:
        log.append(Entry("acknowledged"))  # that it is open
        for n in range(CHANGES):
            change(journal, n)
            log.append(Entry("acknowledged"))
    return log


def cuts(log: list[Entry], path: Path, most: int, seed: int) -> Iterator[tuple[int, dict[str, bytes]]]:
    """Cut the power at every boundary, several times over until there are ``most``; yield what was acknowledged, and the files."""
    chance = random.Random(seed)
    times = -(-most // len(log))
    disk = Disk()
    disk.existing(str(path))  # made and synced before SQLite sees it
    for entry in log:
        disk.replay(entry)
        for _ in range(times):
            yield disk.acknowledged, disk.cut(chance)


def found_after(files: dict[str, bytes], path: Path, there: Path) -> Content:
    """Put the files on a disk, open the journal as the program does, check it thoroughly, and read it."""
    for old in there.iterdir():
        old.unlink()
    for name, stored in files.items():
        copy = there / Path(name).name
        copy.write_bytes(stored)
        copy.chmod(0o600)
    with JournalFile.open(there / path.name, "demo", holder="test") as journal:
        assert journal._connection.pragma("integrity_check") == "ok"
        return content(journal)


def judged(disk: Path, most: int, every: int = 1) -> tuple[int, int, int]:
    """Return the number of cuts, of those that lost something acknowledged, and of those that left it corrupt."""
    path, there = disk / "written" / "demo.db", disk / "found"
    there.mkdir(mode=0o700)
    log, model = recorded(path), contents()
    count = lost = corrupt = 0
    for acknowledged, files in islice(cuts(log, path, most, seed=1), None, None, every):
        count += 1
        writes = max(0, acknowledged - 1)
        try:
            found = found_after(files, path, there)
        except (JournalError, AssertionError, apsw.Error):
            corrupt += 1
            continue
        # A write that was under way is there as a whole or not at all.
        lost += found not in model[writes : writes + 2]
    return count, lost, corrupt


def test_nothing_acknowledged_is_lost_and_nothing_is_corrupt(
    memory_disk: Path, record_testsuite_property: Callable[..., None]
) -> None:
    count, lost, corrupt = judged(memory_disk, CUTS)
    text = f"{count} power cuts, {lost} lost something acknowledged, {corrupt} left the journal corrupt"
    sys.stdout.write(text + "\n")
    record_testsuite_property("power cuts", text)
    assert (lost, corrupt) == (0, 0)
    assert count >= CUTS


def test_the_same_cuts_find_the_default_of_python_not_durable(
    memory_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def careless(connection: apsw.Connection, path: Path, *, known: bool) -> None:
        connection.execute("PRAGMA journal_mode=DELETE")
        connection.execute("PRAGMA synchronous=FULL")

    monkeypatch.setattr(journal_file, "configure", careless)
    count, lost, corrupt = judged(memory_disk, 1, every=7)
    sys.stdout.write(
        f"DELETE and FULL: {count} power cuts, {lost} lost something acknowledged, {corrupt} left the journal corrupt\n"
    )
    assert lost > 0

"""When runs began and ended is dropped from the journal after some time; what it told is kept."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from msgspec.structs import replace

from reconciler.core.ports import Journal
from reconciler.core.runs import NO_RUNS, Runs, read, runs, written

COUNTED = "runs/counted"
"""Key of the fact that says what the entries told that were dropped."""
LONGEST = timedelta(days=30)
"""A run that has not ended by then never will: it was killed."""
TOGETHER = 500
"""So many entries are dropped at once, so that not every pass writes for two."""


def counted(journal: Journal) -> Runs:
    """Return what the entries told that were dropped; the others follow ``last``."""
    fact = journal.facts(COUNTED).get(COUNTED)
    return NO_RUNS if fact is None else read(fact)


def forget_runs(journal: Journal, before: datetime, now: datetime, together: int = TOGETHER) -> None:
    """Drop what says when runs began and ended before a moment, so many entries together, and keep what they told.

    A crash in between loses nothing and counts nothing twice: what was counted is never read again, dropped or not.
    """
    known = counted(journal)
    some = journal.runs(known.last, 1)
    if not some or not _is_before(some[0], before):
        return
    some = journal.runs(known.last, together)
    if len(some) < together or not all(_is_before(entry, before) for entry in some):
        return
    total = runs(some, known)
    under_way = {run: at for run, at in total.open.items() if before - at < LONGEST}
    journal.note({COUNTED: written(replace(total, open=under_way))}, now)
    journal.forget_runs(total.last)


def _is_before(entry: Mapping[str, Any], moment: datetime) -> bool:
    return datetime.fromisoformat(entry["at"]) < moment

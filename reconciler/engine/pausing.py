"""A pause that ends by itself: until then nothing is changed forward, and everything that goes back still does."""

from __future__ import annotations

from datetime import datetime, timedelta

from msgspec import Struct

from reconciler.core.ports import Journal

PAUSE = "pause"
"""The fact that says until when; empty once somebody ended it before its time."""


class Pause(Struct, frozen=True):
    """Somebody asked for quiet."""

    since: datetime
    until: datetime
    because: str = ""

    def __str__(self) -> str:
        why = f" ({self.because})" if self.because else ""
        return f"paused until {self.until:%Y-%m-%d %H:%M:%S} UTC{why}"


def paused(journal: Journal, now: datetime) -> Pause | None:
    """Return the pause that holds at this moment."""
    fact = journal.facts(PAUSE).get(PAUSE)
    if not fact:
        return None
    found = Pause(
        datetime.fromisoformat(str(fact["since"])), datetime.fromisoformat(str(fact["until"])), str(fact["because"])
    )
    # A clock that was set back by a little ends no pause, and one that was set back by years makes none of years.
    return found if found.since - (found.until - found.since) <= now < found.until else None


def pause(journal: Journal, now: datetime, length: timedelta, because: str) -> Pause:
    """Begin a pause; a later one replaces it."""
    made = Pause(now, now + length, because)
    fact = {"since": made.since.isoformat(), "until": made.until.isoformat(), "because": because}
    journal.note({PAUSE: fact}, now)
    journal.record("pause", now, fact)
    return made


def end_pause(journal: Journal, now: datetime) -> bool:
    """End it before its time; return whether there was one."""
    if paused(journal, now) is None:
        return False
    journal.note({PAUSE: {}}, now)
    journal.record("resume", now, {})
    return True

"""What earlier runs left for somebody to look at: what could not be put back, and what is fought over.

Every command says it first, so nothing is imported here that a run needs and a reader does not.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from reconciler.core.corrections import Corrections
from reconciler.core.ports import Journal, Json
from reconciler.core.resource import Key

FAILED_REVERT = "revert-failed/"
"""Prefix of the facts that say what could not be put back, by key; empty once it was."""
CORRECTIONS = "corrections/"
"""Prefix of the facts that say what was set right, by key, for one declaration of it; empty once a person said: go on."""


def stuck(journal: Journal) -> dict[Key, Json]:
    """Return what could not be put back: ``{"what": why, "at": iso}`` by key."""
    return {key.removeprefix(FAILED_REVERT): fact for key, fact in journal.facts(FAILED_REVERT).items() if fact}


def stalls(journal: Journal) -> dict[Key, datetime]:
    """Return what is left alone because somebody keeps changing it back, and since when."""
    states = {key: Corrections.read(fact) for key, fact in journal.facts(CORRECTIONS).items()}
    return {key.removeprefix(CORRECTIONS): state.stalled for key, state in states.items() if state.stalled is not None}


def let_go(journal: Journal, now: datetime, keys: Iterable[Key]) -> None:
    """Begin anew with these, because a person says so."""
    for key in keys:
        journal.note({CORRECTIONS + key: {}}, now)
        journal.record("resume", now, {"key": key})

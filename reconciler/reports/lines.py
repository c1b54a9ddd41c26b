"""Render a run as JSON lines while it happens: what the format is, every event, every drift, and a summary at the end.

A reader may rely on this: the first line is ``version``, the last one of a run that was not cut off is ``summary``; within a
major version lines and members are only added.
"""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Any

from reconciler import __version__
from reconciler.core.drift import Drift
from reconciler.core.report import Report
from reconciler.reports.plain import plain
from reconciler.reports.standing import drifts_of, standings

if TYPE_CHECKING:
    from reconciler.engine.events import Event

FORMAT = "1.0"


def version_line(at: datetime) -> str:
    """Return the first line."""
    return _line("version", at, format=FORMAT, reconcile=__version__)


def event_line(event: Event, at: datetime) -> str:
    """Return the line of something that just happened; ``text`` is what a person reads."""
    facts = {"key": event.key, "text": event.text}
    return _line(event.what, at, **{name: value for name, value in facts.items() if value})


def end_lines(report: Report) -> str:
    """Return a line for each drift and the summary."""
    states = Counter(standing.state for standing in standings(report))
    lines = [_drift(drift, report.ended) for drift in drifts_of(report)]
    summary = _line(
        "summary", report.ended, verb=report.verb, run=report.run, state=report.state, phase=report.phase,
        exit_code=int(report.exit_code), converged=report.converged, interrupted=report.interrupted, rounds=report.rounds,
        resources=dict(sorted(states.items())), open=[promise.key for promise in report.open],
        closed=[promise.key for promise in report.closed],
    )  # fmt: skip
    return "".join([*lines, summary])


def _drift(drift: Drift, at: datetime) -> str:
    differs = [{"field": one.field, "observed": plain(one.observed), "wanted": plain(one.wanted)} for one in drift.differs]  # fmt: skip
    return _line(
        "drift", at, key=drift.key, title=drift.title, where=drift.where, comes_from=drift.comes_from, because=drift.because,
        differs=differs, weakens=drift.weakens, since=plain(drift.since), on=drift.on, first_seen=plain(drift.first_seen),
        repair=list(drift.repair), policy=drift.policy, error=drift.error,
    )  # fmt: skip


def _line(what: str, at: datetime, **members: Any) -> str:
    """ASCII only: a line separator of another alphabet must not end a line early for some reader."""
    return json.dumps({"type": what, "at": at.isoformat(), **members}, ensure_ascii=True, separators=(",", ":")) + "\n"

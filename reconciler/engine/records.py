"""What a run writes down about its steps: into the journal's history, and into the audit log.

The law: where it cannot be written down, nothing is sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from reconciler.core.audit import Origin, Record, Stage
from reconciler.core.plan import Change, Finding
from reconciler.core.steps import Step
from reconciler.engine.run import Tools


def record(change: Change, ended: Sequence[tuple[Step, Stage]], began: datetime, tools: Tools) -> None:
    """Write down how steps that were sent at once ended, and how long they took."""
    now = tools.clock.now()
    took_s = max(0.0, round((now - began).total_seconds() / len(ended), 3))  # what later forecasts learn from
    about = {"run": tools.run, "key": change.key, "direction": change.direction, "took_s": took_s}
    details = [
        {**about, "step": str(step), "outcome": outcome, "effect": type(step.effect).__name__}
        for step, outcome in ended
    ]
    tools.journal.record("step", now, *details)
    _append(change, ended, tools)


def announce(change: Change, steps: Sequence[Step], tools: Tools) -> None:
    """Write down what is about to be sent; where that fails nothing is sent."""
    _append(change, [(step, "sending") for step in steps], tools)


def _append(change: Change, about: Iterable[tuple[Step, Stage]], tools: Tools) -> None:
    now = tools.clock.now()
    events = ((step, stage, Origin(tools.run, tools.plan, now, tools.account_of(step.effect))) for step, stage in about)
    tools.audit.append(*Record.about(change, *events))


def read_back(change: Change, found: Finding, tools: Tools) -> None:
    """Write down what a change came to."""
    if found.observed is not None:
        origin = Origin(tools.run, tools.plan, tools.clock.now(), "")
        tools.audit.append(Record.of_reading(found.observed, change, origin))

"""What a run writes down about its steps: into the journal's history, and into the audit log.

The law: where it cannot be written down, nothing is sent.
"""

from __future__ import annotations

from datetime import datetime

from reconciler.core.audit import Origin, Record, Stage
from reconciler.core.plan import Change, Finding
from reconciler.core.steps import Step
from reconciler.engine.run import Tools


def record(change: Change, step: Step, outcome: Stage, began: datetime, tools: Tools) -> None:
    """Write down how a step ended, and how long it took."""
    now = tools.clock.now()
    took_s = max(0.0, round((now - began).total_seconds(), 3))  # what later forecasts learn from
    detail = {"run": tools.run, "key": change.key, "direction": change.direction, "step": str(step), "outcome": outcome, "effect": type(step.effect).__name__, "took_s": took_s}  # fmt: skip
    tools.journal.record("step", now, detail)
    announce(change, step, outcome, tools)


def announce(change: Change, step: Step, stage: Stage, tools: Tools) -> None:
    """Write down what is about to be sent, or was; where that fails nothing is sent."""
    origin = Origin(tools.run, tools.plan, tools.clock.now(), tools.account_of(step.effect))
    tools.audit.append(Record.about(step, change, stage, origin))


def read_back(change: Change, found: Finding, tools: Tools) -> None:
    """Write down what a change came to."""
    if found.observed is not None:
        origin = Origin(tools.run, tools.plan, tools.clock.now(), "")
        tools.audit.append(Record.of_reading(found.observed, change, origin))

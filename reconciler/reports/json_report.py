"""Render a Report as one JSON document; its shape is versioned by ``apiVersion``."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from reconciler.core.plan import Change
from reconciler.core.ports import Obligation
from reconciler.core.report import Outcome, Report
from reconciler.reports.plain import plain, plain_error
from reconciler.reports.undo import undo_of


def render(report: Report) -> str:
    """Return the document, with a final newline."""
    return json.dumps(document(report), indent=2, ensure_ascii=False) + "\n"


def document(report: Report) -> dict[str, Any]:
    """Return the document as JSON values."""
    plan = report.plan
    return {
        "apiVersion": "reconciler/v1",
        "kind": {"plan": "Plan", "drift": "Drift", "apply": "Apply", "revert": "Revert"}[report.verb],
        "run": report.run,
        "state": report.state,
        "phase": report.phase,
        "started": report.started.isoformat(),
        "ended": report.ended.isoformat(),
        "exit_code": int(report.exit_code),
        "converged": report.converged,
        "interrupted": report.interrupted,
        "rounds": report.rounds,
        "changes": [_change(change, report) for change in (plan.changes if plan else ())],
        "digest": plan.digest if plan else "",
        "unchanged": list(plan.unchanged) if plan else [],
        "errors": [{"key": key, **plain_error(error)} for key, error in (plan.errors.items() if plan else ())],
        "outcomes": [_outcome(outcome, report) for outcome in report.outcomes],
        "open": [plain_obligation(obligation) for obligation in report.open],
        "closed": [plain_obligation(obligation) for obligation in report.closed],
        "fenced": dict(report.fenced),
    }


def _change(change: Change, report: Report) -> dict[str, Any]:
    return {
        "key": change.key,
        "title": change.wanted.title(),
        "symbol": change.symbol,
        "direction": change.direction,
        "where": report.where.get(change.key, ""),
        "differs": [
            {"field": d.field, "observed": plain(d.observed), "wanted": plain(d.wanted)} for d in change.differs
        ],
        "steps": [
            {"says": str(step), "effect": type(step.effect).__name__, **_effect(step.effect), "risk": step.risk}
            for step in change.steps
        ],
        "pending": change.pending,
        "gate": plain_error(change.gate) if change.gate else None,
        "after": [{"key": need.key, "because": need.because} for need in change.reasons],
        "temporary": change.wanted.temporary,
        "undo": undo_of(change),
        "weakens": change.wanted.weakens,
    }


def _effect(effect: Any) -> dict[str, Any]:
    return {"sends": plain(effect)}


def _outcome(outcome: Outcome, report: Report) -> dict[str, Any]:
    return {
        "key": outcome.key,
        "title": outcome.title,
        "direction": outcome.direction,
        "status": outcome.status,
        "because": outcome.because,
        "error": plain_error(outcome.error) if outcome.error else None,
        "changes": [_change(change, report) for change in outcome.changes],
    }


def plain_obligation(obligation: Obligation) -> dict[str, Any]:
    """Return a promise as JSON values."""
    return {
        "key": obligation.key,
        "weakens": obligation.weakens,
        "baseline": plain(obligation.baseline),
        "changed_at": plain(obligation.changed_at),
        "closed_at": plain(obligation.closed_at),
        "live_seconds": _seconds(live(obligation)),
    }


def live(obligation: Obligation) -> timedelta | None:
    """Return how long the change was live, None while it is open or was never made."""
    if obligation.changed_at is None or obligation.closed_at is None:
        return None
    return obligation.closed_at - obligation.changed_at


def _seconds(length: timedelta | None) -> float | None:
    return None if length is None else round(length.total_seconds(), 3)

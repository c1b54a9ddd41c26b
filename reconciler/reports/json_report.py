"""Render a Report as one JSON document; its shape is versioned by ``apiVersion``."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from reconciler.core.exposure import Exposure, weighted_minutes
from reconciler.core.plan import Change
from reconciler.core.ports import Obligation
from reconciler.core.report import Outcome, Report
from reconciler.core.resource import danger
from reconciler.reports.closing import closing_json, unknown_json
from reconciler.reports.drifts import plain_drift
from reconciler.reports.edits import plain_edit
from reconciler.reports.plain import plain, plain_error
from reconciler.reports.undo import undo_of
from reconciler.reports.verdicts import verdicts_json


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
        "errors": [{"key": key, **plain_error(error)} for key, error in (plan.errors.items() if plan else ())]
        + unknown_json(report.closing),
        "edits": [
            {"key": key, **plain_edit(edit)} for key, edits in (plan.edits if plan else {}).items() for edit in edits
        ],
        "outcomes": [_outcome(outcome, report) for outcome in report.outcomes],
        "open": [plain_obligation(obligation) for obligation in report.open],
        "closed": [plain_obligation(obligation) for obligation in report.closed],
        "exposure": [_exposure(exposure) for exposure in (plan.exposure if plan else ())],
        "weighted_minutes": round(_weighted(report), 3),
        **closing_json(report.closing),
        "drifts": [plain_drift(drift) for drift in report.drifts],
        "fenced": dict(report.fenced),
        "populations": verdicts_json(report),
        "remarks": [{"key": key, "lines": list(lines)} for key, lines in report.remarks.items()],
    }


def _exposure(exposure: Exposure) -> dict[str, Any]:
    return {
        "key": exposure.key,
        "weakens": exposure.weakens,
        "weight": exposure.weight,
        "live_seconds": _seconds(exposure.live),
        "going_back": exposure.going_back,
    }


def _weighted(report: Report) -> float:
    """Return weight x minutes: foreseen in a plan, measured after a run for what that run put back."""
    if report.plan is not None:
        return weighted_minutes((exposure.weight, exposure.live) for exposure in report.plan.exposure)
    return weighted_minutes((weight_of(obligation), live(obligation)) for obligation in report.closed)


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
        "lease_seconds": _seconds(change.wanted.lease),
        "lapsed": plain(change.lapsed),
        "weight": change.wanted.danger,
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
        "lapsed": plain(outcome.lapsed),
        "error": plain_error(outcome.error) if outcome.error else None,
        "changes": [_change(change, report) for change in outcome.changes],
        "edits": [plain_edit(edit) for edit in outcome.edits],
    }


def plain_obligation(obligation: Obligation) -> dict[str, Any]:
    """Return a promise as JSON values."""
    return {
        "key": obligation.key,
        "weakens": obligation.weakens,
        "baseline": plain(obligation.baseline),
        "changed_at": plain(obligation.changed_at),
        "wanted_until": plain(obligation.wanted_until),
        "closed_at": plain(obligation.closed_at),
        "weight": weight_of(obligation),
        "live_seconds": _seconds(live(obligation)),
        "forecast_seconds": _seconds(foreseen(obligation)),
    }


def live(obligation: Obligation) -> timedelta | None:
    """Return how long the change was live, None while it is open or was never made."""
    if obligation.changed_at is None or obligation.closed_at is None:
        return None
    return obligation.closed_at - obligation.changed_at


def foreseen(obligation: Obligation) -> timedelta | None:
    """Return how long it was foreseen to be live when it was changed, None where nothing was foreseen."""
    return None if obligation.forecast_s is None else timedelta(seconds=obligation.forecast_s)


def weight_of(obligation: Obligation) -> int:
    """Return how dangerous it is, as it was declared when the promise was made."""
    return danger(obligation.weakens, obligation.declared.get("weight"))


def _seconds(length: timedelta | None) -> float | None:
    return None if length is None else round(length.total_seconds(), 3)

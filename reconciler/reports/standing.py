"""How each resource stands after a look or a run: the one reading of a Report that every renderer for programs shares."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from reconciler.core.certificate import Alarm
from reconciler.core.drift import Class, Drift
from reconciler.core.errors import ReconcileError
from reconciler.core.plan import Change
from reconciler.core.ports import Obligation
from reconciler.core.report import Outcome, Report
from reconciler.core.resource import Key

State = Literal["right", "changed", "differs", "waiting", "skipped", "failed", "unknown", "idle"]
"""``changed``: set right by this run; ``unknown``: it could not be observed; ``idle``: not wanted in this phase."""
SAYS: dict[State, str] = {
    "right": "as declared",
    "changed": "set right by this run",
    "differs": "not as declared",
    "waiting": "waits",
    "skipped": "skipped",
    "failed": "failed",
    "unknown": "could not be observed",
    "idle": "not wanted in this phase",
}
MARKS: dict[State, str] = {
    "right": "✓", "changed": "✓", "differs": "≠", "waiting": "…", "skipped": "·", "failed": "✗", "unknown": "?", "idle": "–",
}  # fmt: skip


class Standing(Struct, frozen=True):
    """One resource and how it stands.

    Attributes:
        place: Host or domain that it is about.
        where: ``file:line:column`` of its declaration; empty where only the journal knows it.
        drift: What is not as declared; None where nothing is known to be.
        because: Why it was skipped.
        owed: The open promise to put it back.
    """

    key: Key
    title: str
    state: State
    where: str = ""
    drift: Drift | None = None
    because: str = ""
    owed: Obligation | None = None

    @property
    def kind(self) -> str:
        """The part of the key that says what it is."""
        return self.key.partition("/")[0]

    @property
    def place(self) -> str:
        """The part of the key that says where it is."""
        return self.key.split("/")[1] if "/" in self.key else ""


def standings(report: Report) -> tuple[Standing, ...]:
    """Return every resource that a report knows of, once each, in the order of work."""
    drifts = {drift.key: drift for drift in drifts_of(report)}
    owed = {promise.key: promise for promise in report.open}
    settled = set_right(report)
    states: dict[Key, State] = {}
    because: dict[Key, str] = {}
    titles = {key: resource.title() for key, resource in (report.plan.observed.items() if report.plan else ())}
    if report.graph is not None:
        states |= dict.fromkeys(report.graph.order, "idle")
        titles |= {key: declaration.resource.title() for key, declaration in report.graph.declarations.items()}
    if report.plan is not None:
        states |= dict.fromkeys(report.plan.unchanged, "right")
    for outcome in report.outcomes:
        states[outcome.key], because[outcome.key] = _state_of(outcome), outcome.because
        titles[outcome.key] = outcome.title
    for key, drift in drifts.items():
        titles[key] = drift.title
        if key not in settled:
            states[key] = _state_of_drift(drift, states.get(key))
    gated = {change.key for change in report.plan.changes if change.gate} if report.plan else set()
    states |= dict.fromkeys(gated, "waiting")
    return tuple(
        Standing(key, titles.get(key, key), state, report.where.get(key, ""), drifts.get(key), because.get(key, ""), owed.get(key))
        for key, state in states.items()
    )  # fmt: skip


def drifts_of(report: Report) -> tuple[Drift, ...]:
    """Return what is not as declared, once for each resource; of a run also what it set right.

    What the report says itself counts first. The rest is read off its plan or its outcomes, and what is no longer as it was
    certified comes on top.
    """
    found: dict[Key, Drift] = {}
    for drift in (*report.drifts, *_read_off(report), *_of_closing(report)):
        found.setdefault(drift.key, drift)
    return tuple(found.values())


def set_right(report: Report) -> frozenset[Key]:
    """Return the drifts that a run found and set right: news, but nothing is to be done about them."""
    fine = {outcome.key for outcome in report.outcomes if outcome.status in ("changed", "unchanged")}
    return frozenset(drift.key for drift in report.drifts if drift.comes_from == "corrective" and drift.key in fine)


def _read_off(report: Report) -> Iterator[Drift]:
    if report.plan is not None:
        yield from (_of_change(change, report) for change in report.plan.changes)
        yield from (_of_error(key, key, error, report) for key, error in report.plan.errors.items())
    for outcome in report.outcomes:
        if outcome.error is not None:
            yield _of_outcome(outcome, outcome.error, report)


def _of_change(change: Change, report: Report) -> Drift:
    edits = report.plan.edits.get(change.key, ()) if report.plan else ()
    told = next((edit.edit for edit in edits if edit.edit is not None), None)
    comes_from: Class = "intended" if report.verb == "plan" or change.direction == "revert" else "unknown"
    because = f"waits for a person: {change.gate.what}" if change.gate else ""
    return Drift(
        change.key, change.wanted.title(), report.where.get(change.key, ""), "external" if edits else comes_from, because,
        change.differs, change.wanted.weakens, since=told.at if told else None, on=told.on if told else "",
        repair=tuple(str(step) for step in change.steps),
    )  # fmt: skip


def _of_error(key: Key, title: str, error: ReconcileError, report: Report) -> Drift:
    return Drift(key, title, report.where.get(key, ""), "unknown", error=str(error))


def _of_outcome(outcome: Outcome, error: ReconcileError, report: Report) -> Drift:
    if outcome.status != "waiting":
        return _of_error(outcome.key, outcome.title, error, report)
    weakens = outcome.changes[-1].wanted.weakens if outcome.changes else ""
    return replace(_of_error(outcome.key, outcome.title, error, report), comes_from="intended", because=str(error), weakens=weakens, error="")  # fmt: skip


def _of_closing(report: Report) -> Iterator[Drift]:
    yield from (_of_alarm(alarm, report) for alarm in report.closing.alarms)
    yield from (_of_error(key, key, error, report) for key, error in report.closing.unknown.items())


def _of_alarm(alarm: Alarm, report: Report) -> Drift:
    says = "is there again" if alarm.kind == "reappeared" else "has changed"
    because = f"it was certified at {alarm.certified_at} and {says}"
    return Drift(alarm.key, alarm.title, report.where.get(alarm.key, ""), "external", because, alarm.differs, alarm.weakens, policy="report")  # fmt: skip


def _state_of(outcome: Outcome) -> State:
    return "right" if outcome.status == "unchanged" else outcome.status


def _state_of_drift(drift: Drift, known: State | None) -> State:
    if known in ("failed", "waiting", "skipped"):
        return known
    return "unknown" if drift.error else "differs"

"""What Prometheus may know, as values: built from the last report and the journal alone. No key, name or value is a label.

The names are part of the interface; alerts stand on them. The one that matters is ``reconcile_temporary_settings_active``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from msgspec import Struct, field

from reconciler import __version__
from reconciler.core.ports import Json, Obligation
from reconciler.core.report import Report
from reconciler.core.runs import BOUNDS_S, Runs
from reconciler.reports.incidents import TOLD
from reconciler.reports.json_report import weight_of

CLASSES = ("intended", "corrective", "external", "transient", "unknown")

Labels = tuple[tuple[str, str], ...]


class Spread(Struct, frozen=True):
    """A histogram: counts by upper bound, cumulative, the last one for everything; and the sum."""

    buckets: tuple[tuple[str, float], ...]
    total: float


class Family(Struct, frozen=True):
    """One metric with all its series.

    Attributes:
        name: Without the ``_total`` of a counter.
    """

    name: str
    help: str
    sort: Literal["gauge", "counter", "histogram"]
    samples: tuple[tuple[Labels, float | Spread], ...]


class Seen(Struct, frozen=True):
    """Everything that the metrics are made of.

    Attributes:
        open: Promises to put something back; those that were never changed count for nothing.
        tally: The fact ``core.notice.TALLY``.
        queued: Messages that wait to be delivered.
        locked: Whether somebody writes to the journal at present.
        lag_s: How late the last look came, seconds; None outside a watch.
        ended_at: When the last run ended, however that was.
    """

    state: str
    now: datetime
    open: Sequence[Obligation] = ()
    closed: Sequence[Obligation] = ()
    runs: Runs = field(default_factory=Runs)
    tally: Json = field(default_factory=dict)
    queued: int = 0
    locked: bool = False
    report: Report | None = None
    exit_code: int | None = None
    ended_at: datetime | None = None
    lag_s: float | None = None


def families(seen: Seen) -> list[Family]:
    """Return every metric."""
    own: Labels = (("state", seen.state),)
    return [
        _gauge("build_info", "Version of reconcile.", [((("version", __version__),), 1)]),
        *_temporary(seen, own),
        *_runs(seen, own),
        *_last_run(seen, own),
        _counter("drift", "Drifts that began, by class.", _by_class(seen.tally, own, TOLD)),
        _gauge("notify_queued", "Messages that wait to be delivered.", [(own, seen.queued)]),
        _counter("notify_lost", "Messages that were given up.", [(own, float(seen.tally.get("lost", 0)))]),
        _gauge("lock_held", "1 while somebody writes to the journal.", [(own, seen.locked)]),
    ]


def _temporary(seen: Seen, own: Labels) -> Iterator[Family]:
    live = [promise for promise in seen.open if promise.changed_at is not None]
    kinds = Counter((promise.key.partition("/")[0], str(weight_of(promise))) for promise in live)
    until = [promise.wanted_until for promise in live if promise.wanted_until]
    ages = [(seen.now - promise.changed_at).total_seconds() for promise in live if promise.changed_at]
    past = [promise.key for promise in seen.closed if promise.changed_at and promise.closed_at]
    exposed = sum((p.closed_at - p.changed_at).total_seconds() for p in seen.closed if p.changed_at and p.closed_at)
    yield _gauge("temporary_settings_active", "Temporary settings that are still to be put back.", [(own, len(live))])
    yield _gauge(
        "temporary_settings_by_kind",
        "The same, by kind and by how dangerous it is, 0 to 100.",
        [((*own, ("kind", kind), ("weight", weight)), count) for (kind, weight), count in sorted(kinds.items())],
    )
    yield _gauge(
        "temporary_oldest_seconds", "For how long the oldest of them has been there.", [(own, max(ages, default=0))]
    )
    late = sum(end <= seen.now for end in until)
    yield _gauge("temporary_settings_past_lease", "Temporary settings beyond their lease.", [(own, late)])
    left = [(own, (min(until) - seen.now).total_seconds())] if until else []
    yield _gauge("temporary_lease_remaining_seconds", "Until the next lease ends; negative past it.", left)
    yield _counter(
        "exposure_seconds", "For how long temporary settings were there, all together.", [(own, exposed + sum(ages))]
    )
    yield _counter("temporary_settings_put_back", "Temporary settings that were put back.", [(own, len(past))])


def _runs(seen: Seen, own: Labels) -> Iterator[Family]:
    buckets = [(str(bound), float(count)) for bound, count in zip(BOUNDS_S, seen.runs.within, strict=True)]
    spread = Spread((*buckets, ("+Inf", float(seen.runs.ended))), seen.runs.took_s)
    yield _counter("passes", "Runs that were begun.", [(own, seen.runs.begun)])
    yield Family(
        "reconcile_apply_duration_seconds", "How long runs took that ended.", "histogram", ((own, spread),)
    )  # fmt: skip
    converged = seen.runs.converged_at
    yield _gauge(
        "last_converged_timestamp_seconds",
        "When a run last ended with everything as declared.",
        [(own, converged.timestamp())] if converged else [],
    )


def _last_run(seen: Seen, own: Labels) -> Iterator[Family]:
    report = seen.report
    ended = [(own, seen.ended_at.timestamp())] if seen.ended_at else []
    yield _gauge("last_run_timestamp_seconds", "When a run last ended, however that was.", ended)
    code = [(own, float(seen.exit_code))] if seen.exit_code is not None else []
    yield _gauge("last_run_exit_code", "Exit code of the last run; 0 is well.", code)
    yield _gauge("watch_lag_seconds", "How late the last look came.", [] if seen.lag_s is None else [(own, seen.lag_s)])
    if report is None:
        return
    status = Counter((outcome.key.partition("/")[0], outcome.status) for outcome in report.outcomes)
    yield _gauge(
        "resources",
        "Resources by type and by how the last run ended for them.",
        [((*own, ("type", kind), ("status", how)), count) for (kind, how), count in sorted(status.items())],
    )
    drifts = Counter(str(drift.comes_from) for drift in report.drifts)
    yield _gauge("drifts", "Drifts that the last run found, by class.", _by_class(drifts, own))
    took = (report.ended - report.started).total_seconds()
    yield _gauge("last_run_duration_seconds", "How long the last run took.", [(own, took)])
    yield _gauge("alarms", "Certified settings that are not so any more.", [(own, len(report.closing.alarms))])
    has = report.closing.certificate is not None
    yield _gauge("certificate_present", "1 where a completion certificate covers everything.", [(own, has)])


def _by_class(counts: Mapping[str, Any], own: Labels, classes: Sequence[str] = CLASSES) -> list[tuple[Labels, float]]:
    return [((*own, ("class", name)), float(counts.get(name, 0))) for name in classes]


def _gauge(name: str, text: str, samples: Sequence[tuple[Labels, float]]) -> Family:
    return Family("reconcile_" + name, text, "gauge", tuple((labels, float(value)) for labels, value in samples))


def _counter(name: str, text: str, samples: Sequence[tuple[Labels, float]]) -> Family:
    return Family("reconcile_" + name, text, "counter", tuple((labels, float(value)) for labels, value in samples))

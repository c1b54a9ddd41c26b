"""When settings were weakened and when drifts arose, as bars and points on one scale. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

from msgspec import Struct

from reconciler.core.report import Report
from reconciler.core.resource import Key
from reconciler.reports.json_report import live
from reconciler.reports.standing import drifts_of
from reconciler.reports.text import length

SCALE = 1000


class Span(Struct, frozen=True):
    """One line of the timeline.

    Attributes:
        sort: ``open`` is a setting that is still to be put back, ``closed`` one that was, ``drift`` a point.
        start: In thousandths of the scale.
        lease: Where its lease ends, in thousandths; None for none.
    """

    key: Key
    sort: Literal["open", "closed", "drift"]
    says: str
    start: int
    end: int
    lease: int | None = None


class Timeline(Struct, frozen=True):
    """Every line, and the two ends of the scale."""

    spans: tuple[Span, ...] = ()
    start: datetime | None = None
    end: datetime | None = None
    now: int = SCALE


def timeline(report: Report) -> Timeline:
    """Put promises and drifts on one scale, the oldest first."""
    promises = sorted((p for p in (*report.closed, *report.open) if p.changed_at), key=lambda p: (p.changed_at, p.key))
    drifts = [(drift, moment) for drift in drifts_of(report) if (moment := drift.since or drift.first_seen)]
    times = [t for p in promises for t in (p.changed_at, p.closed_at, None if p.closed_at else p.wanted_until) if t]
    times += [moment for _, moment in drifts]
    if not times:
        return Timeline()
    start, end = min(times), max([*times, report.ended])
    length_s = max((end - start).total_seconds(), 1e-6)

    def at(moment: datetime) -> int:
        return round(SCALE * (moment - start).total_seconds() / length_s)

    spans = [
        Span(
            promise.key,
            "closed" if promise.closed_at else "open",
            f"live for {length(live(promise))}" if promise.closed_at else f"open for {length(_since(promise.changed_at, report))}",
            at(promise.changed_at or start),
            at(promise.closed_at or report.ended),
            at(promise.wanted_until) if promise.wanted_until and not promise.closed_at else None,
        )
        for promise in promises
    ]  # fmt: skip
    spans += [
        Span(drift.key, "drift", _drifted(drift.since, drift.on, drift.first_seen), at(moment), at(moment))
        for drift, moment in drifts
    ]
    return Timeline(tuple(sorted(spans, key=lambda span: span.start)), start, end, at(report.ended))


def _since(moment: datetime | None, report: Report) -> timedelta | None:
    return None if moment is None else report.ended - moment


def _drifted(since: datetime | None, on: str, first_seen: datetime | None) -> str:
    if since is not None:
        return f"drifted at {since:%Y-%m-%d %H:%M:%S} UTC" + (f" on {on}" if on else "")
    return f"drift first seen at {first_seen:%Y-%m-%d %H:%M:%S} UTC" if first_seen else ""

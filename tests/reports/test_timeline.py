"""Drifts and exposures on one scale of time."""

from __future__ import annotations

from datetime import timedelta

from msgspec.structs import replace

from reconciler.core.drift import Drift
from reconciler.reports.timeline import SCALE, Timeline, timeline
from tests.reports.reported import AT, key, promise, report


def test_bar_spans_what_was_live_and_a_point_is_a_drift() -> None:
    closed = promise("a", changed_at=AT - timedelta(minutes=100), closed_at=AT - timedelta(minutes=50))
    drift = Drift(key("b"), "b", "", "external", since=AT - timedelta(minutes=25), on="DC2")
    found = timeline(report(closed=(closed,), drifts=(drift,), ended=AT))
    assert [(span.key[-1], span.sort, span.start, span.end) for span in found.spans] == [
        ("a", "closed", 0, 500), ("b", "drift", 750, 750),
    ]  # fmt: skip
    assert found.spans[0].says == "live for 50 min 00 s"
    assert found.spans[1].says == "drifted at 2026-11-20 17:35:00 UTC on DC2"
    assert (found.start, found.end, found.now) == (AT - timedelta(minutes=100), AT, SCALE)


def test_lease_in_the_future_makes_the_scale_longer() -> None:
    opened = replace(promise("a", changed_at=AT - timedelta(hours=1)), wanted_until=AT + timedelta(hours=1))
    (span,) = timeline(report(open=(opened,), ended=AT)).spans
    assert (span.start, span.end, span.lease) == (0, 500, 1000)


def test_drift_of_unknown_age_stands_where_it_was_first_seen() -> None:
    drift = Drift(key("b"), "b", "", "unknown", first_seen=AT)
    (span,) = timeline(report(drifts=(drift,), ended=AT)).spans
    assert span.says == "drift first seen at 2026-11-20 18:00:00 UTC"


def test_nothing_happened() -> None:
    assert timeline(report()) == Timeline()

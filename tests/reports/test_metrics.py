"""What Prometheus is told: the numbers follow from the report and the journal, and no label names a thing."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

from reconciler.core.certificate import Alarm, Closing
from reconciler.core.drift import Drift
from reconciler.core.ports import Obligation
from reconciler.core.report import Outcome, Report
from reconciler.core.runs import BOUNDS_S, Runs, runs
from reconciler.reports.metrics import Family, Seen, Spread, families

AT = datetime(2026, 11, 20, 18, tzinfo=UTC)
HOUR = timedelta(hours=1)
KEYS = ("win.registry/source-pdc/HKLM:\\SYSTEM/AllowPasswordExport", "ad.group_member/source.lab/S$$$/admin")


def promise(key: str, *, since: timedelta | None, until: timedelta | None = None, weight: int = 100) -> Obligation:
    changed_at = None if since is None else AT - since
    declared = {"weight": weight}
    return Obligation(
        key, declared, {}, (), "a hole", AT, changed_at, wanted_until=None if until is None else AT + until
    )


def seen(**fields: Any) -> list[Family]:
    return families(Seen("cutover", AT, **fields))


def value(found: list[Family], name: str, **labels: str) -> float | Spread | None:
    """Return a sample by some of its labels; None where there is none."""
    [family] = [family for family in found if family.name == "reconcile_" + name]
    fitting = [amount for have, amount in family.samples if labels.items() <= dict(have).items()]
    assert len(fitting) < 2
    return fitting[0] if fitting else None


def test_open_settings_are_counted_by_kind_and_weight_and_those_never_changed_are_not() -> None:
    late = promise(KEYS[0], since=9 * HOUR, until=-HOUR)
    found = seen(open=[late, promise(KEYS[1], since=HOUR, until=HOUR, weight=80), promise("x/y", since=None)])
    assert value(found, "temporary_settings_active") == 2
    assert value(found, "temporary_settings_by_kind", kind="win.registry", weight="100") == 1
    assert value(found, "temporary_settings_by_kind", kind="ad.group_member", weight="80") == 1
    assert value(found, "temporary_oldest_seconds") == 9 * 3600
    assert value(found, "temporary_settings_past_lease") == 1
    assert value(found, "temporary_lease_remaining_seconds") == -3600


def test_nothing_open_is_a_zero_and_not_a_gap() -> None:
    found = seen()
    assert value(found, "temporary_settings_active") == 0
    assert value(found, "temporary_settings_past_lease") == 0
    assert value(found, "temporary_lease_remaining_seconds") is None


def test_exposure_counts_what_was_put_back_and_what_is_still_there() -> None:
    back = Obligation("k/a", {}, {}, (), "a hole", AT, AT - 5 * HOUR, AT - 3 * HOUR)
    found = seen(open=[promise(KEYS[0], since=HOUR)], closed=[back])
    assert value(found, "exposure_seconds") == 3 * 3600
    assert value(found, "temporary_settings_put_back") == 1


def history(*entries: tuple[str, int, dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"at": (AT + timedelta(seconds=at)).isoformat(), "event": event, **detail} for event, at, detail in entries]


def test_runs_are_read_from_the_history() -> None:
    found = runs(
        history(
            ("apply", 0, {"run": "a"}),
            ("step", 1, {"run": "a"}),
            ("apply ended", 4, {"run": "a", "exit_code": 0}),
            ("apply", 10, {"run": "cut"}),
            ("revert", 20, {"run": "b"}),
            ("revert ended", 140, {"run": "b", "exit_code": 9}),
        )
    )
    assert (found.begun, found.ended, found.took_s) == (3, 2, 124.0)
    assert dict(zip(BOUNDS_S, found.within, strict=True)) == {
        1.0: 0, 5.0: 1, 15.0: 1, 60.0: 1, 300.0: 2, 900.0: 2, 3600.0: 2, 14400.0: 2
    }  # fmt: skip
    assert found.converged_at == AT + timedelta(seconds=4)
    more = runs(
        [
            {
                "id": 9,
                "at": (AT + timedelta(seconds=200)).isoformat(),
                "event": "apply ended",
                "run": "cut",
                "exit_code": 1,
            }
        ],
        found,
    )
    assert (more.begun, more.ended, more.took_s, more.last) == (3, 3, 314.0, 9)
    assert more.within[BOUNDS_S.index(60.0)] == 1


def test_lengths_are_a_histogram() -> None:
    spread = value(seen(runs=Runs(3, 3, (1, 1, 1, 2, 2, 2, 2, 2), 100019.5)), "apply_duration_seconds")
    assert isinstance(spread, Spread)
    assert dict(spread.buckets) | {"1.0": 1, "15.0": 1, "60.0": 2, "+Inf": 3} == dict(spread.buckets)
    assert all(one <= two for (_, one), (_, two) in itertools.pairwise(spread.buckets))
    assert len(spread.buckets) == len(BOUNDS_S) + 1
    assert spread.total == 100019.5


def test_the_last_run_is_told() -> None:
    report = Report(
        "apply", "r", "cutover", "complete", AT - HOUR, AT,
        outcomes=(Outcome(KEYS[0], "t", "apply", "changed"), Outcome(KEYS[1], "t", "apply", "failed")),
        drifts=(Drift(KEYS[0], "t", "", "external"),),
        closing=Closing(alarms=(Alarm("k", "t", "reappeared", "w", (), "then"),)),
    )  # fmt: skip
    found = seen(report=report, exit_code=4, ended_at=AT, lag_s=0.25)
    assert value(found, "resources", type="win.registry", status="changed") == 1
    assert value(found, "drifts", **{"class": "external"}) == 1
    assert value(found, "drifts", **{"class": "unknown"}) == 0
    assert value(found, "last_run_duration_seconds") == 3600
    assert value(found, "last_run_exit_code") == 4
    assert value(found, "last_run_timestamp_seconds") == AT.timestamp()
    assert value(found, "watch_lag_seconds") == 0.25
    assert (value(found, "alarms"), value(found, "certificate_present")) == (1, 0)


def test_no_label_names_a_host_an_account_or_a_key() -> None:
    report = Report("apply", "r", "cutover", "migrate", AT, AT, outcomes=(Outcome(KEYS[0], "t", "apply", "changed"),))
    found = seen(open=[promise(key, since=HOUR) for key in KEYS], report=report)
    labels = {name for family in found for have, _ in family.samples for name, _ in have}
    assert labels <= {"state", "kind", "weight", "type", "status", "class", "version"}
    words = " ".join(text for family in found for have, _ in family.samples for _, text in have)
    assert not any(part in words for part in ("source", "HKLM", "admin", "S$$$"))

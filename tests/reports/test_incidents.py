"""What of a report is worth telling somebody."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from reconciler.core.certificate import Alarm, Closing, Doubt
from reconciler.core.drift import Class, Drift
from reconciler.core.errors import Unreachable
from reconciler.core.notice import INCIDENT
from reconciler.core.plan import Change
from reconciler.core.ports import Obligation
from reconciler.core.report import Outcome, Report, Status
from reconciler.reports.incidents import incidents, made, unjudged
from tests.fake_world import Setting

AT = datetime(2026, 11, 20, 18, tzinfo=UTC)
HOUR = timedelta(hours=1)
A = Setting(name="a", value=1)


def report(**fields: Any) -> Report:
    return Report("apply", "r", "cutover", "migrate", AT, AT + HOUR, where={A.key: "s.yaml:3:5"}, **fields)


def outcome(status: Status, *, changed: bool = False, **fields: Any) -> Outcome:
    change = Change(A.key, "apply", A, Setting(name="a", value=2), ())
    return Outcome(A.key, A.title(), "apply", status, changes=(change,) if changed else (), **fields)


def promise(changed_at: datetime, until: datetime | None = None) -> Obligation:
    return Obligation(A.key, {}, {}, (), "a hole", changed_at, changed_at, wanted_until=until)


def told(found: Report) -> list[tuple[str, str, str]]:
    return [(incident.topic, incident.key, incident.sort) for incident in incidents(found)]


@pytest.mark.parametrize(
    ("comes_from", "is_one"),
    [("external", True), ("corrective", True), ("unknown", True), ("intended", False), ("transient", False)],
)
def test_only_a_drift_that_nobody_asked_for_is_told(comes_from: Class, is_one: bool) -> None:
    found = report(drifts=(Drift(A.key, "a", "s.yaml:3:5", comes_from, since=AT - HOUR),))
    assert told(found) == ([("drift", A.key, comes_from)] if is_one else [])
    assert all(incident.since == AT - HOUR for incident in incidents(found))


def test_a_drift_that_the_state_file_says_to_ignore_is_not_told() -> None:
    assert (
        told(report(drifts=(Drift(A.key, "a", "", "external", policy="ignore"),), outcomes=(outcome("failed"),))) == []
    )


def test_a_lease_is_told_while_it_is_past_and_when_it_was_ended() -> None:
    late = promise(AT - HOUR, until=AT)
    assert told(report(open=(late,))) == [("lease", A.key, "past its lease")]
    assert told(report(open=(promise(AT - HOUR, until=AT + 2 * HOUR),))) == []
    assert told(report(outcomes=(outcome("changed", lapsed=AT),))) == [("lease", A.key, "lease ended")]
    both = report(open=(late,), outcomes=(outcome("failed", changed=True, lapsed=AT),))
    assert [one for one in told(both) if one[0] == "lease"] == [("lease", A.key, "past its lease")]


def test_alarms_and_a_certificate_that_is_withheld_are_told() -> None:
    closing = Closing(withheld=(Doubt("", "", "no"),), alarms=(Alarm("k", "t", "reappeared", "w", (), "then"),))
    assert told(report(closing=closing)) == [
        ("certificate", "", "withheld"),
        ("alarm", "k", "reappeared"),
    ]


def test_a_certificate_is_told_by_the_run_that_made_it() -> None:
    fact = {"file": "x.certificate.json", "new": True}
    new = made(report(closing=Closing(certificate=fact)))
    assert new is not None and new.key == "x.certificate.json"
    assert made(report(closing=Closing(certificate={**fact, "new": False}))) is None
    assert made(report()) is None


def test_what_a_run_did_not_see_it_does_not_judge() -> None:
    assert unjudged(report(interrupted=True)) == [INCIDENT]
    assert unjudged(report(closing=Closing(unknown={"k": Unreachable("no")}))) == [f"{INCIDENT}alarm/k"]
    assert unjudged(report(outcomes=(outcome("failed", error=Unreachable("no")),))) == [f"{INCIDENT}drift/{A.key}"]
    assert unjudged(report(outcomes=(outcome("unchanged"),))) == []
    assert unjudged(report()) == []

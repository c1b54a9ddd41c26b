"""Every renderer reads a report in the same way: the same resources, the same states, the same drifts."""

from __future__ import annotations

from reconciler.core.certificate import Alarm, Closing
from reconciler.core.drift import Drift
from reconciler.core.errors import Unreachable
from reconciler.core.plan import Plan
from reconciler.core.resource import Difference
from reconciler.reports.sarif import document
from reconciler.reports.standing import drifts_of, standings
from tests.reports.reported import AT, key, looked, ran, report


def states(found: object) -> dict[str, str]:
    return {standing.key[-1]: standing.state for standing in standings(found)}  # type: ignore[arg-type]


def test_a_look_says_how_each_resource_stands_in_the_order_of_work() -> None:
    assert states(looked()) == {"a": "right", "b": "differs", "c": "waiting", "d": "unknown", "e": "idle"}


def test_a_run_says_how_each_resource_ended() -> None:
    assert states(ran()) == {"a": "right", "b": "changed", "c": "failed", "d": "skipped"}
    assert [standing.because for standing in standings(ran())] == ["", "", "", "c failed"]


def test_drifts_are_read_off_the_plan_where_the_report_names_none() -> None:
    found = drifts_of(looked())
    assert [(drift.key[-1], drift.comes_from, bool(drift.error)) for drift in found] == [
        ("b", "unknown", False), ("c", "unknown", False), ("d", "unknown", True),
    ]  # fmt: skip
    assert found[0].differs == (Difference("value", 0, 1),)
    assert found[0].where == "states/a b.yaml:11:3"


def test_what_the_report_says_about_a_drift_counts_before_the_plan() -> None:
    drift = Drift(key("b"), "b", "f:1:1", "external", since=AT)
    found = drifts_of(report(plan=looked().plan, drifts=(drift,)))
    assert found[0] == drift
    assert [one.key[-1] for one in found] == ["b", "c", "d"]


def test_what_a_run_set_right_is_told_but_is_right() -> None:
    drifts = (Drift(key("b"), "b", "", "corrective"), Drift(key("a"), "a", "", "external", policy="report"))
    found = report("apply", outcomes=ran().outcomes, drifts=drifts)
    assert states(found) == {"a": "differs", "b": "changed", "c": "failed", "d": "skipped"}
    assert standings(found)[1].drift == drifts[0]
    assert [one["level"] for one in document(found)["runs"][0]["results"]] == ["note", "warning", "error"]


def test_what_is_no_longer_as_certified_is_a_drift_too() -> None:
    alarm = Alarm(key("x"), "x", "reappeared", "open", (Difference("value", 1, 0),), "then")
    closing = Closing(alarms=(alarm,), unknown={key("y"): Unreachable("no answer")})
    found = report(plan=Plan("complete"), closing=closing)
    assert states(found) == {"x": "differs", "y": "unknown"}
    assert drifts_of(found)[0].because == "it was certified at then and is there again"


def test_a_promise_belongs_to_its_resource() -> None:
    assert [standing.owed is not None for standing in standings(looked())] == [False, True, False, False, False]

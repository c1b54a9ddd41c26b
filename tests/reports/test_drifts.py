"""What is said of a drift, for people and for programs."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta

from msgspec.structs import replace
from rich.console import Console

from reconciler.core.drift import Drift
from reconciler.core.plan import Change, Plan
from reconciler.core.report import Outcome, Report
from reconciler.core.resource import Difference, differences
from reconciler.reports.json_report import render
from reconciler.reports.text import ApplyText, PlanText
from tests.fake_world import Setting

AT = datetime(2026, 11, 20, 18, tzinfo=UTC)
WANTED, FOUND = Setting(name="a", value=1), Setting(name="a", value=5)
CHANGE = Change(WANTED.key, "apply", WANTED, FOUND, differences(WANTED, FOUND))
DRIFT = Drift(
    WANTED.key, WANTED.title(), "s.yaml:4:7", "external", "it was as wanted, and somebody changed it", (Difference("value", 5, 1),), "a hole",
    since=AT - timedelta(hours=1), on="DC2", first_seen=AT, repair=("set a",),
)  # fmt: skip


def text(renderable: object) -> str:
    console = Console(file=io.StringIO(), width=300, color_system=None)
    console.print(renderable)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def report(*drifts: Drift, changes: tuple[Change, ...] = (CHANGE,)) -> Report:
    return Report("drift", "run", "cutover", "migrate", AT, AT, plan=Plan("migrate", changes=changes), drifts=drifts)


def test_drift_says_where_it_comes_from_and_where_it_was_changed() -> None:
    said = text(PlanText(report(DRIFT)))
    assert (
        "drift: external (it was as wanted, and somebody changed it); changed at 2026-11-20 17:00:00 UTC on DC2; "
        "first seen 2026-11-20 18:00:00 UTC" in said
    )


def test_nothing_is_said_of_when_and_where_that_is_not_known() -> None:
    said = text(PlanText(report(replace(DRIFT, since=None, on=""))))
    assert "changed at" not in said
    assert "DC2" not in said


def test_what_is_ignored_is_shown_without_a_change() -> None:
    said = text(
        PlanText(report(replace(DRIFT, policy="ignore", because="ignored until 2026-11-30: known"), changes=()))
    )
    assert "ignored until 2026-11-30: known" in said
    assert "value: 5 instead of 1" in said
    assert "nothing differs" in said


def test_a_name_from_outside_is_shown_as_it_is() -> None:
    assert "[red]x[/red]" in text(PlanText(report(replace(DRIFT, on="[red]x[/red]"))))


def test_a_run_says_what_it_set_right() -> None:
    outcome = Outcome(WANTED.key, WANTED.title(), "apply", "changed", (CHANGE,))
    found = Report("apply", "run", "cutover", "migrate", AT, AT, (outcome,), drifts=(replace(DRIFT, comes_from="corrective"),))  # fmt: skip
    assert "drift: corrective (it was as wanted" in text(ApplyText(found))


def test_programs_get_every_field() -> None:
    (found,) = json.loads(render(report(DRIFT)))["drifts"]
    assert found == {
        "key": WANTED.key, "title": WANTED.title(), "where": "s.yaml:4:7", "class": "external", "because": DRIFT.because,
        "differs": [{"field": "value", "observed": 5, "wanted": 1}], "weakens": "a hole", "since": "2026-11-20T17:00:00+00:00",
        "on": "DC2", "first_seen": "2026-11-20T18:00:00+00:00", "repair": ["set a"], "policy": "correct", "error": "",
    }  # fmt: skip


def test_what_is_not_known_is_null() -> None:
    unknown = Drift("k", "t", "", "unknown", error="no answer")
    (found,) = json.loads(render(report(unknown)))["drifts"]
    assert (found["since"], found["on"], found["first_seen"], found["error"]) == (None, None, None, "no answer")

"""What a person and a program read about the end of a migration."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.console import Console

from reconciler.core.certificate import Alarm, Closing, Doubt
from reconciler.core.errors import Refused, Unreachable
from reconciler.core.exit_codes import ExitCode
from reconciler.core.plan import Plan
from reconciler.core.report import Outcome, Report
from reconciler.core.resource import Difference
from reconciler.reports.json_report import render
from reconciler.reports.text import ApplyText, PlanText

AT = datetime(2026, 11, 20, 18, tzinfo=UTC)
MADE = {"path": "/j/x.certificate.json", "file": "x.certificate.json", "sha256": "f", "made_at": "then", "settings": 3}
ALARM = Alarm("k", "the [red]export[/red]", "reappeared", "hashes leave", (Difference("value", 1, 0),), "then")
CHANGED = Alarm("c", "something", "changed", "", (Difference("ensure", "absent", "present"),), "then")
WITHHELD = Closing(withheld=(Doubt("k", "dc2", "silent\x1b[2J", "wake it\nand apply"),))
UNKNOWN = Closing(unknown={"u": Unreachable("no answer", target="h", do="look")})


def report(verb: Any, closing: Closing, **fields: Any) -> Report:
    return Report(verb, "run", "cutover", "complete", AT, AT, plan=Plan("complete"), closing=closing, **fields)


def text(found: Report) -> str:
    out = io.StringIO()
    Console(file=out, width=200, no_color=True).print(ApplyText(found) if found.verb == "apply" else PlanText(found))
    return out.getvalue()


@pytest.mark.parametrize(
    ("closing", "looking", "applying"),
    [
        (Closing(), 0, 0),
        (Closing(certificate={**MADE, "new": True}), 0, 0),
        (Closing(alarms=(ALARM,)), 2, 2),
        (UNKNOWN, 10, 10),
        (WITHHELD, 9, 9),
        (Closing(withheld=WITHHELD.withheld, alarms=(ALARM,)), 9, 9),
    ],
)
def test_exit_code_says_it(closing: Closing, looking: int, applying: int) -> None:
    assert report("drift", closing).exit_code == looking
    assert report("apply", closing).exit_code == applying


def test_a_run_that_failed_keeps_its_own_exit_code() -> None:
    failed = Outcome("x", "x", "apply", "failed", error=Refused("no"))
    assert report("apply", WITHHELD, outcomes=(failed,)).exit_code == ExitCode.PARTLY_FAILED


def test_apply_says_where_the_certificate_is_or_why_there_is_none() -> None:
    assert "Certificate (new, 3 settings): /j/x.certificate.json" in text(
        report("apply", Closing({**MADE, "new": True}))
    )
    assert "Certificate (made then, 3 settings)" in text(report("apply", Closing({**MADE, "new": False})))
    shown = text(report("apply", WITHHELD))
    assert "No certificate:\n  k on dc2: silent\\x1b[2J\n    do: wake it\n    do: and apply\n" in shown
    assert "converged in" in shown and "not converged" not in shown
    assert "ertificate" not in text(report("apply", Closing()))


@pytest.mark.parametrize("verb", ["plan", "drift", "apply"])
def test_alarm_says_what_it_was_what_it_is_and_what_it_weakens(verb: str) -> None:
    shown = text(report(verb, Closing(alarms=(ALARM, CHANGED))))
    assert "ALARM: the [red]export[/red] has reappeared since then  [k]" in shown
    assert "value: 1; certified was 0" in shown
    assert "weakens: hashes leave" in shown
    assert "ALARM: something has changed" in shown
    assert shown.count("weakens:") == 1
    assert ", 2 alarms." in shown


def test_what_is_not_known_is_an_error_and_not_passed_over_in_the_summary() -> None:
    shown = text(report("drift", UNKNOWN))
    assert "u was certified, and could not be observed now" in shown
    assert "1 of what was certified unknown" in shown
    assert json.loads(render(report("drift", UNKNOWN)))["errors"][0]["key"] == "u"


def test_as_json_every_fact_is_there_once() -> None:
    found = json.loads(render(report("apply", Closing({**MADE, "new": True}, WITHHELD.withheld, (ALARM,)))))
    assert found["certificate"] == {**MADE, "new": True}
    assert found["withheld"] == [{"key": "k", "where": "dc2", "what": "silent\x1b[2J", "do": "wake it\nand apply"}]
    assert found["alarms"] == [
        {"key": "k", "title": ALARM.title, "alarm": "reappeared", "weakens": "hashes leave", "certified_at": "then",
         "differs": [{"field": "value", "observed": 1, "certified": 0}]}
    ]  # fmt: skip
    nothing = json.loads(render(report("apply", Closing())))
    assert (nothing["certificate"], nothing["withheld"], nothing["alarms"]) == (None, [], [])

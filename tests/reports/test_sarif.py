"""Code scanning gets findings that are valid, at the right line, and the same alert in every run."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft4Validator
from msgspec.structs import replace

from reconciler.core.drift import Drift
from reconciler.core.report import Report
from reconciler.core.resource import Difference
from reconciler.reports.sarif import document, render
from tests.reports.reported import AT, HOSTILE, key, looked, ran, report, with_text

SCHEMA = json.loads((Path(__file__).parent / "schemas" / "sarif-2.1.0-rtm.4.json").read_text(encoding="utf-8"))
VALIDATOR = Draft4Validator(SCHEMA, format_checker=Draft4Validator.FORMAT_CHECKER)


def results(found: Report) -> list[dict[str, Any]]:
    log = json.loads(render(found))
    VALIDATOR.validate(log)
    return list(log["runs"][0]["results"])


def test_schema_refuses_what_is_not_sarif() -> None:
    wrong = document(looked())
    wrong["runs"][0]["results"][0]["level"] = "bad"
    assert not VALIDATOR.is_valid(wrong)


def test_finding_is_at_the_line_that_declares_the_resource() -> None:
    first = results(looked())[0]
    place = first["locations"][0]
    assert place["physicalLocation"] == {
        "artifactLocation": {"uri": "states/a%20b.yaml", "uriBaseId": "%SRCROOT%"},
        "region": {"startLine": 11, "startColumn": 3},
    }
    assert place["logicalLocations"][0]["fullyQualifiedName"] == key("b")
    assert first["message"]["text"] == f"{key('b')}: value is 0, declared is 1; weakens: open; comes from: unknown"


def test_level_says_how_bad_it_is() -> None:
    plain = Drift(key("a"), "a", "f:1:1", "external")
    drifts = (plain, replace(plain, key=key("b"), weakens="open"), replace(plain, key=key("c"), error="no answer"),
              replace(plain, key=key("d"), comes_from="transient"), replace(plain, key=key("e"), policy="ignore"))  # fmt: skip
    found = results(report(drifts=drifts))
    assert [one["level"] for one in found] == ["warning", "error", "error", "note", "note"]
    assert [bool(one.get("suppressions")) for one in found] == [False, False, False, False, True]


def test_each_kind_is_one_rule() -> None:
    drifts = tuple(Drift(f"{kind}/h/x", "t", "f:1:1", "unknown") for kind in ("b.b", "a.a", "b.b"))
    (run,) = document(report(drifts=(drifts[0], drifts[1], replace(drifts[2], key="b.b/h/y"))))["runs"]
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == ["a.a", "b.b"]
    assert [(one["ruleId"], one["ruleIndex"]) for one in run["results"]] == [("b.b", 1), ("a.a", 0), ("b.b", 1)]


def test_fingerprint_is_the_same_in_every_run_and_another_for_another_field() -> None:
    drift = Drift(key("a"), "a", "f:1:1", "external", differs=(Difference("value", 0, 1),), since=AT)
    later = replace(drift, where="f:9:9", differs=(Difference("value", 7, 1),), since=AT + timedelta(days=1), title="b")
    other = replace(drift, differs=(Difference("text", 0, 1),))
    same, again, another = ({*results(report(drifts=(one,)))[0]["partialFingerprints"].values()} for one in (drift, later, other))  # fmt: skip
    assert same == again != another


def test_what_only_the_journal_knows_is_shown_at_the_state_file() -> None:
    orphan = Drift("test.setting/h/gone", "gone", "", "intended")
    first = results(report(drifts=(orphan,), where={key("a"): "/srv/s.yaml:3:1"}))[0]
    assert first["locations"][0]["physicalLocation"] == {"artifactLocation": {"uri": "file:///srv/s.yaml"}}
    assert "physicalLocation" not in results(report(drifts=(orphan,)))[0]["locations"][0]


def test_run_that_failed_is_no_success() -> None:
    (run,) = document(ran())["runs"]
    assert run["invocations"][0]["executionSuccessful"] is False
    assert run["invocations"][0]["exitCode"] == 4


def test_message_holds_no_link_and_no_placeholder_of_somebody_else() -> None:
    found = results(with_text("[click](http://x) {0}" + HOSTILE))
    assert len(found) == 2
    for one in found:
        assert "](" not in one["message"]["text"]
        assert "{{0}}" in one["message"]["text"]
        assert one["message"]["text"].isprintable()


@given(st.text(st.characters(codec="utf-8")))
def test_any_text_makes_a_valid_log(text: str) -> None:
    assert len(results(with_text(text))) == 2

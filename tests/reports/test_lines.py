"""JSON lines: the first says what the format is, the last how it ended, and each is one line for every reader."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from reconciler.engine.events import Event
from reconciler.reports.lines import FORMAT, end_lines, event_line, version_line
from tests.reports.reported import AT, key, looked, ran, with_text


def test_first_line_is_the_version() -> None:
    found = json.loads(version_line(AT))
    assert (found["type"], found["format"], found["at"]) == ("version", FORMAT, AT.isoformat())


def test_event_keeps_its_key_and_words() -> None:
    assert json.loads(event_line(Event("step", "k", "set it"), AT)) == {
        "type": "step", "at": AT.isoformat(), "key": "k", "text": "set it",
    }  # fmt: skip
    assert "key" not in json.loads(event_line(Event("round", text="1"), AT))


def test_end_has_a_line_for_each_drift_and_a_summary() -> None:
    *drifts, summary = [json.loads(line) for line in end_lines(looked()).splitlines()]
    assert [(line["type"], line["key"]) for line in drifts] == [("drift", key(name)) for name in "bcd"]
    assert drifts[0]["differs"] == [{"field": "value", "observed": 0, "wanted": 1}]
    assert summary["resources"] == {"differs": 1, "idle": 1, "right": 1, "unknown": 1, "waiting": 1}
    assert (summary["exit_code"], summary["open"]) == (10, [key("b")])
    assert json.loads(end_lines(ran()).splitlines()[-1])["closed"] == [key("a")]


@given(st.text(st.characters(codec="utf-8")))
def test_any_text_stays_in_its_line(text: str) -> None:
    shown = event_line(Event("step", text, text), AT) + end_lines(with_text(text))
    assert len(shown.splitlines()) == shown.count("\n") == 4
    assert [json.loads(line)["type"] for line in shown.splitlines()] == ["step", "drift", "drift", "summary"]

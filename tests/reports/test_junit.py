"""A CI's test view gets one test for each resource, valid by the schema that Jenkins goes by."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import xmlschema
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.drift import Drift
from reconciler.core.report import Report
from reconciler.reports.junit import render
from tests.reports.reported import HOSTILE, graph, key, looked, ran, report, with_text

SCHEMA = xmlschema.XMLSchema(str(Path(__file__).parent / "schemas" / "junit-10.xsd"))


def suites(found: Report) -> ET.Element:
    text = render(found)
    SCHEMA.validate(text)
    return ET.fromstring(text)


def verdicts(found: Report) -> dict[str, str]:
    cases = suites(found).iter("testcase")
    return {str(case.get("name")).rstrip("]")[-1]: case[0].tag if len(case) else "passed" for case in cases}


def test_schema_refuses_what_is_not_junit() -> None:
    with pytest.raises(xmlschema.XMLSchemaValidationError):
        SCHEMA.validate(render(looked()).replace("<testcase name=", "<testcase title="))


def test_drift_fails_and_what_is_not_known_is_an_error() -> None:
    assert verdicts(looked()) == {"a": "passed", "b": "failure", "c": "failure", "d": "error", "e": "skipped"}
    assert verdicts(ran()) == {"a": "passed", "b": "passed", "c": "error", "d": "skipped"}


def test_drift_that_is_to_be_ignored_is_skipped() -> None:
    drift = Drift(key("a"), "a", "f:1:1", "external", policy="ignore")
    assert verdicts(report(drifts=(drift,), graph=graph("a"))) == {"a": "skipped"}


def test_counts_are_those_of_the_tests() -> None:
    root = suites(looked())
    (suite,) = root
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("5", "2", "1")
    assert (suite.get("name"), suite.get("skipped"), suite.get("tests")) == ("h", "1", "5")


def test_failure_says_what_differs_and_where() -> None:
    failure = suites(looked()).find(".//failure")
    assert failure is not None
    assert "value is 0, declared is 1" in str(failure.get("message"))
    assert str(failure.text).endswith("at states/a b.yaml:11:3")


def test_hostile_text_stays_text() -> None:
    root = suites(with_text(HOSTILE))
    assert {element.tag for element in root.iter()} == {"testsuites", "testsuite", "testcase", "failure", "error", "skipped"}  # fmt: skip
    assert r"<script>alert(1)</script>" in str(root.get("name"))
    assert "\u202e" not in render(with_text(HOSTILE))


@given(st.text(st.characters(codec="utf-8")))
def test_any_text_makes_a_valid_document(text: str) -> None:
    assert suites(with_text(text)).tag == "testsuites"

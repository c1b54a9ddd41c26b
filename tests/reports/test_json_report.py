"""The document for programs: every fact once, secrets as references, and the same after a journey through text."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import PurePath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct
from pydantic import BaseModel

from reconciler.core.conflict import Conflict
from reconciler.core.edit import Edit
from reconciler.core.errors import NeedsPerson, Refused, Unreachable
from reconciler.core.exposure import Exposure
from reconciler.core.plan import Change, Plan
from reconciler.core.ports import Obligation
from reconciler.core.query import Command
from reconciler.core.report import Outcome, Report
from reconciler.core.resource import Need, differences
from reconciler.core.secret import CredentialPart, SecretRef, Template
from reconciler.core.steps import AddEntry, AttributeChange, CopyFile, DeleteEntry, ModifyEntry, Restart, RunTask, Step
from reconciler.core.values import Dn, Phase, Sid
from reconciler.reports.json_report import document, live, plain_obligation, render
from reconciler.reports.plain import plain, plain_error
from reconciler.reports.status import render_json
from tests.fake_world import Setting

AT = datetime(2026, 11, 20, 18, tzinfo=UTC)
MIGRATE: frozenset[Phase] = frozenset({"migrate"})
TOP = {
    "apiVersion", "kind", "run", "state", "phase", "started", "ended", "exit_code", "converged", "rounds", "changes", "unchanged", "errors",
    "outcomes", "open", "closed", "exposure", "weighted_minutes",
}  # fmt: skip


def change(*steps: Step, **fields: Any) -> Change:
    wanted, observed = Setting(name="[red]ü[/red]", value=1, during=MIGRATE, weakens="open"), Setting(name="[red]ü[/red]", value=0)  # fmt: skip
    return Change(wanted.key, "apply", wanted, observed, differences(wanted, observed), steps=steps, **fields)


def report(verb: Any = "plan", **fields: Any) -> Report:
    return Report(verb, "run", "cutover", "migrate", AT, AT + timedelta(seconds=3), **fields)


def obligation(**fields: Any) -> Obligation:
    base: dict[str, Any] = {"declared": {}, "baseline": {"value": 0}, "requires": (), "weakens": "open", "seen_at": AT}
    return Obligation("k", **{**base, **fields})


def test_plan_is_one_document_that_survives_a_journey_through_text() -> None:
    error = Unreachable("no answer", target="pdc", do="look")
    found = report(
        plan=Plan("migrate", changes=(change(),), unchanged=("u",), errors={"e": error}), where={change().key: "s:1:2"}
    )
    parsed = json.loads(render(found))
    assert parsed == document(found)
    assert render(found).endswith("}\n")
    assert set(parsed) >= TOP
    assert (parsed["apiVersion"], parsed["kind"], parsed["exit_code"]) == ("reconciler/v1", "Plan", 10)
    assert parsed["unchanged"] == ["u"]
    assert parsed["errors"] == [{"key": "e", "type": "Unreachable", "what": "no answer", "where": "pdc", "do": "look"}]
    assert datetime.fromisoformat(parsed["ended"]) - datetime.fromisoformat(parsed["started"]) == timedelta(seconds=3)


@pytest.mark.parametrize(
    ("verb", "kind"), [("plan", "Plan"), ("drift", "Drift"), ("apply", "Apply"), ("revert", "Revert")]
)
def test_kind_is_that_of_the_verb(verb: str, kind: str) -> None:
    assert document(report(verb))["kind"] == kind


def test_change_has_what_a_person_sees_too() -> None:
    found = change(Step(Command("h", "set"), "set it", risk="weaken-it"), reasons=(Need("k", "it stands on it"),), gate=NeedsPerson("run it", do="there"))  # fmt: skip
    (shown,) = document(report(plan=Plan("migrate", (found,)), where={found.key: "s:1:2"}))["changes"]
    assert shown["key"] == shown["title"] == "test.setting/h/[red]ü[/red]"
    assert (shown["symbol"], shown["direction"], shown["where"]) == ("~", "apply", "s:1:2")
    assert shown["differs"] == [{"field": "value", "observed": 0, "wanted": 1}]
    assert shown["after"] == [{"key": "k", "because": "it stands on it"}]
    assert shown["gate"] == {"type": "NeedsPerson", "what": "run it", "where": "", "do": "there"}
    assert (shown["temporary"], shown["undo"], shown["weakens"], shown["weight"]) == (
        True,
        "value back to 0",
        "open",
        1,
    )
    (step,) = shown["steps"]
    assert (step["says"], step["effect"], step["risk"]) == ("set it", "Command", "weaken-it")
    assert step["sends"]["name"] == "set"


def test_text_is_not_escaped_for_terminals_or_for_ascii() -> None:
    assert "[red]ü[/red]" in render(report(plan=Plan("migrate", (change(),))))


@pytest.mark.parametrize(
    "effect",
    [
        AddEntry("d", "CN=x", (("member", (b"\1\2", "t")),)),
        ModifyEntry("d", "CN=x", (AttributeChange("nTSecurityDescriptor", "replace", (b"\1",)),), 4),
        DeleteEntry("d", "CN=x"),
        Command("h", "Set-It", (("P", SecretRef(env="KEY")), ("B", b"\0\0"), ("C", CredentialPart("a", "password")))),
        CopyFile("a", r"C:\a", "b", r"C:\b"),
        Restart("h", ("x",)),
        RunTask("h", "n", "admt.exe", ("/a", Template(("p=", SecretRef(file=PurePath("../s"))))), "migrator"),
    ],
    ids=lambda effect: type(effect).__name__,
)
def test_every_effect_can_be_written(effect: Any) -> None:
    found = report(plan=Plan("migrate", (change(Step(effect)),)))
    step = json.loads(render(found))["changes"][0]["steps"][0]
    assert step["effect"] == type(effect).__name__
    assert step["says"] == str(effect)
    assert set(step["sends"]) == set(type(effect).__struct_fields__)


def test_secrets_and_bytes_are_references() -> None:
    command = Command("h", "x", (("P", SecretRef(env="KEY")), ("B", b"\0\0"), ("C", CredentialPart("a", "password"))))
    assert plain(command)["parameters"] == [["P", "<secret env:KEY>"], ["B", "<2 bytes>"], ["C", "<password of a>"]]
    assert plain(Template(("a=", SecretRef(env="KEY"), "&"))) == "a=<secret env:KEY>&"


class Holder(BaseModel):
    secret: SecretRef


class Pair(Struct):
    one: object
    other: object


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, None),
        (True, True),
        (1.5, 1.5),
        ("t", "t"),
        (Dn("CN=Ä,DC=x"), "CN=Ä,DC=x"),
        (Sid("S-1-1-0"), "S-1-1-0"),
        (PurePath("a/b"), "a/b"),
        (AT, "2026-11-20T18:00:00+00:00"),
        (frozenset({"b", "a"}), ["a", "b"]),
        ((1, (2, b"x")), [1, [2, "<1 bytes>"]]),
        ({1: frozenset({2})}, {"1": [2]}),
        (Pair(b"", Pair(None, "x")), {"one": "<0 bytes>", "other": {"one": None, "other": "x"}}),
        (object, "<class 'object'>"),
    ],
)
def test_value_becomes_plain(value: object, shown: object) -> None:
    assert plain(value) == shown
    assert type(plain(value)) is type(shown), "json writes subclasses of its own accord"


def test_secret_inside_a_model_is_a_reference_too() -> None:
    assert plain(Holder(secret=SecretRef(env="KEY"))) == {"secret": "<secret env:KEY>"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.binary() | st.builds(lambda: SecretRef(env="KEY")),
    lambda inner: (
        st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner) | st.frozensets(st.text())
    ),
    max_leaves=20,
)


@given(JSON)
def test_whatever_a_resource_holds_can_be_written_and_read_again(value: object) -> None:
    assert json.loads(json.dumps(plain(value))) == plain(value)
    assert plain(plain(value)) == plain(value)


def test_error_is_its_facts() -> None:
    assert plain_error(Refused("no", target="pdc", do="ask", code="x")) == {
        "type": "Refused",
        "what": "no",
        "where": "pdc",
        "do": "ask",
    }


def test_outcome_has_its_changes_and_its_error() -> None:
    ended = Outcome("k", "t", "apply", "failed", changes=(change(),), error=Refused("no"), because="b")
    (shown,) = json.loads(render(report("apply", outcomes=(ended,), rounds=3, converged=False)))["outcomes"]
    assert (shown["status"], shown["because"], shown["error"]["type"]) == ("failed", "b", "Refused")
    assert len(shown["changes"]) == 1


def test_exit_code_is_the_one_of_the_shell() -> None:
    for found in (report("apply"), report("apply", converged=False), report(plan=Plan("migrate", (change(),)))):
        assert document(found)["exit_code"] == found.exit_code


@pytest.mark.parametrize(
    ("changed", "closed", "seconds"),
    [
        (None, None, None),
        (AT, None, None),
        (None, AT, None),
        (AT, AT, 0.0),
        (AT, AT + timedelta(hours=3, milliseconds=1), 10800.001),
    ],
)
def test_promise_says_for_how_long_it_was_live(
    changed: datetime | None, closed: datetime | None, seconds: float | None
) -> None:
    promise = obligation(changed_at=changed, closed_at=closed)
    shown = plain_obligation(promise)
    assert shown["live_seconds"] == seconds
    assert (live(promise) is None) == (seconds is None)
    assert (shown["key"], shown["weakens"], shown["baseline"]) == ("k", "open", {"value": 0})
    assert shown["changed_at"] == (changed.isoformat() if changed else None)


def test_plan_lists_what_will_be_exposed_and_sums_it_up() -> None:
    exposed = (
        Exposure("k/a", "a hole", 10, timedelta(minutes=3)),
        Exposure("k/b", "a door", 2, timedelta(seconds=90), going_back=True),
        Exposure("k/c", "a wall", 5, None),
    )
    found = document(report(plan=Plan("migrate", exposure=exposed)))
    assert found["weighted_minutes"] == 33
    assert [tuple(one.values()) for one in found["exposure"]] == [
        ("k/a", "a hole", 10, 180.0, False),
        ("k/b", "a door", 2, 90.0, True),
        ("k/c", "a wall", 5, None, False),
    ]
    assert list(found["exposure"][0]) == ["key", "weakens", "weight", "live_seconds", "going_back"]


def test_run_sums_up_what_was_measured_of_what_it_put_back() -> None:
    closed = obligation(declared={"weight": 4}, changed_at=AT, closed_at=AT + timedelta(minutes=2), forecast_s=100.5)
    found = document(report("apply", closed=(closed,), open=(obligation(changed_at=AT),)))
    assert (found["weighted_minutes"], found["exposure"]) == (8, [])
    (shown,) = found["closed"]
    assert (shown["weight"], shown["live_seconds"], shown["forecast_seconds"]) == (4, 120.0, 100.5)
    assert (found["open"][0]["weight"], found["open"][0]["forecast_seconds"]) == (1, None)


def test_open_and_closed_promises_are_in_the_report_and_in_the_status() -> None:
    opened, closed = obligation(changed_at=AT), obligation(changed_at=AT, closed_at=AT + timedelta(seconds=1))
    found = document(report("apply", open=(opened,), closed=(closed,)))
    status = json.loads(render_json("cutover", "complete", [opened], [closed], AT))
    assert (status["open"], status["closed"]) == (found["open"], found["closed"])
    assert (status["kind"], status["phase"], status["at"]) == ("Status", "complete", AT.isoformat())


def test_edits_have_null_where_nothing_is_known() -> None:
    told = Conflict("value", 0, 1, 5, Edit("value", "v", "DC2", AT, 7, AT), AT)
    nameless = told._replace(edit=Edit("value", "v", "", AT, 7, AT))
    edits = (told, nameless, Conflict("value", 0, 1, 5))
    (outcome,) = document(report("apply", outcomes=(Outcome("k", "t", "revert", "changed", edits=edits),)))["outcomes"]
    assert [(edit["on"], edit["at"], edit["version"]) for edit in outcome["edits"]] == [
        ("DC2", AT.isoformat(), 7),
        (None, AT.isoformat(), 7),
        (None, None, None),
    ]
    assert outcome["edits"][0] | {"on": None} == outcome["edits"][1]
    planned = document(report(plan=Plan("complete", edits={"k": edits})))
    assert planned["edits"] == [{"key": "k", **edit} for edit in outcome["edits"]]

"""Kinds of Windows hosts by cases: what is wanted and what is answered -> what differs and what is sent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from reconciler.core.errors import NeedsPerson, NotYet, UnexpectedAnswer
from reconciler.core.query import Command, Rows
from reconciler.core.resource import Resource, differences
from reconciler.core.steps import Step
from reconciler.resources.pes_key import PesKey
from reconciler.resources.pes_key_import import PesKeyImport
from reconciler.resources.win_audit_policy import AuditPolicy
from reconciler.resources.win_file import File
from reconciler.resources.win_local_group_member import LocalGroupMember
from reconciler.resources.win_registry import Registry
from reconciler.resources.win_restart import HostRestart
from reconciler.resources.win_service import Service
from reconciler.resources.win_software import Software

KINDS: dict[str, type[Resource]] = {
    "pes.key": PesKey,
    "pes.key_import": PesKeyImport,
    "win.audit_policy": AuditPolicy,
    "win.file": File,
    "win.local_group_member": LocalGroupMember,
    "win.registry": Registry,
    "win.restart": HostRestart,
    "win.service": Service,
    "win.software": Software,
}
CASES = Path(__file__).parent / "cases"

Case = dict[str, Any]


def load(part: str) -> list[Any]:
    found = []
    for kind in KINDS:
        document = yaml.safe_load((CASES / f"{kind}.yaml").read_text("utf-8"))
        for number, case in enumerate(document.get(part, ())):
            case["desired"] = {**document["common"], **case["desired"]}
            found.append(pytest.param(kind, case, id=f"{kind}:{case.get('name', number)}"))
    return found


def rows(answers: list[list[dict[str, Any]]]) -> list[Rows]:
    return [tuple(answer) for answer in answers]


def wanted(kind: str, case: Case) -> Resource:
    declared = KINDS[kind].model_validate(case["desired"])
    if "baseline" not in case:
        return declared
    observed = declared.parse(*rows(case["baseline"]))
    # The journal keeps it as JSON.
    baseline = KINDS[kind].model_validate(json.loads(observed.model_dump_json(exclude={"after"})))
    return declared.undone(baseline)


def plain(value: Any) -> Any:
    return json.loads(json.dumps(value, default=lambda model: model.model_dump(mode="json")))


@pytest.mark.parametrize(("kind", "case"), load("cases"))
def test_case(kind: str, case: Case) -> None:
    resource = wanted(kind, case)
    answers = rows(case["answers"])
    assert len(resource.queries()) == len(answers)
    if "unexpected" in case:
        with pytest.raises(UnexpectedAnswer) as caught:
            resource.parse(*answers)
        assert case["unexpected"] in caught.value.what
        assert case.get("do", "") in caught.value.do
        return
    observed = resource.parse(*answers)
    assert observed.key == resource.key
    differs = differences(resource, observed)
    assert {d.field: plain([d.observed, d.wanted]) for d in differs} == plain(case["differs"])
    assert plain(resource.remembers(observed)) == case.get("remembers", plain(resource.remembers(observed)))
    if differs:
        check_steps(resource, observed, frozenset(d.field for d in differs), case)


def check_steps(resource: Resource, observed: Resource, differs: frozenset[str], case: Case) -> None:
    if "gate" in case:
        with pytest.raises(NeedsPerson) as gate:
            resource.steps(observed, differs)
        assert case["gate"] in gate.value.what
        assert case.get("do", "") in gate.value.do
        assert gate.value.do
        return
    if "pending" in case:
        with pytest.raises(NotYet) as later:
            resource.steps(observed, differs)
        assert case["pending"] in later.value.what
        return
    steps = resource.steps(observed, differs)
    assert [str(step.effect) for step in steps] == case["steps"]
    assert sorted({step.risk for step in steps if step.risk}) == case.get("risks", [])
    if "notes" in case:
        assert plain({note.key: note.value for step in steps for note in step.notes}) == case["notes"]
    if "learns" in case:
        assert plain(resource.learns(steps[0], ({"exit_code": 0},))) == case["learns"]
    if case.get("once"):
        assert not any(repeatable(step) for step in steps)


def repeatable(step: Step) -> bool:
    return isinstance(step.effect, Command) and step.effect.repeatable


@pytest.mark.parametrize(("kind", "case"), load("refused"))
def test_refused(kind: str, case: Case) -> None:
    with pytest.raises(ValidationError, match=case["because"]):
        KINDS[kind].model_validate(case["desired"])


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_is_described(kind: str) -> None:
    fields = KINDS[kind].model_fields
    assert [name for name, field in fields.items() if name != "kind" and not field.description] == []


@pytest.mark.parametrize("kind", KINDS)
def test_identity_and_inputs_are_fields(kind: str) -> None:
    resource = KINDS[kind]
    assert {*resource.identity, *resource.inputs} <= set(resource.model_fields)

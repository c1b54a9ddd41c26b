"""A kind is imported when it is first met, and then everything is as if all of them had been there from the beginning."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import reduce
from operator import or_
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from reconciler.core.errors import JournalError
from reconciler.core.resource import Resource
from reconciler.resources.kinds import KINDS, AnyResource, revive
from reconciler.resources.late import Late
from tests.declared import ROOT, registry

EVERY: Any = reduce(or_, KINDS.values())
AT_ONCE: TypeAdapter[Any] = TypeAdapter(Annotated[EVERY, Field(discriminator="kind")])
LATE: TypeAdapter[Any] = TypeAdapter(AnyResource)
WRONG: dict[str, object] = {
    "no mapping": "win.registry",
    "nothing": None,
    "no kind": {"host": "h"},
    "a kind that is none": {"kind": "win.regitsry"},
    "a kind that is no text": {"kind": ["win.registry"]},
    "a kind in another case": {"kind": "WIN.registry"},
    "an unknown key": {**registry(), "nonsense": 1},
    "two wrong values": {**registry(), "path": "x", "host": 7},
    "a check of the whole": {**registry(), "weight": 3},
}


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_kind_is_where_its_name_says(kind: str) -> None:
    assert issubclass(KINDS[kind], Resource)
    assert KINDS[kind].model_fields["kind"].default == kind


def test_no_class_of_this_package_is_left_out() -> None:
    def concrete(cls: Any) -> set[Any]:
        below = set().union(*(concrete(one) for one in cls.__subclasses__()))
        ours = cls.__module__.startswith("reconciler.") and not getattr(cls, "__abstractmethods__", None)
        return below | ({cls} if ours else set())

    for path in (ROOT / "reconciler" / "resources").glob("*.py"):
        __import__(f"reconciler.resources.{path.stem}")
    assert concrete(Resource) == set(KINDS.values())


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said_as_by_all_of_them(name: str) -> None:
    with pytest.raises(ValidationError) as late:
        LATE.validate_python(WRONG[name])
    with pytest.raises(ValidationError) as at_once:
        AT_ONCE.validate_python(WRONG[name])
    said = [[(e["type"], e["loc"], e["msg"]) for e in caught.value.errors()] for caught in (late, at_once)]
    assert said[0] == said[1] != []


def test_a_resource_stays_the_one_that_it_is() -> None:
    made = AT_ONCE.validate_python(registry())
    assert LATE.validate_python(made) is made
    assert LATE.validate_python(registry()) == made == revive(json.loads(made.model_dump_json()))
    assert type(LATE.validate_python(registry())) is KINDS["win.registry"]


def test_what_the_journal_holds_and_nobody_knows_is_refused_by_name() -> None:
    with pytest.raises(JournalError, match=r"cannot read: win\.moon"):
        revive({"kind": "win.moon", "phase": "full"})


def test_only_what_is_named_is_imported() -> None:
    program = "import json, sys; from reconciler.resources.kinds import revive; revive(json.load(sys.stdin)); print(json.dumps(sorted(sys.modules)))"  # fmt: skip
    run = subprocess.run([sys.executable, "-c", program], input=json.dumps(registry()), capture_output=True, text=True, check=True)  # fmt: skip
    modules = {KINDS[kind].__module__ for kind in KINDS} & set(json.loads(run.stdout))
    assert modules == {"reconciler.resources.win_registry"}


class Part(BaseModel):
    """A part of something."""

    number: int


def test_a_late_part_is_built_once_and_only_when_it_is_needed() -> None:
    built: list[int] = []

    def whole() -> TypeAdapter[Any]:
        built.append(1)
        return TypeAdapter(Part | None)

    class Whole(BaseModel):
        """Something."""

        part: Annotated[Any, Late(whole)] = None

    assert Whole.model_validate({}).part is None
    assert built == []
    assert [Whole.model_validate({"part": given}).part for given in ({"number": 1}, None)] == [Part(number=1), None]
    with pytest.raises(ValidationError) as caught:
        Whole.model_validate({"part": {"number": "x"}})
    assert [error["loc"] for error in caught.value.errors()] == [("part", "number")]
    assert built == [1]
    assert Whole.model_json_schema()["$defs"]["Part"]["properties"]["number"]["type"] == "integer"

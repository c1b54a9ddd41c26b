"""The schemas in the repository are those of the models, are schemas, and say the same as the program."""

from __future__ import annotations

import copy
import functools
import json
from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest

from reconciler.core.errors import DesiredStateError
from reconciler.edge.state_file import read
from reconciler.edge.yaml_document import compose
from reconciler.resources.kinds import KINDS
from reconciler.resources.schema import DIALECTS, FILES, Draft, render, write_all
from reconciler.resources.state import State
from tests.declared import ROOT, lab, registry, write

DRAFTS: tuple[Draft, ...] = get_args(Draft)
STATES = sorted((ROOT / "states").glob("*.yaml"))
VALIDATORS = {"2020-12": jsonschema.Draft202012Validator, "draft-07": jsonschema.Draft7Validator}


@functools.cache
def schema(draft: Draft) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(render(draft))
    return found


def errors(draft: Draft, document: object) -> list[str]:
    return [error.json_path for error in VALIDATORS[draft](schema(draft)).iter_errors(document)]


def refs(node: object) -> list[str]:
    if isinstance(node, list):
        return [ref for item in node for ref in refs(item)]
    if not isinstance(node, dict):
        return []
    own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
    if isinstance(mapping := node.get("mapping"), dict):
        own += [ref for ref in mapping.values() if isinstance(ref, str)]
    return own + [ref for item in node.values() for ref in refs(item)]


@pytest.mark.parametrize("draft", DRAFTS)
def test_schema_in_the_repository_is_current(draft: Draft) -> None:
    written = (ROOT / "schemas" / FILES[draft]).read_text(encoding="utf-8")
    assert written == render(draft), "run `reconcile schema --write schemas`"


def test_no_other_schema_lies_about() -> None:
    found = {path.relative_to(ROOT / "schemas").as_posix() for path in (ROOT / "schemas").rglob("*.json")}
    assert found == set(FILES.values())


@pytest.mark.parametrize("draft", DRAFTS)
def test_schema_obeys_its_own_draft(draft: Draft) -> None:
    VALIDATORS[draft].check_schema(schema(draft))
    assert schema(draft)["$schema"] == DIALECTS[draft] == VALIDATORS[draft].META_SCHEMA["$schema"]


@pytest.mark.parametrize("draft", DRAFTS)
def test_every_reference_leads_somewhere(draft: Draft) -> None:
    document = schema(draft)
    found = refs(document)
    assert found
    for ref in found:
        here = document
        for part in ref.removeprefix("#/").split("/"):
            here = here[part]


def test_draft_07_has_none_of_the_newer_words() -> None:
    document = schema("draft-07")

    def words(node: object, *, names: bool = False) -> set[str]:
        if isinstance(node, list):
            return {word for item in node for word in words(item)}
        if not isinstance(node, dict):
            return set()
        here = set() if names else set(node)
        return here.union(
            *(words(item, names=key in ("properties", "definitions", "mapping")) for key, item in node.items())
        )

    newer = {
        "$defs",
        "prefixItems",
        "$dynamicRef",
        "dependentRequired",
        "dependentSchemas",
        "unevaluatedProperties",
        "minContains",
    }
    assert words(document) & newer == set()


@pytest.mark.parametrize("draft", DRAFTS)
@pytest.mark.parametrize("path", STATES, ids=lambda path: path.name)
def test_example_is_valid_for_editors_and_for_the_program(path: Path, draft: Draft) -> None:
    found = compose(path.read_text(encoding="utf-8"))
    assert found.faults == []
    assert errors(draft, found.value) == []
    read(path, State)


@pytest.mark.parametrize("path", STATES, ids=lambda path: path.name)
def test_first_line_of_an_example_names_its_schema(path: Path) -> None:
    first = path.read_text(encoding="utf-8").splitlines()[0]
    mark, _, name = first.partition("$schema=")
    assert mark == "# yaml-language-server: "
    assert (path.parent / name).resolve() == (ROOT / "schemas" / FILES["draft-07"]).resolve()


WRONG: dict[str, tuple[tuple[str | int, ...], object]] = {
    "literal password of a credential": (("credentials", "migrator", "password"), "hunter2"),
    "literal password of the key": (("migration", "passwords", "key_password"), "hunter2"),
    "unknown key at the top": (("phases",), "migrate"),
    "unknown key in the migration": (("migration", "trusts"), {}),
    "unknown phase": (("phase",), "finished"),
    "other version": (("apiVersion",), "reconciler/v2"),
    "kind that is none": (("resources",), [{"kind": "win.nothing", "host": "admt"}]),
    "resource without what it needs": (("resources",), [{"kind": "win.registry", "host": "admt"}]),
    "list of resources that is a mapping": (("resources",), {}),
    "batch of none": (("migration", "accounts", 0, "batch"), 0),
    "number as text": (("metadata", "name"), 5),
    "two places for one secret": (("credentials", "migrator", "password"), {"file": "a", "env": "B", "more": 1}),
    "host name with a blank": (("hosts", "admt", "address"), "a b"),
    "SID as a DN": (("migration", "accounts", 0, "from"), 12),
}


@pytest.mark.parametrize("draft", DRAFTS)
@pytest.mark.parametrize("name", WRONG)
def test_what_the_program_refuses_by_its_shape_editors_refuse_too(name: str, draft: Draft, tmp_path: Path) -> None:
    path, value = WRONG[name]
    document: Any = copy.deepcopy(lab())
    here = document
    for part in path[:-1]:
        here = here[part]
    here[path[-1]] = value
    assert errors(draft, document)
    with pytest.raises(DesiredStateError):
        read(write(tmp_path, document), State)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_can_be_declared(kind: str) -> None:
    variants = schema("2020-12")["properties"]["resources"]["items"]
    assert set(variants["discriminator"]["mapping"]) == set(KINDS)
    assert kind in variants["discriminator"]["mapping"]


@pytest.mark.parametrize("draft", DRAFTS)
def test_declared_resource_is_valid_with_both_ways_to_write_after(draft: Draft) -> None:
    first = registry(name="A")
    second = registry(name="B", after=[{"key": "k", "because": "b"}])
    assert errors(draft, lab(resources=[first, second])) == []


@pytest.mark.parametrize("draft", DRAFTS)
def test_short_form_of_after_is_valid_for_editors_too(draft: Draft) -> None:
    document = lab(resources=[registry(after=["win.restart/source-pdc"])])
    State.model_validate(document)
    assert errors(draft, document) == []


def test_fields_carry_what_they_are_for() -> None:
    document = schema("2020-12")
    bare = [
        f"{name}.{field}"
        for name, definition in document["$defs"].items()
        for field, about in definition.get("properties", {}).items()
        if field != "kind" and "description" not in about and "$ref" not in about
    ]
    # Blocks that are described where they are defined, and the four words that are what they are called.
    described = {"MigrationBlock.trust", "MigrationBlock.passwords", "MigrationBlock.accounts"}
    assert [name for name in bare if name not in described and not name.startswith("AuditWords.")] == []


def test_written_schemas_are_those_that_are_printed(tmp_path: Path) -> None:
    paths = write_all(tmp_path / "new")
    assert [path.relative_to(tmp_path / "new").as_posix() for path in paths] == list(FILES.values())
    assert [path.read_text(encoding="utf-8") for path in paths] == [render(draft) for draft in DRAFTS]

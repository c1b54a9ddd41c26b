"""The documents say what the code has: commands, links, exit codes, kinds, fields."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from reconciler.core.exit_codes import ExitCode
from reconciler.core.notice import Receiver
from reconciler.core.resource import Resource
from reconciler.core.targets import Credential, Domain, Host, Winrm
from reconciler.resources import migration, state
from reconciler.resources.kinds import KINDS

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
COMMON = frozenset(Resource.model_fields)
STATE_PARTS = (
    state.State,
    migration.MigrationBlock,
    migration.SoftwareBlock,
    migration.TrustBlock,
    migration.PasswordsBlock,
    migration.OperatorBlock,
    migration.AccountsBlock,
    migration.CanaryBlock,
    Credential,
    Domain,
    Host,
    Winrm,
    Receiver,
)

_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_CODE_ROW = re.compile(r"^\| (\d+) \|", re.MULTILINE)


def text_of(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def headings(document: Path) -> set[str]:
    """Return the anchors of a document, as GitHub makes them."""
    found = _HEADING.findall(_FENCE.sub("", document.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in found}


def links() -> Iterator[tuple[Path, str]]:
    for document in DOCUMENTS:
        for target in _LINK.findall(_FENCE.sub("", document.read_text(encoding="utf-8"))):
            if not re.match(r"[a-z]+:", target):
                yield document, target


def sections(path: str) -> dict[str, str]:
    """Return the sections of docs/kinds.md by kind."""
    parts = re.split(r"^## `([a-z_.]+)`$", text_of(path), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def names(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items() if name not in COMMON or name == "kind"]


def is_named(name: str, text: str) -> bool:
    """Return whether a field stands in backquotes, alone or at the end or start of a path such as `winrm.port`."""
    return re.search(rf"`(?:\w+\.)*{re.escape(name)}(?:\.<?\w+>?)*`", text) is not None


def test_readme_begins_with_demo_and_test() -> None:
    first = _FENCE.search(text_of("README.md"))
    assert first is not None
    commands = [line.partition("#")[0].strip() for line in first[0].splitlines()[1:-1]]
    assert commands == ["make demo", "make test"]


def test_ci_calls_the_test_command_of_the_readme() -> None:
    assert "make test" in text_of(".ci/run").splitlines()


@pytest.mark.parametrize("target", ["demo", "test"])
def test_makefile_has_the_commands_of_the_readme(target: str) -> None:
    assert re.search(rf"^{target}:", text_of("Makefile"), re.MULTILINE)


@pytest.mark.parametrize(
    ("document", "target"), [pytest.param(d, t, id=f"{d.relative_to(ROOT)}->{t}") for d, t in links()]
)
def test_link_leads_somewhere(document: Path, target: str) -> None:
    path, _, anchor = target.partition("#")
    found = (document.parent / path).resolve() if path else document
    assert found.exists()
    assert found.is_relative_to(ROOT)
    assert not anchor or anchor in headings(found)


@pytest.mark.parametrize("document", ["README.md", "docs/guide.md"])
def test_exit_codes_are_those_of_the_code(document: str) -> None:
    assert {int(code) for code in _CODE_ROW.findall(text_of(document))} == {int(code) for code in ExitCode}


def test_every_kind_has_a_section_and_no_other() -> None:
    assert set(sections("docs/kinds.md")) == set(KINDS)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_field_of_a_kind_is_documented(kind: str) -> None:
    section = sections("docs/kinds.md").get(kind, "")
    fields = [name for name in names(KINDS[kind]) if name != "kind"]
    assert [name for name in fields if not is_named(name, section)] == []


@pytest.mark.parametrize("part", STATE_PARTS, ids=lambda part: str(part.__name__))
def test_every_field_of_the_state_file_is_documented(part: type[BaseModel]) -> None:
    guide = text_of("docs/guide.md") + text_of("docs/operations.md") + text_of("docs/canary.md")
    assert [name for name in names(part) if not is_named(name, guide)] == []


def test_every_common_field_of_a_resource_is_documented() -> None:
    guide = text_of("docs/guide.md")
    assert [name for name in sorted(COMMON - {"kind"}) if not is_named(name, guide)] == []


def test_every_decision_is_in_the_index() -> None:
    index = text_of("docs/decisions/0001-house-rules.md")
    written = sorted(path.name for path in (ROOT / "docs/decisions").glob("*.md"))
    assert [name for name in written if not name.startswith("0001") and f"({name})" not in index] == []

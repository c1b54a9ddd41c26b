"""What the program imports before it does anything: time is never measured here, it follows from this."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from reconciler.cli.main import _parsed, main
from reconciler.cli.program import VERBS, app
from reconciler.resources.kinds import KINDS
from tests.declared import LAB, ROOT, lab, write

HEAVY = {"apsw", "cyclopts", "jinja2", "networkx", "pydantic", "requests", "rich", "yaml"}
TALKING = {"dns", "jinja2", "ldap3", "networkx", "prometheus_client", "pypsrp", "requests", "spnego", "watchfiles"}
"""What only those need that talk to something, or draw something."""
RUNNING = {"reconciler.engine.converge", "reconciler.engine.run", "reconciler.edge.world", "reconciler.cli.watch"}
ASK = (
    "import json, sys; from reconciler.cli.main import main; code = main(sys.argv[1:]);"
    "sys.stdout.write('\\n' + json.dumps([code, sorted(sys.modules)]))"
)


def imported(*arguments: str | os.PathLike[str], **environment: str) -> tuple[int, set[str]]:
    """Return how a run in a process of its own ended, and what it had imported."""
    command = [sys.executable, "-c", ASK, *arguments]
    run = subprocess.run(command, capture_output=True, check=True, cwd=ROOT, env=os.environ | environment)
    code, modules = json.loads(run.stdout.splitlines()[-1])
    return code, set(modules)


def test_the_version_needs_next_to_nothing() -> None:
    code, modules = imported("--version")
    assert code == 0
    assert not modules & HEAVY
    ours = {name for name in modules if name.startswith("reconciler.")}
    assert ours <= {
        "reconciler.cli", "reconciler.cli.main", "reconciler.core", "reconciler.core.errors", "reconciler.core.exit_codes"
    }  # fmt: skip


@pytest.mark.parametrize("verb", ["validate", "graph"])
def test_who_asks_nobody_imports_nothing_that_talks(verb: str) -> None:
    code, modules = imported(verb, LAB)
    assert code == 0
    assert not modules & TALKING
    assert not modules & RUNNING


def test_a_file_alone_needs_no_parser_and_only_the_kinds_that_it_names(tmp_path: Path) -> None:
    [code, modules] = imported("drift", write(tmp_path, alone()))
    assert code == 0
    assert not modules & {
        "cyclopts",
        "attr",
        "rich",
        "cryptography",
        "pypsrp",
        "xml.etree.ElementTree",
        "email.generator",
        "difflib",
        "reconciler.core.saved_plan",
    }
    assert not {name for name in modules if name.startswith(("reconciler.edge.psrp", "reconciler.resources.article"))}
    assert {KINDS[kind].__module__ for kind in KINDS} & modules == set()


@pytest.mark.parametrize("verb", ["validate", "plan", "drift"])
@pytest.mark.parametrize("file", ["right", "wrong", "no file"])
def test_with_and_without_the_parser_the_same_is_said(
    verb: str, file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, alone() if file == "right" else {**alone(), "nonsense": 1})
    given = [verb, str(path if file != "no file" else tmp_path / "gone.yaml")]
    without = main(given), *capsys.readouterr()
    monkeypatch.setattr("reconciler.cli.main._verb", _parsed)
    assert (main(given), *capsys.readouterr()) == without
    assert without[0] == (0 if file == "right" else 3)


def test_what_begins_with_a_dash_is_no_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["drift", "--help"]) == 0
    assert "Usage" in capsys.readouterr().out
    assert main(["drift", "-x"]) == 1


def alone() -> dict[str, Any]:
    """Return a state file that declares nothing, so that nobody is asked."""
    document = lab(resources=[])
    del document["migration"]
    return document


def test_a_terminal_alone_needs_rich() -> None:
    assert "rich.console" not in imported("validate", LAB)[1]
    assert "rich.console" in imported("validate", LAB, FORCE_COLOR="1")[1]


def test_every_verb_is_found_where_it_is_said_to_be() -> None:
    assert {verb.rpartition(":")[2] for verb in VERBS} <= set(app)
    assert all(app[verb.rpartition(":")[2]].help for verb in VERBS)


def test_help_says_a_line_about_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    for verb in VERBS:
        name = verb.rpartition(":")[2]
        assert app[name].help.split()[0] in next(line for line in shown.splitlines() if line.startswith(f"│ {name} "))

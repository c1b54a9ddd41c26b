"""What the program imports before it does anything: time is never measured here, it follows from this."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from reconciler.cli.program import VERBS, app
from tests.declared import LAB, ROOT

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


def test_a_terminal_alone_needs_rich() -> None:
    assert "rich.console" not in imported("validate", LAB)[1]
    assert "rich.console" in imported("validate", LAB, FORCE_COLOR="1")[1]


def test_every_verb_is_found_where_it_is_said_to_be() -> None:
    assert {verb.rpartition(":")[2] for verb in VERBS} <= set(app)
    assert all(app[verb.rpartition(":")[2]].help for verb in VERBS)


def test_help_says_a_line_about_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    from reconciler.cli.main import main

    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    for verb in VERBS:
        name = verb.rpartition(":")[2]
        assert app[name].help.split()[0] in next(line for line in shown.splitlines() if line.startswith(f"│ {name} "))

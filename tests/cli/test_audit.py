"""`reconcile audit`: what a person or a script learns, from a state file or from nothing but copies."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cyclopts import App

from reconciler.cli import audit
from reconciler.cli.main import exit_code_of
from reconciler.core.audit import Origin, Record
from reconciler.core.errors import ReconcileError
from reconciler.core.plan import Change
from reconciler.core.query import Command
from reconciler.core.resource import differences
from reconciler.core.steps import Step
from reconciler.edge.audit_check import Files
from reconciler.edge.audit_file import AuditFile
from tests.fake_world import Setting

STATE = """
apiVersion: reconciler/v1
kind: Migration
metadata: {name: demo}
phase: migrate
journal: journal
credentials:
  admin: {username: Administrator@SOURCE.LAB, password: {file: secret}}
domains:
  source: {dns: source.lab, netbios: SOURCE, credential: admin}
hosts: {}
resources: []
"""
T0 = datetime(2026, 11, 20, 18, 0, tzinfo=UTC)

app = App(name="reconcile")
app.command(audit.audit)


def run(*arguments: str | Path) -> int:
    try:
        given = [str(argument) for argument in ("audit", *arguments)]
        return int(app(given, exit_on_error=False, print_error=True, result_action="return_value"))
    except ReconcileError as error:
        return exit_code_of(error)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Return a state file with three records in its log: sent, done, and read back."""
    file = tmp_path / "state.yaml"
    file.write_text(STATE)
    wanted, observed = Setting(name="a\x1b[31m", value=1), Setting(name="a\x1b[31m", value=0)
    change = Change(wanted.key, "apply", wanted, observed, differences(wanted, observed))
    origin = Origin("run1", "p", T0, "Administrator@SOURCE.LAB")
    step = Step(Command("h", "set"), says="set a to 1")
    with AuditFile.open(tmp_path / "journal" / "demo.audit.jsonl") as log:
        log.append(*Record.about(change, (step, "sending", origin)))
        log.append(*Record.about(change, (step, "done", origin)))
        log.append(Record.of_reading(wanted, change, origin))
    return file


@pytest.fixture
def files(state: Path) -> Files:
    return Files.of(state.parent / "journal" / "demo.audit.jsonl")


def test_intact_log_is_verified_by_its_state_file(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("verify", state) == 0
    out, err = capsys.readouterr()
    assert "is intact: 3 records, the last of 2026-11-20T18:00:00+00:00" in out
    assert "the key beside the log was used" in err


def test_copies_are_verified_without_the_state_file(
    files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    log = Path(shutil.copy(files.log, elsewhere))
    shutil.copy(files.head, elsewhere)
    key = Path(shutil.copy(files.public, tmp_path / "kept.pub"))
    assert run("verify", log) == 1
    assert run("verify", log, "--public-key", key) == 0
    assert "the key beside the log" not in capsys.readouterr().err


def test_every_fault_is_named_on_standard_output(state: Path, files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    lines = files.log.read_bytes().splitlines(keepends=True)
    files.log.write_bytes(lines[0].replace(b"set a to 1", b"set a to 2") + lines[2])
    assert run("verify", state) == 1
    out, err = capsys.readouterr()
    assert out.splitlines() == ["record 1: was altered: its content does not match its hash", "record 2: missing"]
    assert "not intact: 2 faults" in err


def test_log_set_back_is_found_by_a_kept_head(
    state: Path, files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = {file: file.read_bytes() for file in (files.log, files.head)}
    with AuditFile.open(files.log) as log:
        wanted = Setting(name="b", value=1)
        change = Change(wanted.key, "apply", wanted, wanted.absent(), ())
        log.append(Record.of_reading(wanted, change, Origin("run2", "p", T0, "a")))
    kept = shutil.copy(files.head, tmp_path / "kept.head")
    assert run("verify", state, "--head", kept) == 0
    for file, content in old.items():
        file.write_bytes(content)
    assert run("verify", state) == 0
    assert run("verify", state, "--head", kept) == 1
    assert "record 4: missing at the end" in capsys.readouterr().out


def test_show_as_json_holds_what_was_written(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("show", state, "--output", "json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["apiVersion"], found["kind"]) == ("reconciler/v1", "Audit")
    assert [record["event"] for record in found["records"]] == ["sending", "done", "read"]
    last = found["records"][-1]
    assert (last["before"], last["after"]) == ({"ensure": "present", "value": 0}, {"ensure": "present", "value": 1})
    assert last["account"] == "Administrator@SOURCE.LAB"


def test_show_as_text_cannot_steer_the_terminal(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("show", state) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "a\\x1b[31m" in out
    assert "value=0" in out
    assert "set a to 1" in out


def test_show_of_a_damaged_log_shows_the_rest_and_says_so(
    state: Path, files: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = files.log.read_bytes().splitlines(keepends=True)
    files.log.write_bytes(lines[0] + b"\xff" + lines[1] + lines[2])
    assert run("show", state, "--output", "json") == 1
    out, err = capsys.readouterr()
    assert [record["number"] for record in json.loads(out)["records"]] == [1, 3]
    assert "line 2: cannot be read" in err
    assert "not intact: record 2" in err


@pytest.mark.parametrize("verb", ["verify", "show"])
def test_without_a_log_both_say_so(tmp_path: Path, verb: str) -> None:
    (tmp_path / "state.yaml").write_text(STATE)
    assert run(verb, tmp_path / "state.yaml") == 1
    assert run(verb, tmp_path / "nothing.audit.jsonl") == 1

"""The front door: every way in ends in words and an exit code, never in a traceback, and bad input contacts nobody."""

from __future__ import annotations

import itertools
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from reconciler import __version__
from reconciler.cli.main import exit_code_of, main, run
from reconciler.core.errors import (
    AuthenticationFailed,
    JournalError,
    NeedsPerson,
    ReconcileError,
    Refused,
    SecretUnavailable,
    Unreachable,
)
from reconciler.core.exit_codes import ExitCode
from reconciler.edge.journal_file import JournalFile
from tests.declared import LAB, ROOT, lab, registry, write

VERBS = ["validate", "plan", "apply", "drift", "graph", "status", "canary"]


class Said(NamedTuple):
    code: int
    out: str
    err: str


Reconcile = Callable[..., Said]


@pytest.fixture
def reconcile(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Reconcile:
    """Run the program in this process; whoever opens a socket fails the test."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)

    def said(*arguments: str | Path) -> Said:
        code = main([os.fspath(argument) for argument in arguments])
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return Said(code, out, err)

    return said


def line_of(path: Path, text: str) -> int:
    lines = path.read_text(encoding="utf-8").splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)


def invalid(said: Said) -> str:
    """Return what was said about an invalid file, once it was said as it has to be."""
    assert said.code == ExitCode.INVALID
    assert said.out == ""
    assert re.search(r"^the state file has \d+ errors?$", said.err, re.MULTILINE)
    return said.err


def own(name: str) -> str:
    return rf"win.registry/admt/HKLM:\SOFTWARE\Extra/{name}"


# What is wrong with a file.


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_refuses_a_wrong_file_and_touches_nothing(verb: str, reconcile: Reconcile, tmp_path: Path) -> None:
    path = write(tmp_path, lab(nonsense=1))
    assert "unknown key `nonsense`" in invalid(reconcile(verb, path))
    assert list(tmp_path.iterdir()) == [path]


def test_unknown_key_stands_with_its_place_and_the_nearest_one(reconcile: Reconcile, tmp_path: Path) -> None:
    document = lab()
    document["phases"] = document.pop("phase")
    path = write(tmp_path, document)
    said = invalid(reconcile("validate", path))
    assert f"unknown key `phases`; did you mean `phase`?\n  at: {path}:{line_of(path, 'phases:')}:1\n" in said


def test_cycle_through_after_is_told_with_the_whole_path(reconcile: Reconcile, tmp_path: Path) -> None:
    ring = [registry(name=name, after=[own(then)]) for name, then in (("A", "B"), ("B", "C"), ("C", "A"))]
    path = write(tmp_path, lab(resources=ring))
    said = invalid(reconcile("validate", path))
    told = re.search(r"these resources require each other in a circle: (.*)", said)
    assert told
    steps = told[1].split(" -> ")
    assert steps[0] == steps[-1]
    assert set(steps) == {own("A"), own("B"), own("C")}
    then = {own("A"): own("B"), own("B"): own("C"), own("C"): own("A")}
    assert all(then[first] == second for first, second in itertools.pairwise(steps))
    assert re.search(rf"at: {re.escape(str(path))}:\d+:\d+\n  do: remove one `after`", said)


def test_cycle_through_the_migration_is_told_too(reconcile: Reconcile, tmp_path: Path) -> None:
    accounts = "ad.accounts/source/OU=Staff,DC=source,DC=lab"
    path = write(tmp_path, lab(resources=[registry("source-pdc", restart=True, after=[accounts], during=["migrate"])]))
    said = invalid(reconcile("validate", path))
    assert accounts in said
    assert "win.restart/source-pdc" in said


def test_unknown_host_is_told_with_the_known_ones(reconcile: Reconcile, tmp_path: Path) -> None:
    path = write(tmp_path, lab(admt_host="nowhere"))
    said = invalid(reconcile("plan", path))
    assert "no host is called 'nowhere'" in said
    assert f"at: {path}:{line_of(path, 'admt_host: nowhere')}:14" in said
    assert "known hosts: source-pdc, admt" in said


def test_key_that_stands_twice_is_told_with_both_places(reconcile: Reconcile, tmp_path: Path) -> None:
    text = LAB.read_text(encoding="utf-8") + "phase: complete\n"
    path = write(tmp_path, text)
    said = invalid(reconcile("validate", path))
    first, second = line_of(path, "phase: migrate"), text.count("\n")
    assert f"the key `phase` stands here twice, first in line {first}, column 1\n  at: {path}:{second}:1" in said


def test_resource_that_is_declared_twice_is_told(reconcile: Reconcile, tmp_path: Path) -> None:
    said = invalid(reconcile("validate", write(tmp_path, lab(resources=[registry(), registry()]))))
    assert f"the resource '{own('Extra')}' is declared twice" in said


def test_resource_that_is_declared_twice_is_told_at_the_second_place(reconcile: Reconcile, tmp_path: Path) -> None:
    path = write(tmp_path, lab(resources=[registry(), registry(weakens="second")]))
    lines = path.read_text(encoding="utf-8").splitlines()
    second = [number for number, line in enumerate(lines, 1) if line == "- kind: win.registry"][1]
    assert f"at: {path}:{second}:" in invalid(reconcile("validate", path))


def test_literal_secret_is_refused_and_not_shown(reconcile: Reconcile, tmp_path: Path) -> None:
    document = lab()
    document["credentials"]["migrator"]["password"] = "hunter2Canary"
    said = invalid(reconcile("validate", write(tmp_path, document)))
    assert "a secret must be a reference" in said
    assert "hunter2" not in said


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(97 + n)}: &{chr(97 + n)} [{','.join([f'*{chr(96 + n)}'] * 9)}]\n" for n in range(1, 9)
)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "the file is empty"),
        ("# only a comment\n", "the file is empty"),
        ("- a\n- b\n", "holds no mapping"),
        ("just text\n", "holds no mapping"),
        ("a: [1\n", "this is not YAML"),
        ("a: b\tc: d: e\n", "this is not YAML"),
        ("a: 1\n---\nb: 2\n", "several YAML documents"),
        ("a: \0\n", "U+0000"),
        (BOMB, "alias"),
        ("a: " + "[" * 100 + "]" * 100 + "\n", "nested deeper"),
    ],
    ids=["empty", "comment", "list", "text", "unclosed", "two colons", "two documents", "NUL", "bomb", "deep"],
)
def test_file_that_is_no_state_is_told_with_a_place(text: str, says: str, reconcile: Reconcile, tmp_path: Path) -> None:
    path = write(tmp_path, text)
    said = invalid(reconcile("validate", path))
    assert says in said
    assert re.search(rf"  at: {re.escape(str(path))}:\d+:\d+\n  do: ", said)


def test_file_of_50_mb_is_refused_by_its_size(reconcile: Reconcile, tmp_path: Path) -> None:
    path = tmp_path / "state.yaml"
    with path.open("wb") as file:
        file.truncate(50 * 2**20)
    assert "too large: 50.0 MiB" in invalid(reconcile("validate", path))


def test_missing_file_and_directory_are_told(reconcile: Reconcile, tmp_path: Path) -> None:
    assert "No such file or directory" in invalid(reconcile("validate", tmp_path / "none.yaml"))
    assert "not a regular file" in invalid(reconcile("validate", tmp_path))
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in invalid(reconcile("validate", tmp_path / "pipe"))


def test_all_that_is_wrong_is_told_at_once_in_the_order_of_the_file(reconcile: Reconcile, tmp_path: Path) -> None:
    document = lab("finished", resources=[registry(bogus=1), {"kind": "win.nothing"}], sid_history="perhaps")
    document["kinds"] = document.pop("kind")
    document["credentials"]["migrator"]["password"] = "hunter2Canary"
    document["hosts"]["admt"]["role"] = "pdc-emulator"
    del document["domains"]["target"]["netbios"]
    path = write(tmp_path, document)
    said = invalid(reconcile("validate", path))
    places = [(int(line), int(column)) for line, column in re.findall(r"  at: .*:(\d+):(\d+)$", said, re.MULTILINE)]
    assert len(places) == 9
    assert places == sorted(places)
    assert "the state file has 9 errors" in said


def test_wrong_shape_wrong_name_and_wrong_edge_are_told_at_once(reconcile: Reconcile, tmp_path: Path) -> None:
    resources = [registry(name="A", bogus=1), registry("nowhere", "B"), registry(name="C", after=["win.restart/x"])]
    said = invalid(reconcile("validate", write(tmp_path, lab(resources=resources))))
    assert "3 errors" in said


def test_names_of_files_and_keys_are_not_taken_for_markup(reconcile: Reconcile, tmp_path: Path) -> None:
    document = lab()
    document["[red]x[/red]"] = 1
    directory = tmp_path / "[bold]"
    directory.mkdir()
    said = invalid(reconcile("validate", write(directory, document)))
    assert "unknown key `[red]x[/red]`" in said
    assert "/[bold]/state.yaml:" in said


def test_place_in_line_100_is_a_place(reconcile: Reconcile, tmp_path: Path) -> None:
    text = LAB.read_text(encoding="utf-8")
    path = write(tmp_path, text + "#\n" * (99 - text.count("\n")) + "wrong: 1\n")
    assert f"at: {path}:100:1\n" in invalid(reconcile("validate", path))


# What is right.


def test_valid_file_is_said_to_be_so_on_standard_error(reconcile: Reconcile) -> None:
    said = reconcile("validate", LAB)
    assert (said.code, said.out) == (0, "")
    assert said.err == f"{LAB} is valid: 25 resources, phase migrate\n"


def test_graph_goes_to_standard_output_alone(reconcile: Reconcile) -> None:
    said = reconcile("graph", LAB)
    assert (said.code, said.err) == (0, "")
    assert len(re.findall(r"^ *\d+ \S+/", said.out, re.MULTILINE)) == 25


def test_status_without_a_journal_owes_nothing_and_makes_none(reconcile: Reconcile, tmp_path: Path) -> None:
    document = lab()
    del document["journal"]
    path = write(tmp_path, document)
    said = reconcile("status", path)
    assert (said.code, said.err) == (0, "")
    assert said.out == "source-to-target: phase migrate in the state file\nnothing is to be put back\n"
    found = json.loads(reconcile("status", path, "--output", "json").out)
    assert (found["kind"], found["open"], found["closed"]) == ("Status", [], [])
    assert list(tmp_path.iterdir()) == [path]


def test_status_names_who_is_at_work(reconcile: Reconcile, tmp_path: Path) -> None:
    path = write(tmp_path, {**lab(), "journal": "journal"})
    with JournalFile.open(tmp_path / "journal" / "source-to-target.db", "source-to-target", holder="apply elsewhere"):
        said = reconcile("status", path)
        assert f"at work: apply elsewhere (process {os.getpid()} on " in said.out
        assert "last sign of life 20" in said.out
        writer = json.loads(reconcile("status", path, "--output", "json").out)["writer"]
        assert (writer["holder"], writer["pid"]) == ("apply elsewhere", os.getpid())
    assert json.loads(reconcile("status", path, "--output", "json").out)["writer"] is None


@pytest.mark.parametrize("draft", ["2020-12", "draft-07"])
def test_schema_is_printed(draft: str, reconcile: Reconcile) -> None:
    said = reconcile("schema", "--draft", draft)
    assert (said.code, said.err) == (0, "")
    assert draft in json.loads(said.out)["$schema"]


def test_schemas_are_written_and_named(reconcile: Reconcile, tmp_path: Path) -> None:
    said = reconcile("schema", "--write", tmp_path)
    assert (said.code, said.out) == (0, "")
    assert said.err.splitlines() == [f"{tmp_path}/v1/state.json", f"{tmp_path}/v1/state.draft-07.json"]


def test_schemas_that_cannot_be_written_are_told(reconcile: Reconcile) -> None:
    assert reconcile("schema", "--write", "/dev/null/schemas").code == ExitCode.ERROR


# Words at the door.


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], [], ["lab", "--help"], ["apply", "--help"]])
def test_questions_about_the_program_are_answered_on_standard_output(
    arguments: list[str], reconcile: Reconcile
) -> None:
    said = reconcile(*arguments)
    assert (said.code, said.err) == (0, "")
    assert said.out.strip()


def test_version_is_that_of_the_package(reconcile: Reconcile) -> None:
    assert reconcile("--version").out.strip() == __version__


def test_help_names_every_verb(reconcile: Reconcile) -> None:
    words = set(re.findall(r"[a-z]+", reconcile("--help").out))
    assert {*VERBS, "schema", "lab"} <= words


@pytest.mark.parametrize(
    "arguments",
    [["nonsense"], ["plan"], ["plan", "a", "b"], ["graph", "x", "--output", "xml"], ["apply", "x", "--force"], ["lab", "sideways"]],
    ids=" ".join,
)  # fmt: skip
def test_wrong_command_line_is_an_error_on_standard_error(arguments: list[str], reconcile: Reconcile) -> None:
    said = reconcile(*arguments)
    assert (said.code, said.out) == (ExitCode.ERROR, "")
    assert said.err.strip()


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Unreachable("no answer", target="h"), ExitCode.UNREACHABLE),
        (AuthenticationFailed("no", target="h"), ExitCode.UNREACHABLE),
        (NeedsPerson("look"), ExitCode.WAITING),
        (Refused("no", target="h"), ExitCode.ERROR),
        (JournalError("locked"), ExitCode.ERROR),
        (SecretUnavailable("gone"), ExitCode.ERROR),
        (ReconcileError("something"), ExitCode.ERROR),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_error_that_stops_a_run_has_its_exit_code(error: ReconcileError, code: ExitCode) -> None:
    assert exit_code_of(error) is code


def test_run_leaves_with_the_exit_code(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as caught:
        run(["validate", str(tmp_path / "none.yaml")])
    assert caught.value.code == 3
    assert "none.yaml" in capsys.readouterr().err


@pytest.mark.parametrize("length", ["4", "4 hours", "", "-1h", "0m", "PT-4H", "4x"])
def test_length_of_time_that_is_none_is_refused_in_words(length: str, reconcile: Reconcile, tmp_path: Path) -> None:
    path = write(tmp_path, lab())
    said = reconcile("apply", path, f"--max-exposure={length}")
    assert (said.code, said.out) == (ExitCode.ERROR, "")
    assert "90m, 8h, 2d or PT8H" in said.err or "longer than nothing" in said.err
    assert list(tmp_path.iterdir()) == [path], "no journal was made"


# In a process of its own.


def program(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "reconciler", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_module_is_the_program() -> None:
    said = program("--version")
    assert (said.returncode, said.stdout, said.stderr) == (0, f"{__version__}\n", "")


@pytest.mark.parametrize("environment", [{}, {"NO_COLOR": "1"}, {"TERM": "dumb"}, {"LC_ALL": "C"}], ids=str)
def test_pipe_gets_plain_text_without_trailing_blanks(environment: dict[str, str], tmp_path: Path) -> None:
    document = lab()
    document["wrong"] = 1
    path = write(tmp_path, document)
    for said in (program("graph", LAB, **environment), program("validate", path, **environment)):
        text = said.stdout + said.stderr
        assert text
        assert "\x1b" not in text
        assert [line for line in text.splitlines() if line != line.rstrip()] == []


def test_no_color_wins_over_a_terminal_that_is_forced() -> None:
    said = program("validate", LAB, FORCE_COLOR="1", NO_COLOR="1")
    colours = re.findall(r"\x1b\[([0-9;]*)m", said.stderr)
    assert not any(30 <= int(code) <= 107 for found in colours for code in found.split(";") if code)


def test_reader_that_goes_away_is_no_traceback() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "reconciler", "schema"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:  # fmt: skip
        assert child.stdout is not None and child.stderr is not None
        child.stdout.close()
        assert "Traceback" not in child.stderr.read()


IMPORTED = """
import json, sys
from reconciler.cli.main import main
main(["--version"])
print(json.dumps(sorted(sys.modules)))
"""


def imported() -> set[str]:
    said = subprocess.run([sys.executable, "-c", IMPORTED], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)  # fmt: skip
    return set(json.loads(said.stdout.splitlines()[-1]))


def test_version_loads_nothing_that_talks_or_reckons() -> None:
    heavy = {"networkx", "ldap3", "pypsrp", "spnego", "apsw", "yaml", "dns", "cryptography", "psrpcore"}
    found = imported()
    assert heavy & found == set()
    assert [
        name for name in found if name.startswith(("reconciler.lab", "reconciler.edge", "reconciler.resources"))
    ] == []


def test_version_does_not_load_pydantic() -> None:
    assert "pydantic" not in imported()

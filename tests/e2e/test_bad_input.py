"""State files that cannot be: every error at once, each with its place and what to do; exit 3, no traceback.

No lab: nothing listens at the addresses in them, and no secret that they name exists.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.e2e.lab import EXAMPLE, PROGRAM, Ran

LITERAL = "Sommer2026-geheim"
PASSWORD = "password: {file: ../.lab/secrets/source-admin}"
TRUST = "  trust: {direction: two-way, sid_filtering: relaxed}"
RESOURCES = "resources: []"
GROUP = "  - {{kind: ad.group, domain: source, name: {name}, scope: global, after: ['ad.group/source/{after}']}}\n"
CYCLE = "resources:\n" + GROUP.format(name="One", after="Two") + GROUP.format(name="Two", after="One")
BOMB = "x0: &x0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]\n" + "".join(
    f"x{level}: &x{level} [{', '.join([f'*x{level - 1}'] * 10)}]\n" for level in range(1, 10)
)

# What is written instead of what, a word of the message, and what stands in the line that it names.
WRONG: dict[str, tuple[tuple[str, str], str, str]] = {
    "unknown key": ((TRUST, f"{TRUST}\n  colour: blue"), "colour", "colour"),
    "literal secret": ((PASSWORD, f"password: {LITERAL}"), "secret", LITERAL),
    "literal secret in a mapping": ((PASSWORD, f"password: {{value: {LITERAL}}}"), "secret", LITERAL),
    "cycle": ((RESOURCES, CYCLE), "ad.group/source/One", "kind: ad.group"),
    "duplicate key": (("phase: migrate", "phase: migrate\nphase: prepare"), "`phase`", "phase: prepare"),
    "unknown phase": (("phase: migrate ", "phase: migrated "), "migrated", "phase: migrated"),
    "unknown host": (("admt_host: admt", "admt_host: nowhere"), "nowhere", "nowhere"),
    "NUL byte": (("source-to-target", "source\0target"), "U+0000", "\0"),
    "alias bomb": (("apiVersion:", f"{BOMB}apiVersion:"), "alias", "*x"),
    "not a mapping": ((EXAMPLE.read_text(encoding="utf-8"), "[1, 2, 3]\n"), "mapping", "[1,"),
    "no YAML": ((RESOURCES, "resources: [}"), "not YAML", "[}"),
}


def run(path: Path, verb: str = "validate") -> Ran:
    """Run the program on a state file."""
    finished = subprocess.run(
        [PROGRAM, verb, path], capture_output=True, text=True, check=False, timeout=60, stdin=subprocess.DEVNULL
    )
    return Ran(finished.returncode, finished.stdout, finished.stderr)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where the state file goes."""
    return tmp_path / "state.yaml"


def written(place: Path, *edits: tuple[str, str]) -> Path:
    text = EXAMPLE.read_text(encoding="utf-8")
    for old, new in edits:
        assert old in text
        text = text.replace(old, new, 1)
    place.write_text(text, encoding="utf-8")
    return place


@pytest.mark.parametrize(("edit", "word", "there"), WRONG.values(), ids=WRONG.keys())
def test_it_is_refused_with_its_place_and_without_a_traceback(
    place: Path, edit: tuple[str, str], word: str, there: str
) -> None:
    ran = run(written(place, edit))
    assert ran.code == 3, str(ran)
    assert ran.out == ""
    assert "Traceback" not in ran.err
    assert word in ran.err
    assert "  do: " in ran.err
    assert LITERAL not in ran.err
    named = re.search(rf"{re.escape(str(place))}:(\d+):(\d+)", ran.err)
    assert named is not None, ran.err
    lines = place.read_text(encoding="utf-8").split("\n")
    assert there in lines[int(named[1]) - 1]


@pytest.mark.parametrize("verb", ["plan", "apply", "drift", "graph", "status"])
def test_every_verb_refuses_before_it_does_anything(place: Path, verb: str) -> None:
    ran = run(written(place, (TRUST, f"{TRUST}\n  colour: blue")), verb)
    assert ran.code == 3, str(ran)
    assert list(place.parent.iterdir()) == [place]


def test_a_cycle_is_shown_with_its_whole_path(place: Path) -> None:
    ran = run(written(place, (RESOURCES, CYCLE)))
    assert "ad.group/source/One" in ran.err
    assert "ad.group/source/Two" in ran.err


def test_all_errors_are_said_in_one_go(place: Path) -> None:
    edits = (
        (TRUST, f"{TRUST}\n  colour: blue"),
        ("admt_host: admt", "admt_hosts: admt"),
        (PASSWORD, f"password: {LITERAL}"),
    )
    ran = run(written(place, *edits))
    assert ran.code == 3, str(ran)
    assert all(word in ran.err for word in ("colour", "admt_hosts", "a secret must be a reference"))


def test_a_file_of_fifty_megabytes_is_not_read(place: Path) -> None:
    written(place)
    with place.open("a", encoding="utf-8") as file:
        file.writelines("# " + "x" * 1021 + "\n" for _ in range(50 * 1024))
    ran = run(place)
    assert ran.code == 3, str(ran)
    assert "Traceback" not in ran.err
    assert str(place) in ran.err


def test_a_file_that_is_not_there_is_said_to_be_missing(place: Path) -> None:
    ran = run(place)
    assert ran.code == 3, str(ran)
    assert "Traceback" not in ran.err
    assert str(place) in ran.err


def test_bytes_that_are_not_utf8_are_refused(place: Path) -> None:
    place.write_bytes(EXAMPLE.read_bytes().replace(b"source-to-target", b"source-\xfc-target"))
    ran = run(place)
    assert ran.code == 3, str(ran)
    assert "Traceback" not in ran.err


def test_the_example_is_valid_and_means_what_the_article_says(place: Path) -> None:
    assert run(written(place)).code == 0
    finished = subprocess.run([PROGRAM, "graph", place, "--output", "json"], capture_output=True, text=True, check=True)
    assert json.loads(finished.stdout)

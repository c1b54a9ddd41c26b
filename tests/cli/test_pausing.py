"""Quiet for a time, letting go on, and the history of drifts: the journal on the disk, and nobody is contacted."""

from __future__ import annotations

import json
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reconciler.cli.main import main
from reconciler.core.corrections import Corrections
from reconciler.core.drift import Sighting
from reconciler.core.exit_codes import ExitCode
from reconciler.edge.journal_file import JournalFile
from reconciler.engine.pausing import pause, paused
from reconciler.engine.unsettled import CORRECTIONS, stalls
from tests.declared import lab, write

NOW = datetime.now(UTC)
KEY, OTHER = "win.registry/admt/HKLM:\\A/b", "ad.group/source/SOURCE$$$"
WEEK = timedelta(days=7)


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever opens a socket fails the test."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    document = lab()
    document["journal"] = "kept"
    return write(tmp_path, document)


def journal(state: Path) -> JournalFile:
    return JournalFile.open(state.parent / "kept" / "source-to-target.db", "source-to-target", holder="test")


def test_a_pause_is_kept_and_said_by_every_command(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pause", str(state), "--for", "2h", "--because", "maintenance"]) == 0
    with journal(state) as found:
        kept = paused(found, datetime.now(UTC))
    assert kept is not None
    assert kept.until - kept.since == timedelta(hours=2)
    capsys.readouterr()
    main(["validate", str(state)])
    assert f"paused until {kept.until:%Y-%m-%d %H:%M:%S} UTC (maintenance)" in capsys.readouterr().err


def test_apply_refuses_meanwhile_and_says_how_to_go_on(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["pause", str(state), "--for", "90m"])
    assert main(["apply", str(state)]) == ExitCode.ERROR
    said = capsys.readouterr().err
    assert "source-to-target is paused until" in said
    assert "`--despite-pause`" in said


def test_a_pause_that_is_over_is_not_said(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with journal(state) as found:
        pause(found, NOW - timedelta(hours=3), timedelta(hours=2), "")
    main(["validate", str(state)])
    assert "paused" not in capsys.readouterr().err


def test_resume_ends_a_pause(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["pause", str(state), "--for", "2h"])
    assert main(["resume", str(state)]) == 0
    assert "the pause is over" in capsys.readouterr().err
    with journal(state) as found:
        assert paused(found, datetime.now(UTC)) is None


def stall(state: Path, *keys: str) -> None:
    with journal(state) as found:
        fact = {**Corrections((NOW,), ("value",), False, 3, NOW).plain(), "declared": ""}
        found.note({CORRECTIONS + key: fact for key in keys}, NOW)


def test_resume_lets_one_go_on_and_leaves_the_others(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stall(state, KEY, OTHER)
    main(["validate", str(state)])
    assert f"somebody keeps changing {KEY} back" in capsys.readouterr().err
    assert main(["resume", str(state), KEY]) == 0
    with journal(state) as found:
        assert list(stalls(found)) == [OTHER]


def test_resume_lets_all_go_on(state: Path) -> None:
    stall(state, KEY, OTHER)
    main(["pause", str(state), "--for", "2h"])
    assert main(["resume", str(state), "--all"]) == 0
    with journal(state) as found:
        assert (stalls(found), paused(found, datetime.now(UTC))) == ({}, None)


def test_resume_of_what_is_not_stalled_changes_nothing_and_names_what_is(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stall(state, OTHER)
    assert main(["resume", str(state), OTHER, KEY]) == ExitCode.ERROR
    assert f"stalled are: {OTHER}" in capsys.readouterr().err
    with journal(state) as found:
        assert list(stalls(found)) == [OTHER]


@pytest.mark.parametrize("command", [["pause", "--for", "soon"], ["history", "--since", "yesterday"]])
def test_what_is_no_length_of_time_is_refused(
    state: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    verb, *rest = command
    assert main([verb, str(state), *rest]) == ExitCode.ERROR
    assert "a length of time is written as 90m, 8h, 2d or PT8H" in capsys.readouterr().err


@pytest.fixture
def kept(state: Path) -> Path:
    """A journal that knows of an old drift, one that is open, and one that never counted."""
    old = NOW - 3 * WEEK
    with journal(state) as found:
        found.sight(
            [
                Sighting(KEY, ("value",), "corrective", old, old, old, "us, run 1", old, "DC2"),
                Sighting(OTHER, ("members",), "external", NOW, NOW),
                Sighting(OTHER, ("scope",), "transient", NOW, NOW, NOW, "somebody else"),
            ]
        )
    return state


@pytest.mark.parametrize(
    ("options", "fields"),
    [
        ([], [["value"], ["members"]]),
        (["--since", "7d"], [["members"]]),
        (["--key", KEY], [["value"]]),
        (["--key", "ad."], [["members"]]),
        (["--all"], [["value"], ["members"], ["scope"]]),
    ],
)
def test_history_shows_what_is_asked_for(
    kept: Path, options: list[str], fields: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(["history", str(kept), *options, "--output", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["fields"] for one in found["drifts"]] == fields
    assert found["kind"] == "History"


def test_history_of_a_journal_alone_is_read_by_people_too(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["history", str(kept.parent / "kept" / "source-to-target.db")]) == 0
    said = capsys.readouterr().out
    assert "us, run 1" in said
    assert "source-to-target: 2 drifts, 1 of them open." in said


def test_history_of_nothing_makes_no_journal(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["history", str(state)]) == 0
    assert "0 drifts" in capsys.readouterr().out
    assert not (state.parent / "kept").exists()

"""Standard error as JSON lines: every line of it, with the run that it belongs to, and no secret."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from reconciler.cli import output as screen
from reconciler.cli.main import main
from reconciler.engine.events import Event
from tests.cli.service import written


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    yield
    screen.SINK = screen.Sink()


def lines(said: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in said.splitlines()]


def test_every_line_of_a_run_is_json_and_names_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = int(listener.getsockname()[1])
    assert main(["apply", str(written(tmp_path, port=port)), "--log", "json", "--output", "json"]) == 10
    out, err = capsys.readouterr()
    run = json.loads(out)["run"]
    said = lines(err)
    assert {"round", "observing", "ended"} <= {line["event"] for line in said}
    assert {line["run"] for line in said} == {run}
    [ended] = [line for line in said if line["event"] == "ended"]
    assert (ended["key"], ended["level"]) == ("win.registry/h/HKLM:\\SOFTWARE\\Extra/A", "error")
    assert all(datetime.fromisoformat(line["ts"]).tzinfo for line in said)
    assert all(line.keys() == {"ts", "level", "run", "event", "key", "text"} for line in said)


def test_an_error_that_ends_the_program_is_a_line_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["apply", str(written(tmp_path, nonsense=1)), "--log", "json"]) == 3
    said = lines(capsys.readouterr().err)
    assert "unknown key `nonsense`" in said[0]["text"]
    assert {line["level"] for line in said} == {"error"}


def test_text_stays_as_it_was(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["apply", str(written(tmp_path)), "--log", "json"])
    capsys.readouterr()
    main(["apply", str(written(tmp_path))])
    assert capsys.readouterr().err.splitlines() == ["round 1", "  looking at 0 resources"]


@pytest.mark.parametrize("form", ["text", "json"])
def test_what_a_run_looked_up_is_struck_out_also_afterwards(
    form: screen.LogForm, capsys: pytest.CaptureFixture[str]
) -> None:
    screen.log_as(form)
    with screen.about("r", lambda text: text.replace("canary", "***")):
        screen.tell(Event("step", "k", "with canary"))
    screen.stderr("failed with canary")
    err = capsys.readouterr().err
    assert "canary" not in err
    assert err.count("***") == 2


def test_a_text_of_several_lines_stays_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    screen.log_as("json")
    screen.stderr("one\ntwo\r\n\x1b[31mthree")
    assert [line["text"] for line in lines(capsys.readouterr().err)] == ["one\ntwo\r\n\x1b[31mthree"]

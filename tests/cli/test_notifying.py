"""Receivers are told of what a run finds: once, signed, without values; a dead one holds nothing up and is told later."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reconciler.cli.main import main
from reconciler.core.notice import INCIDENT, OUTBOX, TALLY
from reconciler.edge.journal_file import JournalFile
from reconciler.edge.webhook import SIGNATURE
from tests.cli.service import written
from tests.receiver import Receiving, receiving
from tests.time_passes import changed

JOURNAL = Path(".reconcile", "watched.db")

SECRET = {"file": "hook.key"}


@pytest.fixture
def receiver() -> Iterator[Receiving]:
    with receiving() as found:
        yield found


@pytest.fixture
def closed_port(tmp_path: Path) -> int:
    """A port where nobody answers: it is refused at once, and has been for long, or nobody would be told."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = int(listener.getsockname()[1])
    assert main(["apply", str(written(tmp_path, port=port))]) == 10
    changed(tmp_path / JOURNAL, "UPDATE drifts SET first_seen = '2026-01-01T00:00:00+00:00'")
    return port


def journal(directory: Path) -> JournalFile:
    return JournalFile.read_only(directory / JOURNAL)


def waiting(directory: Path) -> list[Any]:
    return [fact for fact in journal(directory).facts(OUTBOX).values() if fact]


def an_hour_passes(directory: Path) -> None:
    """Make what was put off due."""
    changed(directory / JOURNAL, "UPDATE facts SET value = json_set(value, '$.due', '2026-01-01T00:00:00+00:00') WHERE key LIKE 'outbox/%' AND value != '{}'")  # fmt: skip


def apply(directory: Path, url: str, port: int, **fields: Any) -> int:
    return main(["apply", str(written(directory, port=port, notify=[{"url": url, "secret": SECRET, **fields}]))])


def told(receiver: Receiving) -> list[tuple[str, str, str]]:
    found = [json.loads(message.body) for message in receiver.messages]
    return [(message["event"], message["action"], message["class"]) for message in found]


def test_one_message_when_it_begins_and_one_when_it_is_over(
    receiver: Receiving, closed_port: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert apply(tmp_path, receiver.url, closed_port) == 10
    assert apply(tmp_path, receiver.url, closed_port) == 10
    assert told(receiver) == [("drift", "opened", "unknown")]
    assert apply(tmp_path, receiver.url, 0) == 0
    assert told(receiver) == [("drift", "opened", "unknown"), ("drift", "closed", "unknown")]
    first, last = (json.loads(message.body) for message in receiver.messages)
    assert first["incident"] == last["incident"]
    assert first["key"] == "win.registry/h/HKLM:\\SOFTWARE\\Extra/A"
    assert first["where"].startswith(str(tmp_path / "state.yaml") + ":")
    assert (first["state"], last["state"]) == ("watched", "watched")
    assert first["run"] != last["run"]
    assert waiting(tmp_path) == []
    assert journal(tmp_path).facts(TALLY)[TALLY] == {"unknown": 1}
    assert "canary" not in "".join(capsys.readouterr()) + str([m.body for m in receiver.messages])


def test_every_message_is_signed_with_the_secret(receiver: Receiving, closed_port: int, tmp_path: Path) -> None:
    apply(tmp_path, receiver.url, closed_port)
    [message] = receiver.messages
    moment, proof = (part.partition("=")[2] for part in message.headers[SIGNATURE].split(","))
    wanted = hmac.new(b"canary-hook.key", moment.encode() + b"." + message.body, hashlib.sha256).hexdigest()
    assert proof == wanted


def test_a_receiver_that_fails_is_told_later_and_in_order(
    receiver: Receiving, closed_port: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    receiver.answer = 503
    assert apply(tmp_path, receiver.url, closed_port) == 10  # the code says how the work went, not the telling
    assert "was not told: it answered 503" in capsys.readouterr().err
    assert len(receiver.messages) == 1
    assert apply(tmp_path, receiver.url, 0) == 0
    assert len(receiver.messages) == 1  # not tried again so soon
    assert len(waiting(tmp_path)) == 2
    an_hour_passes(tmp_path)
    receiver.answer = 200
    assert apply(tmp_path, receiver.url, 0) == 0
    assert told(receiver)[1:] == [("drift", "opened", "unknown"), ("drift", "closed", "unknown")]
    assert waiting(tmp_path) == []


def test_a_secret_that_is_not_there_is_said_and_the_message_waits(
    receiver: Receiving, closed_port: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    apply(tmp_path, receiver.url, closed_port, secret={"file": "nowhere.key"})
    assert "was not told: a secret cannot be read" in capsys.readouterr().err
    assert receiver.messages == []
    assert [fact["attempts"] for fact in waiting(tmp_path)] == [1]


def test_without_receivers_it_is_counted_and_nothing_waits(closed_port: int, tmp_path: Path) -> None:
    main(["apply", str(written(tmp_path, port=closed_port))])
    assert len([fact for fact in journal(tmp_path).facts(INCIDENT).values() if fact]) == 1
    assert waiting(tmp_path) == []


def test_messages_to_a_receiver_that_was_taken_out_are_dropped(
    receiver: Receiving, closed_port: int, tmp_path: Path
) -> None:
    receiver.answer = 503
    apply(tmp_path, receiver.url, closed_port)
    main(["apply", str(written(tmp_path, port=closed_port))])
    assert waiting(tmp_path) == []
    assert len(receiver.messages) == 1


def test_the_journal_holds_no_address_and_no_secret_of_a_receiver(
    receiver: Receiving, closed_port: int, tmp_path: Path
) -> None:
    receiver.answer = 503
    apply(tmp_path, receiver.url + "/T0K3N", closed_port)
    assert len(waiting(tmp_path)) == 1
    for file in (tmp_path / ".reconcile").iterdir():
        content = file.read_bytes()
        assert b"T0K3N" not in content and b"canary" not in content

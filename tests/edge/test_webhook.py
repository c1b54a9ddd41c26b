"""Messages as a receiver gets them, and receivers that do not take them."""

from __future__ import annotations

import hashlib
import hmac
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr

from reconciler.edge.webhook import SIGNATURE, post, side_by_side, signature
from tests.receiver import Receiving, receiving, silent

AT = datetime(2026, 11, 20, 18, tzinfo=UTC)
BODY = b'{"event": "drift"}'


@pytest.fixture
def receiver() -> Iterator[Receiving]:
    with receiving() as found:
        yield found


def test_a_receiver_can_prove_a_message(receiver: Receiving) -> None:
    assert post(receiver.url, BODY, signature(SecretStr("key"), AT, BODY)) == ""
    [message] = receiver.messages
    fields = dict(part.split("=") for part in message.headers[SIGNATURE].split(","))
    assert int(fields["t"]) == AT.timestamp()
    wanted = hmac.new(b"key", fields["t"].encode() + b"." + message.body, hashlib.sha256).hexdigest()
    assert hmac.compare_digest(wanted, fields["v1"])
    assert message.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("other", [b'{"event": "alarm"}', BODY + b" "])
def test_a_changed_message_proves_nothing(other: bytes) -> None:
    assert signature(SecretStr("key"), AT, BODY) != signature(SecretStr("key"), AT, other)


@pytest.mark.parametrize("code", [302, 400, 500])
def test_another_answer_is_a_failure_and_leads_nowhere(receiver: Receiving, code: int) -> None:
    receiver.answer = code
    assert post(receiver.url, BODY, "t=1,v1=x") == f"it answered {code}"
    assert len(receiver.messages) == 1


def test_no_password_of_a_netrc_and_no_proxy_is_used(
    receiver: Receiving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login canary password canary\n", encoding="utf-8")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert post(receiver.url, BODY, "t=1,v1=x") == ""
    assert "Authorization" not in receiver.messages[0].headers


def test_nobody_there_is_told_without_the_address() -> None:
    with receiving() as gone:
        url = gone.url + "/T0K3N"
    why = post(url, BODY, "t=1,v1=x")
    assert why and "T0K3N" not in why


def test_who_never_answers_holds_nobody_up_beyond_the_time_given() -> None:
    done, answers = threading.Event(), list[str]()
    with silent() as url:
        side_by_side([lambda: answers.append(post(url, BODY, "t=1,v1=x")), done.set], longest_s=0.3)
        assert answers == []  # it is still being waited for, by nobody
        assert done.is_set()


def test_who_is_through_is_not_waited_for() -> None:
    began = time.monotonic()
    side_by_side([lambda: None], longest_s=60)
    assert time.monotonic() - began < 30

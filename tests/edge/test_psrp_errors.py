"""What goes wrong on the way to a host."""

from __future__ import annotations

import ssl

import pytest
import requests
from pypsrp.exceptions import AuthenticationError, SerializationError, WinRMTransportError, WSManFaultError
from spnego.exceptions import BadNameError
from urllib3.exceptions import MaxRetryError, NewConnectionError

from reconciler.core.errors import AuthenticationFailed, Refused, UnexpectedAnswer, Unreachable
from reconciler.edge.psrp_errors import Failure, refused, transport_error


def fault(code: int) -> WSManFaultError:
    return WSManFaultError(code, None, "reason", None, None, None)


REFUSED_CONNECTION = requests.ConnectionError(MaxRetryError(None, "/wsman", NewConnectionError(None, "refused")))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "sent"),
    [
        (REFUSED_CONNECTION, False),
        (requests.ConnectTimeout(), False),
        (requests.ReadTimeout(), True),
        (requests.ConnectionError("Connection aborted.", ConnectionResetError()), True),
        (WinRMTransportError("http", 400, ""), False),
        (WinRMTransportError("http", 503, ""), False),
        (WinRMTransportError("http", 500, ""), True),
        (fault(995), True),
    ],
)
def test_outcome_is_unknown_only_where_it_can_be(error: Exception, sent: bool) -> None:
    found = transport_error(error, "pdc", sent=True)
    assert isinstance(found, Unreachable) and found.sent is sent
    before = transport_error(error, "pdc", sent=False)
    assert isinstance(before, Unreachable) and not before.sent


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (AuthenticationError("x"), AuthenticationFailed),
        (BadNameError(context_msg="no such name"), AuthenticationFailed),
        (fault(5), AuthenticationFailed),
        (fault(2150858811), Refused),
        (fault(2150859173), Refused),
        (SerializationError("x"), Unreachable),
        (KeyError("3"), UnexpectedAnswer),
    ],
)
def test_kind_of_error(error: Exception, kind: type[Exception]) -> None:
    assert type(transport_error(error, "pdc", sent=True)) is kind


def test_bad_certificate_is_found_inside() -> None:
    certificate = ssl.SSLCertVerificationError("bad")
    certificate.verify_message = "Hostname mismatch"
    found = transport_error(requests.exceptions.SSLError(MaxRetryError(None, "/", certificate)), "pdc", sent=True)  # type: ignore[arg-type]
    assert isinstance(found, Unreachable) and "Hostname mismatch" in found.what and not found.sent


def test_errors_of_a_command_are_told_in_short() -> None:
    failures = [Failure("A", f"error {i}") for i in range(5)]
    found = refused(failures, "pdc", "Get-Thing")
    assert found.what == "error 0; error 1; error 2 (and 2 more)"
    assert (found.code, found.target) == ("A", "pdc")


def test_error_record_loses_its_secrets() -> None:
    class Record:
        fq_error = "BadThing,Some.Command"

        def __str__(self) -> str:
            return "the word\r\n hunter2"

    assert Failure.of(Record(), lambda text: text.replace("hunter2", "***")) == Failure("BadThing", "the word ***")

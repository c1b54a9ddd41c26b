"""TLS in memory: what ``ssl.SSLSocket`` would give, in pieces of any size, and an end that is told from silence."""

from __future__ import annotations

import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from reconciler.edge.ldap_connection import tls_context
from reconciler.edge.tls_stream import TlsStream

NAME = "dc1.source.lab"
Talk = Callable[[ssl.SSLSocket], None]


class Other:
    """The other side, in a thread: what it does once hands are shaken, and what went wrong with that."""

    def __init__(self, context: ssl.SSLContext, talk: Talk) -> None:
        self.plain, self._theirs = socket.socketpair()
        self.plain.settimeout(20)
        self.failed: Exception | None = None
        self._context, self._talk = context, talk
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def join(self) -> None:
        self._thread.join(20)
        assert not self._thread.is_alive()
        self.plain.close()
        self._theirs.close()

    def _serve(self) -> None:
        try:
            with self._context.wrap_socket(self._theirs, server_side=True) as line:
                self._talk(line)
        except (OSError, ssl.SSLError) as error:
            self.failed = error


@contextmanager
def talking(pki: Any, talk: Talk, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> Iterator[TlsStream]:
    context = pki.issue(NAME).context()
    context.maximum_version = version
    other = Other(context, talk)
    try:
        stream = TlsStream(other.plain, tls_context(pki.ca), NAME)
        try:
            yield stream
        finally:
            with suppress(OSError):
                stream.shutdown(socket.SHUT_RDWR)
            stream.close()
    finally:
        other.join()


def exactly(stream: TlsStream, size: int, most: int = 1 << 14) -> bytes:
    found = b""
    while len(found) < size:
        data = stream.recv(most)
        assert data
        found += data
    return found


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=str)
def test_what_is_sent_comes_and_what_comes_is_read_in_any_pieces(pki: Any, version: ssl.TLSVersion) -> None:
    sent = bytes(range(256)) * 4000  # more than a socket buffers

    def echo(line: ssl.SSLSocket) -> None:
        heard = b""
        while len(heard) < len(sent):
            heard += line.recv(1 << 16)
        for at in range(0, len(heard), 30_000):
            line.sendall(heard[at : at + 30_000])
        line.recv(1)

    with talking(pki, echo, version) as stream:
        assert stream.version() == {"TLSv1_2": "TLSv1.2", "TLSv1_3": "TLSv1.3"}[version.name]
        stream.sendall(sent)
        assert exactly(stream, len(sent), 7000) == sent
        assert stream.pending() == 0


def test_many_records_are_taken_at_once_and_what_is_pending_is_told(pki: Any) -> None:
    ready = threading.Event()

    def talk(line: ssl.SSLSocket) -> None:
        for number in range(50):
            line.sendall(b"%02d" % number)
        ready.set()
        line.recv(1)

    with talking(pki, talk) as stream:
        assert ready.wait(20)
        assert stream.recv(100) == b"00"
        assert stream.pending() > 0  # select would not know
        assert exactly(stream, 98) == b"".join(b"%02d" % number for number in range(1, 50))
        assert stream.pending() == 0


def test_where_nothing_is_there_nothing_is_waited_for_if_so_asked(pki: Any) -> None:
    with talking(pki, lambda line: line.sendall(line.recv(9))) as stream:
        assert stream.gettimeout() == 20
        stream.settimeout(0)
        with pytest.raises(BlockingIOError):
            stream.recv(9)
        stream.settimeout(0.05)
        with pytest.raises(TimeoutError):
            stream.recv(9)
        stream.settimeout(20)
        stream.sendall(b"go on")
        assert exactly(stream, 5) == b"go on"


def test_what_is_there_is_taken_up_to_some(pki: Any) -> None:
    ready = threading.Event()

    def talk(line: ssl.SSLSocket) -> None:
        for _ in range(40):
            line.sendall(b"x" * 1000)
        ready.set()
        line.recv(1)

    with talking(pki, talk) as stream:
        assert ready.wait(20)
        stream.settimeout(0)
        buffer = bytearray(b"before")
        stream.take(buffer, 1500)
        assert buffer == b"before" + b"x" * 2000  # records are not cut
        stream.take(buffer, 1 << 20)
        assert len(buffer) == 40_006
        with pytest.raises(BlockingIOError):
            stream.take(buffer, 1 << 20)
        assert len(buffer) == 40_006


@pytest.mark.parametrize("how", ["in order", "cut"])
def test_an_end_gives_no_bytes(pki: Any, how: str) -> None:
    def end(line: ssl.SSLSocket) -> None:
        line.sendall(b"last")
        if how == "in order":
            with suppress(OSError):
                line.unwrap()
        else:
            socket.socket.shutdown(line, socket.SHUT_RDWR)

    with talking(pki, end) as stream:
        assert exactly(stream, 4) == b"last"
        assert stream.recv(9) == b""
        assert stream.recv(9) == b""
        buffer = bytearray()
        stream.take(buffer, 9)
        assert buffer == b""


def test_new_keys_in_the_middle_change_nothing(pki: Any) -> None:
    """TLS 1.3 sends tickets after the handshake, in records of their own, which give no bytes."""

    def talk(line: ssl.SSLSocket) -> None:
        for _ in range(3):
            line.sendall(line.recv(9))

    with talking(pki, talk) as stream:
        for word in (b"one", b"two", b"three"):
            stream.sendall(word)
            assert exactly(stream, len(word)) == word


def test_the_certificate_is_that_of_the_other_side(pki: Any) -> None:
    with talking(pki, lambda line: None) as stream:
        assert ("DNS", NAME) in stream.getpeercert()["subjectAltName"]
        assert ssl.DER_cert_to_PEM_cert(stream.getpeercert(True)).startswith("-----BEGIN")


def test_a_certificate_for_another_name_is_refused_and_the_other_side_is_told(pki: Any) -> None:
    other = Other(pki.issue("dc2.source.lab").context(), lambda line: None)
    with pytest.raises(ssl.SSLCertVerificationError, match=re.escape(NAME)):
        TlsStream(other.plain, tls_context(pki.ca), NAME)
    other.join()
    assert isinstance(other.failed, ssl.SSLError) and "alert" in str(other.failed).lower()


def test_a_line_that_is_cut_in_the_handshake_is_an_error() -> None:
    mine, theirs = socket.socketpair()
    theirs.close()
    with pytest.raises(OSError):  # which one depends on how far it came
        TlsStream(mine, ssl.create_default_context(), NAME)
    mine.close()

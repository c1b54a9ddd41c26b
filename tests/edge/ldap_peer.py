"""A peer that answers searches with given bytes, and an ldap3 connection that leads to it. No network."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import ldap3
from ldap3.protocol.rfc2696 import RealSearchControlValue
from ldap3.protocol.rfc4511 import LDAPMessage
from pyasn1.codec.ber import decoder, encoder  # type: ignore[import-untyped]

Attributes = Mapping[str, Sequence[bytes]]
PAGED = "1.2.840.113556.1.4.319"


def connected(line: Any) -> ldap3.Connection:
    """Return a connection that believes to be open and bound, over this socket."""
    connection = ldap3.Connection(
        ldap3.Server("peer", get_info=ldap3.NONE), check_names=False, return_empty_attributes=False, receive_timeout=60
    )
    connection.socket = Plain(line) if isinstance(line, socket.socket) else line
    connection.closed, connection.listening = False, True
    connection.strategy._outstanding = {}
    return connection


def entry(number: int, dn: str, attributes: Attributes) -> bytes:
    """Encode a SearchResultEntry."""
    message = _message(number)
    found = message["protocolOp"]["searchResEntry"]
    found["object"] = dn.encode()
    found["attributes"].clear()
    for place, (name, values) in enumerate(attributes.items()):
        found["attributes"][place]["type"] = name
        found["attributes"][place]["vals"].clear()
        for at, value in enumerate(values):
            found["attributes"][place]["vals"][at] = value
    return _encoded(message)


def done(number: int, code: int = 0, cookie: bytes | None = None, text: str = "") -> bytes:
    """Encode a SearchResultDone, with the answer to the control for paging where there is a cookie."""
    message = _message(number)
    found = message["protocolOp"]["searchResDone"]
    found["resultCode"], found["matchedDN"], found["diagnosticMessage"] = code, "", text
    if cookie is not None:
        value = RealSearchControlValue()
        value["size"], value["cookie"] = 0, cookie
        message["controls"][0]["controlType"] = PAGED
        message["controls"][0]["criticality"] = False
        message["controls"][0]["controlValue"] = encoder.encode(value)
    return _encoded(message)


def modified(number: int, code: int = 0, text: str = "") -> bytes:
    """Encode a ModifyResponse."""
    message = _message(number)
    found = message["protocolOp"]["modifyResponse"]
    found["resultCode"], found["matchedDN"], found["diagnosticMessage"] = code, "", text
    return _encoded(message)


def reference(number: int) -> bytes:
    """Encode a SearchResultReference."""
    message = _message(number)
    message["protocolOp"]["searchResRef"][0] = "ldap://other.lab/DC=other,DC=lab"
    return _encoded(message)


def notice() -> bytes:
    """Encode a notice of disconnection."""
    message = _message(0)
    found = message["protocolOp"]["extendedResp"]
    found["resultCode"], found["matchedDN"], found["diagnosticMessage"] = 52, "", "going down"
    found["responseName"] = "1.3.6.1.4.1.1466.20036"
    return _encoded(message)


def long_form(message: bytes) -> bytes:
    """Write every length of what is constructed with four bytes, as Windows does."""
    at, found = 0, b""
    while at < len(message):
        size, begin = message[at + 1], at + 2
        if size > 127:
            begin += size & 127
            size = int.from_bytes(message[at + 2 : begin], "big")
        content = message[begin : begin + size]
        if message[at] & 0x20:
            content = long_form(content)
            found += bytes((message[at], 0x84)) + len(content).to_bytes(4, "big") + content
        else:
            found += message[at : begin + size]
        at = begin + size
    return found


class Scripted:
    """A socket whose other side answers what is sent at once, message by message, in pieces of the given sizes, over and over.

    Attributes:
        asked: Every request, decoded.
    """

    def __init__(self, answers: Iterable[Callable[[int], bytes]], sizes: Sequence[int] = (1 << 20,)) -> None:
        self.asked: list[Any] = []
        self.closed = False
        self._answers = iter(answers)
        self._sizes = sizes
        self._turn = 0
        self._waiting = b""

    def sendall(self, data: bytes) -> None:
        while data:
            message, data = decoder.decode(data, asn1Spec=LDAPMessage())
            self.asked.append(message)
            self._waiting += next(self._answers)(int(message["messageID"]))

    def recv(self, most: int) -> bytes:
        size = min(most, self._sizes[self._turn % len(self._sizes)])
        self._turn += 1
        data, self._waiting = self._waiting[:size], self._waiting[size:]
        return data

    def take(self, buffer: bytearray, most: int) -> None:
        buffer += self.recv(most)

    @property
    def unread(self) -> bytes:
        return self._waiting

    def gettimeout(self) -> float | None:
        return None

    def settimeout(self, seconds: float | None) -> None: ...

    def shutdown(self, how: int) -> None: ...

    def close(self) -> None:
        self.closed = True


class Plain:
    """A socket without TLS, as ``edge.tls_stream.TlsStream`` is one with it."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line

    def take(self, buffer: bytearray, most: int) -> None:
        buffer += self._line.recv(most)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._line, name)


class Peer:
    """The other end of a socket pair: a thread that answers each message; None closes the line, b"" says nothing."""

    def __init__(self, answers: Iterable[Callable[[int], bytes | None]]) -> None:
        self.mine, self._theirs = socket.socketpair()
        self.asked: list[Any] = []
        self._answers = answers
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        for one in (self.mine, self._theirs):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self.mine.close()
        self._theirs.close()

    def _serve(self) -> None:
        with suppress(OSError):
            for answer in self._answers:
                data = self._theirs.recv(65536)
                if not data:
                    return
                message, _ = decoder.decode(data, asn1Spec=LDAPMessage())
                self.asked.append(message)
                found = answer(int(message["messageID"]))
                if found is None:
                    self._theirs.shutdown(socket.SHUT_RDWR)
                    return
                self._theirs.sendall(found)


def _message(number: int) -> Any:
    message = LDAPMessage()
    message["messageID"] = number
    return message


def _encoded(message: Any) -> bytes:
    found: bytes = encoder.encode(message)
    return found

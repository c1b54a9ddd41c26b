"""The socket of an ldap3 connection, read message by message.

ldap3 connects, binds and does TLS. Between two operations its synchronous strategy holds nothing of what it read
(``SyncStrategy.receiving`` ends where a message ends), and our binds have no security layer below TLS, so that the bytes of
the socket are LDAP messages.
"""

from __future__ import annotations

import select
import threading
from collections.abc import Container, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from ldap3.core.exceptions import (
    LDAPSessionTerminatedByServerError,
    LDAPSocketOpenError,
    LDAPSocketReceiveError,
    LDAPSocketSendError,
)

from reconciler.edge import ldap_ber as ber
from reconciler.edge.ldap_ber import Malformed

if TYPE_CHECKING:
    from ldap3 import Connection

_CHUNK = 1 << 18
# Held while the pages of a long answer are worked on. OpenSSL lets go of the interpreter for each record, and a server may send
# a record for each entry: two threads that hand it to each other ten thousand times a second lose a third of their time.
_TURN = threading.Lock()
_NOTICE_OF_DISCONNECTION = b"1.3.6.1.4.1.1466.20036"  # RFC 4511, section 4.4.1


class Wire:
    """What is sent and received below ldap3. Whoever leaves something unread drops the connection.

    Raises:
        LDAPException: From each call, where the connection broke.
    """

    def __init__(self, connection: Connection) -> None:
        if not connection.listening or connection.socket is None:
            raise LDAPSocketOpenError("the connection is closed")
        self._connection = connection
        self._socket: Any = connection.socket
        self._timeout: float | None = self._socket.gettimeout()
        self._in_turn = False

    def next_number(self) -> int:
        """Return the number for a message."""
        number: int = self._connection.server.next_message_id()
        return number

    def send(self, messages: bytes) -> None:
        """Send whole messages."""
        try:
            self._socket.settimeout(self._timeout)
            self._socket.sendall(messages)
        except OSError as error:
            raise LDAPSocketSendError(f"error sending data: {error}") from error

    def more(self, buffer: bytearray) -> None:
        """Wait for bytes and add them; whoever else has something to work on has the turn meanwhile."""
        before = len(buffer)
        try:
            if self._in_turn:
                self._drain(buffer)
            else:
                buffer += self._socket.recv(_CHUNK)
        except OSError as error:  # a timeout too
            raise LDAPSocketReceiveError(f"error receiving data: {error}") from error
        if len(buffer) == before:
            raise LDAPSessionTerminatedByServerError("session terminated by server")

    def message(self, buffer: bytearray, begin: int, asked: Container[int]) -> tuple[int, int, int]:
        """Wait for the whole message that begins there; return whose answer it is, where its operation stands, and where it ends.

        Raises:
            Malformed: It is none, or answers nothing of what was asked.
        """
        while not 0 < (end := ber.message_end(buffer, begin, len(buffer))) <= len(buffer):
            self.more(buffer)
        number, place = number_of(buffer, ber.extent(buffer, begin)[0], end)
        if number not in asked:
            raise Malformed(f"an answer to message {number}, which was not asked")
        whole_operation(buffer, place, end)
        return number, place, end

    def take_turn(self) -> None:
        """Work on what comes while nobody else does, short answers apart; until ``leave_turn``."""
        if not self._in_turn:
            _TURN.acquire()
            self._in_turn = True

    def leave_turn(self) -> None:
        """Let others work, if it was our turn."""
        if self._in_turn:
            self._in_turn = False
            _TURN.release()
            with suppress(OSError):  # it may be closed
                self._socket.settimeout(self._timeout)

    def drop(self) -> None:
        """Close the connection."""
        drop(self._connection)

    def _drain(self, buffer: bytearray) -> None:
        """Add what is there, up to some; where there is nothing, wait for it."""
        self._socket.settimeout(0)
        while True:
            try:
                self._socket.take(buffer, _CHUNK)
                return
            except BlockingIOError:
                self._wait()

    def _wait(self) -> None:
        """Wait as long as ldap3 would, without the turn."""
        limit = self._connection.receive_timeout
        waiting = select.poll()
        waiting.register(self._socket, select.POLLIN)
        _TURN.release()
        try:
            come = waiting.poll(None if limit is None else limit * 1000)
        finally:
            _TURN.acquire()
        if not come:
            raise TimeoutError(f"nothing came for {limit} s")


def number_of(buffer: bytearray, begin: int, end: int) -> tuple[int, int]:
    """Return the number of the message whose content begins here, and where it ends.

    Raises:
        LDAPException: It is the notice that the server leaves.
    """
    at, place = ber.opened(buffer, begin, ber.INTEGER, end)
    number = int.from_bytes(buffer[at:place], "big", signed=True)
    if number == 0:
        notice = _NOTICE_OF_DISCONNECTION in buffer[place:end]
        raise LDAPSessionTerminatedByServerError(
            "session terminated by server" if notice else "an unknown notification from the server"
        )
    return number, place


def whole_operation(buffer: bytearray, place: int, end: int) -> None:
    """See that an operation fills its message up to the controls."""
    if place >= end:
        raise Malformed("a message without an operation")
    _, stop = ber.opened(buffer, place, buffer[place], end)
    if stop != end and ber.opened(buffer, stop, ber.CONTROLS, end)[1] != end:
        raise Malformed("a message that does not end with its operation or controls")


@contextmanager
def dropping(connection: Connection, what: str) -> Iterator[None]:
    """Drop the connection whatever goes wrong here, for there may be half an answer in it.

    Args:
        what: What the controller sent where it is no LDAP.
    """
    try:
        yield
    except Malformed as error:
        drop(connection)
        raise LDAPSocketReceiveError(f"the controller sent {what}: {error}") from error
    except BaseException:
        drop(connection)
        raise


def drop(connection: Connection) -> None:
    """Close the connection without a word: whoever is given it next sees that it is closed."""
    with suppress(Exception):
        connection.strategy.close()

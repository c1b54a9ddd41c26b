"""Several short searches under way at once over an ldap3 connection; each answer is handed on when all of it has come.

Where a search is sent after the answer to the one before, the controller waits while an answer is read, and we wait while it works.
RFC 4511, section 3.1, lets a client send without waiting, and the server answer in any order: one answer between the parts of another.

The law is that of ``ldap_pages``: nobody finds half an answer in the socket.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING

from ldap3.core.exceptions import LDAPSocketReceiveError
from msgspec import Struct, field

from reconciler.edge import ldap_ber as ber
from reconciler.edge.ldap_ber import Malformed, Result
from reconciler.edge.ldap_pages import Request
from reconciler.edge.ldap_wire import Wire, number_of, whole_operation

if TYPE_CHECKING:
    from ldap3 import Connection

UNDER_WAY = 4
"""So many at most: the controller always has another to work on, and none of both sides sends so much that it has to wait until
the other reads."""


class Answer(Struct, frozen=True):
    """The whole answer to the request at ``place``: where in ``buffer`` each SearchResultEntry begins, and how it ended."""

    place: int
    buffer: bytes
    entries: Sequence[int]
    result: Result


def answers(connection: Connection, requests: Sequence[Request]) -> Generator[Answer, None, None]:
    """Yield the answers to searches that are not paged, as they come; to be closed by who does not read them to their end.

    Raises:
        LDAPException: The connection broke, or what came is no LDAP; the connection is closed then.
    """
    wire = Wire(connection)
    try:
        yield from _Conversation(wire, requests).answers()
    except Malformed as error:
        wire.drop()
        raise LDAPSocketReceiveError(f"the controller sent what is no answer to a search: {error}") from error
    except BaseException:
        wire.drop()
        raise


class _UnderWay(Struct):
    """A search that was sent, and where in the buffer the entries begin that came for it."""

    place: int
    entries: list[int] = field(default_factory=list)


class _Conversation:
    def __init__(self, wire: Wire, requests: Sequence[Request]) -> None:
        self._wire = wire
        self._requests = iter(enumerate(requests))
        self._under_way: dict[int, _UnderWay] = {}
        self._buffer = bytearray()
        self._read = 0  # up to here every message was taken

    def answers(self) -> Generator[Answer, None, None]:
        for _ in range(UNDER_WAY):
            self._send_another()
        while self._under_way:
            number, place, end = self._next_message()
            search = self._under_way[number]
            operation = self._buffer[place]
            self._read = end
            if operation == ber.ENTRY:
                search.entries.append(place)
            elif operation == ber.DONE:
                del self._under_way[number]
                self._send_another()
                yield self._whole(search, place, end)
            elif operation not in (
                ber.REFERENCE,
                ber.INTERMEDIATE,
            ):  # references point at other servers; never followed
                raise Malformed(f"an operation with the tag 0x{operation:02x}")
        if len(self._buffer) > self._read:  # what nobody asked for can only be the notice that the server leaves
            self._wire.drop()

    def _send_another(self) -> None:
        place, request = next(self._requests, (0, None))
        if request is not None:
            number = self._wire.next_number()
            self._under_way[number] = _UnderWay(place)
            self._wire.send(request.message(number, b""))

    def _next_message(self) -> tuple[int, int, int]:
        """Wait for a message; return whose it is, where its operation stands, and where it ends."""
        buffer, begin = self._buffer, self._read
        while not 0 < (end := ber.message_end(buffer, begin, len(buffer))) <= len(buffer):
            self._wire.more(buffer)
        number, place = number_of(buffer, ber.extent(buffer, begin)[0], end)
        if number not in self._under_way:
            raise Malformed(f"an answer to message {number}, which was not asked")
        whole_operation(buffer, place, end)
        return number, place, end

    def _whole(self, search: _UnderWay, place: int, end: int) -> Answer:
        whole = bytes(memoryview(self._buffer)[:end])
        if not any(other.entries for other in self._under_way.values()):
            del self._buffer[:end]
            self._read = 0
        return Answer(search.place, whole, search.entries, ber.result(whole, place, end))

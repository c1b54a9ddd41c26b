"""Several short searches under way at once over an ldap3 connection; each answer is handed on when all of it has come.

Where a search is sent after the answer to the one before, the controller waits while an answer is read, and we wait while it works.
RFC 4511, section 3.1, lets a client send without waiting, and the server answer in any order: one answer between the parts of another.

The law is that of ``ldap_pages``: nobody finds half an answer in the socket.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct, field

from reconciler.edge import ldap_ber as ber
from reconciler.edge.ldap_ber import Malformed
from reconciler.edge.ldap_pages import Page, Request
from reconciler.edge.ldap_wire import Wire, dropping

if TYPE_CHECKING:
    from ldap3 import Connection

UNDER_WAY = 4
"""So many at most: the controller always has another to work on, and none of both sides sends so much that it has to wait until
the other reads."""


def answers(connection: Connection, requests: Sequence[Request]) -> Generator[tuple[int, Page], None, None]:
    """Yield the places of searches that are not paged and their whole answers, as these come; to be closed by who stops before the end.

    Raises:
        LDAPException: The connection broke, or what came is no LDAP; the connection is closed then.
    """
    wire = Wire(connection)
    with dropping(connection, "what is no answer to a search"):
        yield from _Conversation(wire, requests).answers()


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

    def answers(self) -> Generator[tuple[int, Page], None, None]:
        for _ in range(UNDER_WAY):
            self._send_another()
        while self._under_way:
            number, place, end = self._wire.message(self._buffer, self._read, self._under_way)
            search = self._under_way[number]
            operation = self._buffer[place]
            self._read = end
            if operation == ber.ENTRY:
                search.entries.append(place)
            elif operation == ber.DONE:
                del self._under_way[number]
                self._send_another()
                yield search.place, self._whole(search, place, end)
            elif operation not in ber.PASSED_OVER:
                raise Malformed(f"an operation with the tag 0x{operation:02x}")
        if len(self._buffer) > self._read:  # what nobody asked for can only be the notice that the server leaves
            self._wire.drop()

    def _send_another(self) -> None:
        place, request = next(self._requests, (0, None))
        if request is not None:
            number = self._wire.next_number()
            self._under_way[number] = _UnderWay(place)
            self._wire.send(request.message(number, b""))

    def _whole(self, search: _UnderWay, place: int, end: int) -> Page:
        whole = bytes(memoryview(self._buffer)[:end])
        if not any(other.entries for other in self._under_way.values()):
            del self._buffer[:end]
            self._read = 0
        return Page(whole, search.entries, ber.result(whole, place, end))

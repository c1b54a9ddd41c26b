"""Pages of a search, read from the socket of an ldap3 connection, each while the server prepares the next.

ldap3 connects, binds, does TLS and writes the request down; its own way of reading makes so many Python objects of an
answer that it costs 19 times what C's ldapsearch does.

The law: nobody finds half an answer in the socket. A stream that is not read to its end closes the connection.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any

import ldap3
from ldap3.operation.search import search_operation
from ldap3.protocol.convert import build_controls_list
from ldap3.protocol.rfc4511 import LDAPMessage, MessageID, ProtocolOp
from ldap3.utils.asn1 import encode
from msgspec import Struct

from reconciler.edge import ldap_ber as ber
from reconciler.edge import ldap_filter
from reconciler.edge.ldap_alike import Alike
from reconciler.edge.ldap_ber import Malformed, Result
from reconciler.edge.ldap_shape import Heads
from reconciler.edge.ldap_wire import Wire, dropping, number_of, whole_operation

if TYPE_CHECKING:
    from ldap3 import Connection

PAGE = 1000
_SCOPES = {ldap3.BASE: 0, ldap3.LEVEL: 1, ldap3.SUBTREE: 2}
# No aliases are followed; neither size nor time is limited; values come with the names.
_WITHOUT_LIMITS = bytes((ber.ENUMERATED, 1, 0, ber.INTEGER, 1, 0, ber.INTEGER, 1, 0, ber.BOOLEAN, 1, 0))


class Request(Struct, frozen=True):
    """A search, written down once for all its pages.

    Attributes:
        operation: The SearchRequest.
        controls: What follows it in each page but the control for paging, without the tag of the whole.
        paged: Whether to ask for it page by page.
    """

    operation: bytes
    controls: bytes
    paged: bool

    def message(self, number: int, cookie: bytes) -> bytes:
        """Return the message that asks for the page that a cookie stands for, empty for the first."""
        controls = self.controls
        if self.paged:
            value = ber.packed(ber.SEQUENCE, ber.packed_number(PAGE) + ber.packed(ber.OCTET_STRING, cookie))
            name = ber.packed(ber.OCTET_STRING, ber.PAGED_RESULTS)
            controls += ber.packed(ber.SEQUENCE, name + ber.packed(ber.OCTET_STRING, value))
        tail = ber.packed(ber.CONTROLS, controls) if controls else b""
        return ber.packed(ber.SEQUENCE, ber.packed_number(number) + self.operation + tail)


class Page(Struct, frozen=True):
    """The messages of one answer, in ``buffer``; where each SearchResultEntry begins, or its message; and how it ended."""

    buffer: bytes
    entries: Sequence[int]
    result: Result


def written(
    connection: Connection,
    base: str,
    where: str,
    scope: str,
    attributes: Sequence[str],
    controls: list[Any] | None,
    *,
    few: bool = False,
) -> Request:
    """Write a search down; every scope but that of the base alone is read in pages. Active Directory has no aliases.

    Args:
        few: Read it in one piece all the same. Samba works for several times as long on pages, and a server has to keep a place
            in its answer for whoever may come back.

    Raises:
        LDAPException: It cannot be written: filter or names are malformed.
    """
    plain = ldap_filter.written(where)
    if plain is not None:
        operation = _operation(base, plain, scope, attributes)
    else:
        operation = _operation_by_ldap3(connection, base, where, scope, attributes)
    return Request(operation, _listed(controls), scope != ldap3.BASE and not few)


def _operation(base: str, where: bytes, scope: str, attributes: Sequence[str]) -> bytes:
    """Return a SearchRequest: RFC 4511, section 4.5.1."""
    names = b"".join(ber.packed(ber.OCTET_STRING, name.encode()) for name in attributes or [ldap3.NO_ATTRIBUTES])
    return ber.packed(
        ber.SEARCH,
        ber.packed(ber.OCTET_STRING, base.encode())
        + ber.packed(ber.ENUMERATED, bytes((_SCOPES[scope],)))
        + _WITHOUT_LIMITS
        + where
        + ber.packed(ber.SEQUENCE, names),
    )


def _operation_by_ldap3(connection: Connection, base: str, where: str, scope: str, attributes: Sequence[str]) -> bytes:
    message = LDAPMessage()
    message["messageID"] = MessageID(1)
    request = search_operation(
        base, where, scope, ldap3.DEREF_NEVER, list(attributes) or [ldap3.NO_ATTRIBUTES], 0, 0, False,
        connection.auto_escape, connection.auto_encode, None, None, connection.check_names,
    )  # fmt: skip
    message["protocolOp"] = ProtocolOp().setComponentByName("searchRequest", request)
    whole: bytes = encode(message)
    at, end = ber.opened(whole, 0, ber.SEQUENCE, len(whole))
    _, at = ber.opened(whole, at, ber.INTEGER, end)
    return whole[at:end]


def _listed(controls: list[Any] | None) -> bytes:
    """Return controls without the tag of the whole."""
    if not controls:
        return b""
    whole: bytes = encode(build_controls_list(controls))
    at, end = ber.opened(whole, 0, ber.CONTROLS, len(whole))
    return whole[at:end]


def pages(connection: Connection, request: Request, alike: Alike) -> Generator[Page, None, None]:
    """Yield the pages of a search; to be closed by who does not read it to its end (``contextlib.closing``).

    The next page is asked for before one is yielded. One that did not succeed is the last.

    Args:
        alike: What to read the entries of each page with, before the next one is taken.

    Raises:
        LDAPException: The connection broke, or what came is no LDAP; the connection is closed then.
    """
    wire = Wire(connection)
    try:
        with dropping(connection, "what is no answer to a search"):
            last = yield from _all_but_the_last(wire, request, alike)
        yield last
    finally:
        wire.leave_turn()


def _all_but_the_last(wire: Wire, request: Request, alike: Alike) -> Generator[Page, None, Page]:
    page, rest = _answer(wire, _ask(wire, request, b""), b"", alike)
    while more := page.result.cookie if request.paged and page.result.code == 0 else b"":
        number = _ask(wire, request, more)
        wire.take_turn()
        yield page
        page, rest = _answer(wire, number, rest, alike)
    if rest:  # nothing was asked for: it can only be the notice that the server leaves
        wire.drop()
    return page


def _ask(wire: Wire, request: Request, cookie: bytes) -> int:
    """Ask for a page; return the number of the message."""
    number = wire.next_number()
    wire.send(request.message(number, cookie))
    return number


def _answer(wire: Wire, number: int, rest: bytes, alike: Alike) -> tuple[Page, bytes]:
    """Wait for the answer to this message; return it and what came after it.

    Args:
        rest: What came after the answer before.
    """
    buffer = bytearray(rest)
    entries: list[int] = []
    ours = ber.packed_number(number)
    heads = Heads(ours)
    at = 0
    while True:
        at = alike.follow(buffer, at, heads, entries)
        end = ber.message_end(buffer, at, len(buffer))
        if not 0 < end <= len(buffer):
            wire.more(buffer)
            continue
        place = _place(buffer, at, end, ours)
        operation = buffer[place]
        if operation == ber.ENTRY:
            entries.append(place)
        elif operation == ber.DONE:
            whole = bytes(buffer)
            return Page(whole, entries, ber.result(whole, place, end)), whole[end:]
        elif operation not in ber.PASSED_OVER:
            raise Malformed(f"an operation with the tag 0x{operation:02x}")
        at = end


def _place(buffer: bytearray, at: int, end: int, ours: bytes) -> int:
    """Return where the operation of a message stands, if it answers ours."""
    begin, _ = ber.extent(buffer, at)
    if buffer.startswith(ours, begin):
        place = begin + len(ours)
    else:
        number, place = number_of(buffer, begin, end)
        if number < 0 or ber.packed_number(number) != ours:
            raise Malformed(f"an answer to message {number}, which was not asked")
    whole_operation(buffer, place, end)
    return place

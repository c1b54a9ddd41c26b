"""Searches on an open LDAP connection: paged, whole attributes, raw bytes."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

import ldap3
from ldap3.core.exceptions import (
    LDAPAttributeError,
    LDAPInvalidDnError,
    LDAPInvalidFilterError,
    LDAPObjectClassError,
    LDAPSocketReceiveError,
)
from ldap3.protocol.microsoft import security_descriptor_control, show_deleted_control
from msgspec import Struct

from reconciler.core.errors import Refused
from reconciler.core.query import Search
from reconciler.core.table import Entry, Table, held_of, values_of
from reconciler.edge import ldap_errors
from reconciler.edge.ldap_ahead import answers
from reconciler.edge.ldap_alike import Alike
from reconciler.edge.ldap_ber import Columns, Part
from reconciler.edge.ldap_pages import Request, pages, written
from reconciler.edge.ldap_wire import dropping

if TYPE_CHECKING:
    from ldap3 import Connection

_SCOPES = {"base": ldap3.BASE, "one": ldap3.LEVEL, "subtree": ldap3.SUBTREE}

_UNREADABLE = "what cannot be read"

# Raised before anything is sent: the request itself is wrong.
MALFORMED = (LDAPInvalidFilterError, LDAPInvalidDnError, LDAPAttributeError, LDAPObjectClassError)


class NamingContexts(Struct, frozen=True):
    """Where a controller keeps what, from its root DSE."""

    default: str
    configuration: str

    def base_of(self, base: str) -> str:
        """Return the DN that a ``Search.base`` means."""
        if not base:
            return self.default
        if base.lower() == "rootdse":
            return ""
        if base.lower().startswith("config:"):
            below = base[len("config:") :].rstrip(",")
            return f"{below},{self.configuration}" if below else self.configuration
        return base


def search(connection: Connection, query: Search, base: str) -> Table:
    """Run a search below the DN ``base`` and return all its rows.

    Raises:
        Refused: With the LDAP result name; not for a missing base where ``query.absent_ok``.
        LDAPException: The connection broke.
    """
    return _completed(connection, query, *_read(connection, query, base))


def search_ahead(
    connection: Connection, queries: Sequence[Search], bases: Sequence[str]
) -> Generator[tuple[int, Table], None, None]:
    """Run searches that find few, several of them at once; yield the place and all rows of each that succeeds, as answers come.

    To be closed by who does not read it to its end; the connection is closed then.

    Raises:
        Refused: One of them is malformed.
        LDAPException: The connection broke.
    """
    requests = [_request(connection, query, base) for query, base in zip(queries, bases, strict=True)]
    in_part: list[tuple[int, Columns, list[Entry]]] = []
    with closing(answers(connection, requests)) as found:
        for place, answer in found:
            if answer.result.code != 0:
                continue
            columns = Columns()
            with dropping(connection, _UNREADABLE):
                entries = [columns.entry(answer.buffer, start, row) for row, start in enumerate(answer.entries)]
            if columns.parts:
                in_part.append((place, columns, entries))
            else:
                yield place, _completed(connection, queries[place], columns, entries)
    for place, columns, entries in in_part:  # their rest is asked for when nothing else is under way
        yield place, _completed(connection, queries[place], columns, entries)


def _read(connection: Connection, query: Search, base: str) -> tuple[Columns, list[Entry]]:
    columns = Columns()
    alike = Alike(columns)
    entries: list[Entry] = []
    with closing(pages(connection, _request(connection, query, base), alike)) as answer:
        for page in answer:
            if page.result.code == ldap_errors.NO_SUCH_OBJECT and query.absent_ok:
                return Columns(), []
            if page.result.code != 0:
                raise ldap_errors.read_refused(query.domain, base, ldap_errors.described(page.result))
            with dropping(connection, _UNREADABLE):
                entries += alike.entries(page.buffer, page.entries, len(entries))
    return columns, entries


def _completed(connection: Connection, query: Search, columns: Columns, entries: list[Entry]) -> Table:
    """Return a table of entries that are all as wide as it is, with the rest of what came in part."""
    width = 1 + len(columns.places)
    if any(len(entry) < width for entry in entries):  # those before an attribute came for the first time
        entries = [entry + (None,) * (width - len(entry)) for entry in entries]
    for row, parts in columns.parts.items():
        entries[row] = _whole(connection, query, columns, entries[row], parts)
    columns.parts.clear()
    return Table(columns.places, entries)


def _request(connection: Connection, query: Search, base: str) -> Request:
    controls = [*(sd_flags(query.sd_flags) or []), *([show_deleted_control(criticality=True)] if query.deleted else [])]
    try:
        return written(
            connection, base, query.where, _SCOPES[query.scope], query.attributes, controls or None, few=query.few
        )
    except MALFORMED as error:
        raise Refused(
            f"the search is malformed: {error}", target=query.domain, where=query.where, code="malformed"
        ) from error


def _whole(connection: Connection, query: Search, columns: Columns, entry: Entry, parts: Iterable[Part]) -> Entry:
    """Return an entry with the rest of each attribute that came in part (``member;range=0-1499``)."""
    whole = list(entry)
    dn = str(entry[0], "utf-8")
    for part in parts:
        _begins(part, 0)
        place = columns.places[part.name]
        several = values_of(whole[place])
        whole[place] = held_of([*several, *_rest(connection, query, dn, part)])
    return tuple(whole)


def _rest(connection: Connection, query: Search, dn: str, part: Part) -> Iterator[bytes]:
    """Yield the values that follow a part, up to the end.

    Raises:
        LDAPSocketReceiveError: It does not follow: fewer values than there are would look like a change.
    """
    following = part
    while following.last is not None:
        first = following.last + 1
        asked = Search(
            query.domain, dn, attributes=(f"{part.name};range={first}-*",), absent_ok=False, deleted=query.deleted
        )
        columns, entries = _read(connection, asked, dn)
        if len(entries) != 1:
            raise LDAPSocketReceiveError(f"the controller sent {len(entries)} entries for the rest of one")
        found = [one for one in columns.parts.get(0, ()) if one.name == part.name]
        if len(found) != 1:
            raise LDAPSocketReceiveError(f"the controller sent nothing of {part.name} from value {first} on")
        following = found[0]
        _begins(following, first)
        yield from values_of(entries[0][columns.places[part.name]])


def _begins(part: Part, first: int) -> None:
    if part.first != first:
        raise LDAPSocketReceiveError(f"the controller sent values from {part.first} where {first} was asked for")


def sd_flags(flags: int) -> list[Any] | None:
    """Return the controls that ask for, or write, these parts of a security descriptor alone."""
    return security_descriptor_control(criticality=True, sdflags=flags) if flags else None

"""One domain's directory: what is asked of and written to it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

import ldap3
from ldap3.core.exceptions import LDAPException
from msgspec import Struct

from reconciler.core.errors import ReconcileError, Refused, Unreachable
from reconciler.core.query import Rows, Search
from reconciler.core.steps import AddEntry, AttributeChange, DeleteEntry, ModifyEntry
from reconciler.edge import ldap_errors
from reconciler.edge.ldap_ber import Result
from reconciler.edge.ldap_connection import Door
from reconciler.edge.ldap_lines import Lines
from reconciler.edge.ldap_search import MALFORMED, NamingContexts, sd_flags, search, search_ahead
from reconciler.edge.ldap_wire import drop
from reconciler.edge.ldap_writes import modify_all, raw

if TYPE_CHECKING:
    from ldap3 import Connection

_OPERATIONS = {"add": ldap3.MODIFY_ADD, "delete": ldap3.MODIFY_DELETE, "replace": ldap3.MODIFY_REPLACE}

Write = AddEntry | ModifyEntry | DeleteEntry


class OwnLine(Struct, frozen=True):
    """A connection of one listener alone, and where it leads."""

    connection: Connection
    contexts: NamingContexts
    controller: str


class _Broken(Unreachable):
    """A connection was lost while reading from it: worth another try on a new one."""


class Directory:
    """Safe to call from several threads: each call has a connection of its own, and all lead where reads see writes (``Lines``)."""

    def __init__(self, lines: Lines) -> None:
        self._name = lines.name
        self._lines = lines

    def search(self, query: Search) -> Rows:
        """Answer a search; a connection that breaks is replaced once.

        Raises:
            Unreachable: No controller answers.
            AuthenticationFailed: The credential is not accepted.
            Refused: With the LDAP result name as code.
        """
        try:
            return self._search(query)
        except _Broken:
            return self._search(query)

    def search_ahead(self, queries: Sequence[Search]) -> Generator[tuple[int, Rows], None, None]:
        """Answer searches that find few, several under way at once; yield the place of each and its rows, as answers come.

        What is refused, or lost with the connection, is left out, and for `search` to ask again. To be closed by who does not read
        it to its end.

        Raises:
            Unreachable: No controller answers.
            AuthenticationFailed: The credential is not accepted.
            Refused: One of them is malformed.
        """
        with self._lines.lend() as line:
            bases = [line.contexts.base_of(query.base) for query in queries]
            with closing(search_ahead(line.connection, queries, bases)) as found:
                try:
                    yield from found
                except (LDAPException, OSError):
                    drop(line.connection)
                    self._lines.forget(line.door.controller)

    def write(self, effect: Write, check: Callable[[], None] = lambda: None) -> None:
        """Carry out one write, once.

        Args:
            check: Called last before it is sent; raises where it must not be.

        Raises:
            Unreachable: With ``sent`` where it may have been carried out.
            Stale: The object no longer is what was observed.
            Refused: With the LDAP result name as code.
        """
        with self._lines.lend(fresh=True) as line:
            check()
            try:
                _send(line.connection, effect)
            except MALFORMED as error:
                raise Refused(
                    f"the write is malformed: {error}", target=self._name, where=effect.dn, code="malformed"
                ) from error
            except (LDAPException, OSError) as error:
                self._lines.forget(line.door.controller)
                raise ldap_errors.lost(self._name, line.door.controller, str(effect), error, sent=True) from error
            result = line.connection.result
        if result["result"] != 0:
            raise ldap_errors.write_refused(effect, result)

    def modify_all(
        self, effects: Sequence[ModifyEntry], check: Callable[[], None] = lambda: None
    ) -> list[ReconcileError | None]:
        """Carry out modifications that do not build on each other, sent at once; return what went wrong with each.

        Args:
            check: As for `write`, called once.

        Raises:
            ReconcileError: Nothing was sent.
        """
        with self._lines.lend(fresh=True) as line:
            check()
            door = line.door
            try:
                found = modify_all(line.connection, effects)
            except LDAPException as error:  # it was closed before
                self._lines.forget(door.controller)
                raise ldap_errors.lost(self._name, door.controller, str(effects[0]), error, sent=False) from error
        if any(isinstance(one, Exception) for one in found):
            self._lines.forget(door.controller)
        return [self._outcome(effect, one, door) for effect, one in zip(effects, found, strict=True)]

    def _outcome(self, effect: ModifyEntry, found: Result | Exception, door: Door) -> ReconcileError | None:
        if isinstance(found, Exception):
            return ldap_errors.lost(self._name, door.controller, str(effect), found, sent=True)
        if found.code == 0:
            return None
        return ldap_errors.write_refused(effect, ldap_errors.described(found))

    @property
    def serving(self) -> tuple[str, int]:
        """The controller that answers, empty for none yet, and how often one was chosen: between two equal values it was the same."""
        return self._lines.serving

    def own_line(self) -> OwnLine:
        """Open a connection that nobody else uses, to the controller that answers; the caller closes it.

        Raises:
            Unreachable: No controller answers.
            AuthenticationFailed: The credential is not accepted.
        """
        line = self._lines.own()
        return OwnLine(line.connection, line.contexts, line.door.controller)

    def serves(self, doors: Iterable[Door | Unreachable]) -> bool:
        """Return whether one of these doors leads to a controller that accepts us and serves this domain."""
        return any(self._lines.serves(door) for door in doors if isinstance(door, Door))

    def forget(self) -> None:
        """Drop the idle connections; the next call chooses a controller again."""
        self._lines.forget()

    def close(self) -> None:
        """Close every connection."""
        self.forget()

    def _search(self, query: Search) -> Rows:
        with self._lines.lend() as line:
            try:
                return search(line.connection, query, line.contexts.base_of(query.base))
            except (LDAPException, OSError) as error:
                self._lines.forget(line.door.controller)
                lost = ldap_errors.lost(self._name, line.door.controller, query.base, error, sent=False)
                raise _Broken(lost.what, target=lost.target, where=lost.where) from error


def _send(connection: Connection, effect: Write) -> None:
    if isinstance(effect, AddEntry):
        connection.add(effect.dn, attributes={name: raw(values) for name, values in effect.attributes})
    elif isinstance(effect, ModifyEntry):
        connection.modify(effect.dn, grouped(effect.changes), controls=sd_flags(effect.sd_flags))
    else:
        connection.delete(effect.dn)


def grouped(changes: tuple[AttributeChange, ...]) -> dict[str, list[tuple[str, list[bytes]]]]:
    """Return changes as ldap3 wants them: by attribute, in their order within each."""
    found: dict[str, list[tuple[str, list[bytes]]]] = {}
    spelling: dict[str, str] = {}
    for change in changes:
        name = spelling.setdefault(change.attribute.lower(), change.attribute)
        found.setdefault(name, []).append((_OPERATIONS[change.operation], raw(change.values)))
    return found

"""One domain's directory: which controller answers, its connections, and what is asked of and written to it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import ldap3
from ldap3.core.exceptions import LDAPException
from msgspec import Struct

from reconciler.core.errors import AuthenticationFailed, ReconcileError, Refused, UnexpectedAnswer, Unreachable
from reconciler.core.query import Rows, Search
from reconciler.core.steps import AddEntry, AttributeChange, DeleteEntry, ModifyEntry
from reconciler.core.values import Dn
from reconciler.edge import ldap_errors
from reconciler.edge.accounts import Account
from reconciler.edge.ldap_ber import Result
from reconciler.edge.ldap_connection import Door, connect
from reconciler.edge.ldap_search import MALFORMED, NamingContexts, sd_flags, search
from reconciler.edge.ldap_writes import modify_all, raw

if TYPE_CHECKING:
    from ldap3 import Connection

# A controller drops idle connections after 15 minutes, a firewall earlier; a write must not be what finds out.
FRESH_S = 60.0
_OPERATIONS = {"add": ldap3.MODIFY_ADD, "delete": ldap3.MODIFY_DELETE, "replace": ldap3.MODIFY_REPLACE}

Write = AddEntry | ModifyEntry | DeleteEntry


class OwnLine(Struct, frozen=True):
    """A connection of one listener alone, and where it leads."""

    connection: Connection
    contexts: NamingContexts
    controller: str


class _Broken(Unreachable):
    """A connection was lost while reading from it: worth another try on a new one."""


class _Line(Struct):
    """An idle connection and where it leads."""

    connection: Connection
    door: Door
    used: float


class Directory:
    """All reads and writes of one run go to the same controller, the first that answers, so that reads see writes.

    When it is lost the next one is taken. Safe to call from several threads: each call has a connection of its own.

    Args:
        name: Of the domain in the state file.
        dns: Its DNS name, which every controller must serve.
        doors: Returns the controllers in the order in which they are tried, or why one cannot be; called again when
            one is lost.
        account: Returns the credential, opened.
    """

    def __init__(
        self, name: str, dns: str, doors: Callable[[], Iterator[Door | Unreachable]], account: Callable[[], Account]
    ) -> None:
        self._name = name
        self._dns = dns
        self._doors = doors
        self._account = account
        self._lock = threading.Lock()
        self._opened = threading.Condition(self._lock)
        self._opening = False
        self._next = 0.0  # when another connection may be opened, by the monotonic clock
        self._idle: list[_Line] = []
        self._chosen: Door | None = None
        self._turn = 0
        self._contexts: NamingContexts | None = None

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

    def write(self, effect: Write, check: Callable[[], None] = lambda: None) -> None:
        """Carry out one write, once.

        Args:
            check: Called last before it is sent; raises where it must not be.

        Raises:
            Unreachable: With ``sent`` where it may have been carried out.
            Stale: The object no longer is what was observed.
            Refused: With the LDAP result name as code.
        """
        with self._line(fresh=True) as line:
            check()
            try:
                _send(line.connection, effect)
            except MALFORMED as error:
                raise Refused(
                    f"the write is malformed: {error}", target=self._name, where=effect.dn, code="malformed"
                ) from error
            except (LDAPException, OSError) as error:
                self.forget(line.door.controller)
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
        with self._line(fresh=True) as line:
            check()
            door = line.door
            try:
                found = modify_all(line.connection, effects)
            except LDAPException as error:  # it was closed before
                self.forget(door.controller)
                raise ldap_errors.lost(self._name, door.controller, str(effects[0]), error, sent=False) from error
        if any(isinstance(one, Exception) for one in found):
            self.forget(door.controller)
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
        with self._lock:
            return (self._chosen.controller if self._chosen is not None else "", self._turn)

    def own_line(self) -> OwnLine:
        """Open a connection that nobody else uses, to the controller that answers; the caller closes it.

        Raises:
            Unreachable: No controller answers.
            AuthenticationFailed: The credential is not accepted.
        """
        with self._lock:
            self._await_turn()
        line = self._open()
        assert self._contexts is not None  # read when it was entered
        return OwnLine(line.connection, self._contexts, line.door.controller)

    def serves(self, doors: Iterable[Door | Unreachable]) -> bool:
        """Return whether one of these doors leads to a controller that accepts us and serves this domain."""
        return any(self._serves(door) for door in doors if isinstance(door, Door))

    def forget(self, controller: str = "") -> None:
        """Drop the idle connections, those to one controller or all; the next call chooses again."""
        with self._lock:
            gone = [line for line in self._idle if controller in ("", line.door.controller)]
            self._idle = [line for line in self._idle if line not in gone]
            if self._chosen is not None and controller in ("", self._chosen.controller):
                self._chosen = None
        for line in gone:
            _close(line)

    def close(self) -> None:
        """Close every connection."""
        self.forget()

    def _search(self, query: Search) -> Rows:
        with self._line() as line:
            try:
                return search(line.connection, query, self._base(line, query.base))
            except (LDAPException, OSError) as error:
                self.forget(line.door.controller)
                lost = ldap_errors.lost(self._name, line.door.controller, query.base, error, sent=False)
                raise _Broken(lost.what, target=lost.target, where=lost.where) from error

    @contextmanager
    def _line(self, *, fresh: bool = False) -> Iterator[_Line]:
        """Lend a connection to the chosen controller; it is not given back after an exception."""
        line = self._take(fresh)
        try:
            yield line
        except (Refused, AuthenticationFailed):  # an answer: the connection is in order
            self._give_back(line)
            raise
        except BaseException:
            _close(line)
            raise
        self._give_back(line)

    def _take(self, fresh: bool) -> _Line:
        while True:
            with self._lock:
                line = self._idle_or_turn()
            if line is None:
                return self._open()
            if not fresh or time.monotonic() - line.used < FRESH_S:
                return line
            try:
                self._read_contexts(line)
                return line
            except (LDAPException, OSError, ReconcileError):
                _close(line)

    def _idle_or_turn(self) -> _Line | None:
        """Return an idle connection, or None to who may open one: the others wait for either.

        After one was opened no other is for as long as that took: short questions are answered by then.
        """
        while not self._idle:
            left = self._next - time.monotonic()
            if not self._opening and left <= 0:
                self._opening = True
                return None
            self._opened.wait(None if self._opening else left)
        return self._idle.pop()

    def _await_turn(self) -> None:
        while self._opening:
            self._opened.wait()
        self._opening = True

    def _give_back(self, line: _Line) -> None:
        line.used = time.monotonic()
        with self._lock:
            current = self._chosen is not None and self._chosen.controller == line.door.controller
            if current and not line.connection.closed:
                self._idle.append(line)
                self._opened.notify_all()
                return
        _close(line)

    def _open(self) -> _Line:
        """Open a connection for who has the turn: one at a time, so that two threads do not choose two controllers."""
        began, took = time.monotonic(), 0.0
        try:
            line = self._enter_chosen() or self._choose()
            took = time.monotonic() - began
            return line
        finally:
            with self._lock:
                self._next = time.monotonic() + took
                self._opening = False
                self._opened.notify_all()

    def _enter_chosen(self) -> _Line | None:
        """Return another connection to the controller that answers; None where none was chosen, or it does no more."""
        if self._chosen is None:
            return None
        with suppress(Unreachable):
            return self._enter(self._chosen)
        self.forget(self._chosen.controller)
        return None

    def _choose(self) -> _Line:
        failures: list[Unreachable] = []
        for door in self._doors():
            if isinstance(door, Unreachable):
                failures.append(door)
                continue
            try:
                line = self._enter(door)
            except Unreachable as error:
                failures.append(error)
                continue
            with self._lock:
                self._chosen = door
                self._turn += 1
            return line
        if len(failures) == 1:
            raise failures[0]
        reasons = "\n".join(failure.what for failure in failures)
        raise Unreachable(
            f"no controller of {self._dns} can be used", target=self._name, do=reasons or "list its `controllers`"
        )

    def _enter(self, door: Door) -> _Line:
        line = _Line(connect(door, self._account()), door, time.monotonic())
        try:
            self._contexts = self._read_contexts(line)
        except (LDAPException, OSError) as error:
            _close(line)
            raise ldap_errors.lost(self._name, door.controller, "rootDSE", error, sent=False) from error
        except BaseException:
            _close(line)
            raise
        return line

    def _serves(self, door: Door) -> bool:
        try:
            line = _Line(connect(door, self._account()), door, time.monotonic())
        except Unreachable:
            return False
        try:
            self._read_contexts(line)
        except (LDAPException, OSError, ReconcileError):
            return False
        finally:
            _close(line)
        return True

    def _base(self, line: _Line, base: str) -> str:
        if self._contexts is None:
            self._contexts = self._read_contexts(line)
        return self._contexts.base_of(base)

    def _read_contexts(self, line: _Line) -> NamingContexts:
        """Read the root DSE, and make sure that it is the domain that was asked for."""
        asked = Search(self._name, "rootdse", attributes=("defaultNamingContext", "configurationNamingContext"))
        row = next(iter(search(line.connection, asked, "")), {})
        found = [_text(row.get(name)) for name in ("defaultnamingcontext", "configurationnamingcontext")]
        wanted = ",".join(f"DC={label}" for label in self._dns.rstrip(".").split("."))
        if not all(found) or Dn(found[0]) != wanted:
            raise UnexpectedAnswer(
                f"{line.door.controller} serves '{found[0]}', which is not {self._dns}",
                target=self._name,
                do="check `dns` and `controllers` of the domain",
            )
        return NamingContexts(default=found[0], configuration=found[1])


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


def _text(values: object) -> str:
    return values[0].decode() if isinstance(values, tuple) and values and isinstance(values[0], bytes) else ""


def _close(line: _Line) -> None:
    with suppress(Exception):
        line.connection.unbind()

"""The connections to one domain: which controller answers, and who uses which of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from ldap3.core.exceptions import LDAPException
from msgspec import Struct

from reconciler.core.errors import AuthenticationFailed, ReconcileError, Refused, UnexpectedAnswer, Unreachable
from reconciler.core.query import Search
from reconciler.core.values import Dn
from reconciler.edge import ldap_errors
from reconciler.edge.accounts import Account
from reconciler.edge.ldap_connection import Door, connect
from reconciler.edge.ldap_search import NamingContexts, search

if TYPE_CHECKING:
    from ldap3 import Connection

# A controller drops idle connections after 15 minutes, a firewall earlier; a write must not be what finds out.
FRESH_S = 60.0


class Line(Struct):
    """A connection, where it leads, and what is there."""

    connection: Connection
    door: Door
    contexts: NamingContexts
    used: float


class Lines:
    """All lines lead to the same controller, the first that answers. When it is lost the next one is taken.

    Safe to call from several threads. Whoever finds no line idle takes the first that is given back or opened; one is
    opened at a time, and none for as long as the last one took: short questions are answered by then.

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
        self.name = name
        self._dns = dns
        self._doors = doors
        self._account = account
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._opening = False
        self._next = 0.0  # when another line may be opened, by the monotonic clock
        self._idle: list[Line] = []
        self._chosen: Door | None = None
        self._turn = 0

    @property
    def serving(self) -> tuple[str, int]:
        """The controller that answers, empty for none yet, and how often one was chosen."""
        with self._lock:
            return (self._chosen.controller if self._chosen is not None else "", self._turn)

    @contextmanager
    def lend(self, *, fresh: bool = False) -> Iterator[Line]:
        """Lend a line to the chosen controller; it is not given back after an exception that is no answer.

        Args:
            fresh: It was used or looked at within the last minute.
        """
        line = self._take(fresh)
        try:
            yield line
        except (Refused, AuthenticationFailed):  # an answer: the connection is in order
            self._give_back(line)
            raise
        except BaseException:
            _end(line.connection)
            raise
        self._give_back(line)

    def own(self) -> Line:
        """Open a line that nobody else gets; the caller closes it.

        Raises:
            Unreachable: No controller answers.
            AuthenticationFailed: The credential is not accepted.
        """
        with self._lock:
            while self._opening:
                self._changed.wait()
            self._opening = True
        return self._open()

    def serves(self, door: Door) -> bool:
        """Return whether a door leads to a controller that accepts us and serves this domain."""
        try:
            connection = connect(door, self._account())
        except Unreachable:
            return False
        try:
            self._contexts(connection, door)
        except (LDAPException, OSError, ReconcileError):
            return False
        finally:
            _end(connection)
        return True

    def forget(self, controller: str = "") -> None:
        """Drop the idle lines, those to one controller or all; the next call chooses again."""
        with self._lock:
            gone = [line for line in self._idle if controller in ("", line.door.controller)]
            self._idle = [line for line in self._idle if line not in gone]
            if self._chosen is not None and controller in ("", self._chosen.controller):
                self._chosen = None
        for line in gone:
            _end(line.connection)

    def _take(self, fresh: bool) -> Line:
        while True:
            with self._lock:
                line = self._idle_or_turn()
            if line is None:
                return self._open()
            if not fresh or time.monotonic() - line.used < FRESH_S:
                return line
            try:
                line.contexts = self._contexts(line.connection, line.door)
                return line
            except (LDAPException, OSError, ReconcileError):
                _end(line.connection)

    def _idle_or_turn(self) -> Line | None:
        """Return an idle line, or None to who may open one; the others wait for either. The lock is held."""
        while not self._idle:
            left = self._next - time.monotonic()
            if not self._opening and left <= 0:
                self._opening = True
                return None
            self._changed.wait(None if self._opening else left)
        return self._idle.pop()

    def _give_back(self, line: Line) -> None:
        line.used = time.monotonic()
        with self._lock:
            current = self._chosen is not None and self._chosen.controller == line.door.controller
            if current and not line.connection.closed:
                self._idle.append(line)
                self._changed.notify_all()
                return
        _end(line.connection)

    def _open(self) -> Line:
        """Open a line for who has the turn: one at a time, so that two threads do not choose two controllers."""
        try:
            return self._enter_chosen() or self._choose()
        finally:
            with self._lock:
                self._opening = False
                self._changed.notify_all()

    def _enter_chosen(self) -> Line | None:
        """Return another line to the controller that answers; None where none was chosen, or it does no more."""
        chosen = self._chosen
        if chosen is None:
            return None
        with suppress(Unreachable):
            return self._enter(chosen)
        self.forget(chosen.controller)
        return None

    def _choose(self) -> Line:
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
            f"no controller of {self._dns} can be used", target=self.name, do=reasons or "list its `controllers`"
        )

    def _enter(self, door: Door) -> Line:
        began = time.monotonic()
        connection = connect(door, self._account())
        try:
            contexts = self._contexts(connection, door)
        except (LDAPException, OSError) as error:
            _end(connection)
            raise ldap_errors.lost(self.name, door.controller, "rootDSE", error, sent=False) from error
        except BaseException:
            _end(connection)
            raise
        opened = time.monotonic()
        with self._lock:
            self._next = opened + (opened - began)
        return Line(connection, door, contexts, opened)

    def _contexts(self, connection: Connection, door: Door) -> NamingContexts:
        """Read the root DSE, and make sure that it is the domain that was asked for."""
        asked = Search(self.name, "rootdse", attributes=("defaultNamingContext", "configurationNamingContext"))
        row = next(iter(search(connection, asked, "")), {})
        found = [_text(row.get(name)) for name in ("defaultnamingcontext", "configurationnamingcontext")]
        wanted = ",".join(f"DC={label}" for label in self._dns.rstrip(".").split("."))
        if not all(found) or Dn(found[0]) != wanted:
            raise UnexpectedAnswer(
                f"{door.controller} serves '{found[0]}', which is not {self._dns}",
                target=self.name,
                do="check `dns` and `controllers` of the domain",
            )
        return NamingContexts(default=found[0], configuration=found[1])


def _text(values: object) -> str:
    return values[0].decode() if isinstance(values, tuple) and values and isinstance(values[0], bytes) else ""


def _end(connection: Connection) -> None:
    with suppress(Exception):
        connection.unbind()

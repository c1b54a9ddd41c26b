"""Hear from each domain that something changed there. It never says what, only: look.

The law: whoever is told to look after a line was opened misses nothing, because it is told so once the directory listens.
"""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

import ldap3
from ldap3.core.exceptions import LDAPException
from ldap3.operation.search import search_operation
from ldap3.protocol.microsoft import persistent_search_control, show_deleted_control
from ldap3.utils.asn1 import decode_message_fast

from reconciler.core.errors import ReconcileError, Refused
from reconciler.edge.directory import OwnLine

if TYPE_CHECKING:
    from ldap3 import Connection

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 60.0
_ENTRY, _DONE = 4, 5
_CHUNK = 65536
# A firewall that forgets a connection tells nobody: so the system asks, and gives up after about two minutes.
_KEEP_ALIVE = ((socket.TCP_KEEPIDLE, 60), (socket.TCP_KEEPINTVL, 15), (socket.TCP_KEEPCNT, 4))


class Lines(Protocol):
    """What opens connections to domains."""

    def own_line(self, domain: str) -> OwnLine:
        """Open a connection that nobody else uses."""
        ...


class DirectoryEvents:
    """Listens to every domain, each in a thread of its own; a context manager.

    Args:
        lines: Opens connections.
        domains: Which to listen to, by their names in the state file.
        ring: Called with the name of a domain where somebody should look; from another thread.
        say: Called with a sentence when a domain cannot be listened to, and when it can be again.
        chance: Returns a number from 0 to 1, so that not all come back at once.
    """

    def __init__(
        self,
        lines: Lines,
        domains: Iterable[str],
        ring: Callable[[str], None],
        say: Callable[[str], None],
        chance: Callable[[], float],
    ) -> None:
        self._listeners = {name: _Listener(name, lines, ring, say, chance) for name in domains}

    def __enter__(self) -> Self:
        for listener in self._listeners.values():
            listener.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for listener in self._listeners.values():
            listener.ask_to_stop()
        for listener in self._listeners.values():
            listener.join(1.0)  # one that is just connecting ends by itself, and holds nobody up

    def follow(self, domain: str, controller: str) -> None:
        """Listen to this controller's domain anew where another one was listened to: what is heard must be what is read."""
        if domain in self._listeners:
            self._listeners[domain].follow(controller)


class _Listener(threading.Thread):
    def __init__(
        self,
        domain: str,
        lines: Lines,
        ring: Callable[[str], None],
        say: Callable[[str], None],
        chance: Callable[[], float],
    ) -> None:
        super().__init__(name=f"listen {domain}", daemon=True)
        self._domain = domain
        self._lines = lines
        self._ring = ring
        self._say = say
        self._chance = chance
        self._stopping = False
        self._here, self._there = socket.socketpair()
        self._controller = ""
        self._trouble = ""

    def ask_to_stop(self) -> None:
        self._stopping = True
        with suppress(OSError):
            self._there.send(b"s")

    def follow(self, controller: str) -> None:
        if self._controller and controller and controller != self._controller:
            with suppress(OSError):
                self._there.send(b"f")

    def run(self) -> None:
        failures = 0
        while not self._stopping:
            try:
                heard = self._listen_once()
            except (ReconcileError, LDAPException, OSError) as error:
                heard = False
                self._tell(error)
            self._controller = ""
            failures = 0 if heard else failures + 1
            self._pause(pause_s(failures, self._chance()))
        self._here.close()
        self._there.close()

    def _listen_once(self) -> bool:
        """Listen until the line breaks; return whether it ever listened."""
        line = self._lines.own_line(self._domain)
        try:
            wire = _Wire(line.connection, self._here)
            if not wire.subscribe((line.contexts.default, line.contexts.configuration)):
                return False
            self._controller = line.controller
            if self._trouble:
                self._trouble = ""
                self._say(f"{self._domain} tells of its changes again")
            self._ring(self._domain)  # what happened while nobody listened
            self._hear(wire)
            return True
        finally:
            with suppress(Exception):
                line.connection.unbind()

    def _hear(self, wire: _Wire) -> None:
        try:
            for _ in wire.events():
                self._ring(self._domain)
        except (Refused, LDAPException, OSError) as error:
            self._tell(error)

    def _tell(self, error: Exception) -> None:
        """Say once why there is nothing to hear."""
        text = str(error).partition("\n")[0] or type(error).__name__
        if not self._trouble and not self._stopping:
            self._say(f"{self._domain} does not tell of its changes, they are found when it is looked at: {text}")
        self._trouble = text

    def _pause(self, seconds: float) -> None:
        if not self._stopping:
            self._here.settimeout(seconds)
            with suppress(OSError):
                self._here.recv(16)


def pause_s(failures: int, chance: float) -> float:
    """Return how long to wait before the next attempt: longer each time, up to a minute, and never all at once."""
    longest = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(failures, 10))
    return float(longest * (0.5 + chance / 2))


class _Wire:
    """An open connection, read message by message; ends when something is sent to ``interrupt``."""

    def __init__(self, connection: Connection, interrupt: socket.socket) -> None:
        self._connection = connection
        self._socket: Any = connection.socket
        self._interrupt = interrupt
        self._buffer = b""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _KEEP_ALIVE:
            self._socket.setsockopt(socket.IPPROTO_TCP, option, value)

    def subscribe(self, bases: Sequence[str]) -> bool:
        """Ask to be told of every change below these; return once the directory does, False where interrupted.

        Nothing acknowledges such a search. But a controller takes the requests of a connection one after the other, so
        that the answer to the question behind them says that they are in force.
        """
        controls = [persistent_search_control(), show_deleted_control()]
        for base in bases:
            self._send(base, ldap3.SUBTREE, controls)
        marker = self._send("", ldap3.BASE, None)
        return any(number == marker and operation == _DONE for number, operation in self._messages())

    def events(self) -> Iterator[None]:
        """Yield at every sign of a change, until interrupted."""
        for _, operation in self._messages():
            if operation == _ENTRY:
                yield

    def _send(self, base: str, scope: str, controls: list[Any] | None) -> int:
        request = search_operation(
            base, "(objectClass=*)", scope, ldap3.DEREF_NEVER, [ldap3.NO_ATTRIBUTES], 0, 0, False, None, None
        )
        number: int = self._connection.strategy.send("searchRequest", request, controls)
        return number

    def _messages(self) -> Iterator[tuple[int, int]]:
        strategy = self._connection.strategy
        while True:
            size = strategy.compute_ldap_message_size(self._buffer)
            if 0 < size <= len(self._buffer):
                message, self._buffer = self._buffer[:size], self._buffer[size:]
                decoded = decode_message_fast(message)
                if decoded["protocolOp"] == _DONE:
                    _check(strategy.decode_response_fast(decoded))
                yield int(decoded["messageID"]), int(decoded["protocolOp"])
            elif not self._receive():
                return

    def _receive(self) -> bool:
        """Wait for more; return False where interrupted."""
        if not self._socket.pending():
            ready, _, _ = select.select([self._socket, self._interrupt], [], [])
            if self._interrupt in ready:
                self._interrupt.recv(16)
                return False
        data = self._socket.recv(_CHUNK)
        if not data:
            raise ConnectionResetError("the controller closed the connection")
        self._buffer += data
        return True


def _check(result: dict[str, Any]) -> None:
    if result.get("result"):
        raise Refused(f"it refuses to: {result.get('description')} {result.get('message') or ''}".strip())

"""The number of the writer on every host that it changes: who comes late with an older one finds that it is gone.

The law: the number is in the journal before it is on a host, on the host before the first change there, and after a
takeover the newer one replaces the older one before the host is so much as looked at.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Protocol

from reconciler.core.errors import JournalError, Refused, WorldError
from reconciler.core.ports import Json
from reconciler.core.query import Command, Row, Rows
from reconciler.edge.files import MISSING
from reconciler.edge.guard import NO_VALUE, Guard, fenced

ROOT = "HKLM:\\SOFTWARE\\Reconcile"
MARK = "made by reconcile"
"""The default value of the key above: whoever finds it empty but for that may remove it."""
FACT = "fence/"
"""Prefix of the facts that say on which hosts there may be a number of ours: ``{"number": 7}``, empty once it was removed."""
ATTEMPTS = 5
READS = ("Get-", "Test-", "Export-", "Select-")
_THERE = ("System.IO.IOException",)
_PREFIX = "writer-"


class Register(Protocol):
    """What the fence needs of the journal."""

    @property
    def epoch(self) -> int:
        """The number of this writer."""
        ...

    def check_writer(self) -> None:
        """Raise JournalError where this is no longer the writer."""
        ...

    def facts(self, prefix: str) -> Mapping[str, Json]:
        """Return facts whose key starts with ``prefix``."""
        ...

    def note(self, facts: dict[str, Json], at: datetime) -> None:
        """Keep facts."""
        ...


class Send(Protocol):
    """Runs a command on a host, behind a guard or without one."""

    def __call__(self, command: Command, guard: Guard | None = None) -> Rows:
        """Return its rows."""
        ...


class Fence:
    """The numbers of one journal on its hosts. Safe to use from several threads.

    Args:
        state: Name of the state file; a host has a key for each.
        journal: Knows our number, and remembers where we left it.
        now: The time.
    """

    def __init__(self, state: str, journal: Register, now: Callable[[], datetime]) -> None:
        self._journal = journal
        self._now = now
        self._number = journal.epoch
        self._path = f"{ROOT}\\{state}"
        self._name = f"{_PREFIX}{journal.epoch}"
        self._turn = threading.RLock()
        self._held: set[str] = set()
        self._due = {host for host, number in self._known() if number != self._number}

    def check(self) -> None:
        """Make sure that this is still the writer.

        Raises:
            JournalError: It is not.
        """
        self._journal.check_writer()

    def overtake(self, send: Send) -> dict[str, WorldError]:
        """Replace the older number on every host that has one; return those where that failed, and why."""
        failed: dict[str, WorldError] = {}
        for host in sorted(self._due):
            try:
                self.before_asking(host, send)
            except WorldError as error:
                failed[host] = error
        return failed

    def before_asking(self, host: str, send: Send) -> None:
        """Replace an older number before the host is looked at: what is seen must not be changed by a late writer."""
        with self._turn:
            if host in self._due:
                self._take(host, send)

    def send(self, command: Command, send: Send) -> Rows:
        """Send one command of an effect; one that changes something goes behind the number.

        Raises:
            Fenced: Another process has taken over.
            JournalError: The same, noticed on this side.
        """
        self.check()
        if command.name.startswith(READS):
            return send(command)
        with self._turn:
            if command.host not in self._held:
                self._take(command.host, send)
        # A pause before this line is noticed here, one after it by the host: the number was there when this passed.
        self.check()
        return send(command, self._guard(command.host))

    def lift(self, send: Send) -> dict[str, WorldError]:
        """Remove every number of ours, and the keys that we made; return the hosts where that failed, and why."""
        failed: dict[str, WorldError] = {}
        with self._turn:
            for host, _number in self._known():
                try:
                    if host not in self._held:
                        self._take(host, send)
                    self._remove(host, send)
                except WorldError as error:
                    failed[host] = error
                else:
                    self._journal.note({FACT + host: {}}, self._now())
        return failed

    def _known(self) -> list[tuple[str, int]]:
        facts = self._journal.facts(FACT)
        return [(key.removeprefix(FACT), int(fact["number"])) for key, fact in facts.items() if fact]

    def _take(self, host: str, send: Send) -> None:
        """Put our number on the host: add it, look, and yield to a higher one or remove the lower ones.

        Renaming would do no better: the provider copies the value and then deletes the old one (RegistryProvider.cs,
        ``MoveProperty``), so two can do it at once. Of two that add and then look, the later one sees both.
        """
        self.check()
        if self._journal.facts(FACT + host).get(FACT + host) != {"number": self._number}:
            self._journal.note({FACT + host: {"number": self._number}}, self._now())
        for _attempt in range(ATTEMPTS):
            numbers = self._numbers(host, send)
            if max(numbers, default=0) > self._number:
                self._yield(host, send, numbers)
            if numbers == {self._number}:
                self._stay(host, send)
                return
            if self._number not in numbers:
                self._add(host, send)
                continue
            for number in sorted(numbers - {self._number}):
                self._drop(host, send, number)
        raise Refused(f"something else keeps changing {self._path}", target=host, code="FenceContested")

    def _stay(self, host: str, send: Send) -> None:
        """Believe that the number is ours; take it away again where another process took over meanwhile."""
        try:
            self.check()
        except JournalError:
            with suppress(WorldError):
                self._remove(host, send)
            raise
        self._held.add(host)
        self._due.discard(host)

    def _yield(self, host: str, send: Send, numbers: set[int]) -> None:
        if self._number in numbers:
            with suppress(WorldError):
                self._drop(host, send, self._number)
        raise fenced(host, f"{self._path} has {_PREFIX}{max(numbers)}")

    def _add(self, host: str, send: Send) -> None:
        for key, named in ((ROOT, (("Value", MARK),)), (self._path, ())):
            if not _is_there(host, send, key):
                send(Command(host, "New-Item", (("Path", key), *named), absent=_THERE))
        says = f"the writer of this migration since {self._now().isoformat('T', 'seconds')}"
        added = (("LiteralPath", self._path), ("Name", self._name), ("PropertyType", "String"), ("Value", says))
        send(Command(host, "New-ItemProperty", added, absent=_THERE))

    def _drop(self, host: str, send: Send, number: int) -> None:
        named = (("LiteralPath", self._path), ("Name", f"{_PREFIX}{number}"))
        send(Command(host, "Remove-ItemProperty", named, absent=NO_VALUE))

    def _remove(self, host: str, send: Send) -> None:
        """Take the number away, with its key where nothing else is in it, and the key above where that one is ours."""
        self._held.discard(host)
        if _holds_one(host, send, self._path):
            # The key goes only as long as our number is in it; a repetition would find itself fenced.
            whole = Command(host, "Remove-Item", (("LiteralPath", self._path),), repeatable=False)
            send(whole, self._guard(host))
        else:
            self._drop(host, send, self._number)
        if _holds_one(host, send, ROOT) and _values(host, send, ROOT).get("(default)") == MARK:
            send(Command(host, "Remove-Item", (("LiteralPath", ROOT),), absent=MISSING))

    def _guard(self, host: str) -> Guard:
        return Guard(host, self._path, self._name)

    def _numbers(self, host: str, send: Send) -> set[int]:
        names = (name.removeprefix(_PREFIX) for name in _values(host, send, self._path) if name.startswith(_PREFIX))
        return {int(name) for name in names if name.isdecimal()}


def _values(host: str, send: Send, key: str) -> Row:
    """Return the values of a key by name; none where there is no key."""
    return next(iter(send(Command(host, "Get-ItemProperty", (("LiteralPath", key),), absent=MISSING))), {})


def _is_there(host: str, send: Send, key: str) -> bool:
    return any(row.get("value") is True for row in send(Command(host, "Test-Path", (("LiteralPath", key),))))


def _holds_one(host: str, send: Send, key: str) -> bool:
    """Return whether a key holds one value and no other key."""
    rows = send(Command(host, "Get-Item", (("LiteralPath", key),), absent=MISSING))
    return bool(rows) and (rows[0].get("SubKeyCount"), rows[0].get("ValueCount")) == (0, 1)

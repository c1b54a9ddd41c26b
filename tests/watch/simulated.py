"""A domain of two controllers and a host, on a time line of their own: what a watch hears of them, and what it does not. No mocks.

The law: nothing moves by itself but time. A notification comes late, twice, or, where the line is down, not at all; a
controller that restarts keeps its count and its id; what is written to one is behind on the other.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from reconciler.core.errors import ReconcileError, Refused, Unreachable
from reconciler.core.query import Command, Query, Rows, Search
from reconciler.core.steps import AddEntry, DeleteEntry, Effect, ModifyEntry
from tests.crash.simulated_hosts import Hosts
from tests.crash.simulated_start import Tables
from tests.engine.counting_directory import HEAD, HEAD_GUID, CountingDomain, Thing
from tests.one_by_one import one_by_one

DOMAIN, HOST = "source", "pdc"
KEY = r"HKLM:\SOFTWARE\Watched"
USERS_GUID, GUEST_GUID = b"u" * 16, b"g" * 16
GUEST = f"CN=Guest,CN=Users,{HEAD}"
ANSWER_S = 0.002
"""How long one answer takes; the world goes on meanwhile."""
LATE_S = 0.3
"""How late a notification comes at most."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 60.0


@dataclass
class TimeLine:
    """A clock, and what happens when. Implements ``Clock``."""

    at: datetime = datetime(2026, 11, 20, 18, tzinfo=UTC)
    _coming: list[tuple[datetime, int, Callable[[], None]]] = field(default_factory=list)
    _number: int = 0

    def now(self) -> datetime:
        """Return the time; reading it takes none."""
        return self.at

    def after(self, seconds: float, happen: Callable[[], None]) -> None:
        """Let something happen so many seconds from now."""
        self._number += 1
        heapq.heappush(self._coming, (self.at + timedelta(seconds=seconds), self._number, happen))

    def next(self) -> datetime | None:
        """Return when something happens next."""
        return self._coming[0][0] if self._coming else None

    def pass_until(self, end: datetime) -> None:
        """Let time pass, and everything happen in its order."""
        while self._coming and self._coming[0][0] <= end:
            at, _, happen = heapq.heappop(self._coming)
            self.at = max(self.at, at)
            happen()
        self.at = max(self.at, end)

    def spend(self, seconds: float) -> None:
        """Let so many seconds pass."""
        self.pass_until(self.at + timedelta(seconds=seconds))


@dataclass
class Line:
    """Where the listener listens, and how it comes back when its line breaks.

    Attributes:
        there: The number of the controller; None while nobody listens.
        number: Of the line: what was under way on an earlier one never arrives.
        failures: How often in a row nobody answered.
    """

    there: int | None = None
    number: int = 0
    failures: int = 0


class SimulatedDomain(CountingDomain):
    """Two controllers that tell each other what changed, one of which answers. Implements ``Steady`` for its part.

    Attributes:
        up: Whether each controller answers.
        moved: Called with the number of the controller after each change that one of them takes.
    """

    def __init__(self, time: TimeLine, chance: Random) -> None:
        super().__init__()
        self.time = time
        self.chance = chance
        self.up = [True, True]
        self.moved: Callable[[int], None] = lambda number: None
        self._version = 0
        self._versions: list[dict[bytes, int]] = [{}, {}]
        for thing in (
            Thing(USERS_GUID, "CN=Users", HEAD_GUID, (("objectclass", "container"),)),
            Thing(GUEST_GUID, "CN=Guest", USERS_GUID, (("objectclass", "user"), ("samaccountname", "Guest"))),
        ):
            for controller in self.controllers_:
                controller.put(thing, new=True)

    def reach(self) -> None:
        """Be where somebody answers, as a program that chooses another controller when one is lost."""
        if not self.up[self.chosen]:
            if not self.up[1 - self.chosen]:
                raise Unreachable("no controller can be used", target=DOMAIN)
            self.choose(1 - self.chosen)

    def put(self, thing: Thing, at: int, *, new: bool = False, named: bool = False) -> None:
        """Write an object on one controller; the other hears of it some seconds later."""
        self._version += 1
        self._take(at, thing, self._version, new=new, named=named)
        self.time.after(self.chance.uniform(0.1, 8), lambda: self._bring(at, thing.guid))

    def find(self, name: str, at: int) -> Thing | None:
        """Return the living object of that name."""
        found = (
            one
            for one in self.controllers_[at].things.values()
            if not one.deleted and ("samaccountname", name) in one.values
        )
        return next(found, None)

    def replicate(self) -> None:
        """Bring everything everywhere at once."""
        for at in (0, 1):
            for guid in list(self._versions[at]):
                self._bring(at, guid)

    def ask(self, query: Query) -> Rows:
        self.reach()
        return super().ask(query)

    def do(self, effect: Effect) -> Rows:
        """Carry out an effect on the controller that answers."""
        self.reach()
        assert isinstance(effect, AddEntry | ModifyEntry | DeleteEntry)
        there = {self.here.dn(one): one for one in self.here.things.values() if not one.deleted}
        found = there.get(effect.dn)
        if isinstance(effect, AddEntry):
            if found is not None:
                raise Refused("it exists", target=DOMAIN, where=effect.dn, code="entryAlreadyExists")
            self.create(str(dict(effect.attributes)["sAMAccountName"][0]), self.chosen)
            return ()
        if found is None:
            raise Refused("no such object", target=DOMAIN, where=effect.dn, code="noSuchObject")
        if isinstance(effect, DeleteEntry):
            self.put(gone(found), self.chosen, named=True)
            return ()
        (change,) = effect.changes
        members = frozenset(there[str(value)].guid for value in change.values)
        if bool(members & found.members) == (change.operation == "add"):
            raise Refused("as it is already", target=DOMAIN, where=effect.dn, code="attributeOrValueExists")
        self.put(replace(found, members=found.members ^ members), self.chosen)
        return ()

    def create(self, name: str, at: int) -> None:
        """Make an empty global group."""
        values = (("grouptype", str(0x80000002 - (1 << 32))), ("objectclass", "group"), ("samaccountname", name))
        self._version += 1
        guid = f"{name}-{self._version}".encode().ljust(16, b"\0")
        self.put(Thing(guid, f"CN={name}", USERS_GUID, values), at, new=True)

    def _bring(self, source: int, guid: bytes) -> None:
        version, sink = self._versions[source][guid], 1 - source
        if self._versions[sink].get(guid, 0) >= version:
            return
        if not all(self.up):
            self.time.after(2.0, lambda: self._bring(source, guid))
            return
        thing, there = self.controllers_[source].things[guid], self.controllers_[sink].things
        name = dict(thing.values).get("samaccountname", "")
        rival = self.find(name, sink)
        if rival is not None and rival.guid != guid and not thing.deleted:
            thing = gone(thing)  # two that were made at the same time: the later one goes, as a conflict object
        self._take(sink, thing, version, new=guid not in there, named=thing.deleted)

    def _take(self, at: int, thing: Thing, version: int, *, new: bool, named: bool) -> None:
        self._versions[at][thing.guid] = version
        self.controllers_[at].put(thing, new=new, named=named)
        self.moved(at)


def gone(thing: Thing) -> Thing:
    """Return it as it lies in the bin."""
    return replace(thing, deleted=True, members=frozenset(), rdn=f"{thing.rdn}\\0ADEL:{thing.guid.hex()}")


class SimulatedWorld:
    """The domain and the host as a watch sees them, and the line on which it hears. Implements ``engine.remembering.Steady``.

    Attributes:
        host_up: Whether the host answers.
        deaf: So many answers get lost from now on.
        rings: Called for everything that is heard.
        listens: Called when a line is open again.
        breaks: Called when it breaks.
        wrote: The names of what the watch changed, until somebody empties it.
        took: Called with the number of a controller that took somebody else's change.
        disturbed: Called when something befalls what can be read, but for what the watch does itself.
    """

    def __init__(self, time: TimeLine, chance: Random) -> None:
        self.time, self.chance = time, chance
        self.domain = SimulatedDomain(time, chance)
        self.domain.moved = self._tell
        self.tables = Tables()
        self.host_up = True
        self.deaf = 0
        self.rings: Callable[[], None] = lambda: None
        self.disturbed: Callable[[], None] = lambda: None
        self.took: Callable[[int], None] = lambda at: None
        self.listens: Callable[[], None] = lambda: None
        self.breaks: Callable[[], None] = lambda: None
        self.line = Line()
        self.wrote: set[str] = set()
        self._acting = False
        self._hosts = Hosts(self.tables)

    def serving(self, domain: str) -> tuple[str, int]:
        return self.domain.serving(domain)

    def at_once(self, jobs: Sequence[Callable[[], Any]]) -> list[Any]:
        return [job() for job in jobs]

    def controllers(self, domain: str) -> tuple[str, ...]:
        self.domain.reach()
        return self.domain.controllers(domain)

    def ask_each(self, queries: Sequence[Query]) -> Iterator[tuple[int, Rows | ReconcileError]]:
        return enumerate(one_by_one(self.ask, queries))

    def ask(self, query: Query) -> Rows:
        self._wait_for_answer()
        if isinstance(query, Search):
            return self.domain.ask(query)
        assert isinstance(query, Command)
        return self._on_host(query)

    def do(self, effect: Effect) -> Rows:
        self._wait_for_answer()
        self._acting = True
        self.wrote.add(_name(effect))
        try:
            return self._on_host(effect) if isinstance(effect, Command) else self.domain.do(effect)
        finally:
            self._acting = False

    def _on_host(self, command: Command) -> Rows:
        if not self.host_up:
            raise Unreachable("the host does not answer", target=HOST)
        return self._hosts.run(command)

    def _wait_for_answer(self) -> None:
        self.time.spend(ANSWER_S)
        if self.deaf:
            self.deaf -= 1
            raise Unreachable("the connection was lost", target=DOMAIN, sent=False)

    # The line on which the directory tells of its changes.

    def connect(self) -> None:
        """Open a line to the controller that answers, or try again later; once it listens it says: look."""
        try:
            self.domain.reach()
        except Unreachable:
            self.line.failures += 1
            pause = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(self.line.failures, 10))
            self.time.after(pause * self.chance.uniform(0.5, 1), self.connect)
            return
        self.line = Line(self.domain.chosen, self.line.number + 1)
        self.disturbed()
        self.listens()
        self.rings()

    def switch(self) -> None:
        """Let the connections that it reads by lead to the other controller from now on; it still listens to the first."""
        if self.domain.up[1 - self.domain.chosen]:
            self.domain.choose(1 - self.domain.chosen)
            self.breaks()
            self.disturbed()

    def cut(self, at: int | None = None) -> None:
        """Break the line, if it leads there."""
        if self.line.there is not None and at in (None, self.line.there):
            self.line = Line(None, self.line.number)
            self.breaks()
            self.time.after(FIRST_PAUSE_S * self.chance.uniform(0.5, 1), self.connect)

    def follow(self) -> None:
        """Listen where it is read."""
        if self.line.there not in (None, self.domain.chosen):
            self.cut()

    def _tell(self, at: int) -> None:
        """Let the controller tell whoever listens there: late, and sometimes twice."""
        if not self._acting:
            self.disturbed()
            self.took(at)
        if self.line.there != at:
            return
        number = self.line.number
        for _ in range(self.chance.choice((1, 1, 1, 2))):
            self.time.after(
                self.chance.uniform(0, LATE_S), lambda: self.rings() if self.line.number == number else None
            )


def _name(effect: Effect) -> str:
    """Return the name of what an effect changes."""
    if isinstance(effect, Command):
        return str(dict(effect.parameters)["Name"])
    assert isinstance(effect, AddEntry | ModifyEntry | DeleteEntry)
    return effect.dn.partition(",")[0].removeprefix("CN=")

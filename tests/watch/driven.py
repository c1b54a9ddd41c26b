"""The real watch, driven through its ports: the loop, the pass, the memory, the state file, the journal's contents, the notices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

from reconciler.cli.loading import Loaded, load
from reconciler.cli.notifying import remember
from reconciler.cli.running import bring_about
from reconciler.core.errors import ReconcileError
from reconciler.core.limits import Limits
from reconciler.core.notice import OUTBOX, Receiver
from reconciler.core.ports import Journal
from reconciler.core.report import Report
from reconciler.core.waking import FILE, Bells
from reconciler.engine.pace import Pace, Rhythm
from reconciler.engine.remembering import Memory, RememberingWorld
from reconciler.engine.run import Tools
from reconciler.engine.unsettled import CORRECTIONS
from reconciler.engine.watch import Watch
from tests.fake_journal import MemoryJournal
from tests.watch.declaring import FIRST, UNSEEN, Spec, text_of
from tests.watch.oracle import Look
from tests.watch.simulated import SimulatedWorld, TimeLine

GATHER_S = 0.05
PACE = Pace(timedelta(hours=1), timedelta(minutes=2))
RECEIVER = Receiver.model_validate({"url": "https://receiver.lab/", "secret": {"env": "NONE"}})


class Driven:
    """Implements ``engine.watch.Outside`` over a simulated world, and writes down what could be seen.

    Attributes:
        looks: Every look, from outside.
        faults: What was said of a state file that cannot be used.
        read: Every text of the state file that was read.
        late: Where a look came later than it had to.
        in_the_middle: What happens while the next look is under way.
        ends: When it is to stop.
    """

    def __init__(self, path: Path, chance: Random) -> None:
        self.time = TimeLine()
        self.world = SimulatedWorld(self.time, chance)
        self.journal_ = MemoryJournal()
        self.looks: list[Look] = []
        self.faults: list[str] = []
        self.read_: list[str] = []
        self.late: list[str] = []
        self.in_the_middle: list[Callable[[], None]] = []
        self.ends = datetime.max.replace(tzinfo=self.time.at.tzinfo)
        self.path, self.good = path, {spec.name: spec for spec in FIRST}
        self._bells, self._memory = Bells(), Memory()
        self._rhythm = Rhythm(PACE, self.time.now(), chance.random)
        self._waiting: list[
            tuple[datetime, datetime | None]
        ] = []  # changes that no look began after, and by when one has to
        self._usable: dict[str, dict[str, Spec]] = {}
        self._in_force = self.good
        self.world.rings = lambda: self._bells.ring("source")
        self.world.disturbed, self.world.listens = self._disturbed, self._listens
        self.world.took, self.world.breaks = self._took, self._breaks
        self.write(text_of(self.good), self.good)

    def run(self) -> None:
        """Watch from now until the end."""
        self.world.connect()
        first = self.read()
        Watch(first, self, self.time, self._rhythm).run()

    # What befalls it.

    def write(self, text: str, specs: dict[str, Spec] | None) -> None:
        """Edit the state file; None where it cannot be used."""
        self.path.write_text(text, encoding="utf-8")
        if specs is not None:
            self._usable[text] = specs
        self.time.after(self.world.chance.uniform(0.05, 0.3), lambda: self._bells.ring(FILE))
        self._due(1.0)

    def _took(self, at: int) -> None:
        """Take note of a change on a controller: whoever listens there has to look soon."""
        heard = self.world.line.there == at == self.world.domain.chosen
        self._due(1.0 if heard else None)

    def _due(self, seconds: float | None) -> None:
        deadline = None if seconds is None else self.time.at + timedelta(seconds=seconds)
        self._waiting.append((self.time.at, deadline))

    def _breaks(self) -> None:
        self._waiting = [(at, None) for at, _ in self._waiting]

    def _listens(self) -> None:
        soon = self.time.at + timedelta(seconds=1)
        self._waiting = [(at, deadline if deadline and deadline < soon else soon) for at, deadline in self._waiting]

    def _disturbed(self) -> None:
        if self.looks and self.looks[-1].end is None:
            self.looks[-1].disturbed = True
            self._see(self.looks[-1])

    def _see(self, look: Look) -> None:
        names = {*look.wanted, *(one for found in self._usable.values() for one in found)}
        for name in names:
            spec = look.wanted.get(name, Spec(name, "group" if name.startswith("G") else "registry"))
            seen = look.seen.setdefault(name, set())
            seen.add(spec.state(self.world))
            if spec.sort == "registry" and len(seen) > 1:
                seen.add(UNSEEN)  # two questions about one value, and it moved in between: what they say fits no value
            if self.world.deaf:
                look.seen[name].add(UNSEEN)
                look.disturbed = True

    # engine.watch.Outside

    def read(self) -> Loaded:
        text = self.path.read_text(encoding="utf-8")
        self.read_.append(text)
        found = load(self.path)
        self._in_force = self._usable[text]
        return found

    def attend(self, wanted: Loaded) -> None:
        declared = {spec.key for spec in self._in_force.values()}
        assert declared == set(wanted.graph.declarations), "not what the last usable state file says"

    def look(self, wanted: Loaded) -> Report:
        look = Look(self.time.at, self._in_force, {})
        self.late += [f"{at} by {by}" for at, by in self._waiting if by is not None and by < look.begin]
        self._waiting = []
        self.looks.append(look)
        for happen in self.in_the_middle:
            self.time.after(self.world.chance.uniform(0, 0.08), happen)
        self.in_the_middle.clear()
        self.world.wrote.clear()
        self._see(look)
        before, kept = len(self._messages()), len(self.journal_._drifts)
        try:
            return self._pass(wanted)
        finally:
            look.end = self.time.at
            look.after = {name: spec.state(self.world) for name, spec in look.wanted.items()}
            for message in self._messages()[before:]:
                look.said[message["key"]] = (*look.said.get(message["key"], ()), message["action"])
            drifts = self.journal_._drifts
            for one in (found for found in drifts[kept:] if found.fields):
                look.sighted[one.key] = (*look.sighted.get(one.key, ()), one.fields)
            for one in (found for found in drifts if found.fields and found.closed_at is None):
                look.open[one.key] = (*look.open.get(one.key, ()), one.fields)
            look.wrote = set(self.world.wrote)
            look.facts = self.journal_.facts(CORRECTIONS)
            self.world.follow()

    def _pass(self, wanted: Loaded) -> Report:
        if self._rhythm.starts_afresh(self.time.now()):
            self._memory.forget()
        world, run = RememberingWorld(self.world, self._memory), f"run{len(self.looks)}"
        tools = Tools(world, self.journal_, self.time, run, permit=wanted.permit(Limits()))
        report = bring_about(wanted, wanted.terms("watch"), tools, {})
        remember(report, [RECEIVER], tools)
        return report

    @contextmanager
    def journal(self, wanted: Loaded) -> Iterator[Journal]:
        yield self.journal_

    def wait(self, code: int, until: datetime, rest: timedelta) -> bool:
        rested = self.time.at + rest
        while self.time.at < self.ends:
            resting = self.time.at < rested
            if self._bells.rung(resting=resting):
                self.time.spend(GATHER_S)
                self._bells.take()
                return True
            if self.time.at >= until:
                return True
            upcoming = [until, self.ends, *([rested] if resting else []), *filter(None, [self.time.next()])]
            self.time.pass_until(min(upcoming))
        return False

    def edited(self, wanted: Loaded) -> None:
        pass

    def unusable(self, error: Exception) -> None:
        self.faults.append(str(error))

    def failed(self, error: ReconcileError, *, new: bool) -> int:
        raise AssertionError(f"no look may fail as a whole: {error}") from error

    def found(self, wanted: Loaded, report: Report, *, new: bool) -> None:
        self.looks[-1].shown = new

    def _messages(self) -> list[dict[str, str]]:
        waiting = sorted(self.journal_.facts(OUTBOX).values(), key=lambda fact: int(fact["serial"]))
        return [fact["body"] for fact in waiting]

    def told(self) -> Counter[str]:
        """Count the messages, by what they say."""
        return Counter(message["action"] for message in self._messages())

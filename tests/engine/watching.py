"""A bench on which a watch looks again and again, and somebody else changes things in between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Self

from reconciler.core.drift import Drift, Sighting
from reconciler.core.edit import Edit
from reconciler.core.graph import Graph
from reconciler.core.plan import Plan
from reconciler.core.policy import OnDrift
from reconciler.core.ports import Json
from reconciler.core.query import Command, Query, Rows
from reconciler.core.report import Outcome, Report
from reconciler.core.resource import Declaration, Resource
from reconciler.core.values import Phase
from reconciler.core.windows import Window
from reconciler.engine.certify import Sources
from reconciler.engine.converge import converge, plan_only
from reconciler.engine.drift import drifts_of
from reconciler.engine.intents import scope
from reconciler.engine.restraint import Restraint, Terms, wakes
from reconciler.engine.run import Tools
from tests.engine.test_converge import MIGRATE
from tests.fake_journal import MemoryJournal
from tests.fake_world import FakeClock, FakeWorld, Reboot, Setting

KEY = "test.setting/h/a"
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


class Traced(Setting):
    """A setting of which a directory may know where and when it was changed last."""

    def trail(self, observed: Self) -> tuple[Query, ...]:
        return (Command(self.host, "who", arguments=(self.name,)),)

    def edits(self, ours: Self, observed: Self, *answers: Rows) -> tuple[Edit, ...]:
        return tuple(Edit("value", "v", str(row["on"]), row["at"], 7, row["told_at"]) for row in answers[0])  # type: ignore[arg-type]


def revive(written: Json) -> Resource:
    kinds: dict[str, type[Resource]] = {"test.setting": Traced, "test.restart": Reboot}
    return kinds[str(written["kind"])].model_validate(dict(written))


@dataclass
class Directory(FakeWorld):
    """A world that tells who changed a setting, where that is known."""

    clock: FakeClock = field(default_factory=FakeClock)
    changed: dict[str, tuple[str, datetime]] = field(default_factory=dict)
    asked: int = 0

    def ask(self, query: Query) -> Rows:
        if not (isinstance(query, Command) and query.name == "who"):
            return super().ask(query)
        self.asked += 1
        found = self.changed.get(str(query.arguments[0]))
        if found is None:
            return ()
        return (
            {"on": found[0], "at": found[1].replace(microsecond=0), "told_at": self.clock.at.replace(microsecond=0)},
        )


def setting(name: str = "a", value: int = 1, on_drift: OnDrift | Json = "correct", **fields: Any) -> Traced:
    return Traced.model_validate({"name": name, "value": value, "during": MIGRATE, "on_drift": on_drift, **fields})


class Bench:
    """A world, a journal, a clock, and what a state file declares."""

    def __init__(self, *resources: Resource, windows: Sequence[Window] = ()) -> None:
        self.resources = resources or (setting(),)
        self.world, self.journal = Directory(), MemoryJournal()
        self.clock, self.windows = self.world.clock, tuple(windows)
        self.runs = 0

    def scope(self, phase: Phase = "migrate") -> Any:
        return scope(Graph([Declaration(one) for one in self.resources]), phase, self.journal, revive)

    def sources(self) -> Sources:
        return Sources(self.world, self.journal, self.clock, revive)

    def run(self, terms: Terms, phase: Phase = "migrate") -> Report:
        """Run as the program does, from what the journal holds."""
        self.runs += 1
        restraint = Restraint(self.sources(), terms)
        tools = Tools(self.world, self.journal, self.clock, f"run{self.runs}", restraint=restraint)
        started = self.clock.now()
        result = converge(self.scope(phase), tools)
        drifts = restraint.conclude(result.outcomes, tools.run)
        return Report("apply", tools.run, "s", phase, started, self.clock.now(), result.outcomes, converged=result.converged, drifts=drifts)  # fmt: skip

    def look(self, phase: Phase = "migrate") -> Report:
        """Make one pass of a watch."""
        return self.run(Terms("watch", self.windows, {KEY: "state.yaml:7:3"}), phase)

    def apply(self, phase: Phase = "migrate", *, despite_pause: bool = False) -> Report:
        """Apply, as a person does."""
        return self.run(Terms("person", self.windows, despite_pause=despite_pause), phase)

    def drift(self, phase: Phase = "migrate") -> tuple[Drift, ...]:
        """Look without writing anything."""
        return drifts_of(self.scope(phase), self.plan(phase), self.sources(), {KEY: "state.yaml:7:3"})

    def plan(self, phase: Phase = "migrate") -> Plan:
        return plan_only(self.scope(phase), Tools(self.world, self.journal, self.clock, "d"))

    def edit(self, value: int = 5, on: str = "", name: str = "a") -> None:
        """Let somebody else change a setting; the directory tells where that was, if it is given."""
        self.world.values["h", name] = {"value": value}
        self.world.changed.pop(name, None)
        if on:
            self.world.changed[name] = (on, self.clock.at)

    def value(self, name: str = "a") -> object:
        return self.world.values.get(("h", name), {}).get("value")

    def wait(self, length: timedelta) -> None:
        self.clock.at += length

    def history(self) -> list[Sighting]:
        return self.journal.sightings()

    def wakes(self) -> list[datetime]:
        return sorted(
            at for at in wakes(self.journal, self.resources, self.windows, self.clock.at) if at > self.clock.at
        )


def of(report: Report, key: str = KEY) -> Outcome:
    """Return how it ended for one resource."""
    return next(outcome for outcome in report.outcomes if outcome.key == key)

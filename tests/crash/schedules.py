"""Every way a run can be cut short, as a graph: states of world and journal, and what a run started there passes through.

The law: a crash loses everything but the world and what the journal acknowledged. So a run that crashed is nothing but the
state that it left; runs are deterministic, and equal states are visited once. A *schedule* is a path: up to four crashes or
lost replies, at any effect and any journal write, then a run that is left alone, then the same for the phase ``complete``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Literal, Self

import pytest

from reconciler.core.errors import Unreachable
from reconciler.core.graph import Graph
from reconciler.core.ports import Json, Obligation
from reconciler.core.query import Query
from reconciler.core.resource import Key
from reconciler.core.steps import Effect
from reconciler.core.values import Phase
from reconciler.edge.state_file import read
from reconciler.engine import observe
from reconciler.engine.converge import converge
from reconciler.engine.intents import scope
from reconciler.engine.run import Tools
from reconciler.resources.facts import ACCOUNTS
from reconciler.resources.kinds import revive
from reconciler.resources.leftovers import with_leftovers
from reconciler.resources.resolve import declarations
from reconciler.resources.state import State
from tests.crash.simulated import SimulatedWorld
from tests.crash.simulated_start import Tables, start
from tests.fake_journal import MemoryJournal

EXAMPLE = Path(__file__).parents[2] / "states" / "lab.yaml"
MOST_CRASHES = 4
Lost = tuple[int, Literal["reply", "request", "target"]]
"""The number of an effect, and what of it is lost on the way; the program lives on and knows neither.

A lost target is the host or the directory that the effect goes to: nothing of it answers any more until the program is
started again.
"""


@cache
def article(*, canary: bool = False) -> Graph:
    """Return the resources of the example, with its one risky step approved.

    Without the throw-away account, which has schedules of its own: with it every other one would be twice as long.
    """
    state = read(EXAMPLE, State).value
    assert state.migration is not None
    known = {"approvals": frozenset({"disable-lsa-protection"})} | ({} if canary else {"canary": "off"})
    approved = state.migration.model_copy(update=known)
    return Graph(declarations(state.model_copy(update={"migration": approved})))


def whole(phase: Phase, journal: MemoryJournal) -> Graph:
    """Return the resources as the program sees them, with what earlier runs left."""
    return with_leftovers(article(), phase, journal.facts(ACCOUNTS))


class StoppedClock:
    """Time stands still, so that what is written says nothing about how often it was tried."""

    def now(self) -> datetime:
        return datetime(2026, 11, 20, 18, tzinfo=UTC)


class SimulatedJournal(MemoryJournal):
    """Calls ``written`` after each acknowledged write, and can be copied.

    The history only tells how long steps took, and what was foreseen is only shown: neither is kept.
    """

    interned: dict[str, Obligation] = {}  # noqa: RUF012 equal promises of all runs are one, so that they compare fast
    ids: set[int] = set()  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self.written: Callable[[str], None] = lambda what: None

    def copy(self) -> Self:
        """Return what is there when the program starts again."""
        made = type(self)()
        made._facts, made._obligations = dict(self._facts), list(self._obligations)
        made._drifts = list(self._drifts)
        return made

    def identity(self) -> tuple[object, ...]:
        """Return a value that two journals share exactly where nothing tells them apart."""
        opened = tuple(id(kept) for kept in self._obligations if kept.closed_at is None)
        return (frozenset(self._facts.items()), opened, tuple(self._drifts))

    def note(self, facts: Any, at: datetime) -> None:
        super().note(facts, at)
        if facts:
            self.written(f"note {', '.join(facts)}")

    def keep_baseline(self, obligation: Obligation) -> None:
        super().keep_baseline(obligation)
        self._intern()
        self.written(f"baseline of {obligation.key}")

    def mark_changed(
        self, key: Key, at: datetime, *, until: datetime | None = None, forecast_s: float | None = None
    ) -> None:
        super().mark_changed(key, at, until=until)
        self._intern()
        self.written(f"promise of {key}")

    def want_until(self, key: Key, until: datetime | None) -> None:
        super().want_until(key, until)
        self._intern()
        self.written(f"end of the lease of {key}")

    def close(self, key: Key, at: datetime) -> None:
        super().close(key, at)
        self._obligations = self.obligations()
        self.written(f"closing of {key}")

    def sight(self, sightings: Any) -> None:
        super().sight(sightings)
        self.written("drifts")

    def record(self, event: str, at: datetime, *details: Json) -> None:
        self.written(f"history: {event}")

    def _intern(self) -> None:
        for index, kept in enumerate(self._obligations):
            if id(kept) not in self.ids:
                self._obligations[index] = one = self.interned.setdefault(repr(kept), kept)
                self.ids.add(id(one))


@dataclass(eq=False)
class Node:
    """A state to start from.

    Attributes:
        whole: The migration ran to its end before ``complete`` was asked for.
        depth: Number of disturbances so far.
    """

    phase: Phase
    tables: Tables
    journal: SimulatedJournal
    key: tuple[object, ...]
    whole: bool = True
    how: str = "start"
    before: Node | None = None
    depth: int = 0

    def story(self) -> str:
        """Tell how this state came about."""
        return (self.before.story() + "\n  " if self.before else "") + self.how


@dataclass
class Trace:
    """One run: the states in which a crash would have left it, in order, and how it ended."""

    points: list[Node] = field(default_factory=list)
    effects: int = 0
    writes: int = 0
    final: Node | None = None
    wrong: dict[str, str] = field(default_factory=dict)


class _Recorder:
    """Takes a picture of world and journal at every point at which the program could end."""

    def __init__(self, node: Node, lost: Lost | None, watched: bool) -> None:
        self.node, self.lost, self.trace = node, lost, Trace()
        self.journal = node.journal.copy()
        self.world = SimulatedWorld(node.tables.copy(), self.journal if watched else None)
        self.world.before, self.world.after, self.journal.written = self._before, self._after, self._written
        self.world.asked, self.gone = self._reach, ""
        self._picture()

    def _reach(self, wanted: Query | Effect) -> None:
        if self.gone and self.gone in _targets(wanted):
            raise Unreachable(f"'{self.gone}' does not answer", target=self.gone, sent=False)

    def _before(self, effect: Effect) -> None:
        self._point(f"before effect {self.trace.effects}: {effect}")
        if self.lost == (self.trace.effects, "request"):
            self.trace.effects += 1
            raise Unreachable("the request was lost", sent=True)
        if self.lost == (self.trace.effects, "target"):
            self.gone = _targets(effect)[0]
            self.trace.effects += 1
        self._reach(effect)

    def _after(self, effect: Effect) -> None:
        self.tables, self.tables_key = self.world.tables.copy(), self.world.tables.identity()
        self._point(f"after effect {self.trace.effects}: {effect}")
        self.trace.effects += 1
        if self.lost == (self.trace.effects - 1, "reply"):
            raise Unreachable("the reply was lost", sent=True)

    def _written(self, what: str) -> None:
        self.trace.writes += 1
        self.kept, self.kept_key = self.journal.copy(), self.journal.identity()
        self._point(f"after the journal write: {what}")

    def _picture(self) -> None:
        self.tables, self.tables_key = self.world.tables.copy(), self.world.tables.identity()
        self.kept, self.kept_key = self.journal.copy(), self.journal.identity()

    def _point(self, what: str) -> None:
        lost = self.lost is not None and self.lost[0] < self.trace.effects
        also = f"{self.lost[1]} of effect {self.lost[0]} lost, then " if self.lost and lost else ""
        self.trace.points.append(self.node_now(f"{self.node.phase}: {also}crash {what}", 2 if lost else 1))

    def node_now(self, how: str, disturbed: int) -> Node:
        """Return the present as a state to start from."""
        node = self.node
        key = (node.phase, node.whole, self.tables_key, self.kept_key)
        return Node(node.phase, self.tables, self.kept, key, node.whole, how, node, node.depth + disturbed)


def _targets(wanted: Query | Effect) -> tuple[str, ...]:
    """Return the hosts and domains that something is sent to, the one it is mostly about first."""
    names = (getattr(wanted, name, None) for name in ("host", "domain", "source_host"))
    return tuple(str(name) for name in names if name)


def run(node: Node, lost: Lost | None = None, *, watched: bool = True) -> Trace:
    """Start the program once in this state and let it end by itself; ``watched`` by the world for what is not promised."""
    recorder = _Recorder(node, lost, watched)
    tools = Tools(recorder.world, recorder.journal, StoppedClock(), "run")
    result = converge(scope(whole(node.phase, recorder.journal), node.phase, recorder.journal, revive), tools)
    trace = recorder.trace
    trace.wrong = {
        o.key: f"{o.status}: {o.error or o.because}"
        for o in result.outcomes
        if o.status not in ("changed", "unchanged")
    }
    if not result.converged:
        trace.wrong["rounds"] = "it did not come to rest"
    how = f"{node.phase}: {lost[1]} of effect {lost[0]} lost" if lost else f"{node.phase}: undisturbed"
    trace.final = recorder.node_now(how, 1 if lost else 0)
    return trace


def first() -> Node:
    """Return the state before anything was done."""
    tables, journal = start(), SimulatedJournal()
    return Node("migrate", tables, journal, ("migrate", True, tables.identity(), journal.identity()))


def completing(node: Node, *, whole: bool) -> Node:
    """Return the same state, now with the phase ``complete``."""
    key = ("complete", whole, *node.key[2:])
    how = "the state file now says complete" if whole else "given up half way: the state file now says complete"
    return Node("complete", node.tables, node.journal, key, whole, how, node, node.depth)


class _AtOnce(ThreadPoolExecutor):
    """Threads only cost where nothing is waited for."""

    def map(self, fn: Any, *iterables: Any, **more: Any) -> Any:
        return map(fn, *iterables)


@contextmanager
def without_threads() -> Iterator[None]:
    """Let the engine observe one after the other."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(observe, "ThreadPoolExecutor", _AtOnce)
        yield

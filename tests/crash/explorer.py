"""Visits the states that schedules lead to, nearest first, and judges how each run that is left alone ends."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field
from typing import Literal

from reconciler.core.values import Phase
from tests.crash.schedules import MOST_CRASHES, Lost, Node, Trace, completing, first, run
from tests.crash.simulated import items, leftovers, people
from tests.crash.simulated_start import start

LOSSES: tuple[Literal["reply", "request", "target"], ...] = ("reply", "request", "target")


@dataclass
class Explored:
    """What was covered.

    Attributes:
        runs: Starts of the program, each from a state that no other start began with.
        schedules: Paths of up to ``MOST_CRASHES`` disturbances through those runs.
        singles: Runs after which every state that a single disturbance leads to had been started from; 0 for not all.
        rest: States that were reached, but not started from, because the budget was used up.
        effects, writes: Of the undisturbed migration and its completion.
    """

    runs: int = 0
    lost: int = 0
    schedules: list[int] = field(default_factory=list)
    rest: int = 0
    singles: int = 0
    effects: int = 0
    writes: int = 0
    failures: dict[str, str] = field(default_factory=dict)


class Explorer:
    """Visits states and judges the end of every run that is left alone.

    Every single disturbance comes first, all of them; what two to four lead to is drawn by the seed.
    """

    def __init__(self, seed: int, *, watched: bool = True) -> None:
        self.seed = seed
        self.watched = watched
        self.done = Explored()
        self._random = random.Random(seed)
        self._next: dict[tuple[object, ...], dict[tuple[object, ...], int]] = {}  # with the number of disturbances
        self._model: dict[Phase, Node] = {}

    def explore(self, most_runs: int) -> Explored:
        """Start from every state that a schedule leads to, until there is none left or ``most_runs`` are used up."""
        begin = first()
        known, urgent, others = {begin.key}, deque([begin]), list[Node]()
        while (urgent or others) and self.done.runs < most_runs:
            if not urgent and not self.done.singles:
                self.done.singles = self.done.runs
            node = urgent.popleft() if urgent else others.pop(self._random.randrange(len(others)))
            for found in self._visit(node):
                if found.key not in known:
                    known.add(found.key)
                    (urgent if found.depth <= 1 else others).append(found)
        self.done.rest = len(urgent) + len(others)
        self.done.schedules = self._count(begin.key)
        return self.done

    def _visit(self, node: Node) -> list[Node]:
        """Run from a state; return the states that follow."""
        trace = self._run(node)
        self._judge(node, trace)
        if node.depth == 0:
            self.done.effects += trace.effects
            self.done.writes += trace.writes
        following = list(trace.points) if node.depth < MOST_CRASHES else []
        for lost in self._losses(node, trace.effects):
            self.done.lost += 1
            unlucky = self._run(node, lost)
            following += [*unlucky.points, *([unlucky.final] if unlucky.final else [])]
        if node.phase == "migrate":
            following += [completing(trace.final, whole=True)] if trace.final else []
            following.append(completing(node, whole=False))
        self._next[node.key] = {
            found.key: found.depth - node.depth for found in sorted(following, key=lambda found: -found.depth)
        }
        return following

    def _losses(self, node: Node, effects: int) -> list[Lost]:
        """Choose what is lost: everything in turn where nothing else went wrong so far, else one thing at times."""
        every: list[Lost] = [(number, what) for number in range(effects) for what in LOSSES]
        if node.depth == 0:
            return every
        unlucky = every and node.depth < MOST_CRASHES and self._random.random() < 0.2
        return [self._random.choice(every)] if unlucky else []

    def _run(self, node: Node, lost: Lost | None = None) -> Trace:
        self.done.runs += 1
        try:
            return run(node, lost, watched=self.watched)
        except AssertionError as error:
            self._fail(node, f"{type(error).__name__}: {error}")
            return Trace()

    def _judge(self, node: Node, trace: Trace) -> None:
        end = trace.final
        if end is None:
            return
        model = self._model.setdefault(node.phase, end)
        for key, why in trace.wrong.items():
            self._fail(node, f"{key} {why}")
        if node.whole and people(end.tables) != people(model.tables):
            self._fail(node, f"other accounts than in the undisturbed run: {people(end.tables)}")
        if node.phase == "migrate" and items(end.tables) != items(model.tables):
            self._fail(node, f"another end state than that of the undisturbed run: {_apart(end, model)}")
        if node.phase == "complete" and items(end.tables) != items(start()):
            self._fail(node, f"the original is not restored: {_apart(end, first())}")
        if left := leftovers(end.tables):
            self._fail(node, f"files of a run of ADMT are left: {left}")
        if node.phase == "complete" and end.journal.obligations():
            self._fail(node, f"still open: {[promise.key for promise in end.journal.obligations()]}")

    def _fail(self, node: Node, what: str) -> None:
        """Keep one schedule per kind of failure, the shortest."""
        self.done.failures.setdefault(what[:90], f"{what}\nseed {self.seed}, schedule:\n  {node.story()}")

    def _count(self, begin: tuple[object, ...]) -> list[int]:
        """Count the schedules by number of disturbances: paths to a run of ``complete``, every run of which was made."""
        ways: list[dict[tuple[object, ...], int]] = [{} for _ in range(MOST_CRASHES + 3)]
        ways[0][begin] = 1
        for so_far in range(MOST_CRASHES + 1):
            for disturbed in (0, 1, 2):  # saying `complete` is none, a loss and then a crash are two
                for key, number in list(ways[so_far].items()):
                    for found, more in self._next.get(key, {}).items():
                        if more == disturbed and found in self._next:
                            later = ways[so_far + disturbed]
                            later[found] = later.get(found, 0) + number
        return [
            sum(number for key, number in reached.items() if key[0] == "complete")
            for reached in ways[: MOST_CRASHES + 1]
        ]


def _apart(end: Node, model: Node) -> list[tuple[object, ...]]:
    now, then = items(end.tables), items(model.tables)
    return [
        (item, now.get(item), then.get(item)) for item in now.keys() | then.keys() if now.get(item) != then.get(item)
    ]

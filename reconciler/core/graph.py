"""Which resource comes before which, and why. Pure."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cached_property
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Self

from msgspec import Struct

from reconciler.core.exposure import Pace
from reconciler.core.order import Job, first_out, last_in
from reconciler.core.resource import Declaration, Key, Need, Resource

if TYPE_CHECKING:
    from reconciler.core.plan import Direction


class GraphFault(Struct, frozen=True):
    """Something about the edges that makes the state file wrong."""

    key: Key
    what: str
    do: str
    origin: Sequence[str | int] | None = None  # where it is, when that is not where the key is declared
    missing: Key = ""  # the key that nothing has


class Graph:
    """Resources by key, in orders in which no resource precedes what it requires.

    Attributes:
        sequence: Every key; ties are as declared. Empty where there is a cycle.
        pace: How long work on each resource takes.
    """

    def __init__(self, declarations: Iterable[Declaration]) -> None:
        """Build the graph; ``faults`` says what is wrong with it."""
        self.declarations: dict[Key, Declaration] = {}
        self.faults: list[GraphFault] = []
        for declaration in declarations:
            self._admit(declaration)
        self.needs: dict[Key, tuple[Need, ...]] = {key: self._needs(d.resource) for key, d in self.declarations.items()}
        self.waits: dict[Key, list[Need]] = dependents(self.needs)  # the same edges from the other end
        self.sequence: tuple[Key, ...] = self._sort()
        self.pace = Pace()

    def __getitem__(self, key: Key) -> Resource:
        return self.declarations[key].resource

    def __len__(self) -> int:
        return len(self.declarations)

    @cached_property
    def order(self) -> tuple[Key, ...]:
        """The order in which everything goes forward, see ``forward``."""
        return self.forward(self.declarations)

    def paced(self, pace: Pace) -> Self:
        """Return the same graph, with what was learned about how long work takes."""
        found = copy.copy(self)
        found.__dict__.pop("order", None)
        found.pace = pace
        return found

    def forward(self, keys: Collection[Key]) -> tuple[Key, ...]:
        """Return these keys in the order in which they go forward: what is dangerous comes as late as it can."""
        if not any(self[key].danger for key in keys):  # of thousands of accounts and groups none is
            wanted = frozenset(keys)
            return tuple(key for key in self.sequence if key in wanted)
        return last_in(self._jobs(keys, "apply"))

    def backward(self, keys: Collection[Key]) -> tuple[Key, ...]:
        """Return these keys in the order in which they go back: dependents first, what is dangerous as early as it can."""
        jobs = self._jobs(keys, "revert")
        waits: dict[Key, list[Key]] = {job.key: [] for job in jobs}
        for job in jobs:
            for key in job.after:
                waits[key].append(job.key)
        return first_out(tuple(job._replace(after=tuple(waits[job.key])) for job in reversed(jobs)))

    def _jobs(self, keys: Collection[Key], direction: Direction) -> tuple[Job, ...]:
        """Return the work on some resources; what one requires through others that are left out still comes first."""
        jobs = []
        before: dict[Key, tuple[Key, ...]] = {}
        for key in self.sequence:
            needs = dict.fromkeys(
                one for need in self.needs[key] for one in ((need.key,) if need.key in keys else before[need.key])
            )
            if key in keys:
                ms = max(1, round(1000 * self.pace.seconds(self[key], direction)))
                jobs.append(Job(key, self[key].danger, ms, tuple(needs)))
            else:
                before[key] = tuple(needs)
        return tuple(jobs)

    def required(self, key: Key) -> set[Key]:
        """Return the keys of everything that a resource needs, directly or not."""
        found: set[Key] = set()
        waiting = [key]
        while waiting:
            news = {need.key for need in self.needs[waiting.pop()]} - found
            found |= news
            waiting += news
        return found

    def edges(self) -> list[tuple[Key, Key, str]]:
        """Return (requirement, dependent, reason) for every edge."""
        return [(need.key, key, need.because) for key in self.order or self.needs for need in self.needs[key]]

    def _admit(self, declaration: Declaration) -> None:
        key = declaration.resource.key
        if key in self.declarations:
            what = f"the resource '{key}' is declared twice"
            do = "keep one of them; `reconcile graph` shows what `migration` declares"
            self.faults.append(GraphFault(key, what, do, declaration.origin))
            return
        self.declarations[key] = declaration

    def _needs(self, resource: Resource) -> tuple[Need, ...]:
        named = [*resource.requires(), *(Need(after.key, after.because, after.must) for after in resource.after)]
        merged: dict[Key, Need] = {}
        for need in named:
            if need.key == resource.key:
                self.faults.append(
                    GraphFault(resource.key, f"'{resource.key}' requires itself", "remove it from `after`")
                )
            elif need.key not in self.declarations:
                what = f"no resource has the key '{need.key}'"
                do = "declare it, or remove it from `after`"
                self.faults.append(GraphFault(resource.key, what, do, missing=need.key))
            else:
                if need.must:
                    self._check_phases(resource, self.declarations[need.key].resource)
                known = merged.setdefault(need.key, need)
                merged[need.key] = known._replace(must=known.must or need.must)
        return tuple(merged.values())

    def _check_phases(self, resource: Resource, needed: Resource) -> None:
        missing = resource.during - needed.during
        if missing and not needed.barrier and not resource.barrier and resource.restores:
            phases = ", ".join(sorted(missing))
            self.faults.append(
                GraphFault(
                    resource.key,
                    f"'{resource.key}' is wanted in {phases}, but requires '{needed.key}', which is not",
                    "let `during` of both agree",
                )
            )

    def _sort(self) -> tuple[Key, ...]:
        """Return every key after what it needs, the one declared first where several are free; nothing where there is a cycle."""
        position = {key: index for index, key in enumerate(self.declarations)}
        missing = {key: len({need.key for need in needs}) for key, needs in self.needs.items()}
        free = [position[key] for key in self.declarations if not missing[key]]  # in order, and so a heap
        keys, found = list(self.declarations), []
        while free:
            key = keys[heappop(free)]
            found.append(key)
            for one in self.waits[key]:
                missing[one.key] -= 1
                if not missing[one.key]:
                    heappush(free, position[one.key])
        if len(found) == len(keys):
            return tuple(found)
        self._name_cycle()
        return ()

    def _name_cycle(self) -> None:
        import networkx  # costs 0.2 s; only who made a mistake pays it

        graph: networkx.DiGraph[Key] = networkx.DiGraph()
        graph.add_edges_from((need.key, key) for key, needs in self.needs.items() for need in needs)
        cycle = [edge[0] for edge in networkx.find_cycle(graph)]
        path = " -> ".join([*reversed(cycle), cycle[-1]])
        what = f"these resources require each other in a circle: {path}"
        self.faults.append(GraphFault(cycle[0], what, "remove one `after` on that path"))


def dependents(needs: Mapping[Key, tuple[Need, ...]]) -> dict[Key, list[Need]]:
    """Turn the edges round: what waits for each resource, and why."""
    out: dict[Key, list[Need]] = {key: [] for key in needs}
    for key, wanted in needs.items():
        for need in wanted:
            out.setdefault(need.key, []).append(Need(key, need.because, need.must))
    return out

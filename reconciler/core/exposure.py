"""How dangerous each weakening is, how long work takes, and what comes of both: weighted minutes. Pure."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from math import ceil
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from reconciler.core.resource import Key, Resource
from reconciler.core.steps import AddEntry, DeleteEntry, LogOn, ModifyEntry, RunTask, Step

if TYPE_CHECKING:
    from reconciler.core.plan import Direction

REMEMBERED = 10
"""Steps that count for how long the next one will take."""
DIRECTORY = frozenset(effect.__name__ for effect in (AddEntry, ModifyEntry, DeleteEntry, LogOn))
DIRECTORY_S = 1.0
TASK = RunTask.__name__
BESIDE_S = 3.0


class Exposure(Struct, frozen=True):
    """One weakening and how long it is foreseen to be live.

    Attributes:
        weight: How dangerous it is.
        live: From being set until put back, if the migration is completed right after this run; None where nothing puts it back.
        going_back: This very run puts it back.
    """

    key: Key
    weakens: str
    weight: int
    live: timedelta | None
    going_back: bool = False


def weighted_minutes(exposures: Iterable[tuple[int, timedelta | None]]) -> float:
    """Return the sum of weight x minutes live; what has no end or was not foreseen counts for nothing."""
    return sum(weight * live.total_seconds() for weight, live in exposures if live is not None) / 60


def about(length: timedelta) -> str:
    """Render a length of time that is only foreseen: ``under a minute``, ``4 min``, ``3 h 20 min``; minutes are rounded up."""
    if length < timedelta(minutes=1):
        return "under a minute"
    minutes = ceil(length.total_seconds() / 60)
    hours, rest = divmod(minutes, 60)
    return f"{minutes} min" if hours < 1 else f"{hours} h {rest:02d} min"


class Pace(Struct, frozen=True):
    """How long work takes: as measured for the resource, else for its kind, else as is typical.

    Attributes:
        measured: Seconds that one step takes, by direction, key or kind, and sort of effect.
    """

    measured: Mapping[tuple[Direction, str], Mapping[str, float]] = field(default_factory=dict)

    def seconds(self, resource: Resource, direction: Direction, steps: Sequence[Step] = ()) -> float:
        """Return how long these steps take. Where they are not known: as long as one of the longest sort."""
        of_kind = self.measured.get((direction, resource.kind), {})
        of_this = self.measured.get((direction, resource.key), {})
        if not steps:
            return max((of_this or of_kind).values(), default=resource.typical_s)
        sorts = [type(step.effect).__name__ for step in steps]
        lanes: dict[str, float] = {"": 0.0}
        for step, sort in zip(steps, sorts, strict=True):
            took = of_this.get(sort, of_kind.get(sort, _typical_s(resource, sort, sorts)))
            lanes[step.lane] = lanes.get(step.lane, 0.0) + took
        # Lanes are under way at once: the longest of them is what lasts.
        return lanes.pop("") + max(lanes.values(), default=0.0)


def learned(history: Iterable[Mapping[str, Any]]) -> Pace:
    """Learn from the steps in a journal's history: the mean of the latest ones. Steps that failed tell nothing."""
    found: dict[tuple[Direction, str], dict[str, deque[float]]] = defaultdict(
        lambda: defaultdict(lambda: deque(maxlen=REMEMBERED))
    )
    for entry in history:
        took, direction = entry.get("took_s"), entry.get("direction")
        if entry.get("event") != "step" or entry.get("outcome") != "done" or not isinstance(took, int | float):
            continue
        if direction == "apply" or direction == "revert":
            key, sort = str(entry["key"]), str(entry["effect"])
            found[direction, key][sort].append(took)
            found[direction, key.partition("/")[0]][sort].append(took)
    return Pace(
        {about: {sort: sum(times) / len(times) for sort, times in sorts.items()} for about, sorts in found.items()}
    )


def _typical_s(resource: Resource, sort: str, beside: Collection[str]) -> float:
    """A change in a directory is quick whatever else the kind does, and so is what prepares and clears up after a task."""
    if sort in DIRECTORY:
        return min(resource.typical_s, DIRECTORY_S)
    return min(resource.typical_s, BESIDE_S) if TASK in beside and sort != TASK else resource.typical_s

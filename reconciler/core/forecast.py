"""Foresee how long each weakening will be live, if the migration is completed right after the run that a plan describes. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from reconciler.core.exposure import Exposure
from reconciler.core.graph import Graph
from reconciler.core.plan import Plan
from reconciler.core.ports import Obligation
from reconciler.core.resource import Key

LOOKING_S = 10.0
"""What the last look of this run and the first one of the next take together, until anything goes back."""


def forecast(plan: Plan, graph: Graph, obligations: Mapping[Key, Obligation], now: datetime) -> tuple[Exposure, ...]:
    """Return every weakening that the plan sets or puts back, or that stays open, in the order of work.

    What waits for a person is counted as if that person were quick.

    Args:
        obligations: The open ones, by key.
    """
    starts, ends, length = _times(plan, graph)
    opened = {key: promise.changed_at for key, promise in obligations.items() if promise.changed_at is not None}
    going_back = {change.key for change in plan.changes if change.direction == "revert"}
    stays = [key for key in graph.sequence if key in opened and key not in starts and graph[key].temporary]
    temporary = {key for key in (*starts, *stays) if key not in going_back and graph[key].temporary}
    back = _way_back(graph, temporary)
    found = []
    for key in (*starts, *stays):
        resource = graph[key]
        if not resource.weakens:
            continue
        already = (now - opened[key]).total_seconds() if key in opened else 0.0
        seconds: float | None = None
        if key in going_back:
            seconds = already + ends[key]
        elif key in temporary:
            since = starts.get(key, 0.0) if key not in opened else 0.0
            seconds = already + length - since + back[key]
        live = None if seconds is None else timedelta(seconds=seconds)
        found.append(Exposure(key, resource.weakens, resource.danger, live, key in going_back))
    return tuple(found)


def _times(plan: Plan, graph: Graph) -> tuple[dict[Key, float], dict[Key, float], float]:
    """Return when each change begins and ends, and how long the run takes, in seconds."""
    starts, ends, now = {}, {}, 0.0
    for change in plan.changes:
        starts[change.key] = now
        now += graph.pace.seconds(change.wanted, change.direction, change.steps)
        ends[change.key] = now
    return starts, ends, now


def _way_back(graph: Graph, keys: set[Key]) -> dict[Key, float]:
    """Return how long after the end of this run each one will be back, if nothing comes between."""
    found, now = {}, LOOKING_S
    for key in graph.backward(keys):
        now += graph.pace.seconds(graph[key], "revert")
        found[key] = now
    return found

"""When to look again at the latest: so that no lease ends unseen, and no dead-man's switch fires while somebody watches."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from reconciler.core.ports import Obligation
from reconciler.core.resource import Resource

OFTEN = 4
"""How many looks fall into the time of the shortest dead-man's switch; it is pushed forward once half of it is gone."""


def next_look(
    now: datetime,
    every: timedelta,
    promises: Iterable[Obligation],
    resources: Iterable[Resource],
    also: Iterable[datetime] = (),
) -> datetime:
    """Return when a watch has to look again, whatever wakes it before.

    Args:
        promises: The open ones.
        resources: Those of the state file.
        also: Further times at which there is something to do.
    """
    switches = (getattr(resource, "dead_mans_switch", None) for resource in resources)
    paces = [every, *(length / OFTEN for length in switches if isinstance(length, timedelta))]
    ends = [promise.wanted_until for promise in promises if promise.changed_at and promise.wanted_until]
    return min([now + min(paces), *(end for end in (*ends, *also) if end > now)])

"""When to look again at the latest: so that no lease ends unseen, and no dead-man's switch fires while somebody watches."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from msgspec import Struct

from reconciler.core.ports import Obligation
from reconciler.core.query import Command
from reconciler.core.resource import Resource

OFTEN = 4
"""How many looks fall into the time of the shortest dead-man's switch; it is pushed forward once half of it is gone."""
JITTER = 0.1
"""By how much of itself the time between two looks may be shorter, so that several watches do not look at once."""
FIRST_RETRY, LONGEST_RETRY = timedelta(seconds=1), timedelta(minutes=1)
SPAN, SHARE, LONGEST_REST = timedelta(minutes=1), timedelta(seconds=30), timedelta(seconds=30)
"""Looks follow each other at once until they took this share of this span; where all the time something changes, each is
then followed by a rest as long as itself."""


class Pace(Struct, frozen=True):
    """How often to look, whatever is heard.

    Attributes:
        every: At everything, without trusting what is remembered.
        hosts_every: At the hosts.
    """

    every: timedelta
    hosts_every: timedelta


class Rhythm:
    """When a watch looks, when it rests, and when it trusts nothing that it remembers.

    Args:
        began: When the watch began, with nothing remembered.
        chance: Returns a number from 0 to 1.
    """

    def __init__(self, pace: Pace, began: datetime, chance: Callable[[], float]) -> None:
        self._pace = pace
        self._chance = chance
        self._whole_at = began
        self._looks: list[tuple[datetime, timedelta]] = []

    def starts_afresh(self, now: datetime) -> bool:
        """Whether the look that begins now trusts nothing that is remembered; a clock that was set back is a reason too."""
        if self._whole_at <= now < self._whole_at + self._pace.every * (1 - JITTER):
            return False
        self._whole_at = now
        return True

    def length(self, resources: Iterable[Resource]) -> timedelta:
        """Return how long these may go without a look, a little less each time by chance."""
        hosts = any(isinstance(query, Command) for resource in resources for query in resource.queries())
        whole = min(self._pace.every, self._pace.hosts_every) if hosts else self._pace.every
        return whole * (1 - JITTER * self._chance())

    def rest(self, began: datetime, ended: datetime) -> timedelta:
        """Return how long not to look after a look, so that looking does not take all the time."""
        took = max(timedelta(), ended - began)
        kept = [(at, length) for at, length in self._looks if ended - SPAN <= at <= ended]
        self._looks = [*kept, (ended, took)]
        busy = sum((length for _, length in self._looks), timedelta())
        return min(took, LONGEST_REST) if busy > SHARE else timedelta()


def retry(failures: int) -> timedelta:
    """Return how long to wait after so many looks in a row that could not see everything."""
    return min(LONGEST_RETRY, FIRST_RETRY * (1 << min(failures - 1, 10)))


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

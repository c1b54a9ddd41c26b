"""Put work into the order in which what is dangerous is live for the shortest time. Pure.

The law: no job precedes what it requires, and the order is never worse than the one in which the jobs were given.

Going back, the sum of weight x time until each job is done shall be least; going forward, that of weight x time from the
start of each job to the end. One is the other read backwards: scheduling one machine under precedence, 1|prec|sum wC.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

MAX_LOOKS = 100_000
"""Sets of finished jobs x jobs that are looked at for an order that is proven least; beyond, it is approximated."""
MAX_PAIRS = 200_000  # (requirement, dependent), direct or not, that the approximation looks at


class Job(NamedTuple):
    """A piece of work. Milliseconds are whole and at least 1, so that sums are exact and ties are ties.

    Attributes:
        after: Keys of the jobs that come first; they stand before it in the sequence of jobs.
    """

    key: str
    weight: int
    ms: int
    after: tuple[str, ...] = ()


def last_in(jobs: tuple[Job, ...]) -> tuple[str, ...]:
    """Return the order in which weighted jobs start as late as they can; ties keep the given order."""
    before: dict[str, list[str]] = {job.key: [] for job in jobs}
    for job in jobs:
        for key in job.after:
            before[key].append(job.key)
    return first_out(tuple(job._replace(after=tuple(before[job.key])) for job in reversed(jobs)))[::-1]


@lru_cache(maxsize=32)  # a run asks for the same order in every round
def first_out(jobs: tuple[Job, ...]) -> tuple[str, ...]:
    """Return the order in which weighted jobs are done as early as they can; ties keep the given order."""
    urgent = _urgent(jobs)
    few = [job for job in jobs if job.key in urgent]
    rest = [job.key for job in jobs if job.key not in urgent]  # nothing weighted waits for them: last costs nothing
    if not few:
        return tuple(rest)
    web = _Web(few)
    order = web.least() or min(list(range(len(few))), web.approximate(), key=web.cost)
    return (*(few[index].key for index in order), *rest)


def _urgent(jobs: Sequence[Job]) -> set[str]:
    """Return the keys of what has a weight, and of everything that it requires."""
    after = {job.key: job.after for job in jobs}
    waiting = [job.key for job in jobs if job.weight]
    found = set(waiting)
    while waiting:
        news = set(after[waiting.pop()]) - found
        found |= news
        waiting += news
    return found


class _Web:
    """Jobs by index, with what each requires and what waits for it, directly or not, as bits."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self.weight = [job.weight for job in jobs]
        self.ms = [job.ms for job in jobs]
        index = {job.key: place for place, job in enumerate(jobs)}
        self.direct = [sum(1 << index[key] for key in set(job.after)) for job in jobs]
        self.above = [0] * len(jobs)
        self.below = [0] * len(jobs)
        for place, bits in enumerate(self.direct):
            self.above[place] = bits
            for other in _places(bits):
                self.above[place] |= self.above[other]
        for place in reversed(range(len(jobs))):
            for other in _places(self.direct[place]):
                self.below[other] |= self.below[place] | 1 << place

    def cost(self, order: Iterable[int]) -> int:
        """Return the sum of weight x time until each is done."""
        total = now = 0
        for place in order:
            now += self.ms[place]
            total += self.weight[place] * now
        return total

    def least(self) -> list[int] | None:
        """Return the order that costs least, None where there are too many to tell.

        Dynamic programming over the sets of finished jobs (order ideals): what is left costs the same however the set
        came about.
        """
        needs = self._with_twins_in_line()
        ideals = self._ideals(needs)
        if ideals is None:
            return None
        best: dict[int, tuple[int, int]] = {}  # by set: what is left costs at least, and what comes next
        full = (1 << len(needs)) - 1
        for done, now in reversed(ideals.items()):  # larger sets were found later
            if done == full:
                best[done] = (0, -1)
                continue
            best[done] = min(
                (self.weight[place] * (now + self.ms[place]) + best[done | 1 << place][0], place)
                for place in _open(needs, done)
            )
        order: list[int] = []
        done = 0
        while done != full:
            order.append(best[done][1])
            done |= 1 << order[-1]
        return order

    def _ideals(self, needs: Sequence[int]) -> dict[int, int] | None:
        """Return every set of jobs that can be finished first, smaller ones first, and how long it takes."""
        found = {0: 0}
        edge = [0]
        while edge:
            larger: dict[int, int] = {}
            for done in edge:
                for place in _open(needs, done):
                    larger.setdefault(done | 1 << place, found[done] + self.ms[place])
                if (len(found) + len(larger)) * len(needs) > MAX_LOOKS:
                    return None
            found |= larger
            edge = list(larger)
        return found

    def _with_twins_in_line(self) -> list[int]:
        """Let jobs with the same requirements and the same dependents follow each other by weight per time.

        An order in which they do costs no more: where A stands before a better twin B, either what is between them is
        no worse than A and can go before it, or it is worse than B and can go after it; then A and B change places. It
        turns the 2**n sets of n twins into n + 1.
        """
        needs = list(self.direct)
        twins: dict[tuple[int, int], list[int]] = {}
        for place in range(len(needs)):
            twins.setdefault((self.above[place], self.below[place]), []).append(place)
        for group in twins.values():
            group.sort(key=lambda place: (-Fraction(self.weight[place], self.ms[place]), place))
            for first, then in pairwise(group):
                needs[then] |= 1 << first
        return needs

    def approximate(self) -> list[int]:
        """Return a good order: again and again the job that is worth most per time, with all that it still requires.

        An order of Sidney's kind, in which only what one job requires is weighed, not every set that could come first.
        """
        count = len(self.ms)
        if sum(bits.bit_count() for bits in self.above) > MAX_PAIRS:
            return list(range(count))
        weight, ms = list(self.weight), list(self.ms)
        for place in range(count):
            weight[place] += sum(self.weight[other] for other in _places(self.above[place]))
            ms[place] += sum(self.ms[other] for other in _places(self.above[place]))
        heap = [(-weight[place] / ms[place], place, ms[place]) for place in range(count)]
        heapq.heapify(heap)
        left = (1 << count) - 1
        order: list[int] = []
        while left:
            _, chosen, then = heapq.heappop(heap)
            if not left >> chosen & 1 or then != ms[chosen]:
                continue  # done, or there is a newer entry: what it requires has become less
            taken = list(_places((self.above[chosen] | 1 << chosen) & left))
            order += taken
            touched = 0
            for place in taken:
                left &= ~(1 << place)
                touched |= self.below[place]
                for other in _places(self.below[place]):
                    weight[other] -= self.weight[place]
                    ms[other] -= self.ms[place]
            for other in _places(touched & left):
                heapq.heappush(heap, (-weight[other] / ms[other], other, ms[other]))
        return order


def _places(bits: int) -> Iterable[int]:
    while bits:
        lowest = bits & -bits
        yield lowest.bit_length() - 1
        bits ^= lowest


def _open(needs: Sequence[int], done: int) -> list[int]:
    return [place for place, bits in enumerate(needs) if not done >> place & 1 and bits & done == bits]

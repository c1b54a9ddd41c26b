"""Many questions to the world at once: turns beside each other, and each answer handed on when it comes."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from queue import SimpleQueue
from typing import TypeVar

from msgspec import Struct

from reconciler.core.errors import ReconcileError, Refused
from reconciler.core.query import Command, Query, Rows, Search
from reconciler.edge.ldap_together import one_for_all, taken_apart
from reconciler.edge.turns import turns

T = TypeVar("T")
THREADS = 8  # one per target at most waits; more only queue behind the same connection

Answer = Rows | ReconcileError
"""Rows, or the error that prevents them."""


class Asking(Struct, frozen=True):
    """How questions are asked.

    Attributes:
        ask: Answers one query.
        ask_host: Answers commands to one host in one message.
        ask_ahead: Answers searches of one domain that find few, several under way at once (``Directory.search_ahead``).
    """

    ask: Callable[[Query], Rows]
    ask_host: Callable[[Sequence[Command]], Sequence[Answer]]
    ask_ahead: Callable[[str, Sequence[Search]], Generator[tuple[int, Rows], None, None]]

    def each(self, queries: Sequence[Query]) -> Iterator[tuple[int, Answer]]:
        """Yield the place of each query and its answer, as answers come."""
        return as_they_come([partial(self._turn, queries, turn) for turn in turns(queries)])

    def _turn(self, queries: Sequence[Query], turn: Sequence[Sequence[int]]) -> Iterator[tuple[int, Answer]]:
        """Ask unit by unit; searches that are put together, which stand last, several at once."""
        alike: list[tuple[Sequence[int], list[Search]]] = []
        for unit in turn:
            commands = [query for place in unit if isinstance(query := queries[place], Command)]
            searches = [query for place in unit if isinstance(query := queries[place], Search)]
            if commands:
                yield from zip(unit, self._host(commands), strict=True)
            elif len(unit) > 1:
                alike.append((unit, searches))
            else:
                yield unit[0], self._one(searches[0])
        if alike:
            for at, answers in self._alike([searches for _, searches in alike]):
                yield from zip(alike[at][0], answers, strict=True)

    def _host(self, commands: Sequence[Command]) -> Sequence[Answer]:
        try:
            return self.ask_host(commands)
        except ReconcileError as error:
            return [error] * len(commands)

    def _one(self, query: Query) -> Answer:
        try:
            return self.ask(query)
        except ReconcileError as error:
            return error

    def _alike(self, units: Sequence[Sequence[Search]]) -> Iterator[tuple[int, Sequence[Answer]]]:
        """Ask for all of each unit at once where that says as much; whatever is wrong with that is said of each search alone."""
        left = dict(enumerate(units))
        try:
            with closing(self.ask_ahead(units[0][0].domain, [one_for_all(unit) for unit in units])) as answers:
                for at, rows in answers:
                    if (apart := taken_apart(units[at], rows)) is not None:
                        yield at, apart
                        del left[at]
        except Refused:  # which of them is wrong is said of each alone
            pass
        except ReconcileError as error:  # nobody answers there
            yield from ((at, [error] * len(unit)) for at, unit in left.items())
            return
        for at, unit in left.items():
            yield at, self._together(unit)

    def _together(self, searches: Sequence[Search]) -> Sequence[Answer]:
        try:
            apart = taken_apart(searches, self.ask(one_for_all(searches)))
        except Refused:
            apart = None
        except ReconcileError as error:
            return [error] * len(searches)
        return [self._one(search) for search in searches] if apart is None else apart


def as_they_come(jobs: Sequence[Callable[[], Iterator[T]]]) -> Iterator[T]:
    """Yield what some jobs yield, each in a thread of its own; the first error in their order comes once all have ended."""
    if len(jobs) < 2:
        for job in jobs:
            yield from job()
        return
    told: SimpleQueue[tuple[T] | None] = SimpleQueue()

    def tell(job: Callable[[], Iterator[T]]) -> None:
        try:
            for one in job():
                told.put((one,))
        finally:
            told.put(None)

    with ThreadPoolExecutor(THREADS, thread_name_prefix="world") as pool:
        begun = [pool.submit(tell, job) for job in jobs]
        for _ in jobs:
            while (one := told.get()) is not None:
                yield one[0]
    for one_of_them in begun:
        one_of_them.result()

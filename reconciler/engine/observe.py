"""Look at the world: every query of every resource, targets in parallel, and nothing is changed."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from reconciler.core.errors import ReconcileError
from reconciler.core.facts import FactRows
from reconciler.core.plan import Observation
from reconciler.core.ports import AsksTogether, Journal, World
from reconciler.core.query import Query, Recall, Rows
from reconciler.core.resource import Key, Resource

K = TypeVar("K", bound=Hashable)
THREADS = 8  # one per target at most waits; more only queue behind the same connection


def observe(resource: Resource, world: World, journal: Journal) -> Observation:
    """Ask everything that one resource wants to know, equal queries once; an error stands in place of the answers."""
    answers: dict[Query, Rows] = {}

    def ask(query: Query) -> Rows:
        if not _can_hash(query):
            return _ask(query, world, journal)
        if query not in answers:
            answers[query] = _ask(query, world, journal)
        return answers[query]

    return _collect(resource.queries(), ask)


def observe_all(resources: Mapping[Key, Resource], world: World, journal: Journal) -> dict[Key, Observation]:
    """Observe many at once. Equal queries are sent once, so that one round sees one world."""
    return observe_asking({key: resource.queries() for key, resource in resources.items()}, world, journal)


def observe_asking(asked: Mapping[K, Sequence[Query]], world: World, journal: Journal) -> dict[K, Observation]:
    """Observe by other queries than a resource's own, such as the same ones to one controller."""
    queries = list(dict.fromkeys(query for found in asked.values() for query in _hashable(found)))
    answers = dict(zip(queries, _ask_all(queries, world, journal), strict=True))
    return {key: _collect(found, lambda query: _known(answers, query, world, journal)) for key, found in asked.items()}


def recall(journal: Journal, query: Recall) -> Rows:
    """Answer from the journal."""
    return FactRows(journal.facts(query.prefix))


def _ask(query: Query, world: World, journal: Journal) -> Rows:
    return recall(journal, query) if isinstance(query, Recall) else world.ask(query)


def _ask_all(queries: Sequence[Query], world: World, journal: Journal) -> list[Rows | ReconcileError]:
    outside = [query for query in queries if not isinstance(query, Recall)]
    if isinstance(world, AsksTogether):
        found = dict(zip(outside, world.ask_all(outside), strict=True))
    else:
        with ThreadPoolExecutor(THREADS, thread_name_prefix="observe") as pool:
            found = dict(zip(outside, pool.map(lambda query: _attempt(query, world, journal), outside), strict=True))
    return [recall(journal, query) if isinstance(query, Recall) else found[query] for query in queries]


def _attempt(query: Query, world: World, journal: Journal) -> Rows | ReconcileError:
    try:
        return _ask(query, world, journal)
    except ReconcileError as error:
        return error


def _known(answers: Mapping[Query, Rows | ReconcileError], query: Query, world: World, journal: Journal) -> Rows:
    found = answers[query] if query in answers else _attempt(query, world, journal)
    if isinstance(found, ReconcileError):
        raise found
    return found


def _collect(queries: Iterable[Query], ask: Callable[[Query], Rows]) -> Observation:
    answers: list[Rows] = []
    try:
        for query in queries:
            answers.append(ask(query))
    except ReconcileError as error:
        return Observation(error=error)
    return Observation(answers=tuple(answers))


def _hashable(queries: Iterable[Query]) -> list[Query]:
    return [query for query in queries if _can_hash(query)]


def _can_hash(query: Query) -> bool:
    try:
        hash(query)
    except TypeError:
        return False  # a parameter that is a dictionary: asked for by itself
    return True

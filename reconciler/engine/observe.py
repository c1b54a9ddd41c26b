"""Look at the world: every query of every resource, targets in parallel, and nothing is changed."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from msgspec.structs import replace

from reconciler.core.errors import ReconcileError
from reconciler.core.facts import FactRows
from reconciler.core.looks import Read
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


def observe_all(
    resources: Mapping[Key, Resource], world: World, journal: Journal, read: Read | None = None
) -> dict[Key, Observation]:
    """Observe many at once. Equal queries are sent once, so that one round sees one world.

    Args:
        read: Makes a resource of answers about it, while those about others are still under way; None to leave that for later.
    """
    asked = {key: resource.queries() for key, resource in resources.items()}
    found = {}
    for key, observation in _as_they_come(asked, world, journal):
        found[key] = observation if read is None else _with_reading(resources[key], asked[key], observation, read)
    return {key: found[key] for key in asked}


def observe_asking(asked: Mapping[K, Sequence[Query]], world: World, journal: Journal) -> dict[K, Observation]:
    """Observe by other queries than a resource's own, such as the same ones to one controller."""
    found = dict(_as_they_come(asked, world, journal))
    return {key: found[key] for key in asked}


def recall(journal: Journal, query: Recall) -> Rows:
    """Answer from the journal."""
    return FactRows(journal.facts(query.prefix))


def _ask(query: Query, world: World, journal: Journal) -> Rows:
    return recall(journal, query) if isinstance(query, Recall) else world.ask(query)


def _as_they_come(
    asked: Mapping[K, Sequence[Query]], world: World, journal: Journal
) -> Iterator[tuple[K, Observation]]:
    """Yield each observation once everything that it asks is answered; last those that ask what cannot be told from other questions."""
    answers: dict[Query, Rows | ReconcileError] = {}
    waiting: dict[Query, list[K]] = {}
    left = dict.fromkeys(asked, 0)
    for key, queries in asked.items():
        for query in queries:
            if not _can_hash(query):
                left[key] += 1  # asked for when the others are answered
            elif isinstance(query, Recall):
                if query not in answers:
                    answers[query] = recall(journal, query)
            elif not (keys := waiting.setdefault(query, [])) or keys[-1] != key:
                left[key] += 1
                keys.append(key)

    def observation(key: K) -> Observation:
        del left[key]
        return _collect(asked[key], lambda query: _known(answers, query, world, journal))

    for query, answer in _answers(list(waiting), world, journal):
        answers[query] = answer
        for key in waiting[query]:
            left[key] -= 1
            if not left[key]:
                yield key, observation(key)
    yield from [(key, observation(key)) for key in list(left)]


def _answers(queries: Sequence[Query], world: World, journal: Journal) -> Iterator[tuple[Query, Rows | ReconcileError]]:
    if isinstance(world, AsksTogether):
        yield from ((queries[place], answer) for place, answer in world.ask_each(queries))
        return
    with ThreadPoolExecutor(THREADS, thread_name_prefix="observe") as pool:
        yield from zip(queries, pool.map(lambda query: _attempt(query, world, journal), queries), strict=True)


def _with_reading(wanted: Resource, asked: Sequence[Query], observation: Observation, read: Read) -> Observation:
    """Read what was answered, where the journal has no part in it: a plan foresees what will be in there by then."""
    if observation.error is not None or any(isinstance(query, Recall) for query in asked):
        return observation
    try:
        return replace(observation, read=(wanted, read(wanted, observation.answers)))
    except ReconcileError:  # said where it is compared
        return observation


def _attempt(query: Query, world: World, journal: Journal) -> Rows | ReconcileError:
    try:
        return _ask(query, world, journal)
    except ReconcileError as error:
        return error


def _known(answers: Mapping[Query, Rows | ReconcileError], query: Query, world: World, journal: Journal) -> Rows:
    found = answers[query] if _can_hash(query) and query in answers else _attempt(query, world, journal)
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


def _can_hash(query: Query) -> bool:
    try:
        hash(query)
    except TypeError:
        return False  # a parameter that is a dictionary: asked for by itself
    return True

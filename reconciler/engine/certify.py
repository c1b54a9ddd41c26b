"""Read back what was put back, on every controller and host concerned, before anybody certifies it.

The law: what cannot be read is not certified, and neither is anything else then. Nothing is changed here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from reconciler.core.certificate import Doubt, PutBack, Reading, Verdict, judge
from reconciler.core.errors import ReconcileError, Unreachable
from reconciler.core.plan import Observation, answered
from reconciler.core.ports import Clock, Journal, Json, Obligation, World
from reconciler.core.query import Command, Query, Search
from reconciler.core.resource import Difference, Key, Resource
from reconciler.engine.intents import OURS, Revive, Scope
from reconciler.engine.observe import observe_asking, recall

CERTIFIED = "certified/"
"""Prefix of the facts that say how a setting was found when it was certified, by key."""
WAIT = "it may not have arrived there yet: apply again later; else put it back by hand, or find out who changed it"
REACH = "let it answer and apply again; where it is gone for good, take it out of the directory, DNS and `controllers`"

Place = tuple[Key, str]
"""A setting, and the controller or host on which it is read."""


class Sources(Struct, frozen=True):
    """What reading back works with."""

    world: World
    journal: Journal
    clock: Clock
    revive: Revive


class ReadBack(Struct, frozen=True):
    """What reading back came to: everything as it should be, or doubts."""

    settings: tuple[PutBack, ...] = ()
    doubts: tuple[Doubt, ...] = ()


class _Kept(Struct, frozen=True):
    """A promise that was kept, with what it is about."""

    promise: Obligation
    declared: Resource
    baseline: Resource
    back: Resource
    ours: Resource | None
    taken_along: bool


def pending(scope: Scope, journal: Journal, there: Collection[str]) -> list[Obligation]:
    """Return the promises that were kept and that no certificate covers yet.

    What the state file wants again, or what is owed anew, is not put back and so not certified.

    Args:
        there: Names of the certificates that are still as they were made; one that was lost covers nothing.
    """
    facts = journal.facts(CERTIFIED)
    return [
        promise
        for key, promise in latest(scope, journal).items()
        if not ((fact := facts.get(CERTIFIED + key)) and is_of(fact, promise) and fact["file"] in there)
    ]


def latest(scope: Scope, journal: Journal) -> dict[Key, Obligation]:
    """Return the last promise about each setting that is neither wanted nor owed now."""
    found = {promise.key: promise for promise in journal.closed()}
    owed = {promise.key for promise in journal.obligations() if promise.changed_at}
    wanted = {key for key, intent in scope.intents.items() if intent.direction == "apply"}
    return {key: promise for key, promise in found.items() if key not in owed | wanted}


def is_of(fact: Json, promise: Obligation) -> bool:
    """Whether a setting was certified after this promise was kept, and not after an earlier one of the same key."""
    return promise.closed_at is not None and fact.get("closed_at") == promise.closed_at.isoformat()


def read_back(promises: Sequence[Obligation], scope: Scope, sources: Sources) -> ReadBack:
    """Read every setting again, everywhere it could be; one doubt is enough for no certificate."""
    kept = {promise.key: _kept(promise, scope, sources) for promise in promises}
    kept = {key: found for key, found in kept.items() if not found.back.barrier}
    domains = dict.fromkeys(name for found in kept.values() for name in _domains(found.back.queries()))
    reached, doubts = _controllers(domains, sources)
    asked = {place: queries for key, found in kept.items() for place, queries in _places(key, found, reached)}
    observations = observe_asking(asked, sources.world, sources.journal)
    at = sources.clock.now()
    readings: dict[Key, list[Reading]] = {key: [] for key in kept}
    for (key, where), observation in observations.items():
        try:
            observed, verdict, differs = _judged(kept[key], observation, sources)
        except ReconcileError as error:
            doubts.append(Doubt(key, where, error.what, error.do or REACH))
            continue
        if verdict is None:
            doubts.append(Doubt(key, where, _shown(differs), WAIT))
        else:
            readings[key].append(Reading(where, at, verdict, observed))
    settings = [PutBack(f.promise, f.declared, f.baseline, tuple(readings[key])) for key, f in kept.items()]
    return ReadBack(doubts=tuple(doubts)) if doubts else ReadBack(tuple(settings))


def _kept(promise: Obligation, scope: Scope, sources: Sources) -> _Kept:
    """Put together what a promise is about, as the way back did: by the state file where it still says so."""
    declared, baseline = sources.revive(promise.declared), sources.revive(promise.baseline)
    now = scope.graph.declarations.get(promise.key)
    back = (now.resource if now else declared).undone(baseline)
    fact = sources.journal.facts(OURS + promise.key).get(OURS + promise.key)
    ours = sources.revive(fact) if fact else None
    return _Kept(promise, declared, baseline, back, ours, _taken_along(promise, sources))


def _taken_along(promise: Obligation, sources: Sources) -> bool:
    """Whether something that this one stood on was taken away by our own way back."""
    kept = {found.key: found for found in sources.journal.closed()}
    seen: set[Key] = set()
    stack = list(promise.requires)
    while stack:
        key = stack.pop()
        if key in seen or key not in kept:
            continue
        seen.add(key)
        if sources.revive(kept[key].baseline).ensure == "absent":
            return True
        stack += kept[key].requires
    return False


def _controllers(domains: Iterable[str], sources: Sources) -> tuple[dict[str, list[str]], list[Doubt]]:
    """Find every controller of each domain, and whether it answers: a dead one is waited for once, not per setting."""
    reached: dict[str, list[str]] = {}
    doubts: list[Doubt] = []
    for domain in domains:
        reached[domain] = []
        try:
            names = sources.world.controllers(domain)
            if not names:
                raise Unreachable("no controller is known", target=domain)
        except ReconcileError as error:
            doubts.append(Doubt("", domain, f"its controllers are not known: {error.what}", error.do))
            continue
        knocks = {name: (Search(domain, "", absent_ok=False, controller=name),) for name in names}
        for name, found in observe_asking(knocks, sources.world, sources.journal).items():
            if found.error is None:
                reached[domain].append(name)
            else:
                doubts.append(Doubt("", name, found.error.what, REACH))
    return reached, doubts


def _places(key: Key, kept: _Kept, reached: Mapping[str, Sequence[str]]) -> Iterable[tuple[Place, tuple[Query, ...]]]:
    """Return where one setting is read, and what is asked for it there.

    A setting in two domains (a trust) is read on every controller of each, while whichever controller answers for the other.
    """
    queries = kept.back.queries()
    for domain in _domains(queries):
        for name in reached[domain]:
            yield (key, name), tuple(_at(query, domain, name) for query in queries)
    if not _domains(queries):
        hosts = dict.fromkeys(query.host for query in queries if isinstance(query, Command))
        yield (key, ", ".join(hosts)), queries


def _at(query: Query, domain: str, controller: str) -> Query:
    return replace(query, controller=controller) if isinstance(query, Search) and query.domain == domain else query


def _domains(queries: Iterable[Query]) -> list[str]:
    return list(dict.fromkeys(query.domain for query in queries if isinstance(query, Search)))


def _judged(
    kept: _Kept, observation: Observation, sources: Sources
) -> tuple[Resource, Verdict | None, tuple[Difference, ...]]:
    if observation.error is not None:
        raise observation.error
    answers = answered(kept.back.queries(), observation.answers, lambda query: recall(sources.journal, query))
    observed = kept.back.parse(*answers)
    return observed, *judge(kept.back, kept.ours, observed, taken_along=kept.taken_along)


def _shown(differs: Iterable[Difference]) -> str:
    return "; ".join(f"{d.field} reads {d.observed!r} instead of {d.wanted!r}" for d in differs)

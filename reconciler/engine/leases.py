"""Leases: what was set for a time goes back when that time is over, whatever the phase.

The law: going back needs nobody; being set again needs a person.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from msgspec.structs import replace

from reconciler.core.plan import Intent
from reconciler.core.ports import Journal, Obligation
from reconciler.core.resource import Key, Resource
from reconciler.engine.intents import OURS, Scope

LAPSED = "lapsed/"
"""Prefix of the facts that say when a lease ended, by key; empty once the setting was set anew, or is no longer wanted."""


def end_of(promise: Obligation, resource: Resource | None) -> datetime | None:
    """Return when the lease of an open promise ends; None for never, or while nothing was changed.

    Args:
        resource: As the state file now declares it, which counts; what the journal says counts where it is gone.
    """
    if promise.changed_at is None:
        return None
    if resource is None:
        return promise.wanted_until
    return None if resource.lease is None else promise.changed_at + resource.lease


def with_leases(scope: Scope, journal: Journal, now: datetime) -> Scope:
    """Turn round what is past its lease, and hold up what went back for that reason."""
    leased = {key for key in scope.intents if scope.graph[key].lease is not None}
    ended = {key: datetime.fromisoformat(str(fact["at"])) for key, fact in _lapsed(journal).items()}
    if not leased and not ended:
        return scope
    open_now = {promise.key: promise for promise in journal.obligations() if promise.changed_at is not None}
    intents = dict(scope.intents)
    for key, intent in scope.intents.items():
        if intent.direction == "revert":
            continue
        promise = open_now.get(key)
        if promise is None and key in ended:
            intents[key] = replace(intent, lapsed=ended[key])
        elif promise is not None and (end := end_of(promise, scope.graph[key])) is not None and end <= now:
            intents[key] = _going_back(scope, promise, journal, end)
    return replace(scope, intents=intents)


def settle_leases(scope: Scope, journal: Journal, now: datetime) -> None:
    """Bring the journal up to date: deadlines as the state file now says, and no lapse of what is not wanted any more."""
    for key, promise in scope.obligations.items():
        resource = scope.graph.declarations[key].resource if key in scope.graph.declarations else None
        wanted = scope.intents[key].direction == "apply" if key in scope.intents else False
        if wanted and promise.changed_at and (end := end_of(promise, resource)) != promise.wanted_until:
            journal.want_until(key, end)
    over = [key for key in _lapsed(journal) if key not in scope.intents or scope.intents[key].direction == "revert"]
    owed = {key for key, promise in scope.obligations.items() if promise.changed_at is not None}
    journal.note({LAPSED + key: {} for key in over if key not in owed}, now)


def _going_back(scope: Scope, promise: Obligation, journal: Journal, end: datetime) -> Intent:
    landed = journal.facts(OURS + promise.key).get(OURS + promise.key)
    wanted = scope.graph[promise.key].undone(scope.revive(promise.baseline))
    return Intent("revert", wanted, scope.revive(landed) if landed else None, end)


def _lapsed(journal: Journal) -> Mapping[Key, Mapping[str, object]]:
    return {key.removeprefix(LAPSED): fact for key, fact in journal.facts(LAPSED).items() if fact}

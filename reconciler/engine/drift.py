"""What differs, with a name: where it comes from, since when, what it contradicts, what it would take. Nothing is written.

The law: only what was read as wanted can drift. What we never brought there is work to be done, and wrong is worse than unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from reconciler.core.canonical import canonical, digest_of, plain
from reconciler.core.drift import Class, Drift, Sighting
from reconciler.core.edit import Edit
from reconciler.core.errors import ReconcileError
from reconciler.core.plan import Change, Plan
from reconciler.core.policy import policy_at, said
from reconciler.core.ports import Journal, Json
from reconciler.core.resource import Difference, Key, Resource, differences
from reconciler.engine.authorship import last_edits
from reconciler.engine.certify import Sources
from reconciler.engine.intents import OURS, Scope

AS_WANTED = "as-wanted/"
"""Prefix of the facts that say what of a resource was once read as wanted, by key; empty once that went back."""


class Known(Struct, frozen=True):
    """What the journal knows of how it was, at the moment of a look.

    Attributes:
        as_wanted: Digest of what was wanted, and since when it was there.
        ours: What was read back after our last change, of what is still to be put back.
        seen: The drifts that are open, by key and fields.
    """

    at: datetime
    as_wanted: Mapping[Key, Json]
    ours: Mapping[Key, Resource]
    seen: Mapping[tuple[Key, tuple[str, ...]], Sighting]


def known(scope: Scope, journal: Journal, now: datetime) -> Known:
    """Read what the journal knows."""
    opened = {OURS + key for key, promise in scope.obligations.items() if promise.changed_at is not None}
    return Known(
        now,
        {key.removeprefix(AS_WANTED): fact for key, fact in journal.facts(AS_WANTED).items() if fact},
        {
            key.removeprefix(OURS): scope.revive(fact)
            for key, fact in journal.facts(OURS).items()
            if fact and key in opened
        },
        {(found.key, found.fields): found for found in journal.sightings(open_only=True)},
    )


def wanted_digest(wanted: Resource) -> str:
    """Return a digest of what a resource shall be, and of nothing else about it."""
    return digest_of(plain([wanted.ensure, {name: getattr(wanted, name) for name in wanted.managed()}]))


def fields_of(change: Change) -> tuple[str, ...]:
    """Return which fields differ, sorted."""
    return tuple(sorted(difference.field for difference in change.differs))


def drifts_of(scope: Scope, plan: Plan, sources: Sources, where: Mapping[Key, str]) -> tuple[Drift, ...]:
    """Name everything that a plan would change, and what could not be observed.

    The directory is asked about what somebody else changed, and about nothing else.

    Args:
        where: ``file:line:column`` of what declares each resource.
    """
    memory = known(scope, sources.journal, sources.clock.now())
    found = [_drift(change, scope, memory, sources) for change in (*plan.changes, *plan.left.values())]
    found += [_unknown(key, error, scope, memory) for key, error in plan.errors.items()]
    return tuple(replace(drift, where=where.get(drift.key, "")) for drift in found)


def drift_of(change: Change, scope: Scope, sources: Sources, where: Mapping[Key, str]) -> Drift:
    """Name one change, as `drifts_of` does."""
    found = _drift(change, scope, known(scope, sources.journal, sources.clock.now()), sources)
    return replace(found, where=where.get(change.key, ""))


def with_ignored(scope: Scope, journal: Journal, now: datetime) -> Scope:
    """Leave alone what drifted and is ignored at this moment: it is neither changed nor planned for."""
    asked = [
        key
        for key, intent in scope.intents.items()
        if intent.direction == "apply" and policy_at(scope.graph[key].on_drift, now) == "ignore"
    ]
    if not asked:
        return scope
    memory, intents = known(scope, journal, now), dict(scope.intents)
    for key in asked:
        wanted = intents[key].wanted
        if wanted.restores and not wanted.barrier and _was_there(key, wanted, memory):
            intents[key] = replace(intents[key], ignored=True)
    return replace(scope, intents=intents)


def class_of(change: Change, resource: Resource, memory: Known) -> tuple[Class, str]:
    """Say where a difference comes from, and why that is thought so."""
    wanted = change.wanted
    if change.direction == "revert":
        return "intended", "it goes back"
    if change.lapsed is not None:
        return "intended", "its lease ended"
    if resource.barrier:
        return "intended", "it follows from what else changes"
    if not wanted.restores:
        return "intended", "there is more to be done"
    if set(fields_of(change)) <= set(wanted.renews):
        return "intended", "it is time to renew it"
    if not _was_there(change.key, wanted, memory):
        asked = (
            "the state file asks for something else since" if change.key in memory.as_wanted else "never yet as wanted"
        )
        return "intended", asked
    if resource.settle is not None and memory.at - _first_seen(change, resource, memory) < resource.settle:
        return "transient", "it counts only if it is still so later: the migration itself changes it for a moment"
    return "external", "it was as wanted, and somebody changed it"


def digest_found(differs: Iterable[Difference]) -> str:
    """Return a digest of what was read in the fields that differ."""
    return digest_of(sorted([one.field, canonical(plain(one.observed))] for one in differs))


def _first_seen(change: Change, resource: Resource, memory: Known) -> datetime:
    """Return when a look first found it so. Where it has to settle: exactly so, another member is another difference."""
    seen = memory.seen.get((change.key, fields_of(change)))
    same = seen is not None and (resource.settle is None or seen.found == digest_found(change.differs))
    return seen.first_seen if seen is not None and same else memory.at


def _was_there(key: Key, wanted: Resource, memory: Known) -> bool:
    fact, ours = memory.as_wanted.get(key), memory.ours.get(key)
    if fact is not None:
        return bool(fact["wanted"] == wanted_digest(wanted))
    # A run that ended before it could take note of more still wrote down what it read back.
    return ours is not None and not differences(wanted, ours)


def _drift(change: Change, scope: Scope, memory: Known, sources: Sources) -> Drift:
    resource = scope.graph[change.key]
    comes_from, because = class_of(change, resource, memory)
    since, on = _authored(change, memory, sources) if comes_from == "external" else (None, "")
    drifted = comes_from in ("external", "transient")
    note = said(resource.on_drift, memory.at) if drifted else ""
    return Drift(
        change.key, change.wanted.title(), "", comes_from, "; ".join(filter(None, (because, note))), change.differs, change.wanted.weakens,
        since=since, on=on, first_seen=_first_seen(change, resource, memory), repair=_repair(change),
        policy=policy_at(resource.on_drift, memory.at) if drifted else "correct",
    )  # fmt: skip


def _repair(change: Change) -> tuple[str, ...]:
    if change.gate is not None and not change.steps:
        return (f"a person: {change.gate.what}",)
    return tuple(str(step) for step in change.steps) or ((f"known later: {change.pending}",) if change.pending else ())


def _unknown(key: Key, error: ReconcileError, scope: Scope, memory: Known) -> Drift:
    seen = memory.seen.get((key, ()))
    return Drift(
        key, scope.graph[key].title(), "", "unknown", "it could not be observed",
        first_seen=seen.first_seen if seen else memory.at, error=str(error.what),
    )  # fmt: skip


def _authored(change: Change, memory: Known, sources: Sources) -> tuple[datetime | None, str]:
    """Return when and on which controller it was changed: only what holds for every field that differs."""
    ours = memory.ours.get(change.key)
    if ours is None or differences(change.wanted, ours):
        ours = change.wanted  # it was read so, in all that is managed
    fact = memory.as_wanted.get(change.key)
    there_at = datetime.fromisoformat(str(fact["at"])) if fact else None
    told = last_edits(change.wanted, ours, change.observed, there_at, sources)
    edits: list[Edit | None] = [told.get(field) for field in _changed(change)]
    certain = [edit for edit in edits if edit is not None]
    if not certain or len(certain) != len(edits):
        return None, ""
    places = {edit.on for edit in certain}
    return min(edit.at for edit in certain), places.pop() if len(places) == 1 else ""


def _changed(change: Change) -> tuple[str, ...]:
    """Return the fields to ask about; of what is gone as a whole only that it is gone."""
    fields = fields_of(change)
    return ("ensure",) if "ensure" in fields else fields

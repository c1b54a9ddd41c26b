"""What the journal keeps of a look: which drifts began, go on, or are over, and what ended them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from msgspec.structs import replace

from reconciler.core.drift import Drift, Sighting
from reconciler.core.ports import Journal
from reconciler.core.report import Outcome
from reconciler.core.resource import Key
from reconciler.engine.drift import AS_WANTED, digest_found, wanted_digest
from reconciler.engine.intents import Scope

Fields = tuple[str, ...]


def sighted(
    drifts: Sequence[Drift], outcomes: Mapping[Key, Outcome], scope: Scope, journal: Journal, now: datetime, run: str
) -> list[Sighting]:
    """Return what to keep; work that was never done yet is no drift, and not kept."""
    kept = [drift for drift in drifts if drift.comes_from != "intended"]
    found = [_sighting(drift, now, run) for drift in kept]
    there = {(one.key, one.fields) for one in found}
    unknown = {drift.key for drift in kept if drift.comes_from == "unknown"}
    over = [
        replace(one, closed_at=now, repaired_by=_by_whom(one, scope, journal))
        for one in journal.sightings(open_only=True)
        if (one.key, one.fields) not in there and one.key not in unknown
    ]
    return [*over, *found]


def _sighting(drift: Drift, now: datetime, run: str) -> Sighting:
    fields = tuple(sorted(difference.field for difference in drift.differs))
    done = drift.comes_from == "corrective"
    return Sighting(
        drift.key, fields, drift.comes_from, drift.first_seen or now, now, now if done else None,
        f"us, run {run}" if done else "", drift.since, drift.on, digest_found(drift.differs),
    )  # fmt: skip


def _by_whom(one: Sighting, scope: Scope, journal: Journal) -> str:
    if one.comes_from == "unknown":
        return "it answers again"
    fact = journal.facts(AS_WANTED + one.key).get(AS_WANTED + one.key)
    intent = scope.intents.get(one.key)
    if (
        intent is None
        or intent.direction == "revert"
        or not fact
        or fact["wanted"] != wanted_digest(scope.graph[one.key])
    ):
        return "the state file"
    return "somebody else"

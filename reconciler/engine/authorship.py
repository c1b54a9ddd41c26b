"""Who changed it: asked only once there is a conflict, and nothing that goes wrong here changes what happens.

The law: wrong is worse than unknown. A change that may be our own write is nobody else's.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from msgspec.structs import replace

from reconciler.core.conflict import Conflict, asked
from reconciler.core.edit import Edit
from reconciler.core.plan import Finding, Intent, Plan
from reconciler.core.ports import Clock, Journal, World
from reconciler.core.resource import Key, Resource
from reconciler.engine.certify import Sources
from reconciler.engine.intents import Scope

_LATEST = 20  # if all of them were refused, nothing is certain
_GRAIN = timedelta(seconds=1)  # a directory tells times in whole seconds


def with_authors(plan: Plan, scope: Scope, world: World, journal: Journal, clock: Clock) -> Plan:
    """Return the plan with what the directories tell about every conflict in it."""
    if not plan.edits:
        return plan
    changes = {change.key: change for change in plan.changes}
    edits = dict(plan.edits)
    for key, found in plan.edits.items():
        finding = Finding(plan.observed.get(key), changes.get(key), edits=found)
        told = with_author(finding, scope.intents[key], world, journal, clock)
        edits[key] = told.edits
        if told.change is not None:
            changes[key] = told.change
    return replace(plan, changes=tuple(changes.values()), edits=edits)


def with_author(found: Finding, intent: Intent, world: World, journal: Journal, clock: Clock) -> Finding:
    """Return the finding with what the directory tells about its conflicts; the same where there are none."""
    if not found.edits or found.observed is None or intent.ours is None:
        return found
    edits, since = found.edits, _last_write(journal, intent.wanted.key)
    if since is not None:
        now = clock.now()
        told = _told(intent.wanted, intent.ours, found.observed, world)
        edits = tuple(_attributed(edit, told, since, now) for edit in edits)
    change = found.change
    if change is not None and change.gate is not None and intent.wanted.on_conflict == "ask":
        change = replace(change, gate=asked(intent.wanted, edits))
    return replace(found, edits=edits, change=change)


def last_edits(
    wanted: Resource,
    ours: Resource,
    observed: Resource,
    there_at: datetime | None,
    sources: Sources,
) -> dict[str, Edit]:
    """Return by field what somebody else changed last, as far as the directory tells and it was certainly not us.

    Args:
        ours: What was there before.
        there_at: When that was read; it counts where we never wrote anything ourselves.
    """
    wrote = bool(sources.journal.steps(1, wanted.key))
    since = _last_write(sources.journal, wanted.key) if wrote else there_at
    if since is None:
        return {}
    now = sources.clock.now()
    return {one.field: one for one in _told(wanted, ours, observed, sources.world) if _is_later(one, since, now)}


def _is_later(found: Edit, since: datetime, now: datetime) -> bool:
    return found.at > since + (found.told_at + _GRAIN - now)


def _told(wanted: Resource, ours: Resource, observed: Resource, world: World) -> tuple[Edit, ...]:
    try:
        answers = [world.ask(query) for query in wanted.trail(observed)]
        return wanted.edits(ours, observed, *answers) if answers else ()
    except Exception:  # whatever it is: what goes back is not held up by a question that nobody has to answer
        return ()


def _attributed(edit: Conflict, told: Sequence[Edit], since: datetime, now: datetime) -> Conflict:
    """Attach the last change of the field, unless it may be our own write.

    The directory's clock is compared with ours, so that a difference between the two blames nobody. ``now`` was read before
    the directory told its time, and a second is added: so our write never seems earlier there than it was.
    """
    field = edit.field.partition(".")[0]
    found = next((one for one in told if one.field == field), None)
    if found is None or not _is_later(found, since, now):
        return edit
    return edit._replace(edit=found, ours_at=since)


def _last_write(journal: Journal, key: Key) -> datetime | None:
    """Return when the last step of ours about a resource was through; None where the history does not say for certain."""
    sent = [entry for entry in journal.steps(_LATEST, key) if entry.get("outcome") != "refused"]
    return datetime.fromisoformat(str(sent[-1]["at"])) if sent and sent[-1].get("outcome") == "done" else None

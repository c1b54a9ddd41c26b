"""Promises to undo: made before anything is sent, closed only when the original was read back.

The law: every write here is synced before the next line runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from reconciler.core.errors import NeedsPerson
from reconciler.core.plan import Change, Finding, Plan
from reconciler.core.ports import Journal, Json, Obligation
from reconciler.core.resource import Key, Resource
from reconciler.engine.intents import OURS, Scope, freeze
from reconciler.engine.leases import LAPSED
from reconciler.engine.run import Progress, Tools, direction_of
from reconciler.engine.unsettled import FAILED_REVERT


def keep_baselines(scope: Scope, plan: Plan, tools: Tools) -> None:
    """Keep what every temporary resource was like before our first change, whether or not it differs now.

    A setting that was right at first and is set back by somebody later must still end as it was at first.
    """
    for key, intent in scope.intents.items():
        resource, observed = scope.graph[key], plan.observed.get(key)
        ours = intent.direction == "apply" and resource.temporary
        if ours and key not in scope.obligations and observed is not None:
            tools.journal.keep_baseline(_obligation(scope, resource, observed, tools))


def _obligation(scope: Scope, resource: Resource, observed: Resource, tools: Tools) -> Obligation:
    return Obligation(
        key=resource.key,
        declared=freeze(resource, declared=True),
        baseline=freeze(observed, declared=False),
        requires=tuple(need.key for need in scope.graph.needs[resource.key]),
        weakens=resource.weakens,
        seen_at=tools.clock.now(),
    )


def promise(scope: Scope, change: Change, tools: Tools, progress: Progress) -> None:
    """Commit the promise to undo, synced, before anything is sent."""
    resource = scope.graph[change.key]
    if change.direction == "apply" and resource.temporary:
        tools.journal.keep_baseline(_obligation(scope, resource, change.observed, tools))
        if change.key not in progress.ours:
            tools.journal.note({OURS + change.key: {}}, tools.clock.now())
        now = tools.clock.now()
        until = None if resource.lease is None else now + resource.lease
        forecast_s = progress.plan.foreseen_s(change.key) if progress.plan else None
        tools.journal.mark_changed(change.key, now, until=until, forecast_s=forecast_s)
        progress.ours.add(change.key)
        if change.lapsed is not None:
            tools.journal.note({LAPSED + change.key: {}}, now)


def hand_over(scope: Scope, change: Change, gate: NeedsPerson, tools: Tools, progress: Progress) -> None:
    """A person is asked to make the change for us: it is ours to undo from now on."""
    if gate.notes:
        tools.journal.note({note.key: note.value for note in gate.notes}, tools.clock.now())
    if gate.on_our_behalf:
        promise(scope, change, tools, progress)


def believe(scope: Scope, key: Key, found: Finding, tools: Tools, progress: Progress) -> None:
    """It was read as wanted: remember what is worth it, and close the promise if this was the way back."""
    intent = scope.intents[key]
    if intent.direction == "revert":
        progress.back.add(key)
        if intent.lapsed is not None:  # before it is closed, or a crash would let the next run set it again
            tools.journal.note({LAPSED + key: {"at": intent.lapsed.isoformat()}}, tools.clock.now())
        tools.journal.close(key, tools.clock.now())
        if tools.journal.facts(FAILED_REVERT + key).get(FAILED_REVERT + key):
            tools.journal.note({FAILED_REVERT + key: {}}, tools.clock.now())
    known = dict(intent.wanted.remembers(found.observed)) if found.observed is not None else {}
    ours = key in progress.ours and intent.direction == "apply"
    # What is only tolerated is not what we set: then what we set before stays known.
    if found.observed is not None and ours and not intent.wanted.tolerated(found.observed):
        known[OURS + key] = freeze(found.observed, declared=False)
    note_news(known, tools)


def note_news(known: Mapping[str, Json], tools: Tools) -> None:
    """Keep facts that are not kept yet."""
    kept = _noted(tools.journal, known)
    news = {fact: value for fact, value in known.items() if kept.get(fact) != value}
    if news:
        tools.journal.note(news, tools.clock.now())


def _noted(journal: Journal, names: Iterable[str]) -> dict[str, Json]:
    """Return what is noted under these names and beside them: of a hundred thousand accounts all are asked for at once."""
    found: dict[str, Json] = {}
    for collection in dict.fromkeys(name[: name.rfind("/") + 1] for name in names):
        found |= journal.facts(collection)
    return found


def remember_failures(scope: Scope, tools: Tools, progress: Progress) -> None:
    """Keep what could not be put back, so that every later command can say it first."""
    now = tools.clock.now()
    for key, error in progress.errors.items():
        if direction_of(scope, key, progress) == "revert":
            tools.journal.note({FAILED_REVERT + key: {"what": error.what, "at": now.isoformat()}}, now)

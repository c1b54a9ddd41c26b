"""After completion: look again at what was certified, and say what is not so any more. Nothing is put back from here.

The law: what somebody else sets after completion is theirs. An alarm is said, and never acted on.
"""

from __future__ import annotations

from reconciler.core.certificate import Alarm, Closing, PutBack, reappeared
from reconciler.core.errors import ReconcileError
from reconciler.core.plan import answered
from reconciler.core.ports import Json, Obligation
from reconciler.core.resource import Key, Resource, differences
from reconciler.engine.certify import CERTIFIED, Sources, is_of, latest
from reconciler.engine.intents import OURS, Scope, freeze
from reconciler.engine.observe import observe_all, recall


def certified_fact(setting: PutBack, made_at: str, file: str) -> Json:
    """Return what is kept about a setting that was certified, so that it can be watched."""
    assert setting.promise.closed_at is not None
    return {
        "closed_at": setting.promise.closed_at.isoformat(),
        "certified_at": made_at,
        "file": file,
        "observed": freeze(setting.readings[0].observed, declared=False),
    }


def watch(scope: Scope, sources: Sources) -> Closing:
    """Observe everything that was certified and is neither wanted nor owed now; only in phase ``complete``."""
    if scope.phase != "complete":
        return Closing()
    facts = sources.journal.facts(CERTIFIED)
    watched = {
        key: (promise, fact)
        for key, promise in latest(scope, sources.journal).items()
        if (fact := facts.get(CERTIFIED + key)) and is_of(fact, promise)
    }
    expected = {key: _expected(promise, fact, sources) for key, (promise, fact) in watched.items()}
    alarms: list[Alarm] = []
    unknown: dict[Key, ReconcileError] = {}
    for key, observation in observe_all(expected, sources.world, sources.journal).items():
        try:
            if observation.error is not None:
                raise observation.error
            was = expected[key]
            answers = answered(was.queries(), observation.answers, lambda query: recall(sources.journal, query))
            found = _alarm(*watched[key], was, was.parse(*answers), sources)
        except ReconcileError as error:
            unknown[key] = error
            continue
        alarms += [found] if found else []
    return Closing(alarms=tuple(alarms), unknown=unknown)


def _expected(promise: Obligation, fact: Json, sources: Sources) -> Resource:
    """Return what was certified as a state to compare with: in the fields that we managed and no others."""
    return sources.revive(promise.declared).undone(sources.revive(fact["observed"]))


def _alarm(promise: Obligation, fact: Json, was: Resource, now: Resource, sources: Sources) -> Alarm | None:
    differs = differences(was, now)
    if not differs:
        return None
    declared = sources.revive(promise.declared)
    landed = sources.journal.facts(OURS + promise.key).get(OURS + promise.key)
    # What was read after our change says what is the same again; the author's fields say what of it counts.
    ours = sources.revive(landed) if landed else declared
    if ours.ensure == declared.ensure == "present":
        ours = declared.model_copy(update={name: getattr(ours, name) for name in declared.managed()})
    again = reappeared(was, ours, now)
    weakens = promise.weakens if again else ""
    return Alarm(
        promise.key, declared.title(), "reappeared" if again else "changed", weakens, differs, str(fact["certified_at"])
    )

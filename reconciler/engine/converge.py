"""Apply: observe, plan, act, read back; again, until nothing differs.

The law: the baseline is committed before the change, a step is believed only once its effect was read back, and a
failed observation never leads to a change.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from msgspec.structs import replace

from reconciler.core.errors import NeedsPerson, ReconcileError, Stale
from reconciler.core.forecast import forecast
from reconciler.core.graph import Graph
from reconciler.core.limits import foreseen, grant, standing, steps_digest
from reconciler.core.plan import Change, Finding, Observation, Plan, blockers, build, examine, walk_order
from reconciler.core.resource import Key
from reconciler.engine.authorship import with_author, with_authors
from reconciler.engine.drift import with_ignored
from reconciler.engine.events import Event
from reconciler.engine.intents import Scope, untouched
from reconciler.engine.leases import settle_leases, with_leases
from reconciler.engine.observe import observe, observe_all
from reconciler.engine.promises import believe, hand_over, keep_baselines, note_news, promise, remember_failures
from reconciler.engine.records import read_back
from reconciler.engine.run import Progress, Result, Tools, end, outcomes
from reconciler.engine.sending import send

MAX_ROUNDS = 8
_SHOWN = 8


def plan_only(scope: Scope, tools: Tools) -> Plan:
    """Observe and plan; nothing is written anywhere."""
    tools.listen(Event("observing", text=f"{len(scope.intents)} resources"))
    scope = _as_of_now(scope, tools)
    return _decide(scope, _observed(scope, tools), tools)[1]


def _observed(scope: Scope, tools: Tools) -> dict[Key, Observation]:
    wanted = {key: intent.wanted for key, intent in scope.intents.items()}
    return observe_all(wanted, tools.world, tools.journal, tools.reading.read)


def _as_of_now(scope: Scope, tools: Tools) -> Scope:
    """Return what each resource shall become at this moment: leases end, and what is ignored is left alone."""
    scope = with_leases(scope, tools.journal, tools.clock.now())
    return with_ignored(scope, tools.journal, tools.clock.now())


def converge(scope: Scope, tools: Tools) -> Result:
    """Work until nothing differs, or until it is asked to stop."""
    progress = Progress(ours={key for key, promise in scope.obligations.items() if promise.changed_at})
    rounds, moving = 0, True
    while moving and rounds < MAX_ROUNDS and not tools.stopping():
        rounds += 1
        tools.listen(Event("round", text=str(rounds)))
        progress.learned = False
        moving = _round(scope, tools, progress) or (progress.learned and _news(scope, tools, progress))
    remember_failures(scope, tools, progress)
    return Result(outcomes(scope, progress), rounds, not moving, interrupted=tools.stopping())


def _news(scope: Scope, tools: Tools, progress: Progress) -> bool:
    """Whether what was learned from a failure shows something to do that was as wanted before: a key to import."""
    return any(progress.status.get(change.key) == "unchanged" for change in plan_only(scope, tools).changes)


def _round(scope: Scope, tools: Tools, progress: Progress) -> bool:
    """Walk once through the graph; return whether anything was changed."""
    # A service that came with software is back when it is stopped, although uninstalling the software takes it away.
    scope = replace(scope, intents={key: intent for key, intent in scope.intents.items() if key not in progress.back})
    scope = _as_of_now(scope, tools)
    progress.lapsed |= {key: i.lapsed for key, i in scope.intents.items() if i.lapsed and i.direction == "revert"}
    tools.listen(Event("observing", text=f"{len(scope.intents)} resources"))
    scope, plan = _decide(scope, _observed(scope, tools), tools, progress.plan.digest if progress.plan else "")
    if progress.plan is None:
        tools.permit.accept(plan, scope.obligations.values())
        tools.restraint.look(scope, plan)
        settle_leases(scope, tools.journal, tools.clock.now())
        for key in untouched(scope):
            tools.journal.close(key, tools.clock.now())
    progress.plan = plan
    tools.plan = plan.digest
    keep_baselines(scope, plan, tools)
    planned = {change.key: change for change in plan.changes}
    moved: set[Key] = set()
    right: set[Key] = set()
    for key in walk_order(scope.graph, scope.intents):
        change, left = planned.get(key), plan.left.get(key)
        found = Finding(plan.observed.get(key), change, plan.errors.get(key), plan.edits.get(key, ()), left)
        if _touched(scope.graph, key, moved) or (scope.graph[key].barrier and change is not None):
            # A restart may have come meanwhile, or was planned for something that was not done after all.
            found = _look_again(scope, key, tools)
        if tools.stopping():
            break
        if _settle_one(scope, key, found, tools, progress):
            moved.add(key)
            if progress.status[key] == "changed":
                right.add(key)
    return bool(right)  # what failed is tried again only if something else moved


def _decide(
    scope: Scope, observations: Mapping[Key, Observation], tools: Tools, digest: str = ""
) -> tuple[Scope, Plan]:
    """Plan with the approvals that stand at this moment.

    Args:
        digest: That of the first round: what was approved then is approved for the whole run.
    """

    @cache  # mostly nothing is asked for, and then there is one plan to make
    def built(approved: frozenset[str]) -> Plan:
        intents = grant(scope.intents, approved, tools.permit.approvable)
        return build(scope.graph, scope.phase, intents, observations, tools.reading)

    digest = digest or steps_digest(foreseen(built).changes)
    approved = standing(tools.permit.approvals, digest, tools.clock.now())
    intents = grant(scope.intents, approved, tools.permit.approvable)
    plan = with_authors(built(approved), scope, tools.world, tools.journal, tools.clock)
    promises = {promise.key: promise for promise in tools.journal.obligations()}
    exposure = forecast(plan, scope.graph, promises, tools.clock.now())
    return replace(scope, intents=intents), replace(plan, digest=digest, exposure=exposure)


def _touched(graph: Graph, key: Key, moved: set[Key]) -> bool:
    """Whether something next to this resource moved in this round, so that what was observed may be stale."""
    near = {need.key for need in graph.needs[key]} | {need.key for need in blockers(graph, key, "revert")}
    return not near.isdisjoint(moved) or (graph[key].barrier and bool(moved))


def _settle_one(scope: Scope, key: Key, found: Finding, tools: Tools, progress: Progress) -> bool:
    """Bring one resource to where it shall be; return whether anything was sent for it."""
    change = found.change
    if found.observed is not None:
        progress.found[key] = found.observed
    if found.edits:
        progress.edits[key] = found.edits
    if found.error is not None:
        end(key, "failed", tools, progress, error=found.error)
        return False
    if found.left is not None:
        progress.settle(key, "unchanged")
        return False
    if change is None:
        believe(scope, key, found, tools, progress)
        progress.settle(key, "unchanged")
        return False
    if _held_back(scope, change, tools, progress):
        return False
    if blocked := _blocked_by(scope, change, progress):
        end(key, "skipped", tools, progress, because=blocked)
        return False
    if change.gate is not None:
        hand_over(scope, change, change.gate, tools, progress)
        end(key, "waiting", tools, progress, error=change.gate)
        return False
    if not change.steps:
        what = f"{change.wanted.title()}: {change.pending or 'nothing is known that would change it'}"
        end(key, "failed", tools, progress, error=ReconcileError(what, where=key))
        return False
    if (gate := _gate(scope, change, tools, progress)) is not None:
        end(key, "waiting", tools, progress, error=gate)
        return False
    return _carry_out(scope, change, tools, progress)


def _blocked_by(scope: Scope, change: Change, progress: Progress) -> str:
    """Name the requirement that is not in place. Going back is never held up: a weakening must not outlive an error."""
    if change.direction == "revert":
        return ""
    serves_back = _serves_back(scope, change.key, progress)
    for need in scope.graph.needs[change.key]:
        if not need.must:
            continue
        if need.key in progress.lapsed:
            return f"the lease of {need.key} ended"
        if need.key in progress.held:
            if progress.held[need.key].error is None:
                return f"{need.key} is being changed at this moment"
            if serves_back:
                continue
        if progress.status.get(need.key) in ("failed", "waiting", "skipped"):
            return f"{need.key} is {progress.status[need.key]}"
    return ""


def _held_back(scope: Scope, change: Change, tools: Tools, progress: Progress) -> bool:
    """Whether a policy, a pause or a window says: not now. Going back is never asked about."""
    if change.direction == "revert" or _serves_back(scope, change.key, progress):
        return False
    hold = tools.restraint.hold(change)
    if hold is None:
        progress.held.pop(change.key, None)
        return False
    progress.held[change.key] = hold
    if hold.error is not None:
        end(change.key, "waiting", tools, progress, error=hold.error)
    else:
        progress.settle(change.key, "unchanged")
    return True


def _serves_back(scope: Scope, key: Key, progress: Progress) -> bool:
    """Whether this is a restart for something that went back in this run."""
    return scope.graph[key].barrier and any(need.key in progress.back for need in scope.graph.needs[key])


def _gate(scope: Scope, change: Change, tools: Tools, progress: Progress) -> NeedsPerson | None:
    """Hold up what came up on the way and goes beyond the saved plan or the limits."""
    done = [made for changes in progress.changes.values() for made in changes]
    assert progress.plan is not None
    return tools.permit.gate(change, progress.plan, scope.obligations.values(), done)


def _carry_out(scope: Scope, change: Change, tools: Tools, progress: Progress) -> bool:
    """Send the steps, read back, and go on as long as each pass brings the resource nearer."""
    key = change.key
    tools.listen(Event("started", key, change.wanted.title()))
    tools.restraint.correcting(change)
    promise(scope, change, tools, progress)
    for _ in range(change.wanted.passes):
        progress.changes.setdefault(key, []).append(change)
        lost = send(change, tools, progress)
        found = _look_again(scope, key, tools)
        read_back(change, found, tools)
        if found.observed is not None:
            progress.found[key] = found.observed
        if found.right:
            believe(scope, key, found, tools, progress)
            end(key, "changed", tools, progress)
            return True
        if found.observed is not None:
            note_news(change.wanted.proven(found.observed), tools)
        failure = _why_not(change, found, lost, tools)
        if failure is not None or found.change is None:
            waits = found.change is not None and failure is found.change.gate
            end(key, "waiting" if waits else "failed", tools, progress, error=failure)
            return True
        change = found.change
    what = f"{change.wanted.title()}: still differs after {change.wanted.passes} passes"
    end(key, "failed", tools, progress, error=ReconcileError(what, where=key))
    return True


def _why_not(before: Change, found: Finding, error: ReconcileError | None, tools: Tools) -> ReconcileError | None:
    """Return why a pass failed, or None where another pass is worth it."""
    after = found.change
    if after is not None and isinstance(error, Stale) and after.steps and after.steps != before.steps:
        return after.gate  # news, no failure: somebody else was there meanwhile, and other steps are left
    if error is not None or after is None:
        return error or found.error
    if (ended := after.wanted.ended(after.observed)) is not None:
        return ended
    if after.gate is not None:
        return after.gate
    if after.steps and (after.differs != before.differs or after.steps != before.steps):
        return None
    reasons = [str(fact["text"]) for fact in _last_errors(before, tools)]
    shown = "; ".join(f"{d.field} reads {_brief(d.observed)} instead of {_brief(d.wanted)}" for d in after.differs)
    return ReconcileError(
        f"{before.wanted.title()}: the change was sent, but {shown}",
        where=before.key,
        do="\n".join(reasons) or "somebody else may be setting it back; `reconcile drift` shows how it stands now",
    )


def _brief(value: object) -> str:
    """Show a value; of a long list only how it begins."""
    if isinstance(value, tuple) and len(value) > _SHOWN:
        return f"({', '.join(map(repr, value[:_SHOWN]))} and {len(value) - _SHOWN:,} more)"
    return repr(value)


def _last_errors(change: Change, tools: Tools) -> list[dict[str, object]]:
    facts = tools.journal.facts(f"error/{change.key}")
    return [dict(fact) for fact in facts.values() if fact.get("text")]


def _look_again(scope: Scope, key: Key, tools: Tools) -> Finding:
    intent = scope.intents[key]
    observation = observe(intent.wanted, tools.world, tools.journal)
    found = examine(scope.graph, key, intent, observation, tools.reading)
    return with_author(found, intent, tools.world, tools.journal, tools.clock)

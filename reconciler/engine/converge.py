"""Apply: observe, plan, act, read back; again, until nothing differs.

The law: the baseline is committed before the change, a step is believed only once its effect was read back, and a
failed observation never leads to a change.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache, partial

from reconciler.core.audit import Audit, NoAudit, Origin, Record, Stage
from reconciler.core.conflict import Conflict
from reconciler.core.errors import NeedsPerson, ReconcileError, Refused
from reconciler.core.forecast import forecast
from reconciler.core.graph import Graph
from reconciler.core.limits import Permit, foreseen, grant, standing
from reconciler.core.plan import Change, Direction, Finding, Observation, Plan, blockers, build, examine, walk_order
from reconciler.core.ports import Clock, Journal, Obligation, World
from reconciler.core.report import Outcome, Status
from reconciler.core.resource import Key, Resource
from reconciler.core.saved_plan import steps_digest
from reconciler.core.steps import Effect, Step
from reconciler.engine.authorship import with_author, with_authors
from reconciler.engine.drift import with_ignored
from reconciler.engine.events import Event, Listener, nobody
from reconciler.engine.intents import OURS, Scope, freeze, untouched
from reconciler.engine.leases import LAPSED, settle_leases, with_leases
from reconciler.engine.observe import observe, observe_all, recall
from reconciler.engine.restraint import Hold, Unrestrained

FAILED_REVERT = "revert-failed/"
"""Prefix of the facts that say what could not be put back, by key; empty once it was."""
MAX_ROUNDS = 8
MAX_PASSES = 6  # of one resource within a round, as long as each brings it nearer


@dataclass
class Tools:
    """What a run works with; everything that could differ between runs is handed in."""

    world: World
    journal: Journal
    clock: Clock
    run: str
    listen: Listener = nobody
    stopping: Callable[[], bool] = lambda: False
    permit: Permit = field(default_factory=Permit)
    audit: Audit = field(default_factory=NoAudit)
    account_of: Callable[[Effect], str] = lambda effect: ""
    plan: str = ""  # digest of the plan that this round follows
    restraint: Unrestrained = field(default_factory=Unrestrained)


@dataclass(frozen=True, slots=True)
class Result:
    """How a run ended.

    Attributes:
        outcomes: One per resource, in the order of work.
        converged: Whether the last round changed nothing.
        interrupted: Somebody asked it to stop before it was through.
    """

    outcomes: tuple[Outcome, ...]
    rounds: int
    converged: bool
    interrupted: bool = False


@dataclass
class Progress:
    """What this run has done so far, by key."""

    changes: dict[Key, list[Change]] = field(default_factory=dict)
    status: dict[Key, Status] = field(default_factory=dict)
    errors: dict[Key, ReconcileError] = field(default_factory=dict)
    because: dict[Key, str] = field(default_factory=dict)
    back: set[Key] = field(default_factory=set)  # put back by this run: what follows from that is not drift
    learned: bool = False  # in this round, from what a step answered
    edits: dict[Key, tuple[Conflict, ...]] = field(default_factory=dict)  # by somebody else, as last found
    ours: set[Key] = field(default_factory=set)  # changed by us since their baselines were kept
    lapsed: dict[Key, datetime] = field(default_factory=dict)  # when a lease ended that the phase would have go on
    plan: Plan | None = None  # of the round that is under way
    held: dict[Key, Hold] = field(default_factory=dict)  # what was not made for now

    def settle(self, key: Key, status: Status, error: ReconcileError | None = None, because: str = "") -> None:
        """Note how it stands with one resource; what was changed once in a run stays changed."""
        self.status[key] = "changed" if status == "unchanged" and key in self.changes else status
        self.because[key] = because
        self.errors.pop(key, None)
        if error is not None:
            self.errors[key] = error


def plan_only(scope: Scope, tools: Tools) -> Plan:
    """Observe and plan; nothing is written anywhere."""
    tools.listen(Event("observing", text=f"{len(scope.intents)} resources"))
    scope = with_ignored(with_leases(scope, tools.journal, tools.clock.now()), tools.journal, tools.clock.now())
    observations = observe_all(
        {key: intent.wanted for key, intent in scope.intents.items()}, tools.world, tools.journal
    )
    return _decide(scope, observations, tools)[1]


def converge(scope: Scope, tools: Tools) -> Result:
    """Work until nothing differs, or until it is asked to stop."""
    progress = Progress(ours={key for key, promise in scope.obligations.items() if promise.changed_at})
    rounds, moving = 0, True
    while moving and rounds < MAX_ROUNDS and not tools.stopping():
        rounds += 1
        tools.listen(Event("round", text=str(rounds)))
        progress.learned = False
        moving = _round(scope, tools, progress) or (progress.learned and _news(scope, tools, progress))
    _remember_failures(scope, tools, progress)
    return Result(_outcomes(scope, progress), rounds, not moving, interrupted=tools.stopping())


def _news(scope: Scope, tools: Tools, progress: Progress) -> bool:
    """Whether what was learned from a failure shows something to do that was as wanted before: a key to import."""
    return any(progress.status.get(change.key) == "unchanged" for change in plan_only(scope, tools).changes)


def _remember_failures(scope: Scope, tools: Tools, progress: Progress) -> None:
    """Keep what could not be put back, so that every later command can say it first."""
    now = tools.clock.now()
    for key, error in progress.errors.items():
        if _direction(scope, key, progress) == "revert":
            tools.journal.note({FAILED_REVERT + key: {"what": error.what, "at": now.isoformat()}}, now)


def _round(scope: Scope, tools: Tools, progress: Progress) -> bool:
    """Walk once through the graph; return whether anything was changed."""
    # A service that came with software is back when it is stopped, although uninstalling the software takes it away.
    scope = replace(scope, intents={key: intent for key, intent in scope.intents.items() if key not in progress.back})
    scope = with_ignored(with_leases(scope, tools.journal, tools.clock.now()), tools.journal, tools.clock.now())
    progress.lapsed |= {key: i.lapsed for key, i in scope.intents.items() if i.lapsed and i.direction == "revert"}
    tools.listen(Event("observing", text=f"{len(scope.intents)} resources"))
    observations = observe_all({key: i.wanted for key, i in scope.intents.items()}, tools.world, tools.journal)
    scope, plan = _decide(scope, observations, tools, progress.plan.digest if progress.plan else "")
    if progress.plan is None:
        tools.permit.accept(plan, scope.obligations.values())
        tools.restraint.look(scope, plan)
        settle_leases(scope, tools.journal, tools.clock.now())
        for key in untouched(scope):
            tools.journal.close(key, tools.clock.now())
    progress.plan = plan
    tools.plan = plan.digest
    _keep_baselines(scope, plan, tools)
    planned = {change.key: change for change in plan.changes}
    moved: set[Key] = set()
    right: set[Key] = set()
    for key in walk_order(scope.graph, scope.intents):
        change, left = planned.get(key), plan.left.get(key)
        found = Finding(plan.observed.get(key), change, plan.errors.get(key), plan.edits.get(key, ()), left)
        if _touched(scope.graph, key, moved) or _follows_from_nothing(scope, key, progress):
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
        return build(scope.graph, scope.phase, intents, observations, partial(recall, tools.journal))

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
    if found.edits:
        progress.edits[key] = found.edits
    if found.error is not None:
        _end(key, "failed", tools, progress, error=found.error)
        return False
    if found.left is not None:
        progress.settle(key, "unchanged")
        return False
    if change is None:
        _believe(scope, key, found, tools, progress)
        progress.settle(key, "unchanged")
        return False
    if _held_back(scope, change, tools, progress):
        return False
    if blocked := _blocked_by(scope, change, progress):
        _end(key, "skipped", tools, progress, because=blocked)
        return False
    if change.gate is not None:
        _hand_over(scope, change, change.gate, tools, progress)
        _end(key, "waiting", tools, progress, error=change.gate)
        return False
    if not change.steps:
        what = f"{change.wanted.title()}: {change.pending or 'nothing is known that would change it'}"
        _end(key, "failed", tools, progress, error=ReconcileError(what, where=key))
        return False
    if (gate := _gate(scope, change, tools, progress)) is not None:
        _end(key, "waiting", tools, progress, error=gate)
        return False
    return _carry_out(scope, change, tools, progress)


def _blocked_by(scope: Scope, change: Change, progress: Progress) -> str:
    """Name the requirement that is not in place. Going back is never held up: a weakening must not outlive an error."""
    if change.direction == "revert":
        return ""
    serves_back = _serves_back(scope, change.key, progress)
    for need in scope.graph.needs[change.key]:
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
        _end(change.key, "waiting", tools, progress, error=hold.error)
    else:
        progress.settle(change.key, "unchanged")
    return True


def _follows_from_nothing(scope: Scope, key: Key, progress: Progress) -> bool:
    """Whether a restart was planned for something that was not done after all."""
    return scope.graph[key].barrier and any(need.key in progress.held for need in scope.graph.needs[key])


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
    _promise(scope, change, tools, progress)
    for _ in range(MAX_PASSES):
        progress.changes.setdefault(key, []).append(change)
        lost = _send(change, tools, progress)
        found = _look_again(scope, key, tools)
        _read_back(change, found, tools)
        if found.right:
            _believe(scope, key, found, tools, progress)
            _end(key, "changed", tools, progress)
            return True
        failure = _why_not(change, found, lost, tools)
        if failure is not None or found.change is None:
            waits = found.change is not None and failure is found.change.gate
            _end(key, "waiting" if waits else "failed", tools, progress, error=failure)
            return True
        change = found.change
    what = f"{change.wanted.title()}: still differs after {MAX_PASSES} passes"
    _end(key, "failed", tools, progress, error=ReconcileError(what, where=key))
    return True


def _send(change: Change, tools: Tools, progress: Progress) -> ReconcileError | None:
    """Send every step of a change; return the error that stopped it, if any."""
    for step in change.steps:
        if tools.stopping():
            return ReconcileError(
                "interrupted before this step", where=str(step), do="apply again: it goes on from here"
            )
        tools.listen(Event("step", change.key, str(step)))
        began = tools.clock.now()
        tools.journal.note({note.key: note.value for note in step.notes}, began)
        _audit(change, step, "sending", tools)
        try:
            rows = tools.world.do(step.effect)
        except ReconcileError as error:
            _record(change, step, "refused" if isinstance(error, Refused) else "unknown", began, tools)
            return error
        learned = change.wanted.learns(step, rows)
        if learned:
            progress.learned = True
            tools.journal.note(learned, tools.clock.now())
        _record(change, step, "done", began, tools)
    return None


def _why_not(before: Change, found: Finding, error: ReconcileError | None, tools: Tools) -> ReconcileError | None:
    """Return why a pass failed, or None where another pass is worth it."""
    after = found.change
    if error is not None or after is None:
        return error or found.error
    if after.gate is not None:
        return after.gate
    if after.differs != before.differs and after.steps:
        return None
    reasons = [str(fact["text"]) for fact in _last_errors(before, tools)]
    shown = "; ".join(f"{d.field} reads {d.observed!r} instead of {d.wanted!r}" for d in after.differs)
    return ReconcileError(
        f"{before.wanted.title()}: the change was sent, but {shown}",
        where=before.key,
        do="\n".join(reasons) or "somebody else may be setting it back; `reconcile drift` shows how it stands now",
    )


def _last_errors(change: Change, tools: Tools) -> list[dict[str, object]]:
    facts = tools.journal.facts(f"error/{change.key}")
    return [dict(fact) for fact in facts.values() if fact.get("text")]


def _look_again(scope: Scope, key: Key, tools: Tools) -> Finding:
    intent = scope.intents[key]
    observation = observe(intent.wanted, tools.world, tools.journal)
    found = examine(scope.graph, key, intent, observation, partial(recall, tools.journal))
    return with_author(found, intent, tools.world, tools.journal, tools.clock)


def _keep_baselines(scope: Scope, plan: Plan, tools: Tools) -> None:
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


def _promise(scope: Scope, change: Change, tools: Tools, progress: Progress) -> None:
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


def _hand_over(scope: Scope, change: Change, gate: NeedsPerson, tools: Tools, progress: Progress) -> None:
    """A person is asked to make the change for us: it is ours to undo from now on."""
    if gate.notes:
        tools.journal.note({note.key: note.value for note in gate.notes}, tools.clock.now())
    if gate.on_our_behalf:
        _promise(scope, change, tools, progress)


def _believe(scope: Scope, key: Key, found: Finding, tools: Tools, progress: Progress) -> None:
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
    news = {fact: value for fact, value in known.items() if tools.journal.facts(fact).get(fact) != value}
    if news:
        tools.journal.note(news, tools.clock.now())


def _end(
    key: Key,
    status: Status,
    tools: Tools,
    progress: Progress,
    *,
    error: ReconcileError | None = None,
    because: str = "",
) -> None:
    progress.settle(key, status, error, because)
    tools.listen(Event("ended", key, status))


def _record(change: Change, step: Step, outcome: Stage, began: datetime, tools: Tools) -> None:
    now = tools.clock.now()
    took_s = max(0.0, round((now - began).total_seconds(), 3))  # what later forecasts learn from
    detail = {"run": tools.run, "key": change.key, "direction": change.direction, "step": str(step), "outcome": outcome, "effect": type(step.effect).__name__, "took_s": took_s}  # fmt: skip
    tools.journal.record("step", now, detail)
    _audit(change, step, outcome, tools)


def _audit(change: Change, step: Step, stage: Stage, tools: Tools) -> None:
    """Write down what is about to be sent, or was; where that fails nothing is sent."""
    origin = Origin(tools.run, tools.plan, tools.clock.now(), tools.account_of(step.effect))
    tools.audit.append(Record.about(step, change, stage, origin))


def _read_back(change: Change, found: Finding, tools: Tools) -> None:
    """Write down what a change came to."""
    if found.observed is not None:
        origin = Origin(tools.run, tools.plan, tools.clock.now(), "")
        tools.audit.append(Record.of_reading(found.observed, change, origin))


def _direction(scope: Scope, key: Key, progress: Progress) -> Direction:
    return "revert" if key in progress.lapsed else scope.intents[key].direction


def _outcomes(scope: Scope, progress: Progress) -> tuple[Outcome, ...]:
    return tuple(
        Outcome(
            key=key,
            title=scope.graph[key].title(),
            direction=_direction(scope, key, progress),
            status=progress.status.get(key, "unchanged"),
            changes=tuple(progress.changes.get(key, ())),
            error=progress.errors.get(key),
            because=progress.because.get(key, ""),
            lapsed=progress.lapsed.get(key),
            edits=progress.edits.get(key, ()),
        )
        for key in walk_order(scope.graph, scope.intents)
    )

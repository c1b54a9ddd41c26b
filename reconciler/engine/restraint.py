"""What holds a change back that the state file asks for: policies, settle times, tugs-of-war, pauses, change windows.

The law: only what goes forward is held back. What goes back, and the deadline of a dead-man's switch, never wait for anything here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from msgspec import Struct, field
from msgspec.structs import replace

from reconciler.core.canonical import digest_of
from reconciler.core.corrections import RULES, Corrections, Rules, corrected, correcting, due, found
from reconciler.core.drift import COUNTS, Drift
from reconciler.core.errors import HeldBack, NeedsPerson, ReconcileError
from reconciler.core.plan import Change, Plan
from reconciler.core.policy import policy_at
from reconciler.core.ports import Journal, Json
from reconciler.core.report import Outcome
from reconciler.core.resource import Key, Resource
from reconciler.core.windows import Window, opens
from reconciler.engine.certify import Sources
from reconciler.engine.drift import AS_WANTED, drift_of, drifts_of, fields_of, wanted_digest
from reconciler.engine.forgetting import forget_runs
from reconciler.engine.intents import Scope, freeze
from reconciler.engine.pausing import paused
from reconciler.engine.sightings import sighted
from reconciler.engine.unsettled import CORRECTIONS

SILENCE = timedelta(minutes=15)
"""How long something may not answer before that is worth a word of its own: a controller restarts within it."""
TYPICAL = (
    "typical are Group Policy, which is applied again every 90 minutes and up to 30 later (every 5 minutes on a controller), "
    "and other tools"
)


class Hold(NamedTuple):
    """A change that is not made now.

    Attributes:
        error: Why; None where the migration itself may be changing it, and nobody needs to hear of it.
    """

    error: ReconcileError | None = None


class Unrestrained:
    """Nothing is held back, and nothing is remembered."""

    def look(self, scope: Scope, plan: Plan) -> None:
        """Take the plan of the first round."""

    def hold(self, change: Change) -> Hold | None:
        """Return why a change forward is not made now; None where it may be made."""
        return None

    def correcting(self, change: Change) -> None:
        """Take note of a change before it is sent."""

    def conclude(self, outcomes: Sequence[Outcome], run: str) -> tuple[Drift, ...]:
        """Keep what was learned, and return the drifts that count."""
        return ()


class Terms(Struct, frozen=True):
    """What a state file says about when and how something is set right.

    Attributes:
        by: A person's `apply` is an order; `watch` acts by itself, and is bound by all of this.
        where: ``file:line:column`` of what declares each resource.
        keep: How long a drift that is over stays in the journal.
    """

    by: Literal["person", "watch"]
    windows: tuple[Window, ...] = ()
    where: Mapping[Key, str] = field(default_factory=dict)
    keep: timedelta = timedelta(days=180)
    despite_pause: bool = False


class Restraint(Unrestrained):
    """What one run is held back by."""

    def __init__(self, sources: Sources, terms: Terms, rules: Rules = RULES) -> None:
        self._sources, self._terms, self._rules = sources, terms, rules
        self._scope: Scope | None = None
        self._drifts: dict[Key, Drift] = {}
        self._right: frozenset[Key] = frozenset()

    def look(self, scope: Scope, plan: Plan) -> None:
        """Name every difference of the first round; later ones follow from what this run does."""
        self._scope = scope
        self._right = frozenset(plan.unchanged)
        self._drifts = {drift.key: drift for drift in drifts_of(scope, plan, self._sources, self._terms.where)}

    def hold(self, change: Change) -> Hold | None:
        """Return why a change forward is not made now; None where it may be made."""
        assert self._scope is not None
        drift, resource = self._named(change, self._scope), self._scope.graph[change.key]
        if set(fields_of(change)) <= set(change.wanted.renews):
            return None  # a deadline that is not pushed forward takes back what is wanted
        if drift is not None and drift.comes_from == "transient" and self._terms.by == "watch":
            return Hold()
        if resource.barrier and self._scope.phase == "complete":
            return None  # what went back counts only after it
        if (waits := self._not_now(resource)) is not None:
            return Hold(waits)
        if drift is None and self._is_left_to_people(resource):
            return Hold()
        if drift is None or drift.comes_from != "external" or self._terms.by == "person":
            return None
        if drift.policy == "report":
            return Hold(HeldBack(f"{drift.title} drifted", where=drift.where, do="`on_drift: report` leaves it to a person: `reconcile apply` sets it right"))  # fmt: skip
        return self._fought_over(change, drift)

    def _named(self, change: Change, scope: Scope) -> Drift | None:
        """Return what the first round called it; what did not answer then has its name from the round in which it did."""
        drift = self._drifts.get(change.key)
        if drift is not None and drift.comes_from == "unknown":
            drift = self._drifts[change.key] = drift_of(change, scope, self._sources, self._terms.where)
        return drift

    def _is_left_to_people(self, resource: Resource) -> bool:
        """Whether it was as wanted when the run began, and is not to be touched once it was: the next look says why it differs."""
        was_right, now = resource.key in self._right, self._sources.clock.now()
        return self._terms.by == "watch" and was_right and policy_at(resource.on_drift, now) == "report"

    def _not_now(self, resource: Resource) -> HeldBack | None:
        now, what = self._sources.clock.now(), resource.title()
        pause = paused(self._sources.journal, now)
        if pause is not None and not self._terms.despite_pause:
            return HeldBack(
                f"{what}: {pause}", where=resource.key, do="`reconcile resume` ends the pause before its time"
            )
        if (own := opens(resource.windows, now)) is not None:
            opening = f"its next window opens at {own:%Y-%m-%d %H:%M} UTC"
            return HeldBack(f"{what}: {opening}", where=resource.key, do="wait for it, or change its `windows`")
        at = opens(self._terms.windows, now) if self._terms.by == "watch" else None
        if at is None:
            return None
        return HeldBack(
            f"{what}: outside every change window; the next one opens at {at:%Y-%m-%d %H:%M} UTC", where=resource.key,
            do="`reconcile apply` does not wait for it",
        )  # fmt: skip

    def _fought_over(self, change: Change, drift: Drift) -> Hold | None:
        now, before = self._sources.clock.now(), self._corrections(change.key)
        state = found(before, fields_of(change), now, self._rules)
        if state != before:
            self._keep(change.key, state)
        if state.stalled is not None:
            return Hold(stalled(drift, state))
        at = due(state, now, self._rules)
        if at <= now:
            return None
        what = f"{drift.title} drifted again; it is set right at {at:%Y-%m-%d %H:%M:%S} UTC at the earliest"
        return Hold(HeldBack(what, where=drift.where, do=f"it was set right {len(state.made)} times within a day; `reconcile apply` does not wait"))  # fmt: skip

    def correcting(self, change: Change) -> None:
        """Count a correction of a watch before it is sent, so that no crash makes it more than the ceilings allow."""
        drift = self._drifts.get(change.key)
        if (
            self._terms.by == "watch"
            and drift is not None
            and drift.comes_from == "external"
            and change.direction == "apply"
        ):
            state = correcting(self._corrections(change.key), fields_of(change), self._sources.clock.now())
            self._keep(change.key, state)

    def conclude(self, outcomes: Sequence[Outcome], run: str) -> tuple[Drift, ...]:
        """Keep what was learned, and return the drifts that count."""
        if self._scope is None:
            return ()
        now, journal = self._sources.clock.now(), self._sources.journal
        ended = {outcome.key: outcome for outcome in outcomes}
        drifts = tuple(_ended(drift, ended) for drift in self._drifts.values())
        for drift in drifts:
            if self._terms.by == "watch" and drift.comes_from == "corrective":
                self._keep(drift.key, corrected(self._corrections(drift.key)))
        journal.sight(sighted(drifts, ended, self._scope, journal, now, run))
        if news := {**self._as_wanted(outcomes, now), **self._no_longer_fought_over(ended)}:
            journal.note(news, now)
        journal.forget_sightings(now - self._terms.keep)
        journal.forget_steps(now - self._terms.keep)
        forget_runs(journal, now - self._terms.keep, now)
        return tuple(drift for drift in drifts if self._counts(drift, now))

    def _counts(self, drift: Drift, now: datetime) -> bool:
        if drift.comes_from not in COUNTS or drift.policy == "ignore":
            return False
        return drift.comes_from != "unknown" or (drift.first_seen is not None and now - drift.first_seen >= SILENCE)

    def _as_wanted(self, outcomes: Iterable[Outcome], now: datetime) -> dict[str, Json]:
        """Return facts about what is as wanted now, and about what went back; only those that are news."""
        assert self._scope is not None
        kept = self._sources.journal.facts(AS_WANTED)
        there = {AS_WANTED + outcome.key for outcome in outcomes}
        news: dict[str, Json] = {name: {} for name in kept if name not in there}  # went back when a run ended too early
        for outcome in outcomes:
            fact = kept.get(AS_WANTED + outcome.key, {})
            if outcome.direction == "revert":
                news[AS_WANTED + outcome.key] = {}
            elif outcome.status == "changed" or (outcome.status == "unchanged" and outcome.key in self._right):
                digest = wanted_digest(self._scope.graph[outcome.key])
                news[AS_WANTED + outcome.key] = (
                    fact if fact.get("wanted") == digest else {"wanted": digest, "at": now.isoformat()}
                )
        return {name: fact for name, fact in news.items() if fact != kept.get(name, {})}

    def _no_longer_fought_over(self, outcomes: Mapping[Key, Outcome]) -> dict[str, Json]:
        """Return facts that forget what was set right of things that nobody wants any more."""
        wanted = {CORRECTIONS + outcome.key for outcome in outcomes.values() if outcome.direction == "apply"}
        kept = self._sources.journal.facts(CORRECTIONS)
        return {name: {} for name, fact in kept.items() if fact and name not in wanted}

    def _corrections(self, key: Key) -> Corrections:
        """Return what was set right of this resource as it is declared now: another declaration begins anew."""
        fact = self._sources.journal.facts(CORRECTIONS + key).get(CORRECTIONS + key)
        return Corrections.read(fact if fact and fact["declared"] == self._declared(key) else None)

    def _keep(self, key: Key, state: Corrections) -> None:
        fact = {**state.plain(), "declared": self._declared(key)}
        self._sources.journal.note({CORRECTIONS + key: fact}, self._sources.clock.now())

    def _declared(self, key: Key) -> str:
        assert self._scope is not None
        return digest_of(freeze(self._scope.graph[key], declared=True))


def wakes(journal: Journal, resources: Iterable[Resource], windows: Sequence[Window], now: datetime) -> list[datetime]:
    """Return when there may be something to do that is held back now."""
    settles = {resource.key: resource.settle for resource in resources if resource.settle is not None}
    waits = [one.first_seen + settles[one.key] for one in journal.sightings(open_only=True) if one.key in settles]
    states = [Corrections.read(fact) for fact in journal.facts(CORRECTIONS).values() if fact]
    waits += [due(state, now) for state in states if state.stalled is None]
    pause, opening = paused(journal, now), opens(windows, now)
    return [*waits, *([pause.until] if pause else []), *([opening] if opening else [])]


def stalled(drift: Drift, state: Corrections) -> NeedsPerson:
    """Say that somebody keeps changing it back, and who, as far as that is known."""
    assert state.stalled is not None
    on = f" on {drift.on}" if drift.on else ""
    who = (
        f"last changed{on} at {drift.since:%Y-%m-%d %H:%M:%S} UTC, as the directory tells"
        if drift.since
        else f"nothing tells who it is; {TYPICAL}"
    )
    return NeedsPerson(
        f"{drift.title}: somebody keeps changing it back ({state.returns} times in a row, stalled since {state.stalled:%Y-%m-%d %H:%M:%S} UTC)",
        where=drift.where or drift.key,
        do=f"{who}\nend it there, or declare what it sets; then `reconcile resume STATE {drift.key}`\n"
        "`on_drift: report` leaves it to people for good",
    )


def _ended(drift: Drift, outcomes: Mapping[Key, Outcome]) -> Drift:
    """Return it as the run left it: what was set right is corrective."""
    outcome = outcomes.get(drift.key)
    done = outcome is not None and outcome.status == "changed" and outcome.direction == "apply"
    return replace(drift, comes_from="corrective") if done and drift.comes_from in ("external", "transient") else drift

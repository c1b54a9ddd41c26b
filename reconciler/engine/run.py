"""A run and what it works with: everything that could differ between runs is handed in, and everything it did is noted."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial

from msgspec import Struct, field

from reconciler.core.audit import Audit, NoAudit
from reconciler.core.conflict import Conflict
from reconciler.core.errors import ReconcileError
from reconciler.core.limits import Permit
from reconciler.core.looks import LastLook, Reading
from reconciler.core.plan import Change, Direction, Plan, walk_order
from reconciler.core.ports import Clock, Journal, World
from reconciler.core.report import Outcome, Status
from reconciler.core.resource import Key, Resource
from reconciler.core.steps import Effect
from reconciler.engine.events import Event, Listener, nobody
from reconciler.engine.intents import Scope
from reconciler.engine.observe import recall
from reconciler.engine.restraint import Hold, Unrestrained


class Tools(Struct):
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
    looks: LastLook | None = None  # what is kept of the look before, by who looks again and again

    @property
    def reading(self) -> Reading:
        """How what was answered is read."""
        told = partial(recall, self.journal)
        return Reading(told) if self.looks is None else Reading(told, self.looks.read)


class Result(Struct, frozen=True):
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


class Progress(Struct):
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
    found: dict[Key, Resource] = field(default_factory=dict)  # as last observed
    held: dict[Key, Hold] = field(default_factory=dict)  # what was not made for now

    def settle(self, key: Key, status: Status, error: ReconcileError | None = None, because: str = "") -> None:
        """Note how it stands with one resource; what was changed once in a run stays changed."""
        self.status[key] = "changed" if status == "unchanged" and key in self.changes else status
        self.because[key] = because
        self.errors.pop(key, None)
        if error is not None:
            self.errors[key] = error


def end(
    key: Key,
    status: Status,
    tools: Tools,
    progress: Progress,
    *,
    error: ReconcileError | None = None,
    because: str = "",
) -> None:
    """Note how one resource ended in this round, and tell it."""
    progress.settle(key, status, error, because)
    tools.listen(Event("ended", key, status))


def direction_of(scope: Scope, key: Key, progress: Progress) -> Direction:
    """Return in which direction a resource went: one whose lease ended goes back whatever the state file says."""
    return "revert" if key in progress.lapsed else scope.intents[key].direction


def outcomes(scope: Scope, progress: Progress) -> tuple[Outcome, ...]:
    """Return how the run ended for each resource, in the order of work."""
    return tuple(
        Outcome(
            key=key,
            title=scope.graph[key].title(),
            direction=direction_of(scope, key, progress),
            status=progress.status.get(key, "unchanged"),
            changes=tuple(progress.changes.get(key, ())),
            error=progress.errors.get(key),
            because=progress.because.get(key, ""),
            lapsed=progress.lapsed.get(key),
            edits=progress.edits.get(key, ()),
            verdicts=scope.graph[key].verdicts(progress.found[key]) if key in progress.found else (),
            remarks=scope.graph[key].remarks(progress.found[key]) if key in progress.found else (),
        )
        for key in walk_order(scope.graph, scope.intents)
    )

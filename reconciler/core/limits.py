"""What a run may do: how much it may change, what a person approved and for how long, and the saved plan it follows. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated

from msgspec import Struct, field
from msgspec.structs import replace
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from reconciler.core.canonical import Sha256, digest_of, plain
from reconciler.core.errors import NeedsPerson, UnsafePlan
from reconciler.core.exposure import about
from reconciler.core.lengths import written_out
from reconciler.core.plan import Change, Intent, Plan
from reconciler.core.ports import Obligation
from reconciler.core.resource import Key
from reconciler.core.steps import DeleteEntry

if TYPE_CHECKING:
    from reconciler.core.saved_plan import SavedPlan

SHOWN_KEYS = 10
PLAN_AGAIN = "make the plan again, look through it, and apply that one"
LONGER = (
    "put back first what is open (`phase: complete`), take it in smaller parts, or allow more with `--max-exposure`"
)
MORE = "look through it; if all of it is meant, allow more with `--max-changes` or `--deletion-share`"

ApprovalName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,62}$")]


class Approval(BaseModel):
    """A risky step that a person accepts, for one plan, for a time, or both."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    step: ApprovalName = Field(description="Name of the approval, as `plan` shows it.")
    plan: Sha256 | None = Field(
        None, description="Digest of the steps, as `plan` shows it: the approval holds for exactly these steps."
    )
    until: Annotated[AwareDatetime, written_out("date, time and zone, such as 2026-11-20T22:00:00+01:00")] | None = (
        Field(
            None,
            description="When the approval lapses, with a time zone.",
            examples=["2026-11-20T22:00:00+01:00"],
        )
    )


AnyApproval = ApprovalName | Approval
"""In a state file: a name alone holds for every plan and for ever."""


class Limits(Struct, frozen=True):
    """How much one run may change. Going back counts for nothing here: a weakening must not outlive a limit.

    Attributes:
        max_changes: Resources that may be changed forward; None for any number.
        deletion_share: Part of the existing resources, 0 to 1, that may be deleted...
        deletions_at_least: ...once there are so many deletions.
        max_exposure: How long any weakening may be live, as foreseen; None for any time.
    """

    max_changes: int | None = None
    deletion_share: float = 0.3
    deletions_at_least: int = 3
    max_exposure: timedelta | None = None

    def __post_init__(self) -> None:
        if self.max_changes is not None and self.max_changes < 0:
            raise ValueError(f"max_changes is {self.max_changes}; it cannot be negative")
        if not 0 <= self.deletion_share <= 1:
            raise ValueError(f"deletion_share is {self.deletion_share}; it is a part of 1")
        if self.deletions_at_least < 1:
            raise ValueError(f"deletions_at_least is {self.deletions_at_least}; it is at least 1")
        if self.max_exposure is not None and self.max_exposure <= timedelta():
            raise ValueError("max_exposure has to be longer than nothing")


def check(plan: Plan, limits: Limits, ours: Collection[Key], done: Iterable[Change] = ()) -> tuple[str, ...]:
    """Return why a plan goes beyond its limits; empty where it does not.

    Args:
        ours: ``made_by_us``; deleting that is no loss.
        done: Changes made earlier in the same run; a resource counts once.
    """
    forward = [change for change in (*done, *plan.changes) if change.direction == "apply" and change.gate is None]
    changed = dict.fromkeys(change.key for change in forward)
    deleted = dict.fromkeys(change.key for change in forward if deletes(change) and change.key not in ours)
    existing = {key for key, resource in plan.observed.items() if resource.ensure == "present"} | deleted.keys()
    reasons = []
    if limits.max_changes is not None and len(changed) > limits.max_changes:
        reasons.append(
            f"{_count(len(changed), 'change')}, and at most {limits.max_changes} may be made: {_list(changed)}"
        )
    if len(deleted) >= limits.deletions_at_least and len(deleted) > limits.deletion_share * len(existing):
        reasons.append(
            f"{_count(len(deleted), 'deletion')} among {len(existing)} that exist, and at most {limits.deletion_share:.0%} may go: "
            f"{_list(deleted)}"
        )
    return tuple(reasons)


def too_long(plan: Plan, limits: Limits, owed: Collection[Key]) -> dict[Key, str]:
    """Return which weakenings would be live for longer than they may, and for how long, for people.

    Those count that the plan sets and those that stay open. A plan that only puts back is never too long.

    Args:
        owed: Keys of the open promises about settings that were changed.
    """
    # What a person is asked to do on our behalf is open as well, once it is done.
    made = {c.key for c in plan.changes if c.direction == "apply" and (c.gate is None or c.gate.on_our_behalf)}
    if limits.max_exposure is None or not made:
        return {}
    return {
        found.key: f"{found.key}: {'for good, nothing puts it back' if found.live is None else about(found.live)}"
        for found in plan.exposure
        if (found.key in made or found.key in owed)
        and not found.going_back
        and (found.live is None or found.live > limits.max_exposure)
    }


def deletes(change: Change) -> bool:
    """Return whether something goes away, also where it is made anew afterwards."""
    return change.symbol == "-" or any(isinstance(step.effect, DeleteEntry) for step in change.steps)


def standing(approvals: Iterable[AnyApproval], plan_digest: str, now: datetime) -> frozenset[str]:
    """Return the names of the approvals that hold for this plan at this moment."""
    return frozenset(
        approval if isinstance(approval, str) else approval.step
        for approval in approvals
        if isinstance(approval, str) or _holds(approval, plan_digest, now)
    )


def lapsed(approvals: Iterable[AnyApproval], plan_digest: str, now: datetime) -> tuple[str, ...]:
    """Say of each approval that does not hold why not, for people."""
    said = []
    for approval in approvals:
        if isinstance(approval, str):
            continue
        if approval.until is not None and now >= approval.until:
            said.append(f"the approval `{approval.step}` lapsed at {approval.until.isoformat()}")
        elif approval.plan is not None and approval.plan != plan_digest:
            said.append(f"the approval `{approval.step}` is for other steps ({approval.plan}); these are {plan_digest}")
    return tuple(said)


def foreseen(build: Callable[[frozenset[str]], Plan]) -> Plan:
    """Return the plan as it would be if every approval that it asks for were given.

    Its ``steps_digest`` is what approvals are bound to: it is the same before and after they are given.

    Args:
        build: Makes the plan with these names approved, always from the same observations.
    """
    given: frozenset[str] = frozenset()
    while True:
        plan = build(given)
        asked = {change.gate.approval for change in plan.changes if change.gate and change.gate.approval} - given
        if not asked:
            return plan
        given |= asked


def steps_digest(changes: Iterable[Change]) -> str:
    """Return what an approval is bound to: SHA-256 over keys, directions, differences and the text of the steps, in order.

    Times, gates and approvals are not in it, so that it stays the same when the approval is given. Compute it from the
    plan that ``foreseen`` returns: some kinds know their steps only with the approval.
    """
    return digest_of(
        [
            [c.key, c.direction, plain(c.differs), [[s.says, str(s.effect), s.risk] for s in c.steps], c.pending]
            for c in changes
        ]
    )


def grant(intents: Mapping[Key, Intent], approved: frozenset[str], keys: Collection[Key]) -> dict[Key, Intent]:
    """Approve these names for these resources, beside what each declares itself."""
    return {
        key: replace(intent, wanted=intent.wanted.model_copy(update={"approved": intent.wanted.approved | approved}))
        if key in keys
        else intent
        for key, intent in intents.items()
    }


class Permit(Struct, frozen=True):
    """What one run may do.

    Attributes:
        saved: The plan that is followed; None where the run makes its own.
        where: File of that plan, for messages.
        approvals: As the state file declares them.
        approvable: Keys of the resources that they are for.
    """

    limits: Limits = field(default_factory=Limits)
    saved: SavedPlan | None = None
    where: str = ""
    approvals: tuple[AnyApproval, ...] = ()
    approvable: frozenset[Key] = frozenset()

    def accept(self, plan: Plan, obligations: Iterable[Obligation]) -> None:
        """Let a run begin, or not. Call it with the plan of the first round, before that round writes or sends anything.

        Args:
            plan: The very plan that the round follows.
            obligations: The open ones.

        Raises:
            UnsafePlan: The world moved since the saved plan was made, or the plan goes beyond a limit.
        """
        promises = list(obligations)
        if self.saved is not None:
            self._refuse("the world moved since the plan was made", self.saved.moved(plan, owed(promises)), PLAN_AGAIN)
        reasons = check(plan, self.limits, made_by_us(promises))
        self._refuse("the plan goes beyond the limits of this run", reasons, MORE)
        longer = too_long(plan, self.limits, owed(promises)).values()
        self._refuse(f"what it weakens would be live for longer than {self._allowed}", longer, LONGER)

    def gate(
        self, change: Change, plan: Plan, obligations: Iterable[Obligation], done: Iterable[Change]
    ) -> NeedsPerson | None:
        """Return why one change has to wait that came up on the way; None where it may be made.

        Args:
            plan: That of the round.
            done: Changes made earlier in this run.
        """
        what = change.wanted.title()
        if self.saved is not None and not self.saved.names(change):
            return NeedsPerson(f"{what}: this is not in the saved plan", where=change.key, do=PLAN_AGAIN)
        reasons = check(replace(plan, changes=(change,)), self.limits, made_by_us(obligations), done)
        if change.direction == "apply" and reasons:
            return NeedsPerson(f"{what}: with it the run has {'; '.join(reasons)}", where=change.key, do=MORE)
        if longer := too_long(plan, self.limits, ()).get(change.key):
            return NeedsPerson(f"{what}: live for longer than {self._allowed}: {longer}", where=change.key, do=LONGER)
        return None

    @property
    def _allowed(self) -> str:
        return about(self.limits.max_exposure) if self.limits.max_exposure is not None else "any time"

    def _refuse(self, what: str, lines: Iterable[str], do: str) -> None:
        if found := "".join(f"\n  - {line}" for line in lines):
            raise UnsafePlan(f"{what}:{found}", where=self.where, do=do)


def owed(obligations: Iterable[Obligation]) -> list[Key]:
    """Return the keys of the promises about settings that were changed."""
    return [promise.key for promise in obligations if promise.changed_at is not None]


def made_by_us(obligations: Iterable[Obligation]) -> set[Key]:
    """Return the keys of what was not there before we changed it."""
    return {p.key for p in obligations if p.changed_at is not None and p.baseline.get("ensure") == "absent"}


def _holds(approval: Approval, plan_digest: str, now: datetime) -> bool:
    return approval.plan in (None, plan_digest) and (approval.until is None or now < approval.until)


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'s' if number != 1 else ''}"


def _list(keys: Iterable[Key]) -> str:
    every = list(keys)
    shown = ", ".join(every[:SHOWN_KEYS])
    return shown if len(every) <= SHOWN_KEYS else f"{shown} and {len(every) - SHOWN_KEYS} more"

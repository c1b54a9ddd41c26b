"""What a run has to say, as one value. Renderers turn it into text or JSON; nothing here prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal

from msgspec import Struct, field

from reconciler.core.certificate import Closing
from reconciler.core.conflict import Conflict
from reconciler.core.drift import Drift
from reconciler.core.errors import AuthenticationFailed, HeldBack, ReconcileError, Unreachable
from reconciler.core.exit_codes import ExitCode, worst
from reconciler.core.graph import Graph
from reconciler.core.plan import Change, Direction, Plan
from reconciler.core.ports import Obligation
from reconciler.core.resource import Key
from reconciler.core.values import Phase
from reconciler.core.verdicts import Verdict

Status = Literal["unchanged", "changed", "failed", "skipped", "waiting"]


class Outcome(Struct, frozen=True):
    """How it ended for one resource in a run.

    Attributes:
        status: ``changed`` where at least one change was made and read back.
        changes: What was done, in order.
        error: Why it failed or waits.
        because: The requirement that made it be skipped.
        lapsed: When its lease ended; it went back for that reason, although the phase wants it.
        edits: What somebody else had changed after us, and where and when, as far as it is known.
        verdicts: How it stands with each thing of a collection.
        remarks: What a person should know, though it is no difference.
    """

    key: Key
    title: str
    direction: Direction
    status: Status
    changes: tuple[Change, ...] = ()
    error: ReconcileError | None = None
    because: str = ""
    lapsed: datetime | None = None
    edits: tuple[Conflict, ...] = ()
    verdicts: Sequence[Verdict] = ()
    remarks: tuple[str, ...] = ()


class Report(Struct, frozen=True):
    """One run of one verb.

    Attributes:
        drifts: For ``drift`` everything that differs; for a run what counted when it began, ``corrective`` where it was set right.
        fenced: Hosts that keep the writer's number, and why.
    """

    verb: Literal["plan", "apply", "drift", "revert"]
    run: str
    state: str
    phase: Phase
    started: datetime
    ended: datetime
    outcomes: tuple[Outcome, ...] = ()
    plan: Plan | None = None
    rounds: int = 0
    converged: bool = True
    interrupted: bool = False
    open: tuple[Obligation, ...] = ()
    closed: tuple[Obligation, ...] = ()
    where: Mapping[Key, str] = field(default_factory=dict)
    back: Mapping[Key, str] = field(default_factory=dict)
    closing: Closing = field(default_factory=Closing)
    drifts: tuple[Drift, ...] = ()
    graph: Graph | None = None  # what a page draws; None where a report has no picture
    fenced: Mapping[str, str] = field(default_factory=dict)  # hosts that keep the writer's number, and why

    @property
    def verdicts(self) -> dict[Key, Sequence[Verdict]]:
        """How it stands with each thing of each collection, as last observed."""
        if self.plan is not None:
            found = {key: resource.verdicts(resource) for key, resource in self.plan.observed.items()}
        else:
            found = {outcome.key: outcome.verdicts for outcome in self.outcomes}
        return {key: verdicts for key, verdicts in found.items() if verdicts}

    @property
    def remarks(self) -> dict[Key, tuple[str, ...]]:
        """What a person should know of each resource, as last observed, though it is no difference."""
        if self.plan is not None:
            found = {key: resource.remarks(resource) for key, resource in self.plan.observed.items()}
        else:
            found = {outcome.key: outcome.remarks for outcome in self.outcomes}
        return {key: remarks for key, remarks in found.items() if remarks}

    @property
    def exit_code(self) -> ExitCode:
        """Return what the shell learns."""
        if self.verb in ("plan", "drift"):
            return self._exit_code_of_plan()
        codes = {_code(outcome) for outcome in self.outcomes}
        if not self.converged:
            codes.add(ExitCode.NOT_CONVERGED)
        if self.fenced:
            codes.add(ExitCode.REVERT_INCOMPLETE)
        return worst(codes | self._exit_codes_of_closing(ended_well=codes <= {ExitCode.OK}))

    def _exit_code_of_plan(self) -> ExitCode:
        plan = self.plan or Plan(self.phase)
        codes = {_code_of_error(error) for error in plan.errors.values()}
        if plan.changes:
            codes.add(ExitCode.DRIFT)
        return worst(codes | self._exit_codes_of_closing(ended_well=True))

    def _exit_codes_of_closing(self, *, ended_well: bool) -> set[ExitCode]:
        """A certificate that is withheld because the run failed says no more than the failure does."""
        codes = {_code_of_error(error) for error in self.closing.unknown.values()}
        if self.closing.withheld and ended_well:
            codes.add(ExitCode.REVERT_INCOMPLETE)
        if self.closing.alarms:
            codes.add(ExitCode.DRIFT)
        return codes


def _code(outcome: Outcome) -> ExitCode:
    if outcome.status in ("unchanged", "changed"):
        return ExitCode.WAITING if outcome.lapsed else ExitCode.OK
    if outcome.direction == "revert":
        return ExitCode.REVERT_INCOMPLETE
    if outcome.status == "waiting" and isinstance(outcome.error, HeldBack):
        return ExitCode.DRIFT  # nobody has to do anything for it
    if outcome.status == "waiting":
        return ExitCode.WAITING
    if outcome.status == "skipped":
        return ExitCode.OK  # what made it be skipped decides
    return _code_of_error(outcome.error)


def _code_of_error(error: ReconcileError | None) -> ExitCode:
    return ExitCode.UNREACHABLE if isinstance(error, Unreachable | AuthenticationFailed) else ExitCode.PARTLY_FAILED

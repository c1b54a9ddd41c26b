"""What the verbs that work on the world share: connections, the stop signal, and the report of a run."""

from __future__ import annotations

import signal
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from reconciler.cli import output as screen
from reconciler.cli.reminding import remind
from reconciler.core.errors import UnsafePlan
from reconciler.core.exit_codes import ExitCode

if TYPE_CHECKING:
    from reconciler.cli.duty import Duty
    from reconciler.cli.forms import Form
    from reconciler.cli.keeping import Keeper
    from reconciler.cli.loading import Loaded
    from reconciler.core.audit import Audit
    from reconciler.core.limits import Permit
    from reconciler.core.ports import Journal
    from reconciler.core.report import Report
    from reconciler.core.saved_plan import Origin
    from reconciler.core.targets import Targets
    from reconciler.edge.secrets import Secrets
    from reconciler.engine.events import Listener
    from reconciler.engine.intents import Scope
    from reconciler.engine.restraint import Terms
    from reconciler.engine.run import Tools

INTERRUPTED = 130
TARGETS = "targets"
"""The fact that lets `revert` reach everything although the state file is lost: names and references, never a secret."""


class StopSignal(Struct):
    """Ctrl-C or SIGTERM: once, the step in flight is finished; twice, the program stops at once."""

    asked: bool = False

    def __call__(self) -> bool:
        return self.asked

    def hear(self, number: int, frame: FrameType | None) -> None:
        """Take note of a signal."""
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        screen.stderr("stopping after the step in flight; once more to stop now", "bold yellow")


@contextmanager
def listening() -> Iterator[StopSignal]:
    """Hear Ctrl-C and SIGTERM for as long as the context is open."""
    stop = StopSignal()
    before = {number: signal.signal(number, stop.hear) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def connected(
    targets: Targets,
    base: Path,
    journal: Journal,
    permit: Permit | None = None,
    *,
    log: Path | None = None,
    whatever: bool = False,
    keeper: Keeper | None = None,
) -> Iterator[Tools]:
    """Open what a run works with; connections are made when they are needed.

    Args:
        permit: What the plan is judged by; by default nothing is refused.
        log: The audit log; None where nothing will be changed.
        whatever: Go on without an audit log where it cannot be written: putting back is never held up by it.
        keeper: Keeps connections open from one run to the next; without it they end with this one.
    """
    from reconciler.cli.fencing import fence_of
    from reconciler.core.audit import account_of
    from reconciler.core.limits import Permit
    from reconciler.edge.clock import SystemClock
    from reconciler.edge.secrets import Secrets
    from reconciler.edge.world import LiveWorld
    from reconciler.engine.run import Tools

    secrets = keeper.secrets if keeper is not None else Secrets(base)
    run = uuid.uuid4().hex[:12]
    with ExitStack() as stack:
        stack.enter_context(screen.about(run, secrets.scrub))
        stop = stack.enter_context(listening())
        fence = fence_of(journal)
        world = keeper.begin(fence) if keeper else stack.enter_context(LiveWorld(targets, secrets, base, fence))
        yield Tools(
            world, journal, SystemClock(), run, listen=screen.tell, stopping=stop, permit=permit or Permit(),
            audit=_audit(stack, log, secrets, whatever), account_of=partial(account_of, targets),
            looks=keeper.looks if keeper else None,
        )  # fmt: skip


def _audit(stack: ExitStack, log: Path | None, secrets: Secrets, whatever: bool) -> Audit:
    from reconciler.core.audit import AuditError, NoAudit

    if log is None:
        return NoAudit()
    from reconciler.edge.audit_file import AuditFile

    try:
        return stack.enter_context(AuditFile.open(log, scrub=secrets.scrub))
    except AuditError as error:
        if not whatever:
            raise
        screen.stderr(f"going on without an audit log: {error}", "bold red")
        return NoAudit()


def apply_once(
    loaded: Loaded,
    permit: Permit,
    detail: Mapping[str, object],
    duty: Duty,
    *,
    holder: str,
    listen: Listener = screen.tell,
    terms: Terms | None = None,
    keeper: Keeper | None = None,
) -> Report:
    """Bring the world to what a state file says, under the lock of its journal.

    Args:
        terms: What holds changes back; where not given, a person asked for it.
    """
    from reconciler.edge.audit_check import audit_path
    from reconciler.edge.journal_file import JournalFile

    name, log = loaded.state.metadata.name, audit_path(loaded.journal)
    with JournalFile.open(loaded.journal, name, holder=holder, facts=keeper.facts if keeper else None) as journal:
        remind(journal)
        with (
            connected(loaded.targets, loaded.base, journal, permit, log=log, keeper=keeper) as tools,
            duty.over(loaded, tools),
        ):
            tools.listen = listen
            report = bring_about(loaded, terms or loaded.terms("person"), tools, detail)
            duty.done(report, tools)
            return report


def bring_about(loaded: Loaded, terms: Terms, tools: Tools, detail: Mapping[str, object]) -> Report:
    """Bring the world to what a state file says, with what a run works with already open."""
    from reconciler.cli.closing import closed
    from reconciler.engine.certify import Sources
    from reconciler.engine.intents import scope
    from reconciler.engine.restraint import Restraint
    from reconciler.resources.kinds import revive

    journal = tools.journal
    tools.restraint = Restraint(Sources(tools.world, journal, tools.clock, revive), terms)
    remember_targets(loaded, tools)
    whole = scope(loaded.whole(journal), loaded.state.phase, journal, revive)
    detail = {"state_sha256": loaded.sha256, **detail}
    report = carry_out("apply", loaded.state.metadata.name, whole, tools, loaded.where, detail)
    return closed(report, whole, tools, loaded.journal)


def remember_targets(loaded: Loaded, tools: Tools) -> None:
    """Keep in the journal what lets `revert` reach everything."""
    written = {"base": str(loaded.base), **loaded.targets.model_dump(mode="json")}
    if tools.journal.facts(TARGETS).get(TARGETS) != written:
        tools.journal.note({TARGETS: written}, tools.clock.now())


def carry_out(
    verb: Literal["apply", "revert"],
    name: str,
    scope: Scope,
    tools: Tools,
    where: Mapping[str, str],
    detail: Mapping[str, object],
) -> Report:
    """Converge, and return what there is to say about it; the journal keeps that it ran."""
    from reconciler.cli.fencing import lift, overtake
    from reconciler.core.report import Report
    from reconciler.engine.converge import converge

    journal, started = tools.journal, tools.clock.now()
    journal.record(verb, started, {"run": tools.run, "phase": scope.phase, **detail})
    overtake(tools)
    try:
        result = converge(scope, tools)
    except UnsafePlan as refusal:
        journal.record(verb + " refused", tools.clock.now(), {"run": tools.run, "because": refusal.what})
        raise
    except KeyboardInterrupt:
        still = [promise.key for promise in journal.obligations() if promise.changed_at]
        screen.stderr("stopped; still to be put back: " + (", ".join(still) or "nothing"), "bold yellow")
        raise
    drifts = tools.restraint.conclude(result.outcomes, tools.run)
    ended = tools.clock.now()
    report = Report(
        verb=verb, run=tools.run, state=name, phase=scope.phase, started=started, ended=ended,
        outcomes=tuple(result.outcomes), rounds=result.rounds, converged=result.converged, interrupted=result.interrupted,
        open=tuple(promise for promise in journal.obligations() if promise.changed_at),
        closed=tuple(promise for promise in journal.closed() if promise.closed_at and promise.closed_at >= started),
        where=where, back=backs(journal), drifts=drifts, fenced=lift(tools), graph=scope.graph,
    )  # fmt: skip
    journal.record(
        verb + " ended", ended, {"run": tools.run, "exit_code": int(report.exit_code), "rounds": result.rounds}
    )
    return report


def backs(journal: Journal) -> dict[str, str]:
    """Say for each open promise what it goes back to."""
    from reconciler.reports.undo import back_of
    from reconciler.resources.kinds import revive

    return {
        promise.key: back_of(revive(promise.declared), revive(promise.baseline)) for promise in journal.obligations()
    }


def save(path: Path, report: Report, origin: Origin, owed: list[str]) -> None:
    """Keep a plan in a file."""
    from reconciler.core.saved_plan import save_value
    from reconciler.edge.plan_file import write
    from reconciler.reports.json_report import document

    assert report.plan is not None
    changes = document(report)["changes"]
    write(path, save_value(report.plan, origin, changes, owed=owed, steps_sha256=report.plan.digest))
    screen.stderr(f"the plan is in {path}; `reconcile apply {path}` carries out exactly that", "green")


def show(report: Report, form: Form, files: Sequence[Path] = ()) -> int:
    """Print a report, write it to files too, and return the exit code; a file that cannot be written spoils success only."""
    from reconciler.cli.forms import print_report, write_reports

    print_report(report, form)
    unwritten = write_reports(report, files)
    return INTERRUPTED if report.interrupted else ExitCode(report.exit_code or unwritten)

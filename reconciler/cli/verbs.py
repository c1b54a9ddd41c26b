"""The verbs about a state file. Each is thin: load, call, print, return the exit code."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from reconciler.cli import output as screen
from reconciler.cli.closing import closed
from reconciler.cli.forms import check, listener
from reconciler.cli.loading import load
from reconciler.cli.looking import check_file, look
from reconciler.cli.options import AsForm, Log, MetricsFile, Output, Reports, StatePath
from reconciler.cli.pausing import refuse_while_paused
from reconciler.cli.reminding import remind, remind_of
from reconciler.cli.running import TARGETS, apply_once, backs, carry_out, connected, show
from reconciler.core.errors import JournalError, UnsafePlan
from reconciler.core.exit_codes import ExitCode


def validate(state: StatePath) -> int:
    """Check a state file. No connection is opened."""
    return check_file(state)


def plan(
    state: StatePath,
    *,
    output: AsForm = "text",
    report: Reports = (),
    out: Annotated[
        Path | None, Parameter(name=["--out", "-o"], help="Keep the plan in this file, for `reconcile apply FILE`.")
    ] = None,
) -> int:
    """Show what would change, in order, and why. Exit 0: nothing; 2: something. Nothing but FILE is written."""
    return look(state, "plan", output, report, out)


def drift(state: StatePath, *, output: AsForm = "text", report: Reports = ()) -> int:
    """Tell whether the world still matches the state file. Exit 0: yes; 2: no. Nothing is written anywhere."""
    return look(state, "drift", output, report)


def apply(
    path: Annotated[Path, Parameter(help="The state file, or a plan kept by `reconcile plan STATE --out FILE`.")],
    *,
    output: AsForm = "text",
    report: Reports = (),
    max_changes: Annotated[int | None, Parameter(help="Change at most so many resources forward.")] = None,
    deletion_share: Annotated[
        float,
        Parameter(
            help="Part of the existing resources, 0 to 1, that may be deleted; one or two deletions always pass."
        ),
    ] = 0.3,
    max_exposure: Annotated[
        str | None,
        Parameter(help="Refuse where a weakening is foreseen to be live for longer, such as `4h` (90m, 2d, PT4H)."),
    ] = None,
    metrics_file: MetricsFile = None,
    log: Log = "text",
    despite_pause: Annotated[
        bool, Parameter(negative="", help="Go on although `reconcile pause` asked for quiet.")
    ] = False,
) -> int:
    """Bring the world to the declared state: observe, diff, apply in order, again, until nothing differs."""
    from reconciler.cli.duty import Duty
    from reconciler.core.lengths import duration
    from reconciler.core.limits import Limits
    from reconciler.edge import plan_file

    check(report)
    screen.log_as(log)
    try:
        longest = duration(max_exposure) if max_exposure is not None else None
        limits = Limits(max_changes, deletion_share, max_exposure=longest)
    except ValueError as error:
        raise UnsafePlan(str(error)) from error
    saved = plan_file.read(path)
    loaded = load(Path(saved.state_path) if saved else path)
    if saved is not None:
        saved.check_state(loaded.sha256, str(path))
    permit = loaded.permit(limits, saved, str(path) if saved else "")
    if not despite_pause:
        refuse_while_paused(loaded)
    detail, terms = {"plan": saved.digest} if saved else {}, loaded.terms("person", despite_pause=despite_pause)
    made = apply_once(
        loaded, permit, detail, Duty(metrics_file), holder=f"apply {path}", listen=listener(output), terms=terms
    )
    return show(made, output, report)


def revert(
    path: Annotated[Path, Parameter(help="The journal (a .db file), or the state file that names it.")],
    *,
    output: Output = "text",
) -> int:
    """Put back everything that is still open, from the journal alone: the state file may be lost."""
    from reconciler.core.graph import Graph
    from reconciler.core.targets import Targets
    from reconciler.edge.audit_check import audit_path
    from reconciler.edge.journal_file import JournalFile
    from reconciler.engine.certify import Sources
    from reconciler.engine.intents import scope
    from reconciler.engine.restraint import Restraint, Terms
    from reconciler.resources.facts import ACCOUNTS
    from reconciler.resources.kinds import revive
    from reconciler.resources.leftovers import with_leftovers
    from reconciler.resources.resolve import restarts_of

    file = path if path.suffix == ".db" else load(path).journal
    if not file.is_file():
        raise JournalError("there is no journal, so nothing is known to be put back", where=str(file))
    with JournalFile.open(file, file.stem, holder=f"revert {path}") as journal:
        remind(journal)
        known = dict(journal.facts(TARGETS).get(TARGETS, {}))
        if not known:
            screen.stderr("nothing was ever applied with this journal", "green")
            return ExitCode.OK
        base = Path(str(known.pop("base")))
        hosts = sorted({key.split("/")[1] for key in journal.facts("restart/")})
        log = audit_path(file)
        with connected(Targets.model_validate(known), base, journal, log=log, whatever=True) as tools:
            known_of = with_leftovers(Graph(restarts_of(hosts)), "complete", journal.facts(ACCOUNTS))
            whole = scope(known_of, "complete", journal, revive)
            tools.restraint = Restraint(
                Sources(tools.world, journal, tools.clock, revive), Terms("person", despite_pause=True)
            )
            report = carry_out("revert", file.stem, whole, tools, {}, {})
            report = closed(report, whole, tools, file)
    return show(report, output)


def graph(
    state: StatePath, *, output: Annotated[Literal["text", "dot", "json"], Parameter(name="--output")] = "text"
) -> int:
    """Show the resources that a state file means, in order, and the reason for each edge."""
    from reconciler.reports.graph_text import render

    loaded = load(state)
    remind_of(loaded.journal)
    screen.write(render(loaded.graph, output))
    return ExitCode.OK


def status(
    path: Annotated[Path, Parameter(help="The state file, or the journal (a .db file) where that is lost.")],
    *,
    output: Output = "text",
) -> int:
    """Show what is still to be put back, since when and until when, what was, and who is at work. Only the journal is read."""
    from reconciler.cli.fencing import plain_writer
    from reconciler.edge.clock import SystemClock
    from reconciler.edge.journal_file import JournalFile
    from reconciler.reports.status import render_json, render_text

    if path.suffix == ".db":
        file, name, phase = path, path.stem, None
    else:
        loaded = load(path)
        file, name, phase = loaded.journal, loaded.state.metadata.name, loaded.state.phase
    journal = JournalFile.read_only(file)
    remind(journal)
    opened = [obligation for obligation in journal.obligations() if obligation.changed_at]
    view = (name, phase, opened, journal.closed(), SystemClock().now())
    writer = plain_writer(journal.writer())
    if output == "json":
        screen.write(render_json(*view, writer))
    else:
        screen.stdout(render_text(*view, backs(journal), writer))
    return ExitCode.OK


def schema(
    *,
    directory: Annotated[
        Path | None, Parameter(name="--write", help="Write both schemas below this directory.")
    ] = None,
    draft: Literal["2020-12", "draft-07"] = "2020-12",
) -> int:
    """Print the JSON Schema of a state file, or write both drafts for editors."""
    from reconciler.resources.schema import render, write_all

    if directory is None:
        screen.write(render(draft))
    else:
        for path in write_all(directory):
            screen.stderr(os.fspath(path))
    return ExitCode.OK

"""The verbs about a state file. Each is thin: load, call, print, return the exit code."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter

from reconciler.cli import output as screen
from reconciler.cli.loading import Loaded, load
from reconciler.core.exit_codes import ExitCode

if TYPE_CHECKING:
    from reconciler.core.ports import Journal
    from reconciler.core.report import Report
    from reconciler.engine.converge import Tools

StatePath = Annotated[Path, Parameter(help="The state file.")]
Output = Annotated[
    Literal["text", "json"], Parameter(name=["--output", "-o"], help="text for people, json for programs.")
]


def register(app: App) -> None:
    """Add the verbs to the program."""
    for verb in (validate, plan, apply, drift, graph, status, schema):
        app.command(verb)


def validate(state: StatePath) -> int:
    """Check a state file. No connection is opened."""
    loaded = load(state)
    screen.stderr(f"{state} is valid: {len(loaded.graph)} resources, phase {loaded.state.phase}", "green")
    return ExitCode.OK


def plan(state: StatePath, *, output: Output = "text") -> int:
    """Show what would change, in order, and why. Exit 0: nothing; 2: something. Nothing is written anywhere."""
    return _look(state, "plan", output)


def drift(state: StatePath, *, output: Output = "text") -> int:
    """Tell whether the world still matches the state file. Exit 0: yes; 2: no. Nothing is written anywhere."""
    return _look(state, "drift", output)


def _look(path: Path, verb: Literal["plan", "drift"], form: Literal["text", "json"]) -> int:
    from reconciler.core.report import Report
    from reconciler.edge.journal_file import JournalFile
    from reconciler.engine.converge import plan_only
    from reconciler.engine.intents import scope
    from reconciler.resources.kinds import revive

    loaded = load(path)
    journal = JournalFile.read_only(loaded.journal)
    with _tools(loaded, journal) as tools:
        started = tools.clock.now()
        found = plan_only(scope(loaded.graph, loaded.state.phase, journal, revive), tools)
        report = Report(
            verb=verb, run=tools.run, state=loaded.state.metadata.name, phase=loaded.state.phase, started=started, ended=tools.clock.now(), plan=found, where=loaded.where
        )  # fmt: skip
    _show(report, form)
    return report.exit_code


def apply(state: StatePath, *, output: Output = "text") -> int:
    """Bring the world to the declared state: observe, diff, apply in order, again, until nothing differs."""
    from reconciler.core.report import Report
    from reconciler.edge.journal_file import JournalFile
    from reconciler.engine.converge import converge
    from reconciler.engine.intents import scope
    from reconciler.resources.kinds import revive

    loaded = load(state)
    name = loaded.state.metadata.name
    with JournalFile.open(loaded.journal, name, holder=f"apply {state}") as journal, _tools(loaded, journal) as tools:
        started = tools.clock.now()
        journal.record("apply", started, {"run": tools.run, "phase": loaded.state.phase, "state_sha256": loaded.sha256})
        try:
            outcomes, rounds, converged = converge(scope(loaded.graph, loaded.state.phase, journal, revive), tools)
        except KeyboardInterrupt:
            _say_open(journal)
            raise
        ended = tools.clock.now()
        report = Report(
            verb="apply", run=tools.run, state=name, phase=loaded.state.phase, started=started, ended=ended, outcomes=tuple(outcomes), rounds=rounds, converged=converged,
            open=tuple(o for o in journal.obligations() if o.changed_at), closed=tuple(o for o in journal.closed() if o.closed_at and o.closed_at >= started), where=loaded.where,
        )  # fmt: skip
        journal.record("applied", ended, {"run": tools.run, "exit_code": int(report.exit_code), "rounds": rounds})
    _show(report, output)
    return report.exit_code


def _say_open(journal: Journal) -> None:
    still = [obligation.key for obligation in journal.obligations() if obligation.changed_at]
    screen.stderr("interrupted; still to be put back: " + (", ".join(still) or "nothing"), "bold yellow")


def _show(report: Report, form: Literal["text", "json"]) -> None:
    if form == "json":
        from reconciler.reports.json_report import render

        screen.write(render(report))
        return
    from reconciler.reports.text import ApplyText, PlanText

    screen.stdout(ApplyText(report) if report.verb == "apply" else PlanText(report))


@contextmanager
def _tools(loaded: Loaded, journal: Journal) -> Iterator[Tools]:
    from reconciler.edge.clock import SystemClock
    from reconciler.edge.secrets import Secrets
    from reconciler.edge.world import LiveWorld
    from reconciler.engine.converge import Tools

    with LiveWorld(loaded.targets, Secrets(loaded.base), loaded.base) as world:
        yield Tools(world=world, journal=journal, clock=SystemClock(), run=uuid.uuid4().hex[:12], listen=screen.tell)


def graph(
    state: StatePath, *, output: Annotated[Literal["text", "dot", "json"], Parameter(name=["--output", "-o"])] = "text"
) -> int:
    """Show the resources that a state file means, in order, and the reason for each edge."""
    from reconciler.reports.graph_text import render

    screen.write(render(load(state).graph, output))
    return ExitCode.OK


def status(state: StatePath, *, output: Output = "text") -> int:
    """Show what is still to be put back, since when, and what was. Only the journal is read."""
    from reconciler.edge.clock import SystemClock
    from reconciler.edge.journal_file import JournalFile
    from reconciler.reports.status import render_json, render_text

    loaded = load(state)
    journal = JournalFile.read_only(loaded.journal)
    opened = [obligation for obligation in journal.obligations() if obligation.changed_at]
    view = (loaded.state.metadata.name, loaded.state.phase, opened, journal.closed(), SystemClock().now())
    if output == "json":
        screen.write(render_json(*view))
    else:
        screen.stdout(render_text(*view))
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

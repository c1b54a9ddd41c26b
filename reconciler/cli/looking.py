"""What only looks: at the state file, or at the world as well. Nothing is written but what a report is asked to go to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from reconciler.cli import output as screen
from reconciler.cli.closing import watched
from reconciler.cli.forms import Form, check, listener
from reconciler.cli.loading import load
from reconciler.cli.reminding import remind, remind_of
from reconciler.cli.running import backs, connected, save, show
from reconciler.core.exit_codes import ExitCode


def check_file(state: Path) -> int:
    """Check a state file, and say so."""
    loaded = load(state)
    remind_of(loaded.journal)
    screen.stderr(f"{state} is valid: {len(loaded.graph)} resources, phase {loaded.state.phase}", "green")
    return ExitCode.OK


def look(
    path: Path, verb: Literal["plan", "drift"], form: Form = "text", files: Sequence[Path] = (), out: Path | None = None
) -> int:
    """Compare the world with a state file, and report what differs.

    Args:
        files: Where the report is written besides.
        out: Keep the plan in this file.
    """
    from reconciler.core.limits import Limits, lapsed, owed
    from reconciler.core.report import Report
    from reconciler.edge.journal_file import JournalFile
    from reconciler.engine.certify import Sources
    from reconciler.engine.converge import plan_only
    from reconciler.engine.drift import drifts_of
    from reconciler.engine.intents import scope
    from reconciler.resources.kinds import revive

    check(files)
    loaded = load(path)
    journal = JournalFile.read_only(loaded.journal)
    remind(journal)
    with connected(loaded.targets, loaded.base, journal, permit := loaded.permit(Limits())) as tools:
        tools.listen = listener(form)
        started = tools.clock.now()
        whole = scope(loaded.whole(journal), loaded.state.phase, journal, revive)
        found = plan_only(whole, tools)
        drifts = drifts_of(whole, found, Sources(tools.world, journal, tools.clock, revive), loaded.where)
        report = Report(
            verb=verb, run=tools.run, state=loaded.state.metadata.name, phase=loaded.state.phase, started=started,
            ended=tools.clock.now(), plan=found, where=loaded.where, back=backs(journal),
            closing=watched(whole, tools), graph=whole.graph,
            open=tuple(promise for promise in journal.obligations() if promise.changed_at),
            drifts=tuple(one for one in drifts if verb == "drift" or one.policy == "ignore"),  # which `apply` leaves alone
        )  # fmt: skip
        for line in lapsed(permit.approvals, found.digest, started):
            screen.stderr(line, "magenta")
        if out is not None:
            from reconciler.core.saved_plan import Origin

            origin = Origin(started, tools.run, report.state, str(path), loaded.sha256)
            save(out, report, origin, owed(journal.obligations()))
    return show(report, form, files)

"""The verb that says of every account how it stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from reconciler.cli import output as screen
from reconciler.cli.loading import load
from reconciler.cli.options import StatePath
from reconciler.cli.reminding import remind
from reconciler.cli.running import connected
from reconciler.core.exit_codes import ExitCode, worst

if TYPE_CHECKING:
    from reconciler.core.report import Report

Form = Annotated[
    Literal["text", "json", "csv"], Parameter(name="--output", help="text for people; json and csv for programs.")
]


def accounts(state: StatePath, *, output: Form = "text") -> int:
    """Say of every account of every population how it stands. Exit 0: all are through; 2: some are not. Nothing is written."""
    from reconciler.core.limits import Limits
    from reconciler.core.report import Report
    from reconciler.edge.journal_file import JournalFile
    from reconciler.engine.converge import plan_only
    from reconciler.engine.intents import scope
    from reconciler.resources.ad_accounts import Accounts
    from reconciler.resources.kinds import revive

    loaded = load(state)
    journal = JournalFile.read_only(loaded.journal)
    remind(journal)
    with connected(loaded.targets, loaded.base, journal, loaded.permit(Limits())) as tools:
        started = tools.clock.now()
        whole = scope(loaded.graph, "migrate", journal, revive)  # asked about in every phase
        chosen = {key: intent for key, intent in whole.intents.items() if isinstance(intent.wanted, Accounts)}
        found = plan_only(whole.only(chosen), tools)
        report = Report(
            "drift", tools.run, loaded.state.metadata.name, loaded.state.phase, started, tools.clock.now(), plan=found, where=loaded.where
        )  # fmt: skip
    _print(report, output)
    for key, error in found.errors.items():
        screen.stderr(f"{key} could not be observed: {error}", "red")
    undone = any(one.standing not in ("migrated", "password copied", "excluded") for all_ in report.verdicts.values() for one in all_)  # fmt: skip
    return worst({report.exit_code if found.errors else ExitCode.OK, ExitCode.DRIFT if undone else ExitCode.OK})


def _print(report: Report, form: Literal["text", "json", "csv"]) -> None:
    import json

    from rich.console import Group
    from rich.padding import Padding
    from rich.text import Text

    from reconciler.reports.verdicts import render_csv, verdict_lines, verdicts_json

    if form == "csv":
        screen.write(render_csv(report))
    elif form == "json":
        head = {"apiVersion": "reconciler/v1", "kind": "Accounts", "state": report.state, "run": report.run}
        screen.write(json.dumps({**head, "populations": verdicts_json(report)}, indent=2, ensure_ascii=False) + "\n")
    else:
        for key, verdicts in report.verdicts.items():
            lines = verdict_lines(verdicts) or [Text("no accounts", style="dim")]
            screen.stdout(Group(Text(key, style="bold"), *(Padding(line, (0, 0, 0, 4)) for line in lines)))

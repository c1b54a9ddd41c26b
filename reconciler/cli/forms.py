"""In which form a report is printed, and into which files it is written besides."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from reconciler.cli import output as screen
from reconciler.core.errors import ReconcileError
from reconciler.core.exit_codes import ExitCode

if TYPE_CHECKING:
    from reconciler.core.report import Report
    from reconciler.engine.events import Event, Listener

Form = Literal["text", "json", "jsonl", "markdown", "sarif", "junit", "html", "csv"]
SUFFIXES: dict[str, Form] = {
    ".json": "json", ".jsonl": "jsonl", ".md": "markdown", ".sarif": "sarif", ".xml": "junit", ".html": "html", ".csv": "csv",
}  # fmt: skip


def check(files: Sequence[Path]) -> None:
    """Say what is wrong with the names of report files before anything is done.

    Raises:
        ReconcileError: A suffix means no format, or there is no such directory.
    """
    for file in files:
        if file.suffix not in SUFFIXES:
            raise ReconcileError("no format of a report has this suffix", where=str(file), do="end it in " + ", ".join(SUFFIXES))  # fmt: skip
        if not file.parent.is_dir():
            raise ReconcileError("there is no such directory for the report", where=str(file), do="create it first")


def listener(form: Form) -> Listener:
    """Return who hears of progress: the screen, or with JSON lines whoever reads standard output."""
    return _Lines() if form == "jsonl" else screen.tell


class _Lines:
    """Writes a line for each event at once; the first one says what the format is."""

    def __init__(self) -> None:
        from reconciler.edge.clock import SystemClock
        from reconciler.reports.lines import version_line

        self.clock = SystemClock()
        screen.write(version_line(self.clock.now()))

    def __call__(self, event: Event) -> None:
        from reconciler.reports.lines import event_line

        screen.write(event_line(event, self.clock.now()))


def render(report: Report, form: Form) -> str:
    """Return a report in a form that a program or a browser reads."""
    from reconciler.reports import html, json_report, junit, lines, markdown, sarif, verdicts

    if form == "jsonl":
        return lines.version_line(report.ended) + lines.end_lines(report)
    if form == "html":
        return html.render(report)
    renderers = {
        "json": json_report.render, "markdown": markdown.render, "sarif": sarif.render, "junit": junit.render, "csv": verdicts.render_csv,
    }  # fmt: skip
    return renderers[form](report)


def print_report(report: Report, form: Form) -> None:
    """Print a report; of JSON lines only what the listener has not written while it happened."""
    from reconciler.reports import summary

    if form == "text" and summary.quiet(report):
        screen.line(summary.nothing_differs(report), "green")
    elif form == "text":
        from reconciler.reports.text import ApplyText, PlanText

        screen.stdout(PlanText(report) if report.verb in ("plan", "drift") else ApplyText(report))
    elif form == "jsonl":
        from reconciler.reports.lines import end_lines

        screen.write(end_lines(report))
    else:
        screen.write(render(report, form))


def write_reports(report: Report, files: Sequence[Path]) -> ExitCode:
    """Write a report to files; one that cannot be written is said, and the others are written all the same."""
    from reconciler.edge.report_file import write

    code = ExitCode.OK
    for file in files:
        try:
            write(file, render(report, SUFFIXES[file.suffix]))
        except ReconcileError as error:
            screen.stderr(str(error), "red")
            code = ExitCode.ERROR
    return code

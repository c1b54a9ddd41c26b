"""Render what a person should know of a resource, though nothing about it differs."""

from __future__ import annotations

from collections.abc import Iterator

from rich.padding import Padding
from rich.text import Text

from reconciler.core.report import Report
from reconciler.reports.plain import printable

SHOWN = 20


def remark_lines(report: Report) -> Iterator[Text | Padding]:
    """Return the remarks on each resource below its key; of many only the first."""
    for key, lines in report.remarks.items():
        yield Text.assemble(("i ", "cyan"), (key, "bold"))
        for line in lines[:SHOWN]:
            yield Padding(Text(printable(line), style="dim"), (0, 0, 0, 4))
        if len(lines) > SHOWN:
            more = f"and {len(lines) - SHOWN:,} more; `--output json` has all"
            yield Padding(Text(more, style="dim"), (0, 0, 0, 4))

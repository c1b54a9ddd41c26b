"""Render the verdicts on accounts: a line of numbers for people, every one of them for programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from rich.text import Text

from reconciler.core.report import Report
from reconciler.core.verdicts import Verdict, counted
from reconciler.reports.plain import printable

SHOWN = 20
COLUMNS = ("population", "name", "verdict", "why", "sid", "source", "target")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def verdict_lines(verdicts: Sequence[Verdict]) -> list[Text]:
    """Return how many accounts have which verdict, and the first of those that did not succeed."""
    if not verdicts:
        return []
    numbers = ", ".join(f"{number:,} {standing}" for standing, number in counted(verdicts).items())
    lines = [Text.assemble((f"{len(verdicts):,} in all: ", "dim"), numbers)]
    bad = [one for one in verdicts if one.standing in ("failed", "password random")]
    lines += [Text(f"{printable(one.name)}: {one.standing}: {printable(one.why)}", style="red") for one in bad[:SHOWN]]
    if len(bad) > SHOWN:
        lines.append(Text(f"and {len(bad) - SHOWN:,} more; `reconcile accounts` shows all", style="red"))
    return lines


def verdicts_json(report: Report) -> list[dict[str, Any]]:
    """Return one object per population that has accounts."""
    return [
        {
            "key": key,
            "counts": dict(counted(verdicts)),
            "accounts": [
                {"name": one.name, "verdict": one.standing, "why": one.why, "sid": one.sid, "source": one.dn, "target": one.target}
                for one in verdicts
            ],
        }
        for key, verdicts in report.verdicts.items()
    ]  # fmt: skip


def render_csv(report: Report) -> str:
    """Return a line per account, with a header; what a spreadsheet would take for a formula has an apostrophe before it."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for key, verdicts in report.verdicts.items():
        for one in verdicts:
            cells = (key, one.name, one.standing, one.why, one.sid, one.dn, one.target)
            writer.writerow([f"'{cell}" if cell.startswith(_FORMULA) else cell for cell in cells])
    return out.getvalue()

"""Render what is still owed and what was put back, from the journal alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime

from rich.console import Group, RenderableType
from rich.text import Text

from reconciler.core.ports import Obligation
from reconciler.reports.json_report import plain_obligation
from reconciler.reports.text import exposed, open_table, undone_table


def render_text(
    state: str,
    phase: str | None,
    opened: Sequence[Obligation],
    closed: Sequence[Obligation],
    now: datetime,
    back: Mapping[str, str],
    writer: Mapping[str, str | int] | None = None,
) -> RenderableType:
    """Return it for a person."""
    parts: list[RenderableType] = [
        Text(f"{state}: {f'phase {phase} in the state file' if phase else 'as the journal says'}", style="bold")
    ]
    if writer is not None:
        parts.append(Text(_at_work(writer), style="yellow"))
    if opened:
        parts += [Text("\nStill to be put back:", style="bold yellow"), open_table(opened, now, back)]
    else:
        parts.append(Text("nothing is to be put back", style="green"))
    if closed:
        parts += [Text("\nPut back:", style="bold"), undone_table(closed), exposed(closed)]
    return Group(*parts)


def render_json(
    state: str,
    phase: str | None,
    opened: Sequence[Obligation],
    closed: Sequence[Obligation],
    now: datetime,
    writer: Mapping[str, str | int] | None = None,
) -> str:
    """Return it for a program, with a final newline."""
    document = {
        "apiVersion": "reconciler/v1",
        "kind": "Status",
        "state": state,
        "phase": phase,
        "at": now.isoformat(),
        "writer": None if writer is None else dict(writer),
        "open": [plain_obligation(obligation) for obligation in opened],
        "closed": [plain_obligation(obligation) for obligation in closed],
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _at_work(writer: Mapping[str, str | int]) -> str:
    if not writer["holder"]:
        return f"somebody is at work who has not said who it is; last sign of life {writer['last_sign']}"
    return (
        f"at work: {writer['holder']} (process {writer['pid']} on {writer['host']}, since {writer['since']}), "
        f"last sign of life {writer['last_sign']}"
    )

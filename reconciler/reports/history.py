"""Render the drifts that the journal keeps."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from reconciler.core.drift import Sighting
from reconciler.reports.plain import plain, printable


def render_text(state: str, found: Sequence[Sighting]) -> RenderableType:
    """Return a table, the oldest first."""
    opened = sum(1 for one in found if one.closed_at is None)
    summary = Text(f"{state}: {len(found)} drifts, {opened} of them open.", style="bold")
    if not found:
        return summary
    table = Table(
        "setting", "fields", "class", "first seen", "last seen", "changed", "repaired by", box=None, pad_edge=False
    )
    for one in found:
        table.add_row(
            Text(printable(one.key)), Text(", ".join(one.fields)), Text(one.comes_from), Text(_time(one.first_seen)),
            Text(_time(one.last_seen)), Text(_changed(one)), Text(_repaired(one), style="" if one.closed_at else "yellow"),
        )  # fmt: skip
    return Group(table, summary)


def render_json(state: str, found: Sequence[Sighting]) -> str:
    """Return the document, with a final newline."""
    document = {
        "apiVersion": "reconciler/v1",
        "kind": "History",
        "state": state,
        "drifts": [_plain(one) for one in found],
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _plain(one: Sighting) -> dict[str, Any]:
    return {
        "key": one.key,
        "fields": list(one.fields),
        "class": one.comes_from,
        "first_seen": plain(one.first_seen),
        "last_seen": plain(one.last_seen),
        "closed_at": plain(one.closed_at),
        "repaired_by": one.repaired_by or None,
        "since": plain(one.since),
        "on": one.on or None,
    }


def _changed(one: Sighting) -> str:
    when = _time(one.since) if one.since else "-"
    return f"{when} on {printable(one.on)}" if one.on else when


def _repaired(one: Sighting) -> str:
    return f"{one.repaired_by}, {_time(one.closed_at)}" if one.closed_at else "open"


def _time(at: Any) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}Z"

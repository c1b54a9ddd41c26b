"""Say what somebody else changed after us, where and when as far as a directory tells, and what became of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from rich.text import Text

from reconciler.core.conflict import Conflict
from reconciler.core.report import Outcome
from reconciler.reports.plain import plain, printable
from reconciler.reports.undo import show

Policy = Literal["restore", "keep", "ask"]
_BECAME = {"restore": "goes back to what it was", "keep": "stays as it is", "ask": "a person decides"}


def edit_lines(edits: Iterable[Conflict], policy: Policy) -> list[Text]:
    """Return two lines for each edit: what it was, and what is known about it."""
    lines: list[Text] = []
    for edit in edits:
        values = f"was {show(edit.original)}, we set {show(edit.ours)}, found {show(edit.current)}"
        lines.append(Text(f"changed by somebody else: {edit.field} {values}; {_BECAME[policy]}", style="yellow"))
        told = edit.told or "who changed it, and when, is not known"
        lines.append(Text(f"  {printable(told)}", style="dim"))
    return lines


def policy_of(outcome: Outcome) -> Policy:
    """Return what a run was told to do about the edits that it found."""
    if outcome.changes:
        return outcome.changes[-1].wanted.on_conflict
    return "keep" if outcome.status == "unchanged" else "restore"


def plain_edit(edit: Conflict) -> dict[str, Any]:
    """Return an edit as JSON values; null where nothing is known."""
    told = edit.edit
    return {
        "field": edit.field,
        "original": plain(edit.original),
        "ours": plain(edit.ours),
        "current": plain(edit.current),
        "on": (told.on or None) if told else None,
        "at": plain(told.at) if told else None,
        "version": told.version if told else None,
        "attribute": told.attribute if told else None,
        "ours_at": plain(edit.ours_at),
    }

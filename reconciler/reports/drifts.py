"""Say of a drift where it comes from, since when, and what is done about it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from reconciler.core.drift import Drift
from reconciler.core.resource import Key
from reconciler.reports.plain import plain, printable
from reconciler.reports.undo import show

_DONE = {"correct": "", "report": "; only reported", "ignore": "; ignored"}


def drift_lines(drifts: Iterable[Drift], key: Key) -> list[Text]:
    """Return one line about the drift of a resource; none where it did not drift, or could not be observed."""
    lines = []
    for drift in drifts:
        if drift.key != key or drift.comes_from == "unknown":
            continue
        style = "yellow" if drift.comes_from in ("external", "corrective") else "dim"
        because = f" ({printable(drift.because)})" if drift.because else ""
        words = f"{drift.comes_from}{because}{_since(drift)}{_DONE[drift.policy]}"
        lines.append(Text.assemble(("drift: ", "dim"), (words, style)))
    return lines


def ignored_lines(drifts: Sequence[Drift]) -> Iterable[RenderableType]:
    """Return what is left as it is because the state file says so."""
    for drift in drifts:
        if drift.policy == "ignore":
            yield Text.assemble(("= ", "dim"), (drift.title, "dim"), (f"  [{drift.key}]", "dim"))
            values = [f"{one.field}: {show(one.observed)} instead of {show(one.wanted)}" for one in drift.differs]
            lines = [*drift_lines([drift], drift.key), *(Text(line, style="dim") for line in values)]
            yield Group(*(Padding(line, (0, 0, 0, 4)) for line in lines))


def plain_drift(drift: Drift) -> dict[str, Any]:
    """Return a drift as JSON values; null and empty where nothing is known."""
    return {
        "key": drift.key,
        "title": drift.title,
        "where": drift.where,
        "class": drift.comes_from,
        "because": drift.because,
        "differs": [
            {"field": d.field, "observed": plain(d.observed), "wanted": plain(d.wanted)} for d in drift.differs
        ],
        "weakens": drift.weakens,
        "since": plain(drift.since),
        "on": drift.on or None,
        "first_seen": plain(drift.first_seen),
        "repair": list(drift.repair),
        "policy": drift.policy,
        "error": drift.error,
    }


def _since(drift: Drift) -> str:
    """Say when, as far as it is known; who is never known."""
    if drift.comes_from == "intended":
        return ""
    told = f"; changed at {drift.since:%Y-%m-%d %H:%M:%S} UTC" if drift.since else ""
    on = f" on {printable(drift.on)}" if drift.on else ""
    return f"{told}{on}" + (f"; first seen {drift.first_seen:%Y-%m-%d %H:%M:%S} UTC" if drift.first_seen else "")

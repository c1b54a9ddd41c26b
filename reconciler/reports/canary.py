"""Render how a throw-away account fared: each step with its time, and what to do where it did not come through."""

from __future__ import annotations

import json

from msgspec import Struct
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from reconciler.core.report import Outcome
from reconciler.reports.plain import plain_error, printable

SHOWN = 10
"""Requirements that are named."""
_STYLES = {"done": ("✓", "green"), "refused": ("✗", "red"), "unknown": ("?", "yellow")}


class Leg(Struct, frozen=True):
    """One step of the way.

    Attributes:
        outcome: ``done``, ``refused`` or ``unknown``.
    """

    step: str
    outcome: str
    took_s: float


class Flight(Struct, frozen=True):
    """One try.

    Attributes:
        state: Name of the migration.
        missing: What it needs and is not in place, one line each.
        took_s: Seconds from the first question to the last answer.
    """

    state: str
    run: str
    outcome: Outcome
    legs: tuple[Leg, ...]
    missing: tuple[str, ...]
    took_s: float

    @property
    def green(self) -> bool:
        """Whether it came through."""
        return self.outcome.status in ("changed", "unchanged")


def render_text(flight: Flight) -> RenderableType:
    """Return it for people."""
    lines = [Text(f"not in place: {printable(one)}", style="yellow") for one in flight.missing[:SHOWN]]
    if len(flight.missing) > SHOWN:
        lines.append(Text(f"and {len(flight.missing) - SHOWN} more; `reconcile plan` shows all", style="yellow"))
    for leg in flight.legs:
        sign, style = _STYLES.get(leg.outcome, ("?", "yellow"))
        lines.append(Text.assemble((f"{sign} ", style), (f"{leg.took_s:6.1f} s  ", "dim"), printable(leg.step)))
    if flight.green:
        return Group(*lines, Text(f"The canary came through in {flight.took_s:.1f} s.", style="bold green"))
    error = flight.outcome.error
    said = printable(error.what) if error is not None else flight.outcome.status
    advice = [Padding(Text(printable(line)), (0, 0, 0, 2)) for line in (error.do.splitlines() if error else ())]
    return Group(*lines, Text(said, style="bold red"), *advice)


def render_json(flight: Flight) -> str:
    """Return it for programs, with a final newline."""
    outcome = flight.outcome
    value = {
        "apiVersion": "reconciler/v1",
        "kind": "Canary",
        "state": flight.state,
        "run": flight.run,
        "key": outcome.key,
        "green": flight.green,
        "status": outcome.status,
        "steps": [{"step": leg.step, "outcome": leg.outcome, "took_s": leg.took_s} for leg in flight.legs],
        "error": plain_error(outcome.error) if outcome.error is not None else None,
        "remarks": list(outcome.remarks),
        "not_in_place": list(flight.missing),
        "took_s": round(flight.took_s, 3),
    }
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"

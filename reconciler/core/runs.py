"""What the history of a journal tells about the runs so far. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from reconciler.core.exit_codes import ExitCode
from reconciler.core.ports import Json

BEGUN, ENDED = ("apply", "revert"), ("apply ended", "revert ended")
"""Events of the history."""
BOUNDS_S = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 4 * 3600.0)
"""Upper bounds of the histogram of how long runs take."""


class Runs(Struct, frozen=True):
    """The runs so far; as small after years as on the first day.

    Attributes:
        ended: How many began and ended.
        within: How many of those took at most each of ``BOUNDS_S``.
        took_s: How long they took all together.
        converged_at: When one ended with code 0 last.
        open: When those began that have not ended, by run.
        last: The id of the last entry that was read.
    """

    begun: int = 0
    ended: int = 0
    within: tuple[int, ...] = (0,) * len(BOUNDS_S)
    took_s: float = 0.0
    converged_at: datetime | None = None
    open: Mapping[str, datetime] = field(default_factory=dict)
    last: int = 0


NO_RUNS = Runs()


def runs(history: Iterable[Mapping[str, Any]], before: Runs = NO_RUNS) -> Runs:
    """Read the history of a journal, or what came to it since ``before``."""
    found, began = before, dict(before.open)
    for entry in history:
        event, run, at = entry["event"], str(entry.get("run", "")), datetime.fromisoformat(entry["at"])
        if event in BEGUN:
            found = replace(found, begun=found.begun + 1)
            began[run] = at
        elif event in ENDED:
            if (start := began.pop(run, None)) is not None:
                found = _with_length(found, max(0.0, (at - start).total_seconds()))
            if entry.get("exit_code") == ExitCode.OK:
                found = replace(found, converged_at=at)
        found = replace(found, last=int(entry.get("id", found.last)))
    return replace(found, open=began)


def written(total: Runs) -> Json:
    """Return it as JSON."""
    return {
        "begun": total.begun,
        "ended": total.ended,
        "within": list(total.within),
        "took_s": total.took_s,
        "converged_at": total.converged_at and total.converged_at.isoformat(),
        "open": {run: at.isoformat() for run, at in total.open.items()},
        "last": total.last,
    }


def read(fact: Json) -> Runs:
    """Return what was written."""
    return Runs(
        begun=fact["begun"],
        ended=fact["ended"],
        within=tuple(fact["within"]),
        took_s=fact["took_s"],
        converged_at=fact["converged_at"] and datetime.fromisoformat(fact["converged_at"]),
        open={run: datetime.fromisoformat(at) for run, at in fact["open"].items()},
        last=fact["last"],
    )


def _with_length(found: Runs, length_s: float) -> Runs:
    within = tuple(count + (length_s <= bound) for count, bound in zip(found.within, BOUNDS_S, strict=True))
    return replace(found, ended=found.ended + 1, within=within, took_s=found.took_s + length_s)

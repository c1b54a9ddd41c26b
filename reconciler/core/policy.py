"""What is done about drift: set right, reported, or ignored for a reason and until a day. Pure."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from reconciler.core.lengths import written_out


class Ignoring(BaseModel):
    """Why a drift counts for nothing, and how long."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    because: str = Field(min_length=1, description="Why; every report says it.")
    until: Annotated[date, written_out("a day, such as 2026-12-31")] = Field(
        description="The last day on which it is ignored, in UTC. After that it is as if this were not written.",
        examples=["2026-12-31"],
    )

    @property
    def ends(self) -> datetime:
        """The moment from which it counts again."""
        return datetime(self.until.year, self.until.month, self.until.day, tzinfo=UTC) + timedelta(days=1)


class Ignored(BaseModel):
    """Drift that is known and accepted for a time."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ignore: Ignoring


OnDrift = Literal["correct", "report"] | Ignored
Policy = Literal["correct", "report", "ignore"]
"""What holds at one moment."""


def policy_at(declared: OnDrift, now: datetime) -> Policy:
    """Return what is done at this moment: what was ignored for a time is corrected from then on."""
    if isinstance(declared, Ignored):
        return "ignore" if now < declared.ignore.ends else "correct"
    return declared


def said(declared: OnDrift, now: datetime) -> str:
    """Say about an `ignore` why it holds, or that it does not any more; empty where there is none."""
    if not isinstance(declared, Ignored):
        return ""
    given = declared.ignore
    holds = f"ignored until {given.until}" if now < given.ends else f"was ignored until {given.until}, which is over"
    return f"{holds}: {given.because}"

"""Change windows: when a watch may change something by itself. By the clock on the wall of a time zone. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
WallTime = Annotated[str, StringConstraints(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (OSError, ValueError, LookupError) as error:
        raise ValueError(f"no time zone is called {name!r}; write one such as Europe/Berlin, or UTC") from error
    return name


class Window(BaseModel):
    """A part of some days of the week."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    days: tuple[Day, ...] = Field(
        DAYS, min_length=1, description="Days of the week on which it begins; all where not given."
    )
    from_: WallTime = Field(alias="from", description="When it begins, such as `22:00`.")
    to: WallTime = Field(description="When it ends; on the next day where that is not later than `from`.")
    zone: Annotated[str, AfterValidator(_zone)] = Field("UTC", description="Time zone, such as `Europe/Berlin`.")

    @model_validator(mode="before")
    @classmethod
    def _one_day(cls, value: Any) -> Any:
        if isinstance(value, dict) and isinstance(value.get("days"), str):
            return {**value, "days": [value["days"]]}
        return value

    def holds(self, now: datetime) -> bool:
        """Return whether it is open. An hour that a change of the clocks repeats is in it twice."""
        local = now.astimezone(ZoneInfo(self.zone))
        begins, ends, at = time.fromisoformat(self.from_), time.fromisoformat(self.to), local.time()
        today, yesterday = DAYS[local.weekday()], DAYS[local.weekday() - 1]
        if begins < ends:
            return today in self.days and begins <= at < ends
        return (today in self.days and at >= begins) or (yesterday in self.days and at < ends)

    def next(self, now: datetime) -> datetime:
        """Return when it begins next after this moment, in UTC."""
        zone = ZoneInfo(self.zone)
        today = now.astimezone(zone).date()
        begins = (
            datetime.combine(day, time.fromisoformat(self.from_), zone).astimezone(UTC)
            for day in (today + timedelta(days=ahead) for ahead in range(9))
            if DAYS[day.weekday()] in self.days
        )
        return min(begin for begin in begins if begin > now)


def opened(windows: Sequence[Window], now: datetime) -> bool:
    """Return whether changes may be made; always where no window is declared."""
    return not windows or any(window.holds(now) for window in windows)


def opens(windows: Sequence[Window], now: datetime) -> datetime | None:
    """Return when the next window begins; None where changes may be made now."""
    return None if opened(windows, now) else min(window.next(now) for window in windows)

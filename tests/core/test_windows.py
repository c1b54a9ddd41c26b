"""Change windows, by the clock on the wall."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from reconciler.core.windows import DAYS, Window, opened, opens

BERLIN = "Europe/Berlin"
moments = st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001 - the zone is given
times = st.builds(lambda h, m: f"{h:02d}:{m:02d}", st.integers(0, 23), st.integers(0, 59))
windows = st.builds(
    lambda days, start, end, zone: Window.model_validate({"days": days, "from": start, "to": end, "zone": zone}),
    st.lists(st.sampled_from(DAYS), min_size=1, unique=True), times, times, st.sampled_from(["UTC", BERLIN, "America/St_Johns"]),
)  # fmt: skip


def window(start: str, end: str, *days: str, zone: str = "UTC") -> Window:
    return Window.model_validate({"days": days or DAYS, "from": start, "to": end, "zone": zone})


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("moment", "open_"),
    [("2026-11-20T21:59+00:00", False), ("2026-11-20T22:00+00:00", True), ("2026-11-21T05:59+00:00", True), ("2026-11-21T06:00+00:00", False), ("2026-11-21T23:00+00:00", False)],
)  # fmt: skip
def test_a_window_over_midnight_belongs_to_the_day_on_which_it_begins(moment: str, open_: bool) -> None:
    assert window("22:00", "06:00", "fri").holds(at(moment)) is open_  # 2026-11-20 is a Friday


def test_it_goes_by_the_clock_of_its_zone_in_summer_and_in_winter() -> None:
    night = window("01:00", "02:00", zone=BERLIN)
    assert night.holds(at("2026-01-10T00:30+00:00"))
    assert night.holds(at("2026-07-10T23:30+00:00"))
    assert not night.holds(at("2026-07-10T00:30+00:00"))


@given(st.lists(windows, min_size=1, max_size=3), moments)
def test_it_is_open_when_it_is_said_to_open(found: list[Window], now: datetime) -> None:
    at = opens(found, now)
    if at is None:
        assert opened(found, now)
        return
    assert not opened(found, now)
    assert now < at <= now + timedelta(days=8)
    assert opened(found, at) or any(_clocks_change(one, at) for one in found)


def _clocks_change(one: Window, at: datetime) -> bool:
    """Where the clocks go forward over its beginning, there is no such time on that day."""
    near = (at + timedelta(hours=hours) for hours in (-3, 3))
    return len({moment.astimezone(ZoneInfo(one.zone)).utcoffset() for moment in near}) == 2


def test_without_windows_everything_may_be_done_at_any_time() -> None:
    assert opened((), at("2026-11-20T00:00+00:00"))
    assert opens((), at("2026-11-20T00:00+00:00")) is None


@pytest.mark.parametrize(
    "wrong", [{"zone": "Europe/Nowhere"}, {"zone": "../etc"}, {"from": "25:00"}, {"to": 1320}, {"days": []}, {"days": ["today"]}]
)  # fmt: skip
def test_what_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Window.model_validate({"from": "22:00", "to": "06:00", **wrong})


def test_one_day_may_be_written_alone() -> None:
    assert Window.model_validate({"days": "sat", "from": "08:00", "to": "20:00"}).days == ("sat",)

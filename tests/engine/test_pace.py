"""When a watch has to look again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from reconciler.core.ports import Obligation
from reconciler.engine.pace import Pace, Rhythm, next_look, retry
from reconciler.resources.win_registry import Registry
from tests.fake_world import Entry, Setting

NOW = datetime(2026, 11, 20, 18, tzinfo=UTC)
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


def promise(until: datetime | None, changed_at: datetime | None = NOW) -> Obligation:
    return Obligation("k", {}, {}, (), "", NOW, changed_at, wanted_until=until)


def guarded(length: str) -> Registry:
    return Registry.model_validate(
        {"host": "h", "path": r"HKLM:\A", "name": "b", "type": "DWord", "value": 1, "dead_mans_switch": length}
    )


def test_where_nothing_ends_the_pace_counts() -> None:
    assert next_look(NOW, 5 * MINUTE, [promise(None)], [Setting(name="a")]) == NOW + 5 * MINUTE


def test_the_end_of_a_lease_is_not_missed() -> None:
    ends = [promise(NOW + 3 * MINUTE), promise(NOW + 2 * MINUTE)]
    assert next_look(NOW, 5 * MINUTE, ends, []) == NOW + 2 * MINUTE


def test_a_lease_that_is_over_and_could_not_be_ended_is_tried_at_the_pace() -> None:
    assert next_look(NOW, 5 * MINUTE, [promise(NOW - MINUTE)], []) == NOW + 5 * MINUTE


def test_what_was_never_changed_has_no_lease() -> None:
    assert next_look(NOW, 5 * MINUTE, [promise(NOW + MINUTE, changed_at=None)], []) == NOW + 5 * MINUTE


def test_a_dead_mans_switch_is_looked_at_well_before_half_its_time() -> None:
    assert next_look(NOW, 60 * MINUTE, [], [guarded("20m"), guarded("8h"), guarded("off")]) == NOW + 5 * MINUTE


def rhythm(every: timedelta = 60 * MINUTE, hosts_every: timedelta = MINUTE, chance: float = 0.0) -> Rhythm:
    return Rhythm(Pace(every, hosts_every), NOW, lambda: chance)


def test_hosts_are_looked_at_more_often_and_no_two_watches_at_once() -> None:
    entry, host = Entry(name="e"), Setting(name="a")
    assert rhythm().length([entry]) == 60 * MINUTE
    assert rhythm().length([entry, host]) == MINUTE
    assert rhythm(chance=1.0).length([entry]) == 54 * MINUTE


def test_looks_follow_each_other_at_once_until_they_took_half_of_a_minute() -> None:
    found, at, rests = rhythm(), NOW, []
    for _ in range(40):
        rests.append(found.rest(at, at + SECOND))
        at += SECOND
    assert rests == [timedelta()] * 30 + [SECOND] * 10
    assert found.rest(at + 2 * MINUTE, at + 2 * MINUTE + SECOND) == timedelta()


def test_a_long_look_is_followed_by_no_endless_rest_and_a_clock_set_back_by_none() -> None:
    assert rhythm().rest(NOW, NOW + 10 * MINUTE) == 30 * SECOND
    assert rhythm().rest(NOW, NOW - 10 * MINUTE) == timedelta()


def test_from_time_to_time_nothing_is_trusted() -> None:
    found = rhythm(every=10 * MINUTE)
    assert not found.starts_afresh(NOW + 8 * MINUTE)
    assert found.starts_afresh(NOW + 9 * MINUTE)
    assert not found.starts_afresh(NOW + 17 * MINUTE)
    assert found.starts_afresh(NOW - MINUTE)  # the clock was set back


def test_what_could_not_be_seen_is_looked_at_again_soon_and_then_less_often() -> None:
    assert [retry(failures).total_seconds() for failures in (1, 2, 3, 7, 100)] == [1, 2, 4, 60, 60]

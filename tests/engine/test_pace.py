"""When a watch has to look again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from reconciler.core.ports import Obligation
from reconciler.engine.pace import next_look
from reconciler.resources.win_registry import Registry
from tests.fake_world import Setting

NOW = datetime(2026, 11, 20, 18, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


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

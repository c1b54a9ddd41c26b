"""Leases: what was set for a time goes back when the time is over, in any phase, and is not set again without a person."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.errors import Unreachable
from reconciler.core.exit_codes import ExitCode
from reconciler.core.graph import Graph
from reconciler.core.plan import RENEW_LEASE
from reconciler.core.report import Report
from reconciler.core.values import ALL, Phase
from reconciler.engine.converge import converge
from reconciler.engine.intents import scope
from reconciler.engine.run import Tools
from tests.engine.test_converge import MIGRATE, PREPARED, Bench
from tests.fake_world import FakeWorld, Setting, revive

HOUR = timedelta(hours=1)
KEY = "test.setting/h/a"


def leased(**fields: Any) -> Setting:
    return Setting(**{"name": "a", "value": 1, "during": MIGRATE, "lease": 8 * HOUR, **fields})


def opened(*more: Setting, **fields: Any) -> Bench:
    """A bench on which the lease began; it was 0 before."""
    bench = Bench(leased(**fields), *more, world=FakeWorld({("h", "a"): {"value": 0}}))
    bench.apply()
    assert bench.world.values["h", "a"] == {"value": 1}
    return bench


def test_it_stays_while_its_lease_runs() -> None:
    bench = opened()
    bench.clock.at += 7 * HOUR
    bench.world.writes.clear()
    assert bench.apply()[KEY].status == "unchanged"
    assert bench.world.writes == []


def test_past_its_lease_it_goes_back_although_the_phase_wants_it() -> None:
    bench = opened()
    bench.clock.at += 8 * HOUR
    (change,) = bench.plan().changes
    assert (change.direction, change.lapsed is not None) == ("revert", True)
    outcome = bench.apply()[KEY]
    assert (outcome.status, outcome.direction, outcome.lapsed is not None) == ("changed", "revert", True)
    assert bench.world.values["h", "a"] == {"value": 0}
    assert bench.owed() == []


def test_the_run_that_puts_it_back_waits_for_a_person() -> None:
    bench = opened()
    bench.clock.at += 9 * HOUR
    outcomes = tuple(bench.apply().values())
    now = bench.clock.now()
    assert Report("apply", "r", "s", "migrate", now, now, outcomes).exit_code == ExitCode.WAITING


@pytest.mark.parametrize("hours", [0, 1, 100])
def test_it_is_not_set_again_without_a_person(hours: int) -> None:
    bench = opened()
    bench.clock.at += 9 * HOUR
    bench.apply()
    bench.clock.at += hours * HOUR
    outcome = bench.apply()[KEY]
    assert outcome.status == "waiting"
    assert RENEW_LEASE in str(outcome.error)
    assert bench.world.values["h", "a"] == {"value": 0}


def test_with_an_approval_it_is_set_for_another_lease() -> None:
    bench = opened()
    bench.clock.at += 9 * HOUR
    bench.apply()
    bench.resources = (leased(approved=frozenset({RENEW_LEASE})),)
    assert bench.apply()[KEY].status == "changed"
    assert bench.world.values["h", "a"] == {"value": 1}
    bench.resources = (leased(),)  # the approval is gone again: what is set stays for its lease
    assert bench.apply()[KEY].status == "unchanged"
    bench.clock.at += 9 * HOUR
    bench.apply()
    assert bench.world.values["h", "a"] == {"value": 0}


def test_what_requires_it_is_not_tried_once_it_went_back() -> None:
    bench = opened(Setting(name="b", value=1, needs=("a",)))
    bench.world.values.pop(("h", "b"))  # somebody took it away: it would be set again
    bench.clock.at += 9 * HOUR
    for _ in range(2):
        assert bench.apply()["test.setting/h/b"].status == "skipped"
        assert ("h", "b") not in bench.world.values


def test_another_phase_forgets_that_a_lease_ended() -> None:
    bench = opened()
    bench.clock.at += 9 * HOUR
    bench.apply()
    bench.apply()  # waits, and keeps a baseline anew
    bench.apply("complete")
    assert bench.apply("migrate")[KEY].status == "changed"


def test_complete_before_the_end_is_an_ordinary_way_back() -> None:
    bench = opened()
    outcome = bench.apply("complete")[KEY]
    assert (outcome.status, outcome.lapsed) == ("changed", None)
    assert bench.world.values["h", "a"] == {"value": 0}


def test_the_journal_says_when_it_ends() -> None:
    bench = opened()
    (promise,) = bench.journal.obligations()
    assert promise.changed_at is not None
    assert promise.wanted_until == promise.changed_at + 8 * HOUR


def test_the_state_file_may_move_the_end() -> None:
    bench = opened()
    bench.resources = (leased(lease=12 * HOUR),)
    bench.clock.at += 9 * HOUR
    assert bench.apply()[KEY].status == "unchanged"
    (promise,) = bench.journal.obligations()
    assert promise.changed_at is not None
    assert promise.wanted_until == promise.changed_at + 12 * HOUR
    bench.resources = (leased(lease=HOUR),)
    bench.apply()
    assert bench.world.values["h", "a"] == {"value": 0}


def test_a_lease_makes_a_lasting_setting_temporary() -> None:
    bench = opened(during=ALL)
    bench.clock.at += 9 * HOUR
    bench.apply("complete")
    assert bench.world.values["h", "a"] == {"value": 0}


def test_a_host_that_does_not_answer_keeps_the_promise_open_and_says_so() -> None:
    bench = opened()
    bench.clock.at += 9 * HOUR
    bench.world.broken["a"] = Unreachable("no answer")
    outcome = bench.apply()[KEY]
    now = bench.clock.now()
    report = Report("apply", "r", "s", "migrate", now, now, (outcome,))
    assert report.exit_code == ExitCode.REVERT_INCOMPLETE
    assert bench.owed() == [KEY]
    bench.world.broken.clear()
    bench.apply()
    assert bench.world.values["h", "a"] == {"value": 0}


def test_a_lease_that_ends_in_the_middle_of_a_run_is_seen_in_its_next_round() -> None:
    bench = Bench(leased(), Setting(name="long", value=1, needs=("a",)), world=FakeWorld({("h", "a"): {"value": 0}}))

    def pass_time(number: int) -> None:
        if number == 1:
            bench.clock.at += 9 * HOUR

    bench.world.after = pass_time
    bench.apply()
    assert bench.world.values["h", "a"] == {"value": 0}
    assert bench.owed() == []


class Dead(BaseException):
    """The program is gone."""


@given(st.integers(0, 6), st.booleans())
def test_a_crash_at_any_write_neither_loses_the_original_nor_sets_it_again(at: int, late: bool) -> None:
    bench = opened()
    if late:
        bench.clock.at += 9 * HOUR
    left = at

    def tick(*given: object) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Dead

    note, close = bench.journal.note, bench.journal.close

    def noted(*given: Any) -> None:
        tick()
        note(*given)

    def closed(*given: Any) -> None:
        tick()
        close(*given)

    bench.journal.note, bench.journal.close = noted, closed  # type: ignore[method-assign, assignment]
    bench.world.before = tick
    phases: tuple[Phase, ...] = ("migrate",) if late else ("complete",)
    with suppress(Dead):
        bench.apply(phases[0])
    bench.journal.note, bench.journal.close = note, close  # type: ignore[method-assign]
    bench.world.before = lambda number: None
    bench.apply(phases[0])
    bench.apply(phases[0])
    assert bench.world.values["h", "a"] == {"value": 0}
    assert bench.owed() == []


def test_a_lost_state_file_keeps_the_deadline_in_the_journal() -> None:
    bench = opened(during=PREPARED)
    converge(scope(Graph([]), "complete", bench.journal, revive), Tools(bench.world, bench.journal, bench.clock, "r"))
    (closed,) = bench.journal.closed()
    assert closed.changed_at is not None
    assert closed.wanted_until == closed.changed_at + 8 * HOUR

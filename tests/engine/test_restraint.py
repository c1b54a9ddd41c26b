"""What a watch leaves alone: policies, settle times, tugs-of-war, pauses and windows. Going back waits for none of them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.corrections import RULES
from reconciler.core.errors import HeldBack, NeedsPerson, Unreachable
from reconciler.core.exit_codes import ExitCode
from reconciler.core.values import ALL
from reconciler.core.windows import Window
from reconciler.engine.pausing import end_pause, pause, paused
from reconciler.engine.unsettled import let_go, stalls
from tests.engine.watching import HOUR, KEY, MINUTE, Bench, of, setting
from tests.fake_world import Reboot

DAY = timedelta(days=1)
NIGHT = Window.model_validate({"from": "22:00", "to": "04:00"})  # the clock of the bench starts at 18:00


def ignored(until: str) -> dict[str, Any]:
    return {"ignore": {"because": "known", "until": until}}


def brought(*resources: Any, **more: Any) -> Bench:
    bench = Bench(*resources, **more)
    bench.apply()
    bench.wait(HOUR)
    bench.world.writes.clear()
    return bench


# Policies.


def test_by_itself_a_watch_sets_right_what_drifted_and_says_so() -> None:
    bench = brought()
    bench.edit(5, on="DC2")
    report = bench.look()
    assert bench.value() == 1
    assert [(one.key, one.comes_from, one.on) for one in report.drifts] == [(KEY, "corrective", "DC2")]
    assert report.exit_code == ExitCode.OK
    assert bench.look().drifts == ()


def test_what_is_only_reported_is_left_as_it_is_by_a_watch() -> None:
    bench = brought(setting(on_drift="report"))
    bench.edit(5)
    report = bench.look()
    assert (bench.value(), bench.world.writes) == (5, [])
    assert (report.exit_code, [one.comes_from for one in report.drifts]) == (ExitCode.DRIFT, ["external"])
    assert isinstance(of(report).error, HeldBack)


def test_what_answers_only_after_a_while_is_left_as_well() -> None:
    bench = brought(setting(on_drift="report"), setting("b"))
    bench.edit(5)
    bench.edit(5, name="b")
    bench.world.broken["a"] = Unreachable("no answer yet")
    bench.world.before = lambda number: bench.world.broken.clear()
    report = bench.look()
    assert (bench.value(), bench.world.writes) == (5, ["set b"])
    assert [(one.key, one.comes_from) for one in report.drifts if one.key == KEY] == [(KEY, "external")]


def test_what_answers_only_after_a_while_counts_as_a_correction() -> None:
    bench = brought(setting(), setting("b"), setting("c"))
    told = []
    for other in ("b", "c"):
        bench.edit(5)
        bench.edit(5, name=other)
        bench.world.broken["a"] = Unreachable("no answer yet")
        bench.world.before = lambda number: bench.world.broken.clear()
        told.append([one.comes_from for one in bench.look().drifts if one.key == KEY])
    assert told == [["corrective"], ["external"]]
    assert bench.world.writes.count("set a") == 1  # the second one waits


def test_what_is_changed_in_the_middle_of_a_pass_is_left_to_the_next_look() -> None:
    bench = brought(setting(on_drift="report"), setting("b"))
    bench.edit(5, name="b")
    bench.world.after = lambda number: bench.edit(5)
    assert bench.look().exit_code == ExitCode.OK
    assert (bench.value(), bench.world.writes) == (5, ["set b"])
    assert [(one.key, one.comes_from) for one in bench.look().drifts] == [(KEY, "external")]


def test_an_apply_is_an_order_and_sets_right_what_is_only_reported() -> None:
    bench = brought(setting(on_drift="report"))
    bench.edit(5)
    assert bench.apply().exit_code == ExitCode.OK
    assert bench.value() == 1


def test_what_was_never_there_is_brought_there_whatever_the_policy() -> None:
    bench = Bench(setting(on_drift="report"))
    assert of(bench.look()).status == "changed"


def test_nobody_hears_of_what_is_ignored_and_what_requires_it_goes_on() -> None:
    bench = brought(setting(on_drift=ignored("2026-11-30")))
    bench.resources = (*bench.resources, setting("b", needs=("a",)))
    bench.edit(5)
    for report in (bench.look(), bench.apply()):
        assert (report.exit_code, report.drifts) == (ExitCode.OK, ())
    assert (bench.value(), bench.value("b")) == (5, 1)


def test_an_ignore_that_is_over_is_as_if_it_were_not_there() -> None:
    bench = brought(setting(on_drift=ignored("2026-11-20")))
    bench.wait(DAY)
    bench.edit(5)
    (drift,) = bench.look().drifts
    assert bench.value() == 1
    assert "was ignored until 2026-11-20, which is over" in drift.because


def test_what_requires_something_that_is_only_reported_waits() -> None:
    bench = brought(setting(on_drift="report"))
    bench.resources = (*bench.resources, setting("b", needs=("a",)))
    bench.edit(5)
    assert of(bench.look(), "test.setting/h/b").status == "skipped"


def test_a_weakening_that_somebody_closed_is_only_reported_where_that_is_the_policy() -> None:
    bench = brought(setting(on_drift="report", weakens="a hole", weight=90))
    bench.edit(0)
    report = bench.look()
    assert (bench.value(), [one.weakens for one in report.drifts]) == (0, ["a hole"])


# Settle time.


def settling() -> Bench:
    return brought(setting(settle="2m"))


def test_a_difference_counts_only_once_it_was_there_for_the_settle_time() -> None:
    bench = settling()
    bench.edit(5)
    first = bench.look()
    assert (first.exit_code, first.drifts, of(first).status, bench.value()) == (ExitCode.OK, (), "unchanged", 5)
    bench.wait(MINUTE)
    assert bench.look().drifts == ()
    bench.wait(MINUTE)
    assert [one.comes_from for one in bench.look().drifts] == ["corrective"]
    assert bench.value() == 1


def test_another_value_is_another_difference_and_begins_anew() -> None:
    bench = settling()
    for value in range(2, 30):
        bench.edit(value)
        assert bench.look().drifts == ()
        bench.wait(5 * MINUTE)
    assert bench.value() == 29


def test_what_was_gone_in_between_begins_anew() -> None:
    bench = settling()
    for _ in range(10):
        bench.edit(5)
        assert bench.look().drifts == ()
        bench.edit(1)
        bench.wait(5 * MINUTE)
        assert bench.look().drifts == ()


def test_what_requires_it_waits_meanwhile() -> None:
    bench = settling()
    bench.resources = (*bench.resources, setting("b", needs=("a",)))
    bench.edit(5)
    report = bench.look()
    assert (of(report, "test.setting/h/b").status, report.exit_code) == ("skipped", ExitCode.OK)
    bench.edit(1)
    assert of(bench.look(), "test.setting/h/b").status == "changed"


def test_a_watch_looks_again_when_the_settle_time_is_over() -> None:
    bench = settling()
    bench.edit(5)
    bench.look()
    (seen,) = bench.history()
    assert bench.wakes() == [seen.first_seen + 2 * MINUTE]


def test_a_person_who_looks_sees_it_at_once_and_an_apply_sets_it_right() -> None:
    bench = settling()
    bench.edit(5)
    assert [one.comes_from for one in bench.drift()] == ["transient"]
    bench.apply()
    assert bench.value() == 1


# Tug-of-war.


def fight(bench: Bench, every: timedelta, times: int) -> list[datetime]:
    """Let somebody change it back again and again, and the watch look every five minutes; return when it was corrected."""
    made = []
    for _ in range(times):
        bench.edit(5, on="DC2")
        end = bench.clock.at + every
        while bench.clock.at < end:
            before = len(bench.world.writes)
            bench.look()
            made += [bench.clock.at] * (len(bench.world.writes) - before)
            bench.wait(5 * MINUTE)
    return made


@pytest.mark.parametrize("minutes", [5, 30, 90, 120])
def test_what_somebody_keeps_changing_back_stalls_and_names_the_place(minutes: int) -> None:
    bench = brought()
    made = fight(bench, minutes * MINUTE, 20)
    assert len(made) == RULES.returns
    report = bench.look()
    error = of(report).error
    assert isinstance(error, NeedsPerson)
    assert report.exit_code == ExitCode.WAITING
    assert "somebody keeps changing it back (3 times in a row" in error.what
    assert "last changed on DC2 at 2026-11-2" in error.do
    assert f"reconcile resume STATE {KEY}" in error.do
    assert bench.value() == 5


def test_where_nothing_tells_who_it_is_the_usual_ones_are_named() -> None:
    bench = brought()
    for _ in range(8):
        bench.edit(5)
        bench.look()
        bench.wait(HOUR)
    error = of(bench.look()).error
    assert error is not None
    assert "Group Policy, which is applied again every 90 minutes and up to 30 later" in error.do


def test_it_goes_on_after_a_person_says_so() -> None:
    bench = brought()
    fight(bench, 90 * MINUTE, 10)
    assert list(stalls(bench.journal)) == [KEY]
    let_go(bench.journal, bench.clock.now(), [KEY])
    assert stalls(bench.journal) == {}
    bench.look()
    assert bench.value() == 1


def test_it_goes_on_where_the_state_file_says_something_else() -> None:
    bench = brought()
    fight(bench, 90 * MINUTE, 10)
    bench.resources = (setting(value=6),)
    bench.look()
    assert bench.value() == 6


def test_what_nobody_wants_any_more_is_not_fought_over() -> None:
    bench = brought(setting(on_conflict="restore"))
    fight(bench, 90 * MINUTE, 10)
    bench.look("complete")
    assert stalls(bench.journal) == {}


def test_a_change_of_the_state_file_between_two_corrections_is_no_return() -> None:
    bench = brought(setting(settle="1m"))
    for _ in range(6):  # renewing, or asking for something else, is not what somebody undid
        bench.resources = (setting(value=bench.runs, settle="1m"),)
        bench.look()
        bench.wait(HOUR)
    assert (stalls(bench.journal), bench.history()) == ({}, [])


def test_a_lone_edit_now_and_then_is_set_right_each_time() -> None:
    bench = brought()
    assert len(fight(bench, 6 * HOUR, 8)) == 8
    assert stalls(bench.journal) == {}


def test_a_person_is_bound_by_no_ceiling() -> None:
    bench = brought()
    fight(bench, 90 * MINUTE, 10)
    for _ in range(20):
        bench.edit(5)
        bench.apply()
        assert bench.value() == 1


def test_the_second_correction_of_a_day_waits_and_a_watch_wakes_for_it() -> None:
    bench = brought()
    bench.edit(5)
    bench.look()
    bench.edit(5)
    report = bench.look()
    assert isinstance(of(report).error, HeldBack)
    assert (bench.value(), report.exit_code) == (5, ExitCode.DRIFT)
    (at,) = bench.wakes()
    bench.clock.at = at
    bench.look()
    assert bench.value() == 1


def test_a_host_that_does_not_take_it_is_nobody_who_changes_it_back() -> None:
    bench = brought()
    bench.edit(5)

    def lost(number: int) -> None:
        raise Unreachable("no answer", sent=True)

    bench.world.before = lost
    for _ in range(12):
        bench.look()
        bench.wait(HOUR)
    assert stalls(bench.journal) == {}
    bench.world.before = lambda number: None
    bench.wait(DAY)
    bench.look()
    assert bench.value() == 1


@given(st.lists(st.tuples(st.integers(0, 200), st.booleans()), max_size=25))
def test_a_weakening_is_never_opened_more_often_than_the_ceiling_allows(steps: list[tuple[int, bool]]) -> None:
    bench = brought(setting(weakens="a hole", weight=90))
    made: list[datetime] = []
    for minutes, closed in steps:
        if closed:
            bench.edit(0)
        before = len(bench.world.writes)
        bench.look()
        made += [bench.clock.at] * (len(bench.world.writes) - before)
        bench.wait(minutes * MINUTE)
    assert all(sum(at <= one < at + HOUR for one in made) <= RULES.per_hour for at in made)
    assert all(sum(at <= one < at + DAY for one in made) <= RULES.per_day for at in made)


class Dead(BaseException):
    """The program is gone."""


def test_a_crash_right_after_a_correction_does_not_forget_it() -> None:
    bench = brought()

    def dies(number: int) -> None:
        raise Dead

    bench.world.after = dies
    for _ in range(50):
        bench.edit(5)
        try:
            bench.look()
        except Dead:
            bench.wait(MINUTE)
    assert len(bench.world.writes) <= RULES.per_hour


# Pause and windows.


def test_a_pause_holds_back_what_goes_forward_and_ends_by_itself() -> None:
    bench = brought()
    bench.resources = (*bench.resources, setting("b"))
    pause(bench.journal, bench.clock.now(), 2 * HOUR, "maintenance")
    bench.edit(5)
    report = bench.look()
    assert (bench.world.writes, report.exit_code) == ([], ExitCode.DRIFT)
    assert "(maintenance)" in str(of(report).error)
    (until,) = bench.wakes()
    bench.clock.at = until
    bench.look()
    assert (bench.value(), bench.value("b")) == (1, 1)


def test_a_pause_may_be_ended_before_its_time() -> None:
    bench = brought()
    pause(bench.journal, bench.clock.now(), 2 * HOUR, "")
    assert end_pause(bench.journal, bench.clock.now())
    assert not end_pause(bench.journal, bench.clock.now())
    bench.edit(5)
    bench.look()
    assert bench.value() == 1


def test_a_clock_that_is_set_back_makes_no_pause_longer_than_twice_its_length() -> None:
    bench = brought()
    pause(bench.journal, bench.clock.now(), 2 * HOUR, "")
    assert paused(bench.journal, bench.clock.now() - HOUR) is not None
    assert paused(bench.journal, bench.clock.now() - DAY) is None


def test_a_person_may_go_on_despite_a_pause() -> None:
    bench = brought()
    bench.edit(5)
    pause(bench.journal, bench.clock.now(), 2 * HOUR, "")
    bench.apply(despite_pause=True)
    assert bench.value() == 1


def test_outside_its_windows_a_watch_only_looks() -> None:
    bench = Bench(windows=[NIGHT])
    report = bench.look()
    assert (bench.world.writes, report.exit_code) == ([], ExitCode.DRIFT)
    assert "the next one opens at 2026-11-20 22:00 UTC" in str(of(report).error)
    (opening,) = bench.wakes()
    bench.clock.at = opening
    bench.look()
    assert bench.value() == 1


def test_a_person_needs_no_window() -> None:
    bench = Bench(windows=[NIGHT])
    bench.apply()
    assert bench.value() == 1


@given(st.sampled_from(["correct", "report", ignored("2027-01-01")]), st.booleans(), st.booleans(), st.booleans())
def test_nothing_holds_up_what_goes_back(on_drift: Any, quiet: bool, drifted: bool, fought: bool) -> None:
    bench = Bench(setting(on_drift=on_drift, lease="8h", settle="5m", on_conflict="restore"), windows=[NIGHT])
    bench.world.values["h", "a"] = {"value": 0}
    bench.apply()
    if fought:
        fight(bench, 30 * MINUTE, 8)
    if drifted:
        bench.edit(7)
    bench.clock.at = bench.clock.at.replace(hour=12) + DAY  # past its lease, and outside the window
    if quiet:
        pause(bench.journal, bench.clock.now(), 2 * HOUR, "")
    bench.look()
    assert bench.value() == 0


def test_the_restart_for_what_goes_back_is_not_held_up_by_what_is() -> None:
    leased = setting("leased", restart=True, lease="8h")
    other = setting("other", restart=True, on_drift="report", during=ALL)
    reboot = Reboot(after=(leased.key, other.key), pending=())
    bench = Bench(leased, other, reboot)
    bench.apply()
    boots = bench.world.boots["h"]
    bench.wait(9 * HOUR)
    bench.edit(5, name="other")
    bench.look("prepare")  # one goes back, the other is left as it is
    assert (bench.value("leased"), bench.value("other")) == (None, 5)
    assert bench.world.boots["h"] == boots + 1


def test_a_restart_waits_for_a_window_like_everything_else() -> None:
    changed = setting(restart=True)
    bench = Bench(changed, Reboot(after=(KEY,), pending=()), windows=[NIGHT])
    bench.world.before = _dies_at_the_restart
    try:
        bench.apply()
    except Dead:
        bench.world.before = lambda number: None
    assert bench.value() == 1
    bench.look()
    assert bench.world.boots.get("h", 0) == 0
    bench.wait(5 * HOUR)
    bench.look()
    assert bench.world.boots["h"] == 1


def _dies_at_the_restart(number: int) -> None:
    if number == 1:
        raise Dead


# History.


def test_the_history_says_when_it_was_seen_and_who_repaired_it() -> None:
    bench = brought(setting(on_drift="report"))
    bench.edit(5, on="DC2")
    bench.look()
    (one,) = bench.history()
    assert (one.key, one.fields, one.comes_from, one.on, one.closed_at) == (KEY, ("value",), "external", "DC2", None)
    bench.wait(HOUR)
    bench.look()
    (later,) = bench.history()
    assert later.first_seen == one.first_seen
    assert later.last_seen > one.last_seen
    bench.apply()
    (done,) = bench.history()
    assert (done.repaired_by, done.comes_from, done.closed_at is not None) == (f"us, run run{bench.runs}", "corrective", True)  # fmt: skip


def test_what_somebody_else_repaired_is_theirs() -> None:
    bench = brought(setting(on_drift="report"))
    bench.edit(5)
    bench.look()
    bench.edit(1)
    bench.look()
    assert [one.repaired_by for one in bench.history()] == ["somebody else"]


def test_what_the_state_file_now_asks_for_is_no_drift_any_more() -> None:
    bench = brought(setting(on_drift="report"))
    bench.edit(5)
    bench.look()
    bench.resources = (setting(value=5, on_drift="report"),)
    bench.look()
    assert [one.repaired_by for one in bench.history()] == ["the state file"]


def test_work_that_is_done_for_the_first_time_is_no_drift() -> None:
    bench = Bench()
    bench.apply()
    bench.apply("complete")
    assert bench.history() == []


def test_a_drift_of_something_that_does_not_answer_stays_open() -> None:
    bench = brought(setting(on_drift="report"))
    bench.edit(5)
    bench.look()
    bench.world.broken["a"] = Unreachable("no answer")
    bench.look()
    assert [one.fields for one in bench.journal.sightings(open_only=True)] == [("value",), ()]


def test_history_is_pruned_by_age() -> None:
    bench = brought()
    bench.edit(5)
    bench.look()
    bench.wait(179 * DAY)
    bench.look()
    assert len(bench.history()) == 1
    bench.wait(2 * DAY)
    bench.look()
    assert bench.history() == []


def test_a_quiet_pass_writes_nothing_but_that_it_ran() -> None:
    bench = brought()
    before = bench.journal.facts("")
    bench.look()
    assert (bench.journal.facts(""), bench.history()) == (before, [])


# What follows from what is not done.


def test_nothing_is_restarted_for_what_is_not_done() -> None:
    held: list[dict[str, Any]] = [{"on_drift": "report"}, {"on_drift": ignored("2026-11-30")}, {"settle": "2m"}]
    for fields in held:
        changed = setting(restart=True, **fields)
        bench = Bench(changed, Reboot(after=(KEY,), pending=()))
        bench.apply()
        boots = bench.world.boots["h"]
        bench.edit(5)
        bench.look()
        bench.look()
        assert (bench.value(), bench.world.boots["h"]) == (5, boots), fields


def test_what_is_ignored_is_in_no_plan_and_in_no_promise() -> None:
    bench = brought(setting(on_drift=ignored("2026-11-30"), restart=True), Reboot(after=(KEY,), pending=()))
    bench.edit(5)
    plan = bench.plan()
    assert (plan.changes, list(plan.left)) == ((), [KEY])
    bench.look()
    bench.apply("complete")  # what stands there is not ours: somebody is asked
    assert bench.value() == 5

"""What is known of the runs so far is the same whether or not their entries are still there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from reconciler.core.runs import Runs, runs
from reconciler.engine.forgetting import LONGEST, counted, forget_runs
from tests.fake_journal import MemoryJournal

START = datetime(2026, 1, 1, tzinfo=UTC)
EVENTS = st.sampled_from(["apply", "apply ended", "revert", "revert ended", "apply refused", "step", "pause"])
ENTRIES = st.lists(st.tuples(EVENTS, st.sampled_from("abc"), st.integers(0, 4000), st.sampled_from([0, 5])), max_size=40)  # fmt: skip


def told(journal: MemoryJournal) -> Runs:
    known = counted(journal)
    return runs(journal.history(known.last), known)


def without_place(found: Runs, now: datetime) -> Runs:
    young = {run: at for run, at in found.open.items() if now - at < LONGEST}
    return replace(found, last=0, open=young)


@given(ENTRIES, st.integers(1, 5), st.integers(0, 40))
def test_what_is_forgotten_stays_counted(
    entries: list[tuple[str, str, int, int]], together: int, keep_hours: int
) -> None:
    whole, forgetful, now = MemoryJournal(), MemoryJournal(), START
    for event, run, minutes, code in entries:
        now += timedelta(minutes=minutes)
        for journal in (whole, forgetful):
            journal.record(event, now, {"run": run, "exit_code": code, "key": "k"})
        forget_runs(forgetful, now - timedelta(hours=keep_hours), now, together)
        assert without_place(told(forgetful), now) == without_place(told(whole), now)
    for _ in entries:  # each pass drops as many as that, and adds two
        forget_runs(forgetful, now - timedelta(hours=keep_hours), now, together)
    others = [entry for entry in whole.history() if entry["event"] in ("step", "pause", "apply refused")]
    assert [entry for entry in forgetful.history() if entry in others] == others
    left = [entry for entry in forgetful.runs(0, 100) if datetime.fromisoformat(entry["at"]) < now - timedelta(hours=keep_hours)]  # fmt: skip
    assert len(left) < together


class Crashes(MemoryJournal):
    """Loses power, once, between what is counted and what is dropped."""

    power = True

    def forget_runs(self, upto: int) -> None:
        if self.power:
            self.power = False
            raise KeyboardInterrupt
        super().forget_runs(upto)


def test_a_crash_between_counting_and_dropping_counts_nothing_twice_and_leaves_nothing_for_good() -> None:
    journal = Crashes()
    for number in range(8):
        journal.record("apply", START + timedelta(minutes=number), {"run": f"r{number}"})
        journal.record("apply ended", START + timedelta(minutes=number), {"run": f"r{number}", "exit_code": 0})
    before = told(journal)
    with pytest.raises(KeyboardInterrupt):
        forget_runs(journal, START + timedelta(days=1), START + timedelta(days=2), together=4)
    assert without_place(told(journal), START) == without_place(before, START)
    assert len(journal.runs(0, 100)) == 16
    forget_runs(journal, START + timedelta(days=1), START + timedelta(days=2), together=4)
    assert len(journal.runs(0, 100)) == 8
    assert without_place(told(journal), START) == without_place(before, START)


def test_a_run_that_was_killed_does_not_stay_for_ever() -> None:
    journal = MemoryJournal()
    journal.record("apply", START, {"run": "killed"})
    journal.record("apply", START + timedelta(days=40), {"run": "under way"})
    forget_runs(journal, START + timedelta(days=41), START + timedelta(days=200), together=2)
    assert set(counted(journal).open) == {"under way"} and counted(journal).begun == 2


def test_where_nothing_is_old_nothing_is_written() -> None:
    journal = MemoryJournal()
    journal.record("apply", START, {"run": "a"})
    forget_runs(journal, START, START, together=1)
    assert counted(journal) == Runs() and len(journal.history()) == 1

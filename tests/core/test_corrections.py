"""Back-off, ceilings and the end of a tug-of-war, over generated histories of differences."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.corrections import DAY, HOUR, RULES, Corrections, corrected, correcting, due, found

NOW = datetime(2026, 11, 20, 18, tzinfo=UTC)
FIELDS = ("value",)
gaps = st.lists(st.timedeltas(timedelta(seconds=1), timedelta(hours=6)), max_size=60)
kinds = st.lists(st.sampled_from([("value",), ("text",), ("text", "value")]), min_size=60, max_size=60)


def fight(waits: list[timedelta], fields: list[tuple[str, ...]]) -> tuple[Corrections, list[datetime]]:
    """Find a difference after each wait, and correct it whenever that is allowed."""
    state, now, made = Corrections(), NOW, []
    for wait, differs in zip(waits, fields, strict=False):
        now += wait
        state = Corrections.read(found(state, differs, now).plain())  # as if the program had started again
        if state.stalled is None and due(state, now) <= now:
            made.append(now)
            state = corrected(correcting(state, differs, now))
    return state, made


@given(gaps, kinds)
def test_no_history_leads_beyond_a_ceiling(waits: list[timedelta], fields: list[tuple[str, ...]]) -> None:
    _, made = fight(waits, fields)
    for most, span in ((RULES.per_hour, HOUR), (RULES.per_day, DAY)):
        assert all(sum(at <= other < at + span for other in made) <= most for at in made)


@given(st.lists(st.timedeltas(timedelta(minutes=1), RULES.soon), min_size=40, max_size=40))
def test_what_is_always_back_soon_stalls_after_as_many_corrections_as_returns(waits: list[timedelta]) -> None:
    state, made = fight(waits, [FIELDS] * 40)
    assert state.stalled is not None
    assert len(made) == RULES.returns


@given(st.lists(st.timedeltas(RULES.soon + timedelta(seconds=1), timedelta(hours=30)), min_size=1, max_size=60))
def test_what_stays_away_for_longer_than_group_policy_takes_never_stalls(waits: list[timedelta]) -> None:
    state, _ = fight(waits, [FIELDS] * 60)
    assert state.stalled is None


@given(gaps, kinds)
def test_each_wait_is_twice_the_one_before(waits: list[timedelta], fields: list[tuple[str, ...]]) -> None:
    state, _ = fight(waits, fields)
    if state.made:
        at = due(state, state.made[-1])
        assert at >= state.made[-1] + min(RULES.longest, RULES.first * 2 ** (len(state.made) - 1))
        assert due(state, state.made[-1] + DAY) == state.made[-1] + DAY


@given(gaps, kinds)
def test_it_is_what_it_was_after_a_restart(waits: list[timedelta], fields: list[tuple[str, ...]]) -> None:
    state, _ = fight(waits, fields)
    assert Corrections.read(state.plain()) == state


def test_a_difference_counts_once_for_each_correction() -> None:
    state = corrected(correcting(Corrections(), FIELDS, NOW))
    for minutes in range(1, 30):  # it waits for its turn, and every look finds it again
        state = found(state, FIELDS, NOW + timedelta(minutes=minutes))
    assert (state.returns, state.stalled) == (1, None)


def test_a_correction_that_did_not_take_is_no_return() -> None:
    state = Corrections()
    for minutes in range(10):  # a host that does not answer is nobody who changes it back
        state = found(correcting(state, FIELDS, NOW), FIELDS, NOW + timedelta(minutes=minutes))
    assert (state.returns, state.stalled) == (0, None)


def test_another_field_is_another_difference() -> None:
    state = Corrections()
    for minute, field in enumerate(("a", "b", "c", "d", "e", "f")):
        now = NOW + timedelta(minutes=minute)
        state = corrected(correcting(found(state, (field,), now), (field,), now))
    assert (state.returns, state.stalled) == (0, None)


def test_a_clock_that_was_set_back_holds_nothing_up() -> None:
    state = corrected(correcting(Corrections(), FIELDS, NOW + 365 * DAY))
    assert due(state, NOW) == NOW

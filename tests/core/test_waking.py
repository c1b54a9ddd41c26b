"""Who rang and was not heeded yet."""

from __future__ import annotations

from reconciler.core.waking import FILE, Bells


def test_a_ring_is_kept_until_it_is_heeded_and_counts_once() -> None:
    bells = Bells()
    assert not bells.rung(resting=False)
    for _ in range(3):
        bells.ring("source")
    assert bells.rung(resting=False)
    assert bells.take() == "source"
    assert not bells.rung(resting=False)


def test_who_rests_heeds_the_state_file_alone_and_it_comes_first() -> None:
    bells = Bells()
    bells.ring("source")
    assert not bells.rung(resting=True)
    bells.ring(FILE)
    assert bells.rung(resting=True) and bells.edited
    assert bells.take() == FILE
    assert not bells.rung(resting=False)

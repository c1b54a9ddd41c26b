"""A crash or a lost reply while the throw-away account is under way: nothing of it stays, and nobody else is touched.

Everything is in place and everybody migrated before, so that only the throw-away account is left to do.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from tests.crash import schedules
from tests.crash.schedules import Lost, Node, Trace, article, completing, first, run, without_threads
from tests.crash.simulated import items, leftovers, people
from tests.crash.simulated_start import Tables, start

KEY = "ad.canary/source/all"
LOSSES: tuple[Lost, ...] = tuple((number, what) for number in range(9) for what in ("reply", "request", "target"))


@pytest.fixture(autouse=True, scope="module")
def fast() -> Iterator[None]:
    gc.collect()
    gc.disable()
    with without_threads():
        yield
    gc.enable()


@pytest.fixture(scope="module")
def ready(fast: None) -> Iterator[Node]:
    """Everybody is migrated; from here on the throw-away account is wanted as well."""
    migrated = run(first()).final
    assert migrated is not None
    whole = article(canary=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schedules, "article", lambda: whole)
        yield migrated


def birds(tables: Tables) -> list[str]:
    return [dn for _, dn in tables.entries if "rc-canary-" in dn.lower()]


def ended(trace: Trace) -> Node:
    assert trace.final is not None
    return trace.final


def test_undisturbed_it_comes_through_and_a_second_run_does_nothing(ready: Node) -> None:
    trace = run(ready)
    assert trace.wrong == {}
    assert trace.effects == 9
    assert birds(ended(trace).tables) == []
    assert people(ended(trace).tables) == people(ready.tables)
    again = run(ended(trace))
    assert (again.effects, again.wrong) == (0, {})


def test_from_nothing_it_goes_before_everybody_and_everything_is_restored(ready: Node) -> None:
    trace = run(first())
    assert trace.wrong == {}
    birds_first = [birds(point.tables) != [] for point in trace.points if people(point.tables)]
    assert birds_first[0], "the first account in the target is the throw-away one"
    assert people(ended(trace).tables) == people(ready.tables)
    done = run(completing(ended(trace), whole=True))
    assert (done.wrong, birds(ended(done).tables)) == ({}, [])
    assert items(ended(done).tables) == items(start())


def test_wherever_it_is_cut_short_the_next_run_leaves_nothing_of_it(ready: Node) -> None:
    points = run(ready).points
    assert len(points) > 20
    assert any(birds(point.tables) for point in points)
    for point in points:
        trace = run(point)
        assert trace.wrong == {}, point.story()
        assert birds(ended(trace).tables) == [], point.story()
        assert leftovers(ended(trace).tables) == [], point.story()
        assert people(ended(trace).tables) == people(ready.tables), point.story()


def test_wherever_it_is_cut_short_completing_leaves_nothing_of_it(ready: Node) -> None:
    for point in run(ready).points:
        trace = run(completing(point, whole=False))
        assert trace.wrong == {}, point.story()
        assert birds(ended(trace).tables) == [], point.story()
        assert leftovers(ended(trace).tables) == [], point.story()
        assert items(ended(trace).tables) == items(start()), point.story()


@pytest.mark.parametrize("lost", LOSSES, ids=str)
def test_whatever_is_lost_on_the_way_the_next_runs_clear_it_up(ready: Node, lost: Lost) -> None:
    trace = run(ready, lost)
    assert set(trace.wrong) <= {KEY, "ad.accounts/source/OU=Staff,DC=source,DC=lab"}
    for _ in range(2):  # what failed is cleared up and said; then it is tried anew
        trace = run(ended(trace))
    assert trace.wrong == {}
    assert birds(ended(trace).tables) == []
    assert people(ended(trace).tables) == people(ready.tables)

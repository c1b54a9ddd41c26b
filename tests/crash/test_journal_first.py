"""Mutation check: write down after the change instead of before, and the schedules notice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from reconciler.engine import converge as engine
from reconciler.engine import promises, sending
from tests.crash.explorer import Explorer
from tests.crash.schedules import completing, first, run, without_threads
from tests.crash.simulated import items
from tests.crash.simulated_start import start


@pytest.fixture(autouse=True)
def fast() -> Iterator[None]:
    with without_threads():
        yield


@pytest.fixture
def act_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Swap the two: send, then promise."""
    promise, send = promises.promise, sending.send
    held: list[tuple[Any, ...]] = []

    def later(*given: Any) -> None:
        held.append(given)

    def first(*given: Any) -> Any:
        lost = send(*given)
        while held:
            promise(*held.pop())
        return lost

    monkeypatch.setattr(engine, "promise", later)
    monkeypatch.setattr(engine, "send", first)


def unrestored() -> int:
    """Crash after every second effect of the migration, go on, complete; count the schedules that leave something behind."""
    points = [point for point in run(first(), watched=False).points if "crash after effect" in point.how][::2]
    assert len(points) > 15
    found = 0
    for point in points:
        again = run(point, watched=False).final
        assert again is not None
        end = run(completing(again, whole=True), watched=False).final
        assert end is not None
        found += items(end.tables) != items(start())
    return found


def test_in_the_right_order_everything_is_restored() -> None:
    assert unrestored() == 0


@pytest.mark.usefixtures("act_first")
def test_in_the_wrong_order_a_crash_leaves_something_behind() -> None:
    assert unrestored() > 5


@pytest.mark.usefixtures("act_first")
def test_in_the_wrong_order_the_world_sees_a_change_that_was_not_promised() -> None:
    failures = Explorer(seed=1).explore(1).failures
    assert any("Unpromised" in failure for failure in failures.values())

"""What tells of changes in a domain, where it cannot: it says so once, comes back at its own pace, and ends when it shall."""

from __future__ import annotations

import queue

from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.errors import Unreachable
from reconciler.edge.directory import OwnLine
from reconciler.edge.directory_events import FIRST_PAUSE_S, LONGEST_PAUSE_S, DirectoryEvents, pause_s


class NoLines:
    """A domain that never answers; counts who tried."""

    def __init__(self) -> None:
        self.tried: queue.Queue[str] = queue.Queue()

    def own_line(self, domain: str) -> OwnLine:
        self.tried.put(domain)
        raise Unreachable("nothing answers", target=domain)


def test_a_domain_that_does_not_answer_is_tried_again_and_named_once() -> None:
    lines = NoLines()
    said: list[str] = []
    rung: list[str] = []
    with DirectoryEvents(lines, ["source"], rung.append, said.append, lambda: 0.0) as events:
        assert [lines.tried.get(timeout=30) for _ in range(3)] == ["source"] * 3
        threads = [listener for listener in events._listeners.values() if listener.is_alive()]
        assert len(threads) == 1
    assert not threads[0].is_alive()  # although its next attempt was seconds away
    assert rung == []
    (sentence,) = said
    assert "source does not tell of its changes" in sentence and "nothing answers" in sentence


@given(st.integers(0, 10_000), st.floats(0, 1))
def test_pauses_grow_and_stay_below_a_minute(failures: int, chance: float) -> None:
    assert FIRST_PAUSE_S / 2 <= pause_s(failures, chance) <= LONGEST_PAUSE_S
    assert pause_s(failures, chance) <= pause_s(failures + 1, chance)

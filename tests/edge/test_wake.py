"""What wakes a watch."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from reconciler.edge.clock import SystemClock
from reconciler.edge.wake import Waker

CLOCK = SystemClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "state.yaml"
    file.write_text("a", encoding="utf-8")
    return file


def much_later() -> datetime:
    return CLOCK.now() + timedelta(minutes=5)


def never() -> bool:
    return False


def test_an_edit_wakes(path: Path) -> None:
    with Waker(path, CLOCK) as waker:
        path.write_text("b", encoding="utf-8")
        assert waker.wait(much_later(), never) == "file"


def test_an_edit_by_an_editor_that_replaces_the_file_wakes(path: Path) -> None:
    with Waker(path, CLOCK) as waker:
        for text in ("b", "c"):
            other = path.with_name("state.yaml.new")
            other.write_text(text, encoding="utf-8")
            other.replace(path)
            assert waker.wait(much_later(), never) == "file"


def test_another_file_does_not_wake(path: Path) -> None:
    with Waker(path, CLOCK) as waker:
        path.with_name("journal.db").write_text("b", encoding="utf-8")
        assert waker.wait(CLOCK.now() + timedelta(seconds=1), never) == "time"


def test_a_time_that_is_over_wakes_at_once(path: Path) -> None:
    with Waker(path, CLOCK) as waker:
        assert waker.wait(CLOCK.now() - timedelta(hours=1), never) == "time"


def test_who_is_asked_to_stop_stops(path: Path) -> None:
    with Waker(path, CLOCK) as waker:
        assert waker.wait(much_later(), lambda: True) == "stop"


def test_a_clock_that_is_set_back_delays_nothing(path: Path) -> None:
    class SetBack:
        """Shows 18:00 at first, and an earlier day from then on."""

        looks = 0

        def now(self) -> datetime:
            self.looks += 1
            return datetime.fromisoformat("2026-11-20T18:00:00Z") - timedelta(days=self.looks > 1)

    clock = SetBack()
    with Waker(path, clock) as waker:
        assert waker.wait(datetime.fromisoformat("2026-11-20T18:00:01Z"), never) == "time"


def test_a_ring_wakes_and_says_who_rang(path: Path) -> None:
    with Waker(path, CLOCK) as waker:
        waker.ring("source")  # before anybody waits
        assert waker.wait(much_later(), never) == "source"
        threading.Thread(target=waker.ring, args=("target",)).start()
        assert waker.wait(much_later(), never) == "target"


def test_rings_that_come_together_wake_once(path: Path) -> None:
    with Waker(path, CLOCK) as waker:
        for _ in range(100):
            waker.ring("source")
        assert waker.wait(much_later(), never) == "source"
        assert waker.wait(CLOCK.now() + timedelta(seconds=1), never) == "time"


def test_a_rest_holds_up_rings_but_no_edit(path: Path) -> None:
    with Waker(path, CLOCK) as waker:
        waker.ring("source")
        assert waker.wait(CLOCK.now() + timedelta(seconds=1), never, rest_s=300) == "time"
        path.write_text("b", encoding="utf-8")
        assert waker.wait(much_later(), never, rest_s=300) == "file"

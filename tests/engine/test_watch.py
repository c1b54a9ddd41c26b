"""The loop of a watch, told step by step what happens; `tests/watch` drives it through whole days."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest

from reconciler.core.errors import (
    AuthenticationFailed,
    DesiredStateError,
    JournalError,
    Problem,
    ReconcileError,
    Unreachable,
)
from reconciler.core.ports import Journal
from reconciler.core.report import Outcome, Report
from reconciler.core.resource import Resource
from reconciler.core.windows import Window
from reconciler.engine.pace import Pace, Rhythm
from reconciler.engine.watch import Watch
from tests.fake_journal import MemoryJournal
from tests.fake_world import FakeClock, Setting

A = Setting(name="a", value=1)
EVERY = timedelta(hours=1)


@dataclass(frozen=True)
class File:
    """A state file that holds."""

    sha256: str = "one"
    resources: tuple[Resource, ...] = (A,)
    windows: tuple[Window, ...] = ()


def fault(text: str) -> DesiredStateError:
    return DesiredStateError((Problem(text, "s.yaml:1:1", "mend it"),))


class Outside:
    """Plays what each look finds and what the file holds before each further one.

    Attributes:
        said: What a person was shown.
        waits: How long each wait may last.
    """

    def __init__(self, looks: list[ReconcileError | Outcome], files: list[File | Exception] | None = None) -> None:
        self.looks_, self.files = list(looks), list(files or [])
        self.clock = FakeClock()
        self.said: list[str] = []
        self.waits: list[timedelta] = []
        self.wanted: list[str] = []
        self.unreadable = False

    def run(self) -> int:
        rhythm = Rhythm(Pace(EVERY, EVERY), self.clock.at, lambda: 0.0)
        return Watch(File(), self, self.clock, rhythm).run()

    def read(self) -> File:
        found = self.files.pop(0) if self.files else File()
        if isinstance(found, Exception):
            raise found
        return found

    def attend(self, wanted: File) -> None:
        self.wanted.append(wanted.sha256)

    def look(self, wanted: File) -> Report:
        found = self.looks_.pop(0)
        if isinstance(found, ReconcileError):
            raise found
        return Report("apply", "r", "s", "migrate", self.clock.at, self.clock.at, outcomes=(found,))

    @contextmanager
    def journal(self, wanted: File) -> Iterator[Journal]:
        if self.unreadable:
            raise JournalError("it is damaged")
        yield MemoryJournal()

    def wait(self, code: int, until: datetime, rest: timedelta) -> bool:
        self.waits.append(until - self.clock.at)
        return bool(self.looks_)

    def edited(self, wanted: File) -> None:
        self.said.append(f"edited: {wanted.sha256}")

    def unusable(self, error: Exception) -> None:
        self.said.append("unusable")

    def failed(self, error: ReconcileError, *, new: bool) -> int:
        self.said += [error.what] if new else []
        return 10

    def found(self, wanted: File, report: Report, *, new: bool) -> None:
        self.said += [report.outcomes[0].status] if new else []


def outcome(status: Any = "unchanged", error: ReconcileError | None = None) -> Outcome:
    return Outcome(A.key, A.title(), "apply", status, error=error)


def test_a_faulty_file_is_told_once_and_makes_nothing_else_news() -> None:
    outside = Outside([outcome()] * 5, [fault("x"), fault("x"), fault("x"), File()])
    outside.run()
    assert outside.said == ["unchanged", "unusable"]
    assert outside.wanted == ["one"] * 5


def test_the_same_fault_is_told_again_once_it_was_gone() -> None:
    outside = Outside([outcome()] * 5, [fault("x"), File(), fault("x"), OSError("gone")])
    outside.run()
    assert outside.said == ["unchanged", "unusable", "unusable", "unusable"]


def test_an_edit_counts_from_the_next_look_on() -> None:
    outside = Outside([outcome()] * 3, [File("two"), File("two")])
    outside.run()
    assert (outside.said, outside.wanted) == (["unchanged", "edited: two"], ["one", "two", "two"])


def test_what_was_set_right_is_told_however_often() -> None:
    outside = Outside([outcome("changed"), outcome(), outcome("changed"), outcome("changed")])
    outside.run()
    assert outside.said == ["changed"] * 3


@pytest.mark.parametrize(
    "failing",
    [lambda: Unreachable("no"), lambda: JournalError("another process writes"), lambda: outcome("failed", Unreachable("no"))],
)  # fmt: skip
def test_what_could_not_be_seen_is_looked_at_again_soon(failing: Callable[[], ReconcileError | Outcome]) -> None:
    outside = Outside([failing(), failing(), failing(), outcome(), failing()])
    outside.run()
    assert [wait.total_seconds() for wait in outside.waits] == [1, 2, 4, 3600, 1]
    assert len(outside.said) == 3


def test_a_password_that_is_refused_is_not_tried_again_and_again() -> None:
    outside = Outside([AuthenticationFailed("no")])
    assert outside.run() == 10
    assert outside.waits == [EVERY]


def test_a_journal_that_cannot_be_read_ends_no_watch() -> None:
    outside = Outside([outcome()])
    outside.unreadable = True
    assert outside.run() == 0
    assert outside.waits == [timedelta(seconds=1)]

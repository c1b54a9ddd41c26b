"""The loop that does not end: look, put right, wait until something may have changed, read the state file again, look.

The law: what wakes it only says "look". A look that could not see everything is made again soon, whatever the timer says, and
a state file that cannot be used leaves the last good one in force. The same thing is said once.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Generic, Protocol, TypeVar

from reconciler.core.errors import DesiredStateError, JournalError, ReconcileError, Unreachable
from reconciler.core.ports import Clock, Journal
from reconciler.core.report import Report
from reconciler.core.resource import Resource
from reconciler.core.windows import Window
from reconciler.engine.pace import Rhythm, next_look, retry
from reconciler.engine.restraint import wakes


class Wanted(Protocol):
    """A state file that holds together."""

    @property
    def sha256(self) -> str:
        """Digest of its bytes."""
        ...

    @property
    def resources(self) -> Sequence[Resource]:
        """What it declares."""
        ...

    @property
    def windows(self) -> tuple[Window, ...]:
        """When changes may be made."""
        ...


W = TypeVar("W", bound=Wanted)


class Outside(Protocol[W]):
    """Everything a watch works with: the state file, the world, whoever listens."""

    def read(self) -> W:
        """Read the state file as it is now.

        Raises:
            DesiredStateError: It is wrong.
            OSError: It is not there.
        """
        ...

    def attend(self, wanted: W) -> None:
        """Listen to what this state file names."""
        ...

    def look(self, wanted: W) -> Report:
        """Make one pass.

        Raises:
            ReconcileError: Nothing, or not everything, could be looked at or done.
        """
        ...

    def journal(self, wanted: W) -> AbstractContextManager[Journal]:
        """Open the journal to read it."""
        ...

    def wait(self, code: int, until: datetime, rest: timedelta) -> bool:
        """Wait until there is a reason to look; return False where it is to stop.

        Args:
            code: How the last look ended.
            until: When there is one, whatever is heard.
            rest: How long only an edit of the state file is one.
        """
        ...

    def edited(self, wanted: W) -> None:
        """Say that the state file was edited."""
        ...

    def unusable(self, error: Exception) -> None:
        """Say that the state file cannot be used."""
        ...

    def failed(self, error: ReconcileError, *, new: bool) -> int:
        """Take note of a look that failed, and return its exit code; say it where it is news."""
        ...

    def found(self, wanted: W, report: Report, *, new: bool) -> None:
        """Take note of what a look found; say it where it is news."""
        ...


class Watch(Generic[W]):
    """What is remembered between two looks: the last good state file, what was said last, and what could not be seen.

    Attributes:
        code: How the last look ended.
    """

    def __init__(self, wanted: W, outside: Outside[W], clock: Clock, rhythm: Rhythm) -> None:
        self._wanted = wanted
        self._outside = outside
        self._clock = clock
        self._rhythm = rhythm
        self._said: dict[str, object] = {}
        self._failures = 0
        self.code = 0

    def run(self) -> int:
        """Look until it is to stop; return how the last look ended."""
        while True:
            began = self._clock.now()
            self._outside.attend(self._wanted)
            self._look()
            ended = self._clock.now()
            if not self._outside.wait(self.code, self._until(ended), self._rhythm.rest(began, ended)):
                return self.code
            self._read_again()

    def _look(self) -> None:
        """Make one pass; what stops it is said, and tried again soon where that may help."""
        try:
            report = self._outside.look(self._wanted)
        except ReconcileError as error:
            self._failures = self._failures + 1 if isinstance(error, Unreachable | JournalError) else 0
            self.code = self._outside.failed(error, new=self._news("look", str(error)))
            return
        self._failures = self._failures + 1 if _unseen(report) else 0
        self.code = int(report.exit_code)
        moved = any(outcome.status == "changed" for outcome in report.outcomes)
        self._outside.found(self._wanted, report, new=self._news("look", _gist(report)) or moved)

    def _until(self, now: datetime) -> datetime:
        """Return when to look again at the latest; soon where not even the journal can be read."""
        resources, again = self._wanted.resources, now + retry(max(1, self._failures))
        try:
            with self._outside.journal(self._wanted) as journal:
                also = wakes(journal, resources, self._wanted.windows, now)
                promises = journal.obligations()
        except JournalError:
            return again
        also += [again] if self._failures else []
        return next_look(now, self._rhythm.length(resources), promises, resources, also)

    def _read_again(self) -> None:
        """Take the state file as it is now; a faulty one leaves the last good one in force."""
        try:
            fresh = self._outside.read()
        except (DesiredStateError, OSError) as error:
            if self._news("file", str(error)):
                self._outside.unusable(error)
            return
        self._said.pop("file", None)
        if fresh.sha256 != self._wanted.sha256:
            self._wanted = fresh
            self._outside.edited(fresh)

    def _news(self, about: str, what: object) -> bool:
        """Whether this is not what was said last about that."""
        new, self._said[about] = what != self._said.get(about), what
        return new


def _unseen(report: Report) -> bool:
    """Whether something did not answer: nothing rings once it does, unless the line to it broke as well."""
    errors = [*(outcome.error for outcome in report.outcomes), *report.closing.unknown.values()]
    return any(isinstance(error, Unreachable) for error in errors)


def _gist(report: Report) -> object:
    """What is worth saying again if it changes; that something was changed is said at once, and needs no second word."""
    right = {"changed": "right", "unchanged": "right"}
    outcomes = tuple((one.key, right.get(one.status, one.status), str(one.error or "")) for one in report.outcomes)
    return outcomes, str(report.closing)

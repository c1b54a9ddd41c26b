"""What wakes a watch: the state file moved, the time is over, or it shall stop. It never says what happened, only: look."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from watchfiles import watch

from reconciler.core.ports import Clock

STEP_MS = 250
"""How long a request to stop may go unheard."""

Wake = Literal["file", "time", "stop"]


class Waker:
    """Watches the directory of a file, because editors replace files; a context manager.

    What happens between two waits is not lost: the next one ends at once.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self._name = path.resolve().name
        self._clock = clock
        self._changes = watch(
            path.resolve().parent,
            watch_filter=lambda change, found: Path(found).name == self._name,
            debounce=STEP_MS,
            step=50,
            rust_timeout=STEP_MS,
            yield_on_timeout=True,
            recursive=False,
            raise_interrupt=False,
        )

    def __enter__(self) -> Self:
        next(self._changes)  # from here on nothing is missed
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._changes.close()

    def wait(self, until: datetime, stopping: Callable[[], bool]) -> Wake:
        """Wait for the first of the three. A clock that is set back delays nothing."""
        longest = time.monotonic() + max(0.0, (until - self._clock.now()).total_seconds())
        for changed in self._changes:
            if stopping():
                return "stop"
            if changed:
                return "file"
            if self._clock.now() >= until or time.monotonic() >= longest:
                return "time"
        return "stop"

"""What wakes a watch: the state file moved, somebody rang, the time is over, or it shall stop. It never says what happened, only: look."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from watchfiles import watch

from reconciler.core.ports import Clock
from reconciler.core.waking import FILE, Bells

STEP_MS = 250
"""How long a request to stop may go unheard."""
GATHER_S = 0.05
"""How long after a ring others are waited for: a change seldom comes alone."""


class Waker:
    """Watches the directory of a file, because editors replace files, and can be rung; a context manager.

    What happens between two waits is not lost: the next one ends at once.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self._name = path.resolve().name
        self._clock = clock
        self._turn = threading.Condition()
        self._bells = Bells()
        self._closing = threading.Event()
        self._changes = watch(
            path.resolve().parent,
            watch_filter=lambda change, found: Path(found).name == self._name,
            debounce=STEP_MS,
            step=50,
            rust_timeout=STEP_MS,
            yield_on_timeout=True,
            recursive=False,
            raise_interrupt=False,
            stop_event=self._closing,
        )
        self._thread = threading.Thread(target=self._follow, name="watch the state file", daemon=True)

    def __enter__(self) -> Self:
        next(self._changes)  # from here on nothing is missed
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._thread.join()

    def ring(self, source: str) -> None:
        """Wake whoever waits, or the next one who does. Safe to call from any thread, and costs nothing twice."""
        with self._turn:
            self._bells.ring(source)
            self._turn.notify_all()

    def wait(self, until: datetime, stopping: Callable[[], bool], *, rest_s: float = 0.0) -> str:
        """Wait for the first of all, and return what it was: ``file``, ``time``, ``stop``, or who rang.

        Args:
            until: When the time is over. A clock that is set back delays nothing.
            stopping: Whether to stop.
            rest_s: How long nobody but the file and the request to stop may wake, so that looking does not take all the time.
        """
        began = time.monotonic()
        longest = began + max(0.0, (until - self._clock.now()).total_seconds())
        while not stopping():
            now = time.monotonic()
            resting = now < began + rest_s
            if rung := self._take(resting=resting):
                return rung
            if self._clock.now() >= until or now >= longest:
                return "time"
            left_s = (began + rest_s if resting else longest) - now
            with self._turn:
                if not self._bells.rung(resting=resting):
                    self._turn.wait(min(STEP_MS / 1000, left_s))
        return "stop"

    def _take(self, *, resting: bool) -> str:
        """Take what rang, once no more comes with it; empty for nothing."""
        with self._turn:
            if not self._bells.rung(resting=resting):
                return ""
            self._turn.wait_for(lambda: self._bells.edited, GATHER_S)
            return self._bells.take()

    def _follow(self) -> None:
        for changed in self._changes:
            if changed:
                self.ring(FILE)

"""Leaving in time: what SIGTERM means to a service whose step may wait for minutes (decision 0019), and what SIGHUP means.

The law: the wait for an answer may be cut, our own writing never. Who leaves holds the journal and the audit log first.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING

from reconciler.cli import output as screen
from reconciler.cli.running import INTERRUPTED

if TYPE_CHECKING:
    from reconciler.engine.run import Tools

GRACE_S = 1.2
"""How long after SIGTERM the step in flight may still end by itself; the rest of the 2 s is for leaving."""
PARTING_S = 0.3
"""For the last words, in case that nobody reads them."""


class Calls:
    """What the service manager asks of a watch.

    A byte in a pipe tells a thread of each signal at once, also while the main thread waits inside a library.
    """

    def __init__(self, at_work: Callable[[], Tools | None], on_stop: Callable[[], None]) -> None:
        self._at_work = at_work
        self._on_stop = on_stop
        self._again = threading.Event()
        self._through = threading.Event()

    def reload(self) -> bool:
        """Return once whether SIGHUP came since this was asked last."""
        came = self._again.is_set()
        self._again.clear()
        return came

    def _hear_hangup(self, number: int, frame: FrameType | None) -> None:
        self._again.set()

    def _listen(self, pipe: int) -> None:
        while heard := os.read(pipe, 16):
            if signal.SIGTERM in heard:
                self._on_stop()
                if not self._through.wait(GRACE_S):
                    leave(self._at_work())
                return


@contextmanager
def called(at_work: Callable[[], Tools | None], on_stop: Callable[[], None]) -> Iterator[Calls]:
    """Hear SIGHUP, and end this process after SIGTERM if it does not end by itself, for as long as the context is open.

    Args:
        at_work: Returns what the run that is under way works with; None between two.
        on_stop: Called at once, in another thread, when SIGTERM comes.
    """
    calls = Calls(at_work, on_stop)
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    before = signal.signal(signal.SIGHUP, calls._hear_hangup)
    waking = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    thread = threading.Thread(target=calls._listen, args=(reading,), name="calls", daemon=True)
    thread.start()
    try:
        yield calls
    finally:
        calls._through.set()
        signal.set_wakeup_fd(waking)
        signal.signal(signal.SIGHUP, before)
        os.close(writing)  # ends the thread
        thread.join()
        os.close(reading)


def leave(tools: Tools | None) -> None:
    """End this process now. Nothing of ours is cut off: what is being written is finished first, and nothing more is begun.

    What was sent and not answered has an unknown outcome, as after a crash: the next run reads before it repeats.
    """
    from reconciler.cli.live import live
    from reconciler.edge.audit_file import AuditFile
    from reconciler.edge.journal_file import JournalFile

    if tools is not None:
        if isinstance(tools.audit, AuditFile):
            tools.audit.abandon()
        if isinstance(tools.journal, JournalFile):
            because = "asked to stop while waiting for an answer"
            tools.journal.abandon("apply left", tools.clock.now(), {"run": tools.run, "because": because})
        if (world := live(tools)) is not None:
            with suppress(OSError):
                world.forsake()
    threading.Timer(PARTING_S, os._exit, (INTERRUPTED,)).start()
    screen.stderr(
        "left without waiting for the answer; the next run reads how it came out", "bold yellow", event="left"
    )
    sys.stdout.flush()
    os._exit(INTERRUPTED)

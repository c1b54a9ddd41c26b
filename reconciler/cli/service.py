"""A watch as a service: what the service manager is told, what it asks, and where Prometheus looks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from reconciler.cli import output as screen
from reconciler.cli.duty import Duty
from reconciler.cli.leaving import Calls, called

if TYPE_CHECKING:
    from reconciler.cli.running import StopSignal
    from reconciler.edge.systemd import Notifier
    from reconciler.edge.wake import Waker


class Options(Struct, frozen=True):
    """How a watch is watched.

    Attributes:
        metrics: Address of the endpoint; empty for none.
        for_anyone: Whether that may be one that other machines reach.
    """

    metrics: str = ""
    for_anyone: bool = False
    metrics_file: Path | None = None


class Service:
    """The side of a watch that looks outwards."""

    def __init__(self, duty: Duty, notifier: Notifier, calls: Calls) -> None:
        self.duty = duty
        self._notifier = notifier
        self._calls = calls

    def rests(self, code: int) -> None:
        """Say that a pass is over, and how it ended."""
        self._notifier.status(f"waiting; the last pass ended with exit code {code}")

    def wait(self, waker: Waker, until: datetime, stop: StopSignal, *, rest_s: float = 0.0) -> bool:
        """Wait until there is a reason to look; return False where it is to stop.

        Args:
            rest_s: As for `Waker.wait`.
        """
        from reconciler.edge.clock import SystemClock

        hangup = False

        def called_away() -> bool:
            nonlocal hangup
            self._notifier.beat()
            hangup = hangup or self._calls.reload()
            return stop() or hangup

        woken = waker.wait(until, called_away, rest_s=rest_s)
        if stop():
            return False
        late = (SystemClock().now() - until).total_seconds()
        self.duty.lag_s = max(0.0, late) if woken == "time" else 0.0
        if hangup:
            self._notifier.reloading()
            screen.stderr("reading the state file again, for SIGHUP", "bold", event="reload")
        self._notifier.say("READY=1", "STATUS=looking")
        return True


@contextmanager
def serve(options: Options) -> Iterator[Service]:
    """Be a service for as long as the context is open; `listening` is open around it."""
    from reconciler.edge.systemd import Notifier

    notifier = Notifier()
    duty = Duty(options.metrics_file, notifier)
    with ExitStack() as stack:
        if options.metrics:
            from reconciler.edge.metrics import address, serving

            where = address(options.metrics, anywhere=options.for_anyone)
            port = stack.enter_context(serving(where, duty.measure))
            screen.stderr(f"metrics are at http://{options.metrics.rpartition(':')[0]}:{port}/metrics", event="metrics")
        calls = stack.enter_context(called(lambda: duty.at_work, lambda: notifier.say("STOPPING=1")))
        notifier.say("READY=1", "STATUS=looking")
        yield Service(duty, notifier, calls)

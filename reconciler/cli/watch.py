"""The verb that does not end: look, put right, wait until something may have changed, look again."""

from __future__ import annotations

import gc
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from msgspec import Struct

from reconciler.cli import output as screen
from reconciler.cli.loading import load
from reconciler.cli.options import Log, MetricsFile, StatePath
from reconciler.cli.running import apply_once, listening, show
from reconciler.cli.serve import Publisher, Serving, serving
from reconciler.cli.service import Options, serve

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from reconciler.cli.keeping import Keeper
    from reconciler.cli.loading import Loaded
    from reconciler.cli.running import StopSignal
    from reconciler.cli.service import Service
    from reconciler.core.errors import ReconcileError
    from reconciler.core.ports import Journal
    from reconciler.core.report import Report
    from reconciler.edge.wake import Waker
    from reconciler.engine.events import Event

CYCLES = (100_000, 20, 100)  # it may go on for weeks, and what it leaves behind shall not become a hundred megabytes


def watch(
    state: StatePath,
    *,
    every: Annotated[str, Parameter(help="Look at everything at least so often, such as 5m.")] = "5m",
    hosts_every: Annotated[
        str, Parameter(help="Ask the hosts at least so often: they tell of no change by themselves.")
    ] = "30s",
    metrics: Annotated[
        str, Parameter(help="Answer Prometheus at this address of this machine, such as 127.0.0.1:9464.")
    ] = "",
    metrics_for_anyone: Annotated[
        bool, Parameter(help="Let `--metrics` be an address that other machines reach.", negative="")
    ] = False,
    metrics_file: MetricsFile = None,
    log: Log = "text",
    page: Serving = Serving(),  # noqa: B008 (frozen)
) -> int:
    """Keep the world as the state file says, until it is stopped: at every change in a domain, every edit of the file, every end of a lease, and every so often.

    Each pass is an `apply`. Between two passes the journal is free for other commands. Ends with the code of the last pass.
    """
    from reconciler.cli.keeping import Keeper, pace_of
    from reconciler.edge.clock import SystemClock
    from reconciler.edge.wake import Waker
    from reconciler.engine.pace import Rhythm
    from reconciler.engine.watch import Watch

    screen.log_as(log)
    gc.set_threshold(*CYCLES)
    pace = pace_of(every, hosts_every)
    loaded, clock, options = load(state), SystemClock(), Options(metrics, metrics_for_anyone, metrics_file)
    rhythm = Rhythm(pace, clock.now(), random.random)
    with (
        listening() as stop,
        serving(page) as shown,
        serve(options) as service,
        Waker(state, clock) as waker,
        Keeper(waker.ring, rhythm, clock) as keeper,
    ):
        return Watch(loaded, _Outside(state, shown, service, waker, keeper, stop), clock, rhythm).run()


class _Outside(Struct, frozen=True):
    """Implements ``engine.watch.Outside``: the file, the domains and hosts, the terminal, the page, the service manager."""

    path: Path
    page: Publisher
    service: Service
    waker: Waker
    keeper: Keeper
    stop: StopSignal

    def read(self) -> Loaded:
        """Read the state file as it is now."""
        return load(self.path)

    def attend(self, wanted: Loaded) -> None:
        """Listen to what this state file names."""
        self.keeper.attend(wanted)

    def look(self, wanted: Loaded) -> Report:
        """Make one pass, and be told of what changes where it read."""
        from reconciler.core.limits import Limits

        try:
            return apply_once(
                wanted,
                wanted.permit(Limits()),
                {},
                self.service.duty,
                holder=f"watch {self.path}",
                listen=_tell,
                terms=wanted.terms("watch"),
                keeper=self.keeper,
            )
        finally:
            self.keeper.follow()

    @contextmanager
    def journal(self, wanted: Loaded) -> Iterator[Journal]:
        """Open the journal to read it."""
        from reconciler.edge.journal_file import JournalFile

        journal = JournalFile.read_only(wanted.journal)
        try:
            yield journal
        finally:
            journal.shut()

    def wait(self, code: int, until: datetime, rest: timedelta) -> bool:
        """Wait until there is a reason to look."""
        self.service.rests(code)
        return not self.stop() and self.service.wait(self.waker, until, self.stop, rest_s=rest.total_seconds())

    def edited(self, wanted: Loaded) -> None:
        """Say that the state file was edited."""
        screen.stderr(f"{self.path} was edited: phase {wanted.state.phase}, {len(wanted.graph)} resources", "bold")

    def unusable(self, error: Exception) -> None:
        """Say that the state file cannot be used."""
        screen.stderr(str(error), "red")
        screen.stderr(f"{self.path} cannot be used; going on with what it said before", "bold red")

    def failed(self, error: ReconcileError, *, new: bool) -> int:
        """Say what stopped a look, also beside the page."""
        from reconciler.cli.main import exit_code_of

        self.page.failed(str(error))
        if new:
            screen.stderr(str(error), "red")
        return exit_code_of(error)

    def found(self, wanted: Loaded, report: Report, *, new: bool) -> None:
        """Show what a look found."""
        self.stop.asked = self.stop.asked or report.interrupted
        self.page.publish(report, wanted.journal)
        if new:
            show(report, "text")


def _tell(event: Event) -> None:
    if event.what in ("started", "step"):
        screen.tell(event)

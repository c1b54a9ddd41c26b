"""The verb that does not end: look, put right, wait until something may have changed, look again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from reconciler.cli import output as screen
from reconciler.cli.loading import load
from reconciler.cli.running import apply_once, listening, show
from reconciler.cli.serve import Publisher, Serving, serving
from reconciler.cli.service import Options, serve
from reconciler.cli.verbs import Log, MetricsFile
from reconciler.core.errors import DesiredStateError, ReconcileError
from reconciler.core.exit_codes import ExitCode

if TYPE_CHECKING:
    from datetime import datetime

    from reconciler.cli.duty import Duty
    from reconciler.cli.keeping import Keeper
    from reconciler.cli.loading import Loaded
    from reconciler.cli.running import StopSignal
    from reconciler.core.report import Report
    from reconciler.engine.events import Event


def register(app: App) -> None:
    """Add the verb to the program."""
    app.command(watch)


def watch(
    state: Annotated[Path, Parameter(help="The state file.")],
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
    from reconciler.cli.keeping import Keeper, Pace
    from reconciler.edge.clock import SystemClock
    from reconciler.edge.wake import Waker

    screen.log_as(log)
    pace = Pace.of(every, hosts_every)
    loaded, clock, options = load(state), SystemClock(), Options(metrics, metrics_for_anyone, metrics_file)
    with (
        listening() as stop,
        serving(page) as shown,
        serve(options) as service,
        Waker(state, clock) as waker,
        Keeper(waker.ring, pace, clock) as keeper,
    ):
        watcher = _Watcher(state, loaded, service.duty, shown, keeper)
        while True:
            keeper.attend(watcher.loaded)
            watcher.look(stop)
            service.rests(watcher.code)
            if stop() or not service.wait(waker, watcher.until(clock.now()), stop, rest_s=keeper.rest_s()):
                return watcher.code
            watcher.read_again()


class _Watcher:
    """What a watch remembers between two looks: the last good state file, and what it said last."""

    def __init__(self, path: Path, loaded: Loaded, duty: Duty, page: Publisher, keeper: Keeper) -> None:
        self.path = path
        self.duty = duty
        self.loaded = loaded
        self.keeper = keeper
        self.code: int = ExitCode.OK
        self.page = page
        self._said: object = None

    def read_again(self) -> None:
        """Take the state file as it is now; a faulty one leaves the last good one in force."""
        try:
            fresh = load(self.path)
        except (DesiredStateError, OSError) as error:
            if self._news(str(error)):
                screen.stderr(str(error), "red")
                screen.stderr(f"{self.path} cannot be used; going on with what it said before", "bold red")
            return
        if fresh.sha256 != self.loaded.sha256:
            screen.stderr(f"{self.path} was edited: phase {fresh.state.phase}, {len(fresh.graph)} resources", "bold")
            self.loaded = fresh

    def look(self, stop: StopSignal) -> None:
        """Make one pass; what stops it is said, and tried again at the next look."""
        from reconciler.core.limits import Limits

        try:
            permit = self.loaded.permit(Limits())
            report = apply_once(
                self.loaded,
                permit,
                {},
                self.duty,
                holder=f"watch {self.path}",
                listen=_tell,
                terms=self.loaded.terms("watch"),
                keeper=self.keeper,
            )
        except ReconcileError as error:
            from reconciler.cli.main import exit_code_of

            self.code = exit_code_of(error)
            self.page.failed(str(error))
            if self._news(str(error)):
                screen.stderr(str(error), "red")
            return
        stop.asked = stop.asked or report.interrupted
        self.code = int(report.exit_code)
        self.page.publish(report, self.loaded.journal)
        moved = any(outcome.status == "changed" for outcome in report.outcomes)
        if self._news(_gist(report)) or moved:
            show(report, "text")

    def until(self, now: datetime) -> datetime:
        """Return when to look again at the latest."""
        from reconciler.edge.journal_file import JournalFile
        from reconciler.engine.pace import next_look
        from reconciler.engine.restraint import wakes

        resources = [declaration.resource for declaration in self.loaded.graph.declarations.values()]
        journal, pace = JournalFile.read_only(self.loaded.journal), self.keeper.pace_of(resources)
        return next_look(
            now, pace, journal.obligations(), resources, wakes(journal, resources, self.loaded.state.windows, now)
        )

    def _news(self, what: object) -> bool:
        """Whether this is not what was said last."""
        new, self._said = what != self._said, what
        return new


def _gist(report: Report) -> object:
    """What is worth saying again if it changes; that something was changed is said at once, and needs no second word."""
    right = {"changed": "right", "unchanged": "right"}
    outcomes = tuple((one.key, right.get(one.status, one.status), str(one.error or "")) for one in report.outcomes)
    return outcomes, str(report.closing)


def _tell(event: Event) -> None:
    if event.what in ("started", "step"):
        screen.tell(event)

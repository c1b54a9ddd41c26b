"""What a run does beside its work: metrics, notices, and signs of life. None of it can stop the work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.cli import output as screen
from reconciler.core.errors import ReconcileError

if TYPE_CHECKING:
    from reconciler.cli.loading import Loaded
    from reconciler.core.report import Report
    from reconciler.core.runs import Runs
    from reconciler.edge.systemd import Notifier
    from reconciler.engine.run import Tools
    from reconciler.reports.metrics import Family


class Duty:
    """Goes along with the runs of one verb.

    Attributes:
        at_work: What the run that is under way works with; None between two.
        lag_s: How late the last look of a watch came.
    """

    def __init__(self, metrics_file: Path | None = None, notifier: Notifier | None = None) -> None:
        self.at_work: Tools | None = None
        self.lag_s: float | None = None
        self.notifier = notifier
        self._metrics_file = metrics_file
        self._loaded: Loaded | None = None
        self._report: Report | None = None
        self._exit_code: int | None = None
        self._ended_at: datetime | None = None
        self._runs: Runs | None = None  # as of the last look: a history may be long, and each entry is read once

    @contextmanager
    def over(self, loaded: Loaded, tools: Tools) -> Iterator[None]:
        """Go along with one run, under the lock of its journal."""
        self.at_work, self._loaded, self._report = tools, loaded, None
        self._stay_alive(tools)
        try:
            yield
            self._ends(loaded, tools, None)
        except ReconcileError as error:
            self._ends(loaded, tools, error)
            raise
        finally:
            self.at_work = None

    def done(self, report: Report, tools: Tools) -> None:
        """Take the report of the run: what began and what is over is kept at once."""
        from reconciler.cli.notifying import remember

        self._report = report
        if self._loaded is not None:
            remember(report, self._loaded.state.notify, tools)

    def measure(self) -> list[Family]:
        """Return the metrics of this moment; nothing before the first run."""
        from reconciler.core.notice import OUTBOX, TALLY
        from reconciler.core.runs import runs
        from reconciler.edge.clock import SystemClock
        from reconciler.edge.journal_file import JournalFile
        from reconciler.engine.forgetting import counted
        from reconciler.reports.metrics import Seen, families

        if self._loaded is None:
            return []
        journal = JournalFile.read_only(self._loaded.journal)
        try:
            known = self._runs or counted(journal)
            self._runs = runs(journal.history(known.last), known)
            return families(
                Seen(
                    state=self._loaded.state.metadata.name,
                    now=SystemClock().now(),
                    open=journal.obligations(),
                    closed=journal.closed(),
                    runs=self._runs,
                    tally=journal.facts(TALLY).get(TALLY, {}),
                    queued=sum(bool(fact) for fact in journal.facts(OUTBOX).values()),
                    locked=journal.writer() is not None,
                    report=self._report,
                    exit_code=self._exit_code,
                    ended_at=self._ended_at,
                    lag_s=self.lag_s,
                )
            )
        finally:
            journal.shut()

    def _stay_alive(self, tools: Tools) -> None:
        """Let every answer from out there, and every look whether to stop, be a sign of life."""
        from reconciler.cli.live import live

        if self.notifier is None:
            return
        notifier, stopping = self.notifier, tools.stopping

        def asked() -> bool:
            notifier.beat()
            return stopping()

        tools.stopping = asked
        if (world := live(tools)) is not None:
            world.waiting = notifier.waiting

    def _ends(self, loaded: Loaded, tools: Tools, error: ReconcileError | None) -> None:
        from reconciler.cli.main import exit_code_of

        self._ended_at = tools.clock.now()
        if error is not None:
            self._exit_code = int(exit_code_of(error))
        elif self._report is not None:
            self._exit_code = int(self._report.exit_code)
        self._beside(lambda: self._tell(loaded, tools))
        if (path := self._metrics_file) is not None:
            from reconciler.edge.metrics import write

            self._beside(lambda: write(path, self.measure))

    def _tell(self, loaded: Loaded, tools: Tools) -> None:
        from reconciler.cli.notifying import deliver
        from reconciler.edge.secrets import Secrets

        deliver(loaded.state.notify, loaded.base, tools, Secrets(loaded.base))

    def _beside(self, work: Callable[[], None]) -> None:
        """Do something that is not the work: where it fails that is said, and nothing else depends on it."""
        try:
            work()
        except ReconcileError as error:
            screen.stderr(str(error), "red")

"""The live page of a watch: each report becomes the page that browsers see."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol

from cyclopts import Parameter
from msgspec.structs import replace

from reconciler.cli import output as screen
from reconciler.core.errors import ReconcileError

if TYPE_CHECKING:
    from reconciler.core.report import Report
    from reconciler.edge.live_page import LivePage

EVENTS = "/events"


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Serving:
    """Whether and where a page is served."""

    serve: Annotated[
        str | None,
        Parameter(
            help="Show what goes on as a page, here: 127.0.0.1:8765. Who opens it needs the address that is printed."
        ),
    ] = None
    tls_cert: Annotated[
        Path | None,
        Parameter(help="Certificate of the page (PEM); needed to serve it to other machines, with --tls-key."),
    ] = None
    tls_key: Annotated[Path | None, Parameter(help="Private key of that certificate (PEM).")] = None


class Publisher(Protocol):
    """Who is told of every look."""

    def publish(self, report: Report, journal: Path) -> None:
        """Show what a look found; the journal tells what was put back before."""
        ...

    def failed(self, words: str) -> None:
        """Say that a look failed, and why."""
        ...


class Nobody:
    """No page is served."""

    def publish(self, report: Report, journal: Path) -> None:
        """Do nothing."""

    def failed(self, words: str) -> None:
        """Do nothing."""


class OnPage:
    """Turns reports into the page."""

    def __init__(self, page: LivePage) -> None:
        self.page = page

    def publish(self, report: Report, journal: Path) -> None:
        """Show what a look found, and everything that was ever put back."""
        from reconciler.edge.journal_file import JournalFile
        from reconciler.reports.html import render

        try:
            closed = tuple(JournalFile.read_only(journal).closed())
        except ReconcileError as error:  # a page is no reason to stop a watch
            self.failed(str(error))
            return
        self.page.show(render(replace(report, closed=closed), live_from=EVENTS))

    def failed(self, words: str) -> None:
        """Say it beside the last page."""
        from reconciler.reports.plain import printable

        self.page.fail("; ".join(printable(line.strip()) for line in words.splitlines()))


@contextmanager
def serving(options: Serving) -> Iterator[Publisher]:
    """Serve the page for as long as the context is open, if that is asked for.

    Raises:
        ReconcileError: It cannot be served there.
    """
    if options.serve is None:
        yield Nobody()
        return
    try:
        from reconciler.edge.page_server import Address, PageServer, Tls
    except ImportError as error:
        do = "install it with its extra: pip install 'reconcile[serve]'"
        raise ReconcileError("this installation cannot serve a page", do=do) from error
    from reconciler.reports.html import policy

    if (options.tls_cert is None) != (options.tls_key is None):
        raise ReconcileError("--tls-cert and --tls-key belong together", do="give both or none")
    tls = Tls(options.tls_cert, options.tls_key) if options.tls_cert and options.tls_key else None
    with PageServer(Address.parse(options.serve), policy(live=True), tls) as server:
        screen.stderr(f"the page is at {server.url}", "bold")
        yield OnPage(server.page)

"""What every verb says first: what could not be put back, and what is there beyond its time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.cli import output as screen

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from reconciler.core.ports import Journal


def remind(journal: Journal) -> None:
    """Say what is overdue, on standard error."""
    from reconciler.edge.clock import SystemClock
    from reconciler.engine.unsettled import stuck

    open_ends = stuck(journal)
    if open_ends:
        screen.stderr(f"{len(open_ends)} settings could not be put back, and are still open:", "bold red")
    for key, fact in open_ends.items():
        screen.stderr(f"  {key} (since {fact['at']}): {fact['what']}", "red")
    for line in quiet_lines(journal):
        screen.stderr(line, "bold yellow")
    now = SystemClock().now()
    late = [promise for promise in journal.obligations() if promise.wanted_until and promise.wanted_until <= now]
    if late:
        screen.stderr(
            f"{len(late)} settings are there beyond their lease; `reconcile apply` puts them back:", "bold red"
        )
    for promise in late:
        screen.stderr(f"  {promise.key} (until {promise.wanted_until:%Y-%m-%d %H:%M}Z): {promise.weakens}", "red")


def remind_of(path: Path) -> None:
    """Say it for a journal that is only read, and may not exist yet."""
    from reconciler.edge.journal_file import JournalFile

    journal = JournalFile.read_only(path)
    remind(journal)
    journal.shut()


def quiet_lines(journal: Journal) -> Iterable[str]:
    """Say what holds a watch back at this moment."""
    from reconciler.edge.clock import SystemClock
    from reconciler.engine.pausing import paused
    from reconciler.engine.unsettled import stalls

    if (found := paused(journal, SystemClock().now())) is not None:
        yield f"{found}; what is due goes back all the same"
    for key, since in stalls(journal).items():
        yield f"somebody keeps changing {key} back: left alone since {since:%Y-%m-%d %H:%M:%S} UTC"

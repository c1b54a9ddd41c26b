"""The fence at the beginning and at the end of a run: shut out whom we took over from, and leave no trace."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.cli import output as screen
from reconciler.cli.live import live

if TYPE_CHECKING:
    from reconciler.core.ports import Journal
    from reconciler.edge.fence import Fence
    from reconciler.edge.writer_lock import Holder
    from reconciler.engine.run import Tools


def fence_of(journal: Journal) -> Fence | None:
    """Return the fence of a journal, None where it is only read; say whom this process took over from."""
    from reconciler.edge.clock import SystemClock
    from reconciler.edge.journal_file import JournalFile

    if not isinstance(journal, JournalFile) or not journal.epoch:
        return None
    from reconciler.edge.fence import Fence

    if journal.took_over is not None:
        since = journal.took_over.last_sign.isoformat("T", "seconds")
        screen.stderr(f"taking over, for no sign of life since {since}: {journal.took_over}", "bold yellow")
    return Fence(journal.path.stem, journal, SystemClock().now)


def plain_writer(holder: Holder | None) -> dict[str, str | int] | None:
    """Return who is at work as plain values, None where nobody is."""
    if holder is None:
        return None
    sign = holder.last_sign.isoformat("T", "seconds")
    return {"holder": holder.name, "pid": holder.pid, "host": holder.host, "since": holder.since, "last_sign": sign}


def overtake(tools: Tools) -> None:
    """Shut out the writer before us before anything is looked at or changed."""
    world = live(tools)
    failed = world.overtake() if world is not None else {}
    for host, error in failed.items():
        screen.stderr(f"the writer before us is not shut out of {host} yet: {error}", "bold red")


def lift(tools: Tools) -> dict[str, str]:
    """Remove the number of the writer from every host once nothing is to be put back; return where that failed."""
    world = live(tools)
    if world is None or any(promise.changed_at for promise in tools.journal.obligations()):
        return {}
    failed = world.lift()
    for host, error in failed.items():
        screen.stderr(f"the number of the writer is still on {host}, and the next run removes it: {error}", "bold red")
    return {host: error.what for host, error in failed.items()}

"""The verbs that ask for quiet for a time, and that let things go on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from reconciler.cli import output as screen
from reconciler.cli.loading import load
from reconciler.cli.options import StatePath
from reconciler.core.errors import ReconcileError, UnsafePlan
from reconciler.core.exit_codes import ExitCode

if TYPE_CHECKING:
    from reconciler.cli.loading import Loaded


def pause(
    state: StatePath,
    *,
    length: Annotated[str, Parameter(name="--for", help="How long, such as 2h (90m, 2d, PT4H).")],
    because: Annotated[str, Parameter(help="Why; every command says it meanwhile.")] = "",
) -> int:
    """Let nothing be changed for a time. It ends by itself; what is due goes back all the same."""
    from reconciler.core.lengths import duration
    from reconciler.edge.clock import SystemClock
    from reconciler.edge.journal_file import JournalFile
    from reconciler.engine import pausing

    try:
        wanted = duration(length)
    except ValueError as error:
        raise ReconcileError(f"--for is {length!r}: {error}") from error
    loaded = load(state)
    with JournalFile.open(loaded.journal, loaded.state.metadata.name, holder=f"pause {state}") as journal:
        screen.stderr(str(pausing.pause(journal, SystemClock().now(), wanted, because)), "bold yellow")
    return ExitCode.OK


def resume(
    state: StatePath,
    *keys: Annotated[str, Parameter(help="Keys of resources over which somebody else and `watch` fought.")],
    every: Annotated[bool, Parameter(name="--all", negative="", help="All of them, and end a pause.")] = False,
) -> int:
    """End a pause before its time. With keys: let `watch` set these right again."""
    from reconciler.edge.clock import SystemClock
    from reconciler.edge.journal_file import JournalFile
    from reconciler.engine.pausing import end_pause
    from reconciler.engine.unsettled import let_go, stalls

    loaded, now = load(state), SystemClock().now()
    with JournalFile.open(loaded.journal, loaded.state.metadata.name, holder=f"resume {state}") as journal:
        held = stalls(journal)
        unknown = [key for key in keys if key not in held]
        if unknown:
            do = "stalled are: " + (", ".join(held) or "none")
            raise ReconcileError(f"not stalled, so nothing goes on: {', '.join(unknown)}", where=str(state), do=do)
        let_go(journal, now, list(held) if every else keys)
        if (every or not keys) and end_pause(journal, now):
            screen.stderr("the pause is over", "green")
        for key in held if every else keys:
            screen.stderr(f"goes on with {key}", "green")
    return ExitCode.OK


def refuse_while_paused(loaded: Loaded) -> None:
    """Refuse an `apply` while somebody asked for quiet; one that only puts back goes on.

    Raises:
        UnsafePlan: There is a pause.
    """
    from reconciler.edge.clock import SystemClock
    from reconciler.edge.journal_file import JournalFile
    from reconciler.engine.pausing import paused

    journal = JournalFile.read_only(loaded.journal)
    found = paused(journal, SystemClock().now())
    journal.shut()
    if found is not None and loaded.state.phase != "complete":
        raise UnsafePlan(
            f"{loaded.state.metadata.name} is {found}", where=str(loaded.journal),
            do="wait, end it with `reconcile resume`, or say `--despite-pause`",
        )  # fmt: skip

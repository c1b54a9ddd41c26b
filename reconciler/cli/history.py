"""The verb that tells which drifts there were."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from reconciler.cli import output as screen
from reconciler.cli.loading import load
from reconciler.cli.reminding import remind
from reconciler.core.errors import ReconcileError
from reconciler.core.exit_codes import ExitCode


def history(
    path: Annotated[Path, Parameter(help="The state file, or the journal (a .db file) where that is lost.")],
    *,
    since: Annotated[str | None, Parameter(help="Only what was still seen so long ago or later, such as 7d.")] = None,
    key: Annotated[str | None, Parameter(help="Only this resource, or all keys that begin so.")] = None,
    every: Annotated[
        bool,
        Parameter(name="--all", negative="", help="Also what was gone before it counted, and what did not answer."),
    ] = False,
    output: Annotated[
        Literal["text", "json"], Parameter(name="--output", help="text for people, json for programs.")
    ] = "text",
) -> int:
    """Show which drifts there were: first and last seen, where they came from, what repaired them. Only the journal is read."""
    from reconciler.core.lengths import duration
    from reconciler.edge.clock import SystemClock
    from reconciler.edge.journal_file import JournalFile
    from reconciler.reports.history import render_json, render_text

    try:
        after = SystemClock().now() - duration(since) if since is not None else None
    except ValueError as error:
        raise ReconcileError(f"--since is {since!r}: {error}") from error
    file = path if path.suffix == ".db" else load(path).journal
    journal = JournalFile.read_only(file)
    remind(journal)
    found = [
        one
        for one in journal.sightings()
        if (every or one.comes_from not in ("transient", "unknown"))
        and (after is None or (one.closed_at or one.last_seen) >= after)
        and (key is None or one.key.startswith(key))
    ]
    if output == "json":
        screen.write(render_json(file.stem, found))
    else:
        screen.stdout(render_text(file.stem, found))
    return ExitCode.OK

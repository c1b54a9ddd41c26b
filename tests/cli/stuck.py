"""A program that is stopped in the middle of a step: `python -m tests.cli.stuck STATE`; its world never answers a change."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from reconciler.cli.leaving import called
from reconciler.cli.running import listening
from reconciler.core.graph import Graph
from reconciler.core.resource import Declaration
from reconciler.edge.audit_check import audit_path
from reconciler.edge.audit_file import AuditFile
from reconciler.edge.clock import SystemClock
from reconciler.edge.journal_file import JournalFile
from reconciler.edge.systemd import Notifier
from reconciler.engine.converge import converge
from reconciler.engine.intents import scope
from reconciler.engine.run import Tools
from tests.fake_world import FakeWorld, Setting, revive

WANTED = Setting(name="a", value=1, during=frozenset({"migrate"}), weakens="a hole")


def journal_of(state: Path) -> Path:
    return state.with_name("kept") / "stuck.db"


def never_answer(number: int) -> None:
    """Be the host that carried a change out and does not say so."""
    Notifier().say("STATUS=sent")
    threading.Event().wait()


def main(state: Path) -> None:
    """Apply one setting."""
    tools: list[Tools] = []
    path = journal_of(state)
    with (
        JournalFile.open(path, "stuck", holder="test") as journal,
        AuditFile.open(audit_path(path)) as audit,
        listening() as stop,
        called(lambda: tools[0] if tools else None, lambda: None),
    ):
        world = FakeWorld({("h", "a"): {"value": 0}}, after=never_answer)
        tools.append(Tools(world, journal, SystemClock(), "run", stopping=stop, audit=audit))
        converge(scope(Graph([Declaration(WANTED)]), "migrate", journal, revive), tools[0])


if __name__ == "__main__":
    main(Path(sys.argv[1]))

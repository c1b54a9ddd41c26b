"""How time passes in a test: what the journal says about when is changed, which is the same for who only looks."""

from __future__ import annotations

from pathlib import Path

import apsw

from reconciler.edge.journal_storage import BUSY_TIMEOUT_MS


def changed(journal: Path, *statements: str) -> None:
    """Change a journal from outside, all statements at once, as patient as the program that may be writing to it."""
    connection = apsw.Connection(str(journal))
    connection.set_busy_timeout(BUSY_TIMEOUT_MS)
    connection.execute("BEGIN IMMEDIATE")
    for statement in statements:
        connection.execute(statement)
    connection.execute("COMMIT")
    connection.close()

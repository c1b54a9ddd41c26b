"""How time passes in a test: what the journal says about when is changed, which is the same for who only looks."""

from __future__ import annotations

from pathlib import Path

from reconciler.edge.journal_storage import connect


def changed(journal: Path, *statements: str) -> None:
    """Change a journal from outside, all statements at once, as patient as the program that may be writing to it."""
    connection = connect(journal)
    connection.execute("BEGIN IMMEDIATE")
    for statement in statements:
        connection.execute(statement)
    connection.execute("COMMIT")
    connection.close()

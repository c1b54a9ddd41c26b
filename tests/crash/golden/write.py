"""Write the golden journal of this version: ``python -m tests.crash.golden.write``.

It holds the promises of the whole article in the middle of a migration, as the engine wrote them. A file of a released
version is never written again: a new version of the schema gets a file of its own, and later versions open them all.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from reconciler.edge.journal_file import JournalFile
from reconciler.edge.journal_schema import VERSION
from reconciler.engine.converge import converge
from reconciler.engine.intents import scope
from reconciler.engine.run import Tools
from reconciler.resources.kinds import revive
from tests.crash.schedules import StoppedClock, article
from tests.crash.simulated import SimulatedWorld
from tests.crash.simulated_start import start

FOLDER = Path(__file__).parent
STATE = "source-to-target"


def write(path: Path) -> None:
    """Migrate in the simulated world, with the journal on the disk."""
    with JournalFile.open(path, STATE, holder="golden") as journal:
        tools = Tools(SimulatedWorld(start()), journal, StoppedClock(), "golden")
        result = converge(scope(article(), "migrate", journal, revive), tools)
        assert result.converged
        journal._connection.execute("VACUUM")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        made = Path(directory) / "journal" / "golden.db"
        write(made)
        (FOLDER / f"schema-{VERSION}.db").write_bytes(made.read_bytes())

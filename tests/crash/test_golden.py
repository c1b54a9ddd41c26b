"""Journals that earlier versions wrote still open, their promises still read, and everything still goes back.

Every file in ``golden`` stays there for good: what a released version wrote has to be undone by every later one.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.core.graph import Graph
from reconciler.core.ports import Journal
from reconciler.edge.journal_file import JournalFile
from reconciler.edge.journal_schema import VERSION
from reconciler.engine.converge import converge
from reconciler.engine.intents import scope
from reconciler.engine.run import Tools
from reconciler.resources.kinds import revive
from tests.crash.golden.write import FOLDER, STATE
from tests.crash.schedules import StoppedClock, article, without_threads
from tests.crash.simulated import SimulatedWorld, items, people
from tests.crash.simulated_start import LSA, Tables, start
from tests.fake_journal import MemoryJournal

GOLDEN = sorted(FOLDER.glob("*.db"))


@pytest.fixture(autouse=True)
def fast() -> Iterator[None]:
    with without_threads():
        yield


@pytest.fixture(params=GOLDEN, ids=lambda path: path.stem)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy, as private as the program wants it."""
    copy = tmp_path / "journal" / "golden.db"
    copy.parent.mkdir(mode=0o700)
    copy.write_bytes(request.param.read_bytes())
    copy.chmod(0o600)
    return copy


def run(tables: Tables, journal: Journal, graph: Graph, phase: str) -> None:
    tools = Tools(SimulatedWorld(tables), journal, StoppedClock(), "run")
    result = converge(scope(graph, phase, journal, revive), tools)  # type: ignore[arg-type]
    assert {o.key: o.error for o in result.outcomes if o.status not in ("changed", "unchanged")} == {}


def test_every_schema_has_its_journal() -> None:
    assert [path.stem for path in GOLDEN] == [f"schema-{number + 1}" for number in range(VERSION)]


@pytest.mark.parametrize("how", ["open", "read_only"])
def test_the_promises_are_read(path: Path, how: str) -> None:
    with JournalFile.read_only(path) if how == "read_only" else JournalFile.open(path, STATE, holder="test") as journal:
        promises = {promise.key: promise for promise in journal.obligations() if promise.changed_at is not None}
        assert len(promises) == 19
        assert {revive(promise.declared).key for promise in promises.values()} == set(promises)
        assert {revive(promise.baseline).key for promise in promises.values()} == set(promises)
        before = {name: promises[f"win.registry/{host}/{LSA}/{name}"].baseline for host, name in (
            ("source-pdc", "AllowPasswordExport"), ("source-pdc", "RunAsPPL"), ("source-pdc", "TcpipClientSupport"), ("admt", "RestrictAnonymous"),
        )}  # fmt: skip
        assert {
            name: found["ensure"] == "present" and (found["type"], found["value"]) for name, found in before.items()
        } == {
            "AllowPasswordExport": ("DWord", 0),
            "RunAsPPL": ("DWord", 1),
            "TcpipClientSupport": False,
            "RestrictAnonymous": ("DWord", 2),
        }
        assert journal.facts("pes.key/")["pes.key/admt/source"]["state"] == "created"
        assert journal.history()


@pytest.mark.parametrize("declared", [True, False], ids=["with the state file", "from the journal alone"])
def test_everything_goes_back(path: Path, declared: bool) -> None:
    tables = start()
    run(tables, MemoryJournal(), article(), "migrate")
    moved = people(tables)
    with JournalFile.open(path, STATE, holder="test") as journal:
        run(tables, journal, article() if declared else Graph([]), "complete")
        assert journal.obligations() == []
    assert items(tables) == items(start())
    assert people(tables) == moved

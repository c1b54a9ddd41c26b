"""Who leaves without waiting for an answer leaves nothing half done on this side, and the next run reads how it came out."""

from __future__ import annotations

import signal
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

from reconciler.core.graph import Graph
from reconciler.core.resource import Declaration
from reconciler.core.values import Phase
from reconciler.edge.audit_check import audit_path, inspect
from reconciler.edge.audit_file import AuditFile
from reconciler.edge.journal_file import JournalFile
from reconciler.engine.converge import converge
from reconciler.engine.intents import scope
from reconciler.engine.run import Result, Tools
from tests.cli.service import PATIENCE_S, serving
from tests.cli.stuck import WANTED, journal_of
from tests.fake_world import FakeClock, FakeWorld, revive

AT = datetime(2026, 11, 20, 18, tzinfo=UTC)


def go_on(path: Path, world: FakeWorld, phase: Phase) -> Result:
    """Run again with the journal and the audit log that were left."""
    with JournalFile.open(path, "stuck", holder="test") as journal, AuditFile.open(audit_path(path)) as audit:
        tools = Tools(world, journal, FakeClock(), "again", audit=audit)
        return converge(scope(Graph([Declaration(WANTED)]), phase, journal, revive), tools)


def test_a_step_without_an_answer_is_left_and_read_by_the_next_run(tmp_path: Path) -> None:
    state = tmp_path / "state.yaml"
    with serving(state, program=("-m", "tests.cli.stuck")) as service:
        service.told("STATUS=sent")
        began = time.monotonic()
        service.run.send_signal(signal.SIGTERM)
        assert service.run.wait(PATIENCE_S) == 130, service.words
        assert time.monotonic() - began < 8  # 2 s are promised; this machine may be busy

    path = journal_of(state)
    left = JournalFile.read_only(path)
    [promise] = left.obligations()
    assert (promise.key, promise.changed_at is not None) == (WANTED.key, True)
    assert [entry["event"] for entry in left.history()] == ["apply left"]
    assert not inspect(audit_path(path)).faults

    world = FakeWorld({("h", "a"): {"value": 1}})  # as it was carried out, unheard
    assert go_on(path, world, "migrate").converged
    assert world.writes == []
    assert go_on(path, world, "complete").converged
    assert world.values["h", "a"] == {"value": 0}
    assert JournalFile.read_only(path).obligations() == []


def test_who_ends_in_time_is_not_cut_off(tmp_path: Path) -> None:
    code = (
        "import signal, os\nfrom reconciler.cli.leaving import called\nfrom reconciler.cli.running import listening\n"
    )
    code += "with listening() as stop, called(lambda: None, lambda: None):\n"
    code += "    os.kill(os.getpid(), signal.SIGTERM)\n    assert stop()\nprint('well', flush=True)\nos._exit(7)\n"
    with serving(tmp_path / "state.yaml", program=("-c", code)) as service:
        assert service.run.wait(PATIENCE_S) == 7, service.words


def test_what_is_being_written_is_written_before_the_journal_is_left(tmp_path: Path) -> None:
    journal = JournalFile.open(tmp_path / "kept" / "x.db", "x", holder="test")
    begun = threading.Event()

    def write_on() -> None:
        number = 0
        while True:
            number += 1
            journal.note({"one": {"n": number}, "two": {"n": number}}, AT)
            begun.set()

    threading.Thread(target=write_on, daemon=True).start()
    assert begun.wait(PATIENCE_S)
    journal.abandon("apply left", AT, {"run": "r"})

    left = JournalFile.read_only(journal.path)
    facts = left.facts("")
    assert facts["one"] == facts["two"] != {}
    assert [entry["event"] for entry in left.history()] == ["apply left"]
    assert left.writer() is not None  # the lock goes with the process, and no sooner

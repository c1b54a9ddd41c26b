"""What is overdue is the first thing that every verb about a state file says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reconciler.cli.main import main
from reconciler.core.ports import Obligation
from reconciler.edge import resolve
from reconciler.edge.journal_file import JournalFile
from reconciler.engine.unsettled import FAILED_REVERT
from tests.declared import lab, write

NOW = datetime.now(UTC)
KEY = "win.registry/admt/HKLM:\\A/b"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state whose journal knows of one setting that is beyond its lease, and one that could not be put back."""
    document = lab("complete")
    document["journal"] = "kept"
    written = {"kind": "win.registry", "host": "admt", "path": "HKLM:\\A", "name": "b", "ensure": "absent"}
    with JournalFile.open(tmp_path / "kept" / "source-to-target.db", "source-to-target", holder="test") as journal:
        journal.keep_baseline(Obligation(KEY, written, written, (), "a hole", NOW - timedelta(hours=9)))
        journal.mark_changed(KEY, NOW - timedelta(hours=9), until=NOW - timedelta(hours=1))
        journal.note({FAILED_REVERT + "ad.trust/source/target": {"what": "no answer", "at": NOW.isoformat()}}, NOW)
    return write(tmp_path, document)


@pytest.mark.parametrize("verb", ["validate", "graph", "status", "plan", "drift", "apply", "revert"])
def test_every_verb_says_it_first(
    verb: str, state: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolve, "LIFETIME_S", 0.05)  # nobody answers; what is said before that is what counts
    main([verb, str(state)])
    first = capsys.readouterr().err.splitlines()[:4]
    assert first[0] == "1 settings could not be put back, and are still open:"
    assert first[1].startswith("  ad.trust/source/target") and first[1].endswith("no answer")
    assert first[2].startswith("1 settings are there beyond their lease")
    assert first[3].startswith(f"  {KEY} (until ") and first[3].endswith("a hole")


def test_a_journal_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    document = lab()
    document["journal"] = "kept"
    assert main(["validate", str(write(tmp_path, document))]) == 0
    assert not (tmp_path / "kept").exists()

"""A watch as a service: what it tells its manager, how it is called, and how it leaves."""

from __future__ import annotations

import re
import signal
import socket
import time
import urllib.request
from pathlib import Path

import pytest

from reconciler.edge.audit_check import audit_path
from reconciler.edge.journal_file import JournalFile
from reconciler.engine.forgetting import TOGETHER, counted
from tests.cli.service import PATIENCE_S, serving, written
from tests.time_passes import changed


def test_a_service_says_that_it_is_ready_alive_reading_again_and_stopping(tmp_path: Path) -> None:
    state = written(tmp_path)
    with serving(state, "--log", "json", "--every", "1h") as service:
        service.told("READY=1")
        service.told("WATCHDOG=1")
        service.told("STATUS=waiting; the last pass ended with exit code 0")
        service.run.send_signal(signal.SIGHUP)
        service.told("RELOADING=1")
        service.told("READY=1")
        service.told("STATUS=waiting")
        service.told("WATCHDOG=1")  # the loop works on
        service.run.send_signal(signal.SIGTERM)
        service.told("STOPPING=1")
        assert service.run.wait(PATIENCE_S) == 0
        assert [line["event"] for line in service.lines].count("reload") == 1
    passes = [entry for entry in JournalFile.read_only(tmp_path / ".reconcile/watched.db").history() if entry["event"] == "apply ended"]  # fmt: skip
    assert len(passes) == 2


def test_an_edit_counts_at_a_hangup_although_nothing_else_would_tell(tmp_path: Path) -> None:
    state = written(tmp_path)
    with serving(state, "--log", "json", "--every", "1h") as service:
        service.told("STATUS=waiting")
        written(tmp_path, phase="prepare")
        service.run.send_signal(signal.SIGHUP)
        service.told("READY=1")
        service.told("STATUS=waiting")
        assert any("phase prepare" in line["text"] for line in service.lines)


def test_metrics_are_at_the_endpoint_and_in_the_file(tmp_path: Path) -> None:
    state, file = written(tmp_path), tmp_path / "reconcile.prom"
    options = ("--every", "1h", "--log", "json", "--metrics", "127.0.0.1:0", "--metrics-file", str(file))
    with serving(state, *options) as service:
        service.told("STATUS=waiting")
        [said] = [line["text"] for line in service.lines if line["event"] == "metrics"]
        found = re.search(r"http://\S+", said)
        assert found is not None
        with urllib.request.urlopen(found[0]) as answer:
            text = answer.read().decode()
    for metrics in (text, file.read_text(encoding="utf-8")):
        assert 'reconcile_temporary_settings_active{state="watched"} 0.0' in metrics
        assert 'reconcile_last_run_exit_code{state="watched"} 0.0' in metrics
        assert 'reconcile_passes_total{state="watched"} 1.0' in metrics
        assert 'reconcile_last_converged_timestamp_seconds{state="watched"} ' in metrics


def test_an_endpoint_for_everybody_has_to_be_meant(tmp_path: Path) -> None:
    with serving(written(tmp_path), "--metrics", "0.0.0.0:0") as service:
        assert service.run.wait(PATIENCE_S) == 1
        assert "would show the metrics to other machines" in service.words


@pytest.fixture
def slow_host() -> socket.socket:
    """Takes connections, and never answers."""
    return socket.create_server(("127.0.0.1", 0))


def test_sigterm_does_not_wait_for_a_host_that_never_answers(slow_host: socket.socket, tmp_path: Path) -> None:
    with slow_host, serving(written(tmp_path, port=slow_host.getsockname()[1]), "--log", "json") as service:
        asked, _ = slow_host.accept()
        with asked:
            assert asked.recv(4) == b"POST"  # from here on it waits, for 30 s at least
            service.told("WATCHDOG_USEC=3120000000")  # and said so: it is not to be taken for a hang
            began = time.monotonic()
            service.run.send_signal(signal.SIGTERM)
            assert service.run.wait(PATIENCE_S) == 130
            took = time.monotonic() - began
        assert took < 8  # 2 s are promised; this machine may be busy
        assert service.lines[-1]["event"] == "left"
        assert service.lines[-1]["run"] != ""
        assert "canary" not in service.words
    path = tmp_path / ".reconcile/watched.db"
    assert JournalFile.read_only(path).history()[-1]["event"] == "apply left"
    with JournalFile.open(path, "watched", holder="test") as journal:
        assert journal.took_over is None
    assert audit_path(path).exists()


def test_old_passes_leave_the_journal_and_stay_in_the_metrics(tmp_path: Path) -> None:
    state, file = written(tmp_path), tmp_path / "reconcile.prom"
    journal = tmp_path / ".reconcile/watched.db"
    with serving(state, "--every", "1h") as service:
        service.told("STATUS=waiting")
    passes = [
        f"INSERT INTO history (at, event, detail) VALUES ('2020-01-01T00:00:00+00:00', '{event}', '{{\"run\": \"r{number}\", \"exit_code\": 0}}')"
        for number in range(300)
        for event in ("apply", "apply ended")
    ]
    changed(journal, "DELETE FROM history", *passes)
    with serving(state, "--every", "1h", "--metrics-file", str(file)) as service:
        service.told("STATUS=waiting")
    assert 'reconcile_passes_total{state="watched"} 301.0' in file.read_text(encoding="utf-8")
    kept = JournalFile.read_only(journal)
    assert len(kept.runs(0, 1000)) == 2 * 301 - TOGETHER
    assert counted(kept).begun == TOGETHER // 2

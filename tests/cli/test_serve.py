"""What a watch finds becomes the page, with everything that the journal says was put back."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from reconciler.cli.main import main
from reconciler.cli.serve import Nobody, Serving, serving
from reconciler.core.errors import ReconcileError
from reconciler.core.exit_codes import ExitCode
from reconciler.edge.journal_file import JournalFile
from tests.declared import lab, write
from tests.reports.reported import AT, key, promise, report

HERE = Serving("127.0.0.1:0")


def address(capsys: pytest.CaptureFixture[str]) -> str:
    out, err = capsys.readouterr()
    assert out == "", "the address is no result data"
    found = re.search(r"^the page is at (http://127\.0\.0\.1:\d+/\?token=\S+)$", err, re.MULTILINE)
    assert found
    return found[1]


def test_page_shows_the_last_look_and_what_the_journal_knows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    path = tmp_path / "journal.db"
    kept = promise("old", changed_at=None)
    with JournalFile.open(path, "cutover", holder="test") as journal:
        journal.keep_baseline(kept)
        journal.mark_changed(kept.key, AT)
        journal.close(kept.key, AT + timedelta(minutes=5))
    with serving(HERE) as page, httpx.Client(trust_env=False, follow_redirects=True) as browser:
        page.publish(report("apply"), path)
        text = browser.get(address(capsys)).text
    assert key("old") in text
    assert "was live for 5 min 00 s" in text
    assert 'data-events="/events"' in text


def test_look_that_failed_is_one_line_and_cannot_steer_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(HERE) as page, httpx.Client(trust_env=False, follow_redirects=True) as browser:
        page.failed("no answer\n  at: dc1\x1b[2J")
        assert browser.get(address(capsys)).text == "no answer; at: dc1\\x1b[2J\n"


def test_no_page_is_served_unless_it_is_asked_for() -> None:
    with serving(Serving()) as page:
        assert isinstance(page, Nobody)


def test_certificate_without_its_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReconcileError, match="belong together"), serving(Serving("127.0.0.1:0", tmp_path / "c")):
        pass


@pytest.mark.parametrize(("where", "says"), [("0.0.0.0:0", "others could read the page"), ("here", "no address to serve a page on")])  # fmt: skip
def test_watch_refuses_to_serve_where_it_must_not(
    where: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["watch", str(write(tmp_path, lab())), "--serve", where]) == ExitCode.ERROR
    assert says in capsys.readouterr().err

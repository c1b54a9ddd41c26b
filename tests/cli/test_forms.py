"""Reports are printed in the form that was asked for, and written to files besides; wrong names are told first."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from reconciler.cli.forms import SUFFIXES, Form, listener, render, write_reports
from reconciler.cli.main import main
from reconciler.cli.output import stdout
from reconciler.cli.running import show
from reconciler.core.certificate import Closing
from reconciler.core.drift import Drift
from reconciler.core.errors import Unreachable
from reconciler.core.exit_codes import ExitCode
from reconciler.core.plan import Plan
from reconciler.core.report import Report
from reconciler.engine.events import Event
from reconciler.reports import summary
from reconciler.reports.text import ApplyText, PlanText
from tests.declared import lab, write
from tests.reports.reported import key, looked, ran, report

READS: dict[Form, Callable[[str], object]] = {
    "json": json.loads,
    "jsonl": lambda text: [json.loads(line) for line in text.splitlines()],
    "markdown": lambda text: text.startswith("### "),
    "sarif": lambda text: json.loads(text)["runs"],
    "junit": ET.fromstring,
    "html": lambda text: text.startswith("<!doctype html>"),
    "csv": lambda text: text.startswith("population,name,"),
}


@pytest.mark.parametrize("form", [form for form in READS if form != "jsonl"])
@pytest.mark.parametrize("found", [looked(), ran()], ids=["look", "run"])
def test_report_is_printed_in_each_form(form: Form, found: Report, capsys: pytest.CaptureFixture[str]) -> None:
    assert show(found, form) == found.exit_code
    out, err = capsys.readouterr()
    assert out == render(found, form)
    assert READS[form](out)
    assert err == ""


@pytest.mark.parametrize("verb", ["plan", "drift"])
def test_a_summary_alone_is_printed_as_the_whole_report_is(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = report(verb, plan=Plan("migrate", (), (key("a"),), {}))
    assert summary.quiet(found)
    show(found, "text")
    said = capsys.readouterr().out
    stdout(PlanText(found))
    assert said == capsys.readouterr().out == "cutover: phase migrate, nothing differs (1 resources).\n"


DRIFT = Drift(key("a"), "a", "", "unknown", error="x")
MORE: dict[str, Report] = {
    "a change": looked(),
    "something unknown": report(plan=Plan("migrate", (), (), {key("d"): Unreachable("no answer")})),
    "a drift": report(plan=Plan("migrate", (), (key("a"),), {}), drifts=(DRIFT,)),
    "an alarm": report(plan=Plan("migrate", (), (), {}), closing=Closing(unknown={key("a"): Unreachable("no answer")})),
    "no plan": report("apply"),
}


@pytest.mark.parametrize("more", MORE)
def test_whatever_there_is_to_say_besides_is_said(more: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = MORE[more]
    assert not summary.quiet(found)
    show(found, "text")
    said = capsys.readouterr().out
    stdout(PlanText(found) if found.plan else ApplyText(found))
    assert said == capsys.readouterr().out


def test_lines_are_written_while_it_happens_and_end_with_a_summary(capsys: pytest.CaptureFixture[str]) -> None:
    tell = listener("jsonl")
    assert json.loads(capsys.readouterr().out)["type"] == "version"
    tell(Event("started", "k", "t"))
    assert json.loads(capsys.readouterr().out)["type"] == "started"
    show(ran(), "jsonl")
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["type"] for line in lines] == ["drift", "summary"]


def test_other_forms_leave_progress_on_the_screen(capsys: pytest.CaptureFixture[str]) -> None:
    listener("html")(Event("round", text="1"))
    assert capsys.readouterr() == ("", "round 1\n")


def test_report_is_written_to_files_by_their_suffix(tmp_path: Path) -> None:
    files = [tmp_path / f"report{suffix}" for suffix in SUFFIXES]
    assert show(looked(), "text", files) == ExitCode.UNREACHABLE
    for file in files:
        assert READS[SUFFIXES[file.suffix]](file.read_text(encoding="utf-8"))
    assert sorted(tmp_path.iterdir()) == sorted(files), "nothing is left beside them"


def test_same_findings_are_in_every_form() -> None:
    found = looked()
    for form in READS:
        if form not in ("json", "csv"):  # which tells of accounts alone
            text = render(found, form)
            assert all(key(name) in text for name in "bcd"), form


def test_file_that_cannot_be_written_spoils_success_but_hides_no_failure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fine = report("apply")
    lost, kept = tmp_path / "gone" / "r.md", tmp_path / "r.json"
    assert show(fine, "text", [lost, kept]) == ExitCode.ERROR
    assert f"the report cannot be written: No such file or directory\n  at: {lost}" in capsys.readouterr().err
    assert json.loads(kept.read_text(encoding="utf-8"))["kind"] == "Apply"
    assert show(ran(), "text", [lost]) == ExitCode.PARTLY_FAILED


def test_report_replaces_an_older_one_whole(tmp_path: Path) -> None:
    file = tmp_path / "r.md"
    file.write_text("old" * 10_000, encoding="utf-8")
    assert write_reports(looked(), [file]) == ExitCode.OK
    assert "old" not in file.read_text(encoding="utf-8")
    assert file.stat().st_mode & 0o777 == 0o600


def test_report_goes_through_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "r.md"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert write_reports(report(), [pipe]) == ExitCode.OK
        assert os.read(reader, 4) == b"### "
    finally:
        os.close(reader)


@pytest.mark.parametrize("verb", ["plan", "drift", "apply"])
@pytest.mark.parametrize(
    ("name", "says"), [("r.pdf", "no format of a report has this suffix"), ("gone/r.md", "no such directory")]
)
def test_wrong_name_is_told_before_anything_is_done(
    verb: str, name: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = write(tmp_path, lab())
    assert main([verb, str(state), "--report", str(tmp_path / "fine.md"), "--report", str(tmp_path / name)]) == ExitCode.ERROR  # fmt: skip
    out, err = capsys.readouterr()
    assert out == ""
    assert says in err
    assert list(tmp_path.iterdir()) == [state]

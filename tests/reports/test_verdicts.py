"""Tests of how verdicts are told."""

from __future__ import annotations

import csv
import io

from msgspec.structs import replace

from reconciler.core.report import Outcome
from reconciler.core.verdicts import Verdict, counted
from reconciler.reports.verdicts import COLUMNS, render_csv, verdict_lines, verdicts_json
from tests.reports.reported import report

GOOD = Verdict("ann", "CN=ann,DC=s", "S-1-5-21-1-2-3-1104", "password copied", "CN=ann,DC=t")
BAD = Verdict("=cmd|x", "CN=bob,DC=s", "S-1-5-21-1-2-3-1105", "failed", why="no\x1b[31m")
MADE = replace(report("apply"), outcomes=(Outcome("ad.accounts/s/x", "x", "apply", "failed", verdicts=(GOOD, BAD)),))


def test_numbers_add_up_and_failures_are_named_without_steering_a_terminal() -> None:
    assert counted((GOOD, BAD, GOOD)) == {"password copied": 2, "failed": 1}
    lines = [line.plain for line in verdict_lines((GOOD, BAD))]
    assert lines == ["2 in all: 1 password copied, 1 failed", r"=cmd|x: failed: no\x1b[31m"]
    assert verdict_lines(()) == []


def test_many_failures_are_cut_short() -> None:
    lines = verdict_lines([BAD] * 25)
    assert len(lines) == 22
    assert lines[-1].plain == "and 5 more; `reconcile accounts` shows all"


def test_csv_has_a_line_per_account_and_nothing_that_a_spreadsheet_runs() -> None:
    rows = list(csv.DictReader(io.StringIO(render_csv(MADE))))
    assert tuple(rows[0]) == COLUMNS
    assert [row["name"] for row in rows] == ["ann", "'=cmd|x"]


def test_json_has_every_account() -> None:
    (population,) = verdicts_json(MADE)
    assert population["counts"] == {"password copied": 1, "failed": 1}
    assert [one["verdict"] for one in population["accounts"]] == ["password copied", "failed"]

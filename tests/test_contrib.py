"""What is shipped beside the program: alerts that name real metrics, and a unit that systemd takes and that shuts itself in."""

from __future__ import annotations

import re
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from reconciler.core.report import Report
from reconciler.reports.metrics import Seen, families
from tests.declared import ROOT

ALERTS = ROOT / "contrib/prometheus/alerts.yaml"
UNIT = ROOT / "contrib/systemd/reconcile@.service"
OPERATIONS = ROOT / "docs/operations.md"
AT = datetime(2026, 11, 20, 18, tzinfo=UTC)
PROGRAM = "/usr/local/bin/reconcile"
WORST_EXPOSURE = 15
"""In tenths, as systemd counts: 100 is a service without any wall around it."""


def metrics() -> set[str]:
    """Return the name of every series that there is."""
    report = Report("apply", "r", "cutover", "migrate", AT, AT)
    names = set()
    for family in families(Seen("cutover", AT, report=report)):
        ends = {"gauge": [""], "counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"]}[family.sort]
        names |= {family.name + end for end in ends}
    return names


def named(text: str) -> set[str]:
    return set(re.findall(r"\breconcile_[a-z_]+\b", text))


def rules() -> list[dict[str, str]]:
    [group] = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
    found: list[dict[str, str]] = group["rules"]
    return found


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule["alert"]))
def test_every_alert_stands_on_metrics_that_exist(rule: dict[str, str]) -> None:
    assert named(rule["expr"])
    assert named(rule["expr"]) <= metrics()


def test_the_gauge_that_matters_has_alerts() -> None:
    named_in_rules = {name for rule in rules() for name in named(rule["expr"])}
    assert {"reconcile_temporary_settings_active", "reconcile_temporary_settings_past_lease"} <= named_in_rules


def test_every_metric_is_documented_and_no_other() -> None:
    base = {re.sub(r"_(bucket|count|sum)$", "", name) for name in metrics()}
    rows = set(re.findall(r"^\| `(reconcile_[a-z_]+)", OPERATIONS.read_text(encoding="utf-8"), re.MULTILINE))
    assert rows == base


def test_every_alert_is_documented() -> None:
    text = OPERATIONS.read_text(encoding="utf-8")
    assert [rule["alert"] for rule in rules() if f"`{rule['alert']}`" not in text] == []


def unit() -> dict[str, list[str]]:
    """Return the settings of the service; one that stands twice has two values."""
    found: dict[str, list[str]] = {}
    for line in UNIT.read_text(encoding="utf-8").splitlines():
        name, separator, value = line.partition("=")
        if separator and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


WALLS = {
    "NoNewPrivileges": "yes", "ProtectSystem": "strict", "ProtectHome": "yes", "PrivateTmp": "yes", "PrivateDevices": "yes",
    "RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX", "RestrictNamespaces": "yes", "MemoryDenyWriteExecute": "yes",
    "SystemCallArchitectures": "native", "CapabilityBoundingSet": "", "UMask": "0077", "LimitCORE": "0",
}  # fmt: skip


@pytest.mark.parametrize("name", WALLS)
def test_the_unit_has_its_walls(name: str) -> None:
    assert unit()[name] == [WALLS[name]]


def test_the_unit_waits_for_signs_of_life_and_starts_again() -> None:
    found = unit()
    assert (found["Type"], found["Restart"]) == (["notify"], ["always"])
    assert int(found["WatchdogSec"][0]) >= 60
    assert int(found["TimeoutStopSec"][0]) >= 10
    assert found["LoadCredential"] and found["StateDirectory"]


def test_the_unit_runs_a_command_line_that_the_program_knows(capsys: pytest.CaptureFixture[str]) -> None:
    from reconciler.cli.program import app

    [command] = unit()["ExecStart"]
    program, *arguments = command.split()
    assert program == PROGRAM
    function, bound, _ = app.parse_args(arguments, exit_on_error=False, print_error=False)
    assert function.__name__ == "watch"
    assert bound.arguments["log"] == "json"


def test_systemd_takes_the_unit_and_finds_it_shut_in(tmp_path: Path) -> None:
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text(encoding="utf-8").replace(PROGRAM, shutil.which("true") or ""), encoding="utf-8")
    verified = subprocess.run(["systemd-analyze", "verify", str(copy)], capture_output=True, text=True)
    assert (verified.returncode, [line for line in verified.stderr.splitlines() if UNIT.name in line]) == (0, [])
    command = [
        "systemd-analyze",
        "security",
        "--no-pager",
        "--offline=true",
        f"--threshold={WORST_EXPOSURE}",
        str(copy),
    ]
    judged = subprocess.run(command, capture_output=True, text=True)
    assert judged.returncode == 0, judged.stdout


def test_the_account_of_the_unit_is_shipped() -> None:
    accounts = (ROOT / "contrib/systemd/reconcile.sysusers").read_text(encoding="utf-8")
    assert re.search(rf"^u {unit()['User'][0]} ", accounts, re.MULTILINE)

"""The main job: plan, apply, and the proof that a second apply finds nothing left to do."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.lab import ROLES, Lab, Ran

pytestmark = pytest.mark.lab

# The last two write to their output only.
READING = re.compile(r"Get-.*|Test-Path|Select-String|Select-Object|Export-ScheduledTask")
READING_PROGRAMS = {
    "reg.exe": ("query",),
    "auditpol.exe": ("/get", "/list"),
    "nltest.exe": ("/sc_verify", "/sc_query", "/dsgetdc", "/domain_trusts", "/trusted_domains"),
}


def reads(command: dict[str, Any]) -> bool:
    """Whether a command cannot have changed anything."""
    name, parameters = command["command"], command["parameters"]
    if name in READING_PROGRAMS:
        return str(parameters[0]).lower().startswith(READING_PROGRAMS[name])
    return READING.fullmatch(name) is not None


@pytest.fixture(scope="module")
def planned(lab: Lab) -> tuple[dict[str, Any], Ran, dict[str, Any]]:
    """The world before a plan, the plan, the world after it."""
    before = world(lab)
    return before, lab.reconcile("plan", lab.state()), world(lab)


@pytest.fixture(scope="module")
def applied(lab: Lab, planned: Any) -> Ran:
    """The first apply."""
    return lab.apply(lab.state())


@pytest.fixture(scope="module")
def repeated(lab: Lab, applied: Ran) -> tuple[dict[str, Any], Ran, dict[str, Any], list[dict[str, Any]]]:
    """The world before a second apply, that apply, the world after it, and what the hosts were sent meanwhile."""
    before, sent = world(lab), {role: len(lab.commands(role)) for role in ROLES}
    ran = lab.apply(lab.state())
    return before, ran, world(lab), [command for role in ROLES for command in lab.commands(role)[sent[role] :]]


def world(lab: Lab) -> dict[str, Any]:
    """Everything that a write would move."""
    return {
        "usn": {"source": lab.source.usn(), "target": lab.target.usn()},
        "disks": {role: lab.disk(role) for role in ROLES},
    }


def test_plan_says_that_there_is_something_to_do(planned: tuple[dict[str, Any], Ran, dict[str, Any]]) -> None:
    _, ran, _ = planned
    assert ran.code == 2, str(ran)
    assert "22 differ" in ran.out


def test_plan_touches_neither_directory_nor_disk(planned: tuple[dict[str, Any], Ran, dict[str, Any]]) -> None:
    before, _, after = planned
    assert after == before


def test_plan_sends_reading_commands_only(lab: Lab, planned: Any) -> None:
    sent = [command for role in ROLES for command in lab.commands(role)]
    assert sent
    assert [command for command in sent if not reads(command)] == []


def test_plan_leaves_no_journal(lab: Lab, planned: Any) -> None:
    assert not (lab.directory / "journal").exists()


def test_apply_reaches_the_declared_state(applied: Ran) -> None:
    assert applied.code == 0, applied
    assert applied.document["converged"]


def test_every_user_logs_on_in_the_target_with_the_old_password_and_carries_the_old_sid(lab: Lab, applied: Ran) -> None:
    assert len(lab.users) == 40
    assert lab.not_migrated() == {}


@pytest.mark.parametrize("name", ["juergen.mueller", "ase.overgard", "svc-backup$", "oneil.buero"])
def test_an_awkward_name_arrives_as_it_was(lab: Lab, applied: Ran, name: str) -> None:
    attributes = ("displayName", "sn", "givenName", "userPrincipalName")
    old = lab.source.one("OU=Staff,DC=source,DC=lab", f"(sAMAccountName={name})", *attributes)
    new = lab.target.one("OU=Migrated,DC=target,DC=lab", f"(sAMAccountName={name})", *attributes)
    assert [new.get(one) for one in attributes[:3]] == [old.get(one) for one in attributes[:3]]


def test_nobody_can_log_on_with_another_password(lab: Lab, applied: Ran) -> None:
    assert not lab.target.can_log_on("alice.adler", lab.users["bernd.brandt"])


def test_a_second_apply_changes_nothing(
    repeated: tuple[dict[str, Any], Ran, dict[str, Any], list[dict[str, Any]]],
) -> None:
    before, ran, after, _ = repeated
    assert ran.code == 0, str(ran)
    assert ran.outcomes("changed", "failed", "waiting", "skipped") == set()
    assert after == before


def test_a_second_apply_sends_reading_commands_only(
    repeated: tuple[dict[str, Any], Ran, dict[str, Any], list[dict[str, Any]]],
) -> None:
    *_, sent = repeated
    assert sent
    assert [command for command in sent if not reads(command)] == []


def test_drift_finds_none(lab: Lab, repeated: Any) -> None:
    ran = lab.reconcile("drift", lab.state())
    assert ran.code == 0, str(ran)


def test_drift_can_be_read_by_a_program(lab: Lab, repeated: Any) -> None:
    ran = lab.drift(lab.state())
    assert ran.code == 0, str(ran)
    assert ran.document["exit_code"] == 0
    assert ran.keys == set()


def test_status_lists_what_is_still_to_be_put_back(lab: Lab, repeated: Any) -> None:
    ran = lab.reconcile("status", lab.state(), "--output", "json")
    assert ran.code == 0, str(ran)
    opened = {one["key"] for one in json.loads(ran.out)["open"]}
    assert any(key.endswith("/AllowPasswordExport") for key in opened)


def test_no_secret_is_in_any_file_that_the_run_left(lab: Lab, repeated: Any) -> None:
    left = [path for path in (lab.directory / "journal").rglob("*") if path.is_file()]
    assert left
    logs = [Path(host["command_log"]) for host in lab.document["hosts"].values()]
    found = {
        str(path): secrets for path in (*left, *logs) if (secrets := lab.seen_in(path.read_bytes().decode("latin-1")))
    }
    assert found == {}


def test_the_journal_is_for_its_owner_only(lab: Lab, repeated: Any) -> None:
    journal = lab.directory / "journal"
    open_to_others = [path for path in (journal, *journal.rglob("*")) if path.stat().st_mode & 0o077]
    assert open_to_others == []

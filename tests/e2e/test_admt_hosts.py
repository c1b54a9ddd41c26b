"""Two hosts that run ADMT: a controller and a member server share the accounts, at the same time, and both are put back."""

from __future__ import annotations

import csv
import io
import json
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.lab import PROGRAM, Lab, Ran, lab_of_its_own
from tests.e2e.picture import of_host, picture
from tests.worker import address

pytestmark = pytest.mark.lab

USERS, GROUPS = 40, 10
SECOND = "tgtadmt2.target.lab"
MIGRATED = "OU=Migrated,DC=target,DC=lab"
STAFF, TEAMS = "OU=Staff,DC=source,DC=lab", "OU=Groups,DC=source,DC=lab"
ADMINISTRATORS = "S-1-5-32-544"
FAULTS = r"C:\LabFaults"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab with a member server and nested groups."""
    with lab_of_its_own(
        tmp_path_factory.mktemp("states"),
        address(77, 1),
        address(77, 2),
        USERS,
        "--groups",
        str(GROUPS),
        "--admt-hosts",
        "2",
        "--member-address",
        address(77, 3),
    ) as lab:
        yield lab


def state(lab: Lab, phase: str) -> Path:
    """Groups, then users; both hosts declared, and no SIDs, which ADMT migrates on a controller alone."""
    path = lab.state(phase, name=phase, canary=True)
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    document["hosts"]["admt2"] = {
        "domain": "target",
        "address": SECOND,
        "member_server": True,
        "winrm": {"auth": "kerberos"},
    }
    document["migration"] |= {
        "also_admt_hosts": ["admt2"],
        "sid_history": False,
        "accounts": [
            {"name": "groups", "of": "groups", "from": TEAMS, "into": MIGRATED},
            {"name": "staff", "from": STAFF, "into": MIGRATED, "batch": 7},
        ],
    }
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


def both(lab: Lab) -> dict[str, Any]:
    """Look at everything that is to be put back; of the member server its own groups too."""
    with lab.session(SECOND) as windows:
        found = windows.run("Get-LocalGroupMember", SID=ADMINISTRATORS)
        admins = sorted(str(one.adapted_properties["Name"]) for one in found)
        return picture(lab) | {"second host": of_host(windows), "administrators of the second host": admins}


@pytest.fixture(scope="module")
def before(lab: Lab) -> dict[str, Any]:
    return both(lab)


@pytest.fixture(scope="module")
def migrated(lab: Lab, before: dict[str, Any]) -> Ran:
    ran = lab.apply(state(lab, "migrate"))
    assert ran.code == 0, str(ran)
    return ran


def runs(lab: Lab, host: str, verb: str = "user") -> list[tuple[datetime, datetime]]:
    """Return when each run of ADMT began and ended on a host, by what the host was sent."""
    found: list[tuple[datetime, datetime]] = []
    kinds: dict[str, str] = {}
    begun: dict[str, datetime] = {}
    for line in lab.sent_to(host):
        name = given(line, "TaskName")
        if line["command"] == "Register-ScheduledTask":
            kinds[name] = given(line, "Xml")
        elif line["command"] == "Start-ScheduledTask" and f"<Arguments>{verb} " in kinds[name]:
            begun[name] = datetime.fromisoformat(line["time"])
        elif line["command"] == "Unregister-ScheduledTask" and name in begun:
            found.append((begun.pop(name), datetime.fromisoformat(line["time"])))
    return found


def given(line: dict[str, Any], name: str) -> str:
    """Return a parameter of a command; one that takes several values is logged as a list."""
    parameters = line["parameters"]
    value = parameters.get(name, "") if isinstance(parameters, dict) else ""
    return str(value[0]) if isinstance(value, list) else str(value)


def accounts_of(lab: Lab, host: str) -> list[str]:
    """Return whom the database of ADMT on a host knows, the throw-away account left out. Command logs hold no content of files."""
    with lab.session(host) as windows:
        rows = map(json.loads, windows.run("Get-Content", LiteralPath=r"C:\Windows\ADMT\Data\ADMT.jsonl"))
        names = [str(row["object"]["source_name"]) for row in rows if "object" in row]
    return [name for name in names if not name.startswith("rc-canary-")]


def hosts_of(lab: Lab) -> tuple[str, str]:
    return str(lab.document["domains"]["target"]["controller"]), SECOND


def users_by_host(lab: Lab) -> dict[str, list[str]]:
    return {host: sorted(set(lab.users) & set(accounts_of(lab, host))) for host in hosts_of(lab)}


def there(lab: Lab) -> Counter[str]:
    """Return how often each name is in the target."""
    rows = lab.target.search(MIGRATED, "(objectClass=*)", "sAMAccountName")
    return Counter(row["sAMAccountName"][0].decode() for row in rows if "sAMAccountName" in row)


def groups_of(lab: Lab) -> set[str]:
    rows = lab.source.search(TEAMS, "(objectClass=group)", "sAMAccountName")
    return {row["sAMAccountName"][0].decode() for row in rows}


def test_everybody_is_there_once_and_logs_on_with_the_old_password(lab: Lab, migrated: Ran) -> None:
    found = there(lab)
    assert set(found) == {*lab.users, *groups_of(lab)}
    assert set(found.values()) == {1}
    assert [name for name, password in lab.users.items() if not lab.target.can_log_on(name, password)] == []


def test_each_host_did_a_part_and_no_account_went_through_both(lab: Lab, migrated: Ran) -> None:
    first, second = (accounts_of(lab, host) for host in hosts_of(lab))
    assert Counter(first + second) == Counter(dict.fromkeys((*lab.users, *groups_of(lab)), 1))
    assert len(set(lab.users) & set(first)) >= USERS // 5
    assert len(set(lab.users) & set(second)) >= USERS // 5


def test_hosts_ran_at_the_same_time_and_each_of_them_one_run_at_a_time(lab: Lab, migrated: Ran) -> None:
    first, second = (runs(lab, host) for host in hosts_of(lab))
    assert len(first) >= 2
    assert len(second) >= 2
    assert any(overlap(one, other) for one in first for other in second)
    for host in hosts_of(lab):
        every = runs(lab, host) + runs(lab, host, "group")
        assert not any(overlap(one, other) for one, other in combinations(every, 2))


def overlap(one: tuple[datetime, datetime], other: tuple[datetime, datetime]) -> bool:
    return one[0] < other[1] and other[0] < one[1]


def test_memberships_that_no_database_of_admt_knows_are_made_last(lab: Lab, migrated: Ran) -> None:
    assert "ad.memberships/source/migrated groups" in migrated.outcomes("changed")
    assert members(lab, "target", MIGRATED) == members(lab, "source", TEAMS)


def members(lab: Lab, side: str, base: str) -> dict[str, set[str]]:
    directory = lab.source if side == "source" else lab.target
    rows = directory.search(base, "(objectClass=group)", "sAMAccountName", "member")
    return {
        row["sAMAccountName"][0].decode(): {dn.decode().partition(",OU=")[0] for dn in row.get("member", [])}
        for row in rows
    }


def test_a_second_apply_writes_nothing(lab: Lab, migrated: Ran) -> None:
    usns = lab.source.usn(), lab.target.usn()
    ran = lab.apply(state(lab, "migrate"))
    assert (ran.code, ran.outcomes("changed")) == (0, set())
    assert (lab.source.usn(), lab.target.usn()) == usns


def test_a_restart_of_the_member_server_is_its_own(lab: Lab, migrated: Ran) -> None:
    hosts = hosts_of(lab)
    first, second = (booted(lab, host) for host in hosts)
    lab.restart_member(SECOND)
    assert booted(lab, hosts[0]) == first
    assert booted(lab, SECOND) > second
    with lab.session(SECOND) as windows:
        found = windows.run("Get-LocalGroupMember", SID=ADMINISTRATORS)
        assert r"TARGET\migrator" in [str(one.adapted_properties["Name"]) for one in found]


def booted(lab: Lab, host: str) -> datetime:
    with lab.session(host) as windows:
        (system,) = windows.run("Get-CimInstance", ClassName="Win32_OperatingSystem")
        return datetime.fromisoformat(str(system.adapted_properties["LastBootUpTime"]))


def test_both_hosts_are_put_back(lab: Lab, before: dict[str, Any], migrated: Ran) -> None:
    assert both(lab) != before
    done = lab.apply(state(lab, "complete"))
    assert done.code == 0, done
    assert both(lab) == before
    assert set(there(lab).values()) == {1}, "accounts stay"


@pytest.fixture(scope="module")
def parts(lab: Lab, migrated: Ran) -> dict[str, list[str]]:
    """Who went through which host; it is the same after every reset, for the SIDs are."""
    return users_by_host(lab)


def test_an_account_that_breaks_runs_on_one_host_holds_up_nobody_on_either(
    lab: Lab, parts: dict[str, list[str]]
) -> None:
    culprit = parts[SECOND][0]
    lab.reset()
    done = lab.apply(state(lab, "prepare"))
    assert done.code == 0, done
    with lab.session(SECOND) as windows:
        windows.run("New-Item", Path=FAULTS, ItemType="Directory", Force=None)
        windows.run("Set-Content", LiteralPath=rf"{FAULTS}\admt-crash.txt", Value=[culprit])
    broken = lab.apply(state(lab, "migrate"))
    assert broken.outcomes("failed") == {"ad.accounts/source/staff"}
    assert set(lab.users) - set(there(lab)) == {culprit}
    with lab.session(SECOND) as windows:
        windows.run("Remove-Item", LiteralPath=rf"{FAULTS}\admt-crash.txt")
    mended = lab.apply(state(lab, "migrate"))
    assert mended.code == 0, mended
    assert users_by_host(lab) == parts
    assert set(there(lab).values()) == {1}


def test_a_kill_while_both_hosts_run_leaves_nothing_twice(lab: Lab, parts: dict[str, list[str]]) -> None:
    lab.reset()
    done = lab.apply(state(lab, "prepare"))
    assert done.code == 0, done
    path = state(lab, "migrate")
    run = subprocess.Popen([PROGRAM, "apply", path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=lab.work)  # fmt: skip
    assert run.stdout is not None
    waiting = {f" on {name}" for name in ("admt", "admt2")}
    for line in run.stdout:
        waiting -= {one for one in waiting if "accounts with password" in line and line.rstrip().endswith(one)}
        if not waiting:
            break
    wait_for(lambda: bool(set(there(lab)) & set(lab.users)))
    run.send_signal(signal.SIGKILL)
    run.wait(20)
    run.stdout.close()
    again = lab.apply(path)
    assert again.code == 0, again
    found = there(lab)
    assert set(found) == {*lab.users, *groups_of(lab)}
    assert set(found.values()) == {1}
    verdicts = lab.reconcile("accounts", path, "--output", "csv")
    assert users_by_host(lab) == parts
    counts = Counter(row["verdict"] for row in csv.DictReader(io.StringIO(verdicts.out)))
    assert counts == {"password copied": USERS, "migrated": len(groups_of(lab))}


def wait_for(condition: Callable[[], bool], most_s: float = 60) -> None:
    until = time.monotonic() + most_s
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)

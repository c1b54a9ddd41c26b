"""Whole populations in waves: users, nested groups and computers, a run of ADMT that dies, and what changes in the source afterwards."""

from __future__ import annotations

import csv
import io
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tests.e2e.lab import PROGRAM, Lab, Ran, lab_of_its_own
from tests.worker import address

pytestmark = pytest.mark.lab

USERS, GROUPS, COMPUTERS = 25, 10, 4
PILOTS = ("alice.adler", "juergen.mueller", "svc-backup$")
MIGRATED = "OU=Migrated,DC=target,DC=lab"
STAFF = "OU=Staff,DC=source,DC=lab"
CULPRIT = "oneil.buero"
FAULTS = r"C:\LabFaults"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab with nested groups and computers."""
    with lab_of_its_own(
        tmp_path_factory.mktemp("states"),
        address(76, 1),
        address(76, 2),
        USERS,
        "--groups",
        str(GROUPS),
        "--computers",
        str(COMPUTERS),
    ) as lab:
        yield lab


@pytest.fixture(scope="module")
def state(lab: Lab) -> Path:
    """Groups and computers, then pilots by list, then everybody else."""
    path = lab.state("migrate", canary=True)
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    (lab.work / "pilots.csv").write_text("SourceName\n" + "\n".join(PILOTS), encoding="utf-8")
    document["migration"]["waves"] = [
        {"name": "things"},
        {"name": "pilots", "size": 5},
        {"name": "all", "after": "100 %"},
    ]
    shared = {"into": MIGRATED, "batch": 8}
    document["migration"]["accounts"] = [
        {"name": "groups", "of": "groups", "from": "OU=Groups,DC=source,DC=lab", "wave": "things", **shared},
        {"name": "computers", "of": "computers", "from": "OU=Workstations,DC=source,DC=lab", "wave": "things", **shared},
        {"name": "pilots", "from": STAFF, "names": {"file": "pilots.csv"}, "attributes": ["mail"], "wave": "pilots", **shared},
        {"name": "all", "from": STAFF, "wave": "all", **shared},
    ]  # fmt: skip
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def broken(lab: Lab, state: Path) -> Ran:
    """The first apply: ADMT dies whenever it comes to one of the accounts."""
    lab.source.modify(f"dn: CN=Alice Adler,{STAFF}\nchangetype: modify\nadd: mail\nmail: alice@old.example\n-\n")
    with lab.windows("target") as windows:
        windows.run("New-Item", Path=FAULTS, ItemType="Directory", Force=None)
        windows.run("Set-Content", LiteralPath=rf"{FAULTS}\admt-crash.txt", Value=[CULPRIT])
    return lab.apply(state)


@pytest.fixture(scope="module")
def mended(lab: Lab, state: Path, broken: Ran) -> Ran:
    """The next one, after somebody found out why ADMT died."""
    with lab.windows("target") as windows:
        windows.run("Remove-Item", LiteralPath=rf"{FAULTS}\admt-crash.txt")
    return lab.apply(state)


def verdicts(lab: Lab, state: Path) -> dict[str, str]:
    ran = lab.reconcile("accounts", state, "--output", "csv")
    return {row["name"]: row["verdict"] for row in csv.DictReader(io.StringIO(ran.out))}


def test_the_one_that_breaks_runs_is_found_and_all_others_go_on(lab: Lab, state: Path, broken: Ran) -> None:
    assert broken.outcomes("failed") == {"ad.accounts/source/all"}
    (counts,) = (one["counts"] for one in broken.document["populations"] if one["key"] == "ad.accounts/source/all")
    assert counts == {"password copied": USERS - len(PILOTS) - 1, "failed": 1}
    assert set(lab.not_migrated()) == {CULPRIT}


def test_every_account_has_one_verdict_and_can_log_on(lab: Lab, state: Path, mended: Ran) -> None:
    assert mended.code == 0, mended
    found = verdicts(lab, state)
    assert Counter(found.values()) == {"password copied": USERS, "migrated": GROUPS + 6 + COMPUTERS}
    assert lab.not_migrated() == {}


def test_groups_are_nested_as_they_were(lab: Lab, mended: Ran) -> None:
    def members(side: str, base: str) -> dict[str, set[str]]:
        directory = lab.source if side == "source" else lab.target
        rows = directory.search(base, "(objectClass=group)", "sAMAccountName", "member")
        return {
            row["sAMAccountName"][0].decode(): {dn.decode().partition(",OU=")[0] for dn in row.get("member", [])}
            for row in rows
        }

    assert members("target", MIGRATED) == members("source", "OU=Groups,DC=source,DC=lab")


def test_what_admt_drops_is_there_as_declared(lab: Lab, mended: Ran) -> None:
    alice = lab.target.one(MIGRATED, "(sAMAccountName=alice.adler)", "mail")
    assert alice["mail"] == [b"alice@old.example"]


def test_a_second_apply_writes_nothing(lab: Lab, state: Path, mended: Ran) -> None:
    before = lab.source.usn(), lab.target.usn()
    ran = lab.apply(state)
    assert (ran.code, ran.outcomes("changed")) == (0, set())
    assert (lab.source.usn(), lab.target.usn()) == before


def test_changed_passwords_and_new_accounts_are_picked_up_by_the_next_run_alone(
    lab: Lab, state: Path, mended: Ran
) -> None:
    changed, new = ("alice.adler", "ase.overgard"), "late.comer"
    for name in changed:
        lab.users[name] = f"Changed-{name}-1"
        dn = lab.source.one(STAFF, f"(sAMAccountName={name})", "cn")["dn"][0].decode()
        lab.source.set_password(dn, lab.users[name])
    lab.users[new] = "Late-comer-1"
    dn = f"CN=Late Comer,{STAFF}"
    lab.source.modify(f"dn: {dn}\nchangetype: add\nobjectClass: user\nsAMAccountName: {new}\n")
    lab.source.set_password(dn, lab.users[new])
    lab.source.modify(f"dn: {dn}\nchangetype: modify\nreplace: userAccountControl\nuserAccountControl: 512\n-\n")
    before = touched(lab)
    ran = lab.apply(state)
    assert ran.code == 0, str(ran)
    assert lab.not_migrated() == {}
    after = touched(lab)
    moved = {name for name, usn in after.items() if before.get(name) != usn}
    assert moved == {*changed, new}, "nobody else was written to"


def touched(lab: Lab) -> dict[str, bytes]:
    """Return the number of the last change by name."""
    rows = lab.target.search(MIGRATED, "(objectClass=user)", "sAMAccountName", "uSNChanged")
    return {row["sAMAccountName"][0].decode(): row["uSNChanged"][0] for row in rows}


def test_a_kill_in_the_middle_of_a_batch_leaves_nothing_twice(lab: Lab, state: Path) -> None:
    lab.reset()
    done = lab.reconcile("apply", lab.state("prepare", name="prepare"), "--output", "json")
    assert done.code == 0, done
    run = subprocess.Popen([PROGRAM, "apply", state], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=lab.work)  # fmt: skip
    assert run.stdout is not None
    for line in run.stdout:
        if "migrate 8 accounts" in line:
            break
    wait_for(
        lambda: bool(lab.target.search(MIGRATED, "(&(objectClass=user)(!(objectClass=computer))(!(mail=*)))", "cn"))
    )
    run.send_signal(signal.SIGKILL)
    run.wait(20)
    run.stdout.close()
    again = lab.apply(state)
    assert again.code == 0, again
    found = verdicts(lab, state)
    assert Counter(found.values()) == {"password copied": USERS, "migrated": GROUPS + 6 + COMPUTERS}
    there = lab.target.search(MIGRATED, "(objectClass=*)", "sAMAccountName")
    names = Counter(row["sAMAccountName"][0].decode() for row in there if "sAMAccountName" in row)
    assert len(names) == USERS + GROUPS + 6 + COMPUTERS
    assert set(names.values()) == {1}


def wait_for(condition: Callable[[], bool], most_s: float = 60) -> None:
    until = time.monotonic() + most_s
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)

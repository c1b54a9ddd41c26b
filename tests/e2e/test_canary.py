"""The throw-away account: it comes through and leaves nothing, what stops it is named, and nobody real is touched before it came through."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from reconciler.cli.loading import load
from reconciler.core.secret import Generated
from reconciler.core.steps import AddEntry, AttributeChange, DeleteEntry, LogOn, ModifyEntry
from reconciler.edge.secrets import Secrets
from reconciler.edge.world import LiveWorld
from reconciler.resources.canary_name import name_of
from tests.e2e import by_hand
from tests.e2e.lab import PROGRAM, Lab, Ran, lab_of_its_own
from tests.e2e.test_accounts import wait_for
from tests.worker import address

pytestmark = pytest.mark.lab

USERS = 8
KEY = "ad.canary/source/all"
STAFF, MIGRATED = "OU=Staff,DC=source,DC=lab", "OU=Migrated,DC=target,DC=lab"
FAULTS = r"C:\LabFaults"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with lab_of_its_own(tmp_path_factory.mktemp("states"), address(74, 1), address(74, 2), USERS) as lab:
        yield lab


def state(lab: Lab, name: str, phase: str = "migrate", **migration: Any) -> Path:
    """Write a state file with other parts of the migration."""
    path = lab.state(phase, name=name, canary=True)
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    document["migration"] |= migration
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def ready(lab: Lab) -> Path:
    """Everything is set up, and no user is to be migrated yet."""
    path = state(lab, "ready", waves=[{"name": "all", "phase": "prepare"}])
    done = lab.apply(path)
    assert done.code == 0, done
    assert KEY not in done.outcomes("changed"), "where nobody is migrated, nothing is tried"
    return path


def fly(lab: Lab, path: Path, **environment: str) -> Ran:
    return lab.reconcile("canary", path, "--output", "json", environment=environment)


def birds(lab: Lab) -> list[str]:
    """Return the throw-away accounts that are left on either side."""
    found = [
        *lab.source.search("DC=source,DC=lab", "(sAMAccountName=rc-canary-*)", "sAMAccountName"),
        *lab.target.search("DC=target,DC=lab", "(sAMAccountName=rc-canary-*)", "sAMAccountName"),
    ]
    return [row["sAMAccountName"][0].decode() for row in found]


def migrated(lab: Lab) -> list[str]:
    rows = lab.target.search(MIGRATED, "(objectClass=user)", "sAMAccountName")
    return [row["sAMAccountName"][0].decode() for row in rows]


def test_alone_it_comes_through_and_leaves_nothing(lab: Lab, ready: Path) -> None:
    ran = fly(lab, ready)
    assert ran.code == 0, str(ran)
    assert ran.document["green"]
    assert ran.document["not_in_place"] == []
    assert ran.document["remarks"] == []
    steps = [one["step"].partition(" rc-")[0] for one in ran.document["steps"]]
    assert steps[0] == "make"
    assert "log on to target.lab as" in steps
    assert all(one["outcome"] == "done" and one["took_s"] >= 0 for one in ran.document["steps"])
    assert (birds(lab), migrated(lab)) == ([], [])
    text = lab.reconcile("canary", ready)
    assert text.code == 0
    assert "came through" in text.out


def test_without_the_kerberos_library_it_binds_and_says_so(lab: Lab, ready: Path, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['krb5'] = None\n")
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    ran = fly(lab, ready, PYTHONPATH=path)
    assert ran.code == 0, str(ran)
    assert "LDAP bind" in "".join(ran.document["remarks"])
    assert birds(lab) == []


def no_export(lab: Lab) -> None:
    by_hand.forbid_password_export(lab)
    lab.restart("source")
    by_hand.start_pes(lab)


BROKEN: dict[str, tuple[Callable[[Lab], None], str, str]] = {
    "PES stopped": (by_hand.stop_pes, "Password Export Service is not running", "start PES"),
    "no password export": (no_export, "Access is denied", "AllowPasswordExport is not 1"),
    "another key": (by_hand.make_another_key, "do not have the same encryption key", "import the key file"),
    "no audit": (by_hand.audit_less_in_the_source, "8552", "auditing of account management is off in the source"),
    "anonymous": (by_hand.restrict_anonymous, "7557", "RestrictAnonymous"),
    "group": (by_hand.put_somebody_into_the_audit_group, "1378", "leftover member"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_stops_it_is_named_with_its_fix_and_nobody_is_touched(lab: Lab, ready: Path, what: str) -> None:
    break_it, says, advises = BROKEN[what]
    before = lab.source.search(STAFF, "(objectClass=user)", "uSNChanged")
    break_it(lab)
    ran = fly(lab, ready)
    assert ran.code == 1, str(ran)
    error = ran.document["error"]
    assert says in error["what"] + error["do"]
    assert advises in error["do"]
    assert (birds(lab), migrated(lab)) == ([], [])
    people = [row for row in lab.source.search(STAFF, "(objectClass=user)", "uSNChanged") if row in before]
    assert len(people) == USERS
    mended = lab.apply(ready)
    assert mended.code == 0, mended
    again = fly(lab, ready)
    assert again.code == 0, again


def test_a_kill_in_the_middle_leaves_nothing_after_the_next_apply(lab: Lab, ready: Path) -> None:
    kill_in_the_middle(lab, ready)
    assert len(birds(lab)) == 2
    every = state(lab, "later", waves=[{"name": "all", "phase": "prepare"}])
    done = lab.apply(every)
    assert done.code == 0, done
    assert birds(lab) == []


def kill_in_the_middle(lab: Lab, path: Path) -> None:
    run = subprocess.Popen([PROGRAM, "canary", path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=lab.work)  # fmt: skip
    assert run.stdout is not None
    for line in run.stdout:
        if "migrate 1 account" in line:
            break
    wait_for(lambda: len(birds(lab)) == 2)
    run.send_signal(signal.SIGKILL)
    run.wait(20)
    run.stdout.close()


def running(lab: Lab) -> bool:
    """Whether a task of ours runs on the ADMT host."""
    with lab.windows("target") as windows:
        tasks = [{**one.adapted_properties, **one.extended_properties} for one in windows.run("Get-ScheduledTask")]
    return any("admt" in str(one["TaskName"]) and str(one["State"]) in ("4", "Running") for one in tasks)


def test_until_it_came_through_no_user_is_touched(lab: Lab, ready: Path) -> None:
    """ADMT dies whenever it comes to a throw-away account, which nothing shows before it is tried."""
    path = lab.state("migrate", name="all", canary=True)
    with lab.windows("target") as windows:
        windows.run("New-Item", Path=FAULTS, ItemType="Directory", Force=None)
        names = [name_of("source.lab", "target.lab", number) for number in range(1, 100)]
        windows.run("Set-Content", LiteralPath=rf"{FAULTS}\admt-crash.txt", Value=names)
    ran = lab.apply(path)
    assert ran.code == 4, str(ran)
    assert ran.outcomes("failed") == {KEY}
    assert {key for key in ran.outcomes("skipped") if key.startswith("ad.accounts/")}
    assert "its log does not speak of" in ran.error(KEY)
    assert (birds(lab), migrated(lab)) == ([], [])
    with lab.windows("target") as windows:
        windows.run("Remove-Item", LiteralPath=rf"{FAULTS}\admt-crash.txt")
    ran = lab.apply(path)
    assert ran.code == 0, str(ran)
    assert KEY in ran.outcomes("changed")
    assert lab.not_migrated() == {}
    assert birds(lab) == []


def test_a_second_apply_writes_nothing(lab: Lab) -> None:
    path = lab.state("migrate", name="all", canary=True)
    before = lab.source.usn(), lab.target.usn()
    ran = lab.apply(path)
    assert (ran.code, ran.outcomes("changed")) == (0, set())
    assert (lab.source.usn(), lab.target.usn()) == before


def test_after_a_restart_it_is_proven_anew(lab: Lab) -> None:
    path = lab.state("migrate", name="all", canary=True)
    lab.restart("target")
    assert KEY in lab.drift(path).keys
    ran = lab.apply(path)
    assert (ran.code, ran.outcomes("changed")) == (0, {KEY})
    assert birds(lab) == []


def test_what_a_kill_left_goes_away_when_the_migration_is_completed(lab: Lab) -> None:
    path = lab.state("migrate", name="all", canary=True)
    assert lab.apply(path).code == 0
    kill_in_the_middle(lab, path)
    # ADMT goes on by itself; what it makes after everything was put back would be nobody's.
    wait_for(lambda: not running(lab))
    assert len(birds(lab)) == 2
    ran = lab.apply(lab.state("complete", name="all", canary=True))
    assert ran.code == 0, str(ran)
    assert birds(lab) == []
    assert lab.not_migrated() == {}


BIRD = "rc-canary-000000"
DN = f"CN={BIRD},{MIGRATED}"
PASSWORD = Generated(BIRD)


@pytest.fixture(params=["kerberos", "ldap"])
def world(request: pytest.FixtureRequest, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, LiveWorld]]:
    """A world in which an account can log on, one way or the other."""
    if request.param == "ldap":
        monkeypatch.setattr("reconciler.edge.logon.by_kerberos_possible", lambda: False)
    loaded = load(lab.state("migrate", name="all", canary=True))
    with LiveWorld(loaded.targets, Secrets(loaded.base), loaded.base) as world:
        attributes = (
            ("objectClass", ("top", "person", "organizationalPerson", "user")),
            ("sAMAccountName", (BIRD,)),
            ("userAccountControl", ("512",)),
            ("unicodePwd", (PASSWORD,)),
        )
        world.do(AddEntry("target", DN, attributes))
        yield request.param, world
        world.do(DeleteEntry("target", DN))


def code(world: LiveWorld, name: str = BIRD, password: Generated = PASSWORD) -> tuple[object, object]:
    (row,) = world.do(LogOn("target", name, password))
    return row["way"], row["code"]


def test_a_logon_is_answered_by_what_stops_it(world: tuple[str, LiveWorld]) -> None:
    way, one = world
    kerberos = way == "kerberos"

    def change(attribute: str, old: str, new: str) -> None:
        parts = (AttributeChange(attribute, "delete", (old,)), AttributeChange(attribute, "add", (new,)))
        one.do(ModifyEntry("target", DN, parts))

    assert code(one) == (way, "")
    assert code(one, password=Generated("another")) == (way, "KDC_ERR_PREAUTH_FAILED" if kerberos else "52e")
    unknown = code(one, name="rc-canary-ffffff")
    assert unknown in ((way, "KDC_ERR_C_PRINCIPAL_UNKNOWN"), (way, "525"), (way, "52e"))
    one.do(ModifyEntry("target", DN, (AttributeChange("pwdLastSet", "replace", ("0",)),)))
    assert code(one) == (way, "KDC_ERR_KEY_EXPIRED" if kerberos else "773")
    one.do(ModifyEntry("target", DN, (AttributeChange("pwdLastSet", "replace", ("-1",)),)))
    change("userAccountControl", "512", "514")
    assert code(one) == (way, "KDC_ERR_CLIENT_REVOKED" if kerberos else "533")

"""The end of a migration on the lab: a certificate that holds, one that is withheld, and the alarm afterwards."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.lab import EVERYBODY, FEW, ONLY_FEW, Lab, Ran

pytestmark = pytest.mark.lab

DOMAIN = "domains:\n  source: {dns: source.lab,"
EXPORT = r"win.registry/source-pdc/HKLM:\SYSTEM\CurrentControlSet\Control\Lsa/AllowPasswordExport"
SILENT = "srcdc2.source.lab"


@pytest.fixture(scope="module")
def moved(lab: Lab) -> Lab:
    """A lab in which a few accounts were moved."""
    done = lab.apply(lab.state("migrate", (EVERYBODY, ONLY_FEW)))
    assert done.code == 0, done
    assert lab.not_migrated(*FEW) == {}
    return lab


@pytest.fixture(scope="module")
def withheld(moved: Lab) -> Ran:
    """How it ends where a second controller is listed that does not answer."""
    listed = f"{DOMAIN} controllers: [srcdc1.source.lab, {SILENT}],"
    return moved.apply(moved.state("complete", (EVERYBODY, ONLY_FEW), (DOMAIN, listed), name="listed"))


@pytest.fixture(scope="module")
def state(moved: Lab) -> Path:
    return moved.state("complete", (EVERYBODY, ONLY_FEW))


@pytest.fixture(scope="module")
def certified(moved: Lab, withheld: Ran, state: Path) -> Ran:
    """How the next apply ends, without that controller."""
    return moved.apply(state)


def certificate(lab: Lab) -> Path:
    return lab.directory / "journal" / "source-to-target.certificate.json"


def test_a_controller_that_does_not_answer_withholds_the_certificate(moved: Lab, withheld: Ran) -> None:
    assert withheld.code == 9, withheld
    assert withheld.document["certificate"] is None
    assert {doubt["where"] for doubt in withheld.document["withheld"]} == {SILENT}
    assert withheld.document["open"] == []


def test_the_next_apply_makes_it_and_changes_nothing(moved: Lab, certified: Ran) -> None:
    assert certified.code == 0, certified
    assert certified.document["withheld"] == []
    assert certified.document["certificate"]["path"] == str(certificate(moved))
    assert certified.outcomes("changed") == set()


def test_it_lists_every_setting_and_each_controller_concerned(moved: Lab, withheld: Ran, certified: Ran) -> None:
    body = json.loads(certificate(moved).read_text())
    assert {setting["key"] for setting in body["settings"]} == {one["key"] for one in withheld.document["closed"]}
    read = {setting["key"]: [one["where"] for one in setting["read_back"]] for setting in body["settings"]}
    assert read["ad.group/source/SOURCE$$$"] == ["srcdc1.source.lab"]
    assert sorted(read["ad.trust/source/target"]) == ["srcdc1.source.lab", "tgtdc1.target.lab"]
    assert read[EXPORT] == ["source-pdc"]
    assert moved.seen_in(certificate(moved).read_text()) == []


def test_it_is_verified_offline_and_by_a_copy_of_the_key(
    moved: Lab, certified: Ran, state: Path, tmp_path: Path
) -> None:
    ran = moved.reconcile("certificate", "verify", state)
    assert ran.code == 0, str(ran)
    copy = tmp_path / "kept.certificate.json"
    copy.write_bytes(certificate(moved).read_bytes())
    key = moved.directory / "journal" / "source-to-target.audit.pub"
    assert moved.reconcile("certificate", "verify", copy, "--public-key", key).code == 0
    copy.write_bytes(copy.read_bytes().replace(b"AllowPasswordExport", b"AllowPasswordImport"))
    assert moved.reconcile("certificate", "verify", copy, "--public-key", key).code == 1


def test_complete_again_makes_no_second_one_and_writes_nothing(moved: Lab, certified: Ran, state: Path) -> None:
    usn, content = (moved.source.usn(), moved.target.usn()), certificate(moved).read_bytes()
    ran = moved.apply(state)
    assert ran.code == 0, str(ran)
    assert ran.document["certificate"]["sha256"] == certified.document["certificate"]["sha256"]
    assert (moved.source.usn(), moved.target.usn()) == usn
    assert certificate(moved).read_bytes() == content
    assert len(list(certificate(moved).parent.glob("*.certificate.json"))) == 1


def test_what_reappears_is_an_alarm_and_is_left_as_it_is(moved: Lab, certified: Ran, state: Path) -> None:
    assert moved.drift(state).code == 0
    with moved.windows("source") as windows:
        windows.set_value("AllowPasswordExport", "REG_DWORD", "1")
    drift = moved.drift(state)
    assert (drift.code, drift.keys) == (2, set()), drift
    (alarm,) = drift.document["alarms"]
    assert (alarm["key"], alarm["alarm"]) == (EXPORT, "reappeared")
    assert alarm["weakens"] == "password hashes can be exported from the source domain"
    applied = moved.apply(state)
    assert (applied.code, [one["key"] for one in applied.document["alarms"]]) == (2, [EXPORT]), applied
    with moved.windows("source") as windows:
        assert windows.value("AllowPasswordExport") == ("REG_DWORD", "0x1")
        windows.remove_value("AllowPasswordExport")
    assert moved.drift(state).code == 0

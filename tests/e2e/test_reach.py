"""How targets are reached: Kerberos for WinRM and LDAP; what cannot be reached or does not let us in stops the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.e2e.lab import EVERYBODY, ONLY_FEW, ROLES, Lab
from tests.edge.conftest import Pki

pytestmark = pytest.mark.lab

FEW = (EVERYBODY, ONLY_FEW)
KERBEROS = (
    ("winrm: {auth: ntlm}", "winrm: {auth: kerberos}"),
    ("ca.pem, nameservers:", "ca.pem, auth: kerberos, nameservers:"),
)
OVER_HTTP = ("winrm: {auth: ntlm}", "winrm: {auth: ntlm, transport: http}")
ADMT_HOST = "address: tgtdc1.target.lab, winrm: {auth: ntlm}"


def world(lab: Lab) -> dict[str, Any]:
    return {"usn": [lab.source.usn(), lab.target.usn()], "disks": [lab.disk(role) for role in ROLES]}


def test_everything_works_with_kerberos(migrated: Lab) -> None:
    environment = {"KRB5_CONFIG": migrated.document["krb5_config"], "KRB5CCNAME": f"FILE:{migrated.work}/nothing"}
    state = migrated.state("migrate", FEW, *KERBEROS, name="kerberos")
    ran = migrated.reconcile("drift", state, "--output", "json", environment=environment)
    assert (ran.code, ran.keys) == (0, set()), str(ran)


def test_everything_works_over_http_with_encrypted_messages(migrated: Lab) -> None:
    ran = migrated.drift(migrated.state("migrate", FEW, OVER_HTTP, name="http"))
    assert (ran.code, ran.keys) == (0, set()), str(ran)


@pytest.mark.parametrize("verb", ["plan", "apply"])
def test_a_host_that_does_not_answer_is_said_and_nothing_is_changed(migrated: Lab, verb: str) -> None:
    nobody = (ADMT_HOST, "address: tgtdc1.target.lab, winrm: {auth: ntlm, port: 5999}")
    before = world(migrated)
    ran = migrated.reconcile(verb, migrated.state("migrate", FEW, nobody, name="unreachable"), "--output", "json")
    assert ran.code == 10, str(ran)
    assert "Traceback" not in ran.err
    assert "5999" in ran.out + ran.err or "admt" in ran.out + ran.err
    assert world(migrated) == before


@pytest.mark.parametrize("verb", ["plan", "apply"])
def test_a_wrong_password_is_said_and_nothing_is_changed(migrated: Lab, verb: str) -> None:
    wrong = migrated.work / "wrong"
    wrong.write_text("not-the-Password-1", encoding="utf-8")
    wrong.chmod(0o600)
    before = world(migrated)
    state = migrated.state("migrate", FEW, (f"{migrated.directory}/secrets/target-admin", str(wrong)), name="wrong")
    ran = migrated.reconcile(verb, state, "--output", "json")
    assert ran.code == 10, str(ran)
    assert "Traceback" not in ran.err
    assert "not-the-Password-1" not in ran.out + ran.err
    assert world(migrated) == before


def test_a_certificate_of_somebody_else_is_not_accepted(migrated: Lab, tmp_path: Path) -> None:
    other = Pki(tmp_path)
    ran = migrated.drift(migrated.state("migrate", FEW, (f"{migrated.directory}/ca.pem", str(other.ca)), name="ca"))
    assert ran.code == 10, str(ran)
    assert "certificate" in (ran.out + ran.err).lower()

"""A lab with a crowd, judged from outside: its objects over LDAP, and logons of accounts that have the NT hash alone."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.lab import up as lab
from reconciler.lab.settings import LabError, LabSettings
from tests.worker import address as own

pytestmark = [pytest.mark.lab, pytest.mark.timeout(240)]

USERS, GROUPS, COMPUTERS, UNITS = 425, 30, 6, 4
COUNTS = {
    "(&(objectClass=user)(!(objectClass=computer)))": ("OU=Staff", USERS),
    "(objectClass=group)": ("OU=Groups", GROUPS + 6),
    "(objectClass=computer)": ("OU=Workstations", COMPUTERS),
    "(&(objectClass=organizationalUnit)(!(ou=Staff)))": ("OU=Staff", UNITS),
}


@pytest.fixture(scope="module")
def crowd() -> Iterator[LabSettings]:
    settings = LabSettings(
        Path(tempfile.mkdtemp(prefix="rl-")), own(72, 1), own(72, 2), users=USERS, groups=GROUPS, computers=COMPUTERS,
        units=UNITS, hosts=False,
    )  # fmt: skip
    try:
        lab.up(settings)
        yield settings
    finally:
        lab.down(settings.directory)
        shutil.rmtree(settings.directory, ignore_errors=True)


def search(settings: LabSettings, base: str, where: str, *attributes: str) -> list[str]:
    """Return what OpenLDAP's client says, one line per value."""
    command = ["ldapsearch", "-x", "-LLL", "-o", "ldif-wrap=no", "-H", f"ldaps://{settings.source_address}", "-D",
               "Administrator@source.lab", "-w", settings.paths.password("source-admin"), "-b",
               f"{base},DC=source,DC=lab", where, *(attributes or ("1.1",))]  # fmt: skip
    environment = {**os.environ, "LDAPTLS_CACERT": str(settings.paths.ca_file)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.splitlines()


@pytest.mark.parametrize("where", COUNTS)
def test_population_is_as_large_as_asked_for(crowd: LabSettings, where: str) -> None:
    base, expected = COUNTS[where]
    assert len([line for line in search(crowd, base, where) if line.startswith("dn:")]) == expected


def test_computer_has_what_a_joined_workstation_has(crowd: LabSettings) -> None:
    found = search(crowd, "OU=Workstations", "(sAMAccountName=WS00002$)", "dNSHostName", "operatingSystem", "userAccountControl", "servicePrincipalName")  # fmt: skip
    assert {"dNSHostName: ws00002.source.lab", "operatingSystem: Windows 11 Enterprise", "userAccountControl: 4096",
            "servicePrincipalName: HOST/ws00002.source.lab"} <= set(found)  # fmt: skip


def test_numbered_account_logs_on_by_ldap_and_by_kerberos(crowd: LabSettings, tmp_path: Path) -> None:
    with crowd.paths.users_file.open(encoding="utf-8", newline="") as table:
        users = list(csv.DictReader(table))
    assert len(users) == USERS
    numbered = users[-1]
    assert numbered["sam_account_name"] == "staff000020"
    assert ",OU=Staff,DC=source,DC=lab" in numbered["dn"]
    environment = {**os.environ, "KRB5_CONFIG": str(crowd.paths.krb5_conf), "LDAPTLS_CACERT": str(crowd.paths.ca_file)}

    def bound(password: str) -> bool:
        command = ["ldapsearch", "-x", "-LLL", "-H", f"ldaps://{crowd.source_address}", "-D", numbered["dn"], "-w",
                   password, "-b", numbered["dn"], "-s", "base", "1.1"]  # fmt: skip
        return subprocess.run(command, env=environment, capture_output=True, check=False).returncode == 0

    def kerberos(password: str) -> bool:
        command = ["kinit", "-c", str(tmp_path / "cache"), f"{numbered['sam_account_name']}@SOURCE.LAB"]
        return subprocess.run(command, input=password + "\n", text=True, env=environment, capture_output=True,
                              check=False).returncode == 0  # fmt: skip

    assert (bound(numbered["password"]), bound("wrong")) == (True, False)
    assert (kerberos(numbered["password"]), kerberos("wrong")) == (True, False)


def test_another_population_needs_another_lab(crowd: LabSettings) -> None:
    with pytest.raises(LabError, match=r"units=5 \(built with 4\)"):
        lab.up(replace(crowd, units=5))

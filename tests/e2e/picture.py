"""Everything a migration changes for a time, as other tools see it: what it was before must be what it is after."""

from __future__ import annotations

import base64
from typing import Any

from tests.e2e.directory import Directory
from tests.e2e.lab import ROLES, Lab
from tests.e2e.windows import LSA, UNINSTALL, Windows

FOLDERS = (r"C:\PES", r"C:\Install", r"C:\Program Files", r"C:\Windows\System32\Tasks")
TRUST = (
    "objectGUID",
    "trustDirection",
    "trustType",
    "trustAttributes",
    "trustPartner",
    "flatName",
    "securityIdentifier",
)


def picture(lab: Lab) -> dict[str, Any]:
    """Look at both hosts and both directories.

    Left out on purpose, for it stays: what is below OU=Migrated (and the entries by which the lab's Samba puts the SID
    history of those accounts into their tokens), ADMT's own folder (its database and logs), and the
    ForeignSecurityPrincipal entries, which a directory makes by itself for a member from elsewhere and never removes.
    """
    found: dict[str, Any] = {}
    for role in ROLES:
        with lab.windows(role) as windows:
            found |= {f"{role} host, {what}": value for what, value in of_host(windows).items()}
        directory = lab.source if role == "source" else lab.target
        found |= {f"{role} directory, {what}": value for what, value in _directory(directory).items()}
    found["rights on the OU"] = _descriptor(lab.target, "OU=Migrated,DC=target,DC=lab")
    return found


def of_host(windows: Windows) -> dict[str, Any]:
    """Look at one host: settings, software, audit policy, services, files."""
    services = windows.run("Get-CimInstance", ClassName="Win32_Service")
    kept = ("Name", "State", "StartMode", "StartName")
    return {
        "settings": sorted(windows.done("reg.exe", "query", LSA).splitlines()),
        "software": {key: windows.done("reg.exe", "query", key) for key in _subkeys(windows, UNINSTALL)},
        "audit": windows.audit().splitlines(),
        "services": sorted(tuple(str(one.adapted_properties[name]) for name in kept) for one in services),
        **{f"files below {folder}": _files(windows, folder) for folder in FOLDERS},
    }


def _subkeys(windows: Windows, key: str) -> list[str]:
    lines = windows.done("reg.exe", "query", key).splitlines()
    return sorted(line.strip() for line in lines if line.startswith("HKEY_"))


def _files(windows: Windows, folder: str) -> list[str] | None:
    if not windows.exists(folder):
        return None
    found = windows.run("Get-ChildItem", LiteralPath=folder, Recurse=True, Force=True)
    return sorted(str(one.adapted_properties["FullName"]) for one in found)


def _directory(directory: Directory) -> dict[str, Any]:
    found = directory.search(directory.base_dn, "(objectClass=group)", "member")
    groups = [group for group in found if not _stays(_dn(group))]
    trusts = directory.search(f"CN=System,{directory.base_dn}", "(objectClass=trustedDomain)", *TRUST)
    everything = directory.search(directory.base_dn, "(objectClass=*)", "1.1")
    return {
        "members": {_dn(group): sorted(group.get("member", [])) for group in groups},
        "trusts": {_dn(trust): {name: trust.get(name) for name in TRUST} for trust in trusts},
        "entries": sorted(dn for dn in map(_dn, everything) if not _stays(dn)),
        "rights on the domain": _descriptor(directory, directory.base_dn),
    }


def _dn(entry: dict[str, list[bytes]]) -> str:
    return entry["dn"][0].decode()


def _stays(dn: str) -> bool:
    return ",OU=Migrated," in dn or ",CN=ForeignSecurityPrincipals," in dn or dn.startswith("CN=sidhist-")


def _descriptor(directory: Directory, dn: str) -> str:
    return base64.b64encode(directory.security_descriptor(dn)).decode()

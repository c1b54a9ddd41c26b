"""The disk of a host that was never touched: Windows Server 2019, just promoted to a domain controller or just joined to a domain."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from reconciler.lab.windows.audit import (
    DEFAULT_CONTROLLERS_POLICY,
    DEFAULT_DOMAIN_POLICY,
    POLICIES,
    SUCCESS,
    AuditPolicy,
)
from reconciler.lab.windows.contract import DomainFacts
from reconciler.lab.windows.files import Files
from reconciler.lab.windows.registry import LSA, Data, Kind, Registry
from reconciler.lab.windows.security_database import SecurityDatabase
from reconciler.lab.windows.services import Service, Services
from reconciler.lab.windows.software import Product, Software

INSTALL = r"C:\Install"
ADMT_SETUP = rf"{INSTALL}\admtsetup32.exe"
PES_SETUP = rf"{INSTALL}\pwdmig.msi"
# The installers know their own files by these openings (the magic numbers are those of .exe and .msi).
ADMT_MARK = b"MZ\x90\x00\x03\x00\x00\x00reconciler lab: Active Directory Migration Tool 3.2\r\n"
PES_MARK = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1reconciler lab: Password Export Server 3.1\r\n"

SYSTEM32_PROGRAMS = (
    "auditpol.exe",
    "gpupdate.exe",
    "hostname.exe",
    "msiexec.exe",
    "netdom.exe",
    "nltest.exe",
    "reg.exe",
    "sc.exe",
    "shutdown.exe",
    "whoami.exe",
)

_DIRECTORIES = (
    r"C:\Program Files",
    r"C:\Users\Administrator\Documents",
    r"C:\Windows\System32\Tasks",
    r"C:\Windows\Temp",
    INSTALL,
)
_DIRECTORIES_OF_CONTROLLERS = (
    r"C:\Windows\NTDS",
    rf"{POLICIES}\{DEFAULT_DOMAIN_POLICY}\MACHINE\Microsoft\Windows NT\SecEdit",
    rf"{POLICIES}\{DEFAULT_CONTROLLERS_POLICY}\MACHINE\Microsoft\Windows NT\SecEdit",
)

_SVCHOST = r"C:\Windows\System32\svchost.exe -k netsvcs -p"
_SERVICES = (
    Service("DNS", "DNS Server", r"C:\Windows\system32\dns.exe", dependencies=("RpcSs", "NTDS")),
    Service("EventLog", "Windows Event Log", _SVCHOST, account=r"NT AUTHORITY\LocalService", can_stop=False),
    Service(
        "Kdc", "Kerberos Key Distribution Center", r"C:\Windows\System32\lsass.exe", dependencies=("RpcSs", "NTDS")
    ),
    Service("LanmanServer", "Server", _SVCHOST),
    Service("Netlogon", "Netlogon", r"C:\Windows\system32\lsass.exe", dependencies=("LanmanServer",)),
    Service("NTDS", "Active Directory Domain Services", r"C:\Windows\System32\lsass.exe"),
    Service("RemoteRegistry", "Remote Registry", _SVCHOST, "Manual", account=r"NT AUTHORITY\LocalService"),
    Service("RpcSs", "Remote Procedure Call (RPC)", _SVCHOST, account=r"NT AUTHORITY\NetworkService", can_stop=False),
    Service("Schedule", "Task Scheduler", _SVCHOST, dependencies=("RpcSs", "EventLog"), can_stop=False),
    Service("W32Time", "Windows Time", _SVCHOST, account=r"NT AUTHORITY\LocalService"),
    Service(
        "WinRM",
        "Windows Remote Management (WS-Management)",
        _SVCHOST,
        account=r"NT AUTHORITY\NetworkService",
        dependencies=("RpcSs",),
    ),
)

_OF_CONTROLLERS = ("DNS", "Kdc", "NTDS")

_CURRENT_VERSION = r"HKLM\SOFTWARE\Microsoft\Windows NT\CurrentVersion"
_CONTROL = r"HKLM\SYSTEM\CurrentControlSet\Control"
_VALUES: tuple[tuple[str, str, Kind, Data], ...] = (
    (_CURRENT_VERSION, "ProductName", "String", "Windows Server 2019 Standard"),
    (_CURRENT_VERSION, "CurrentBuild", "String", "17763"),
    (_CURRENT_VERSION, "SystemRoot", "String", r"C:\Windows"),
    (LSA, "Authentication Packages", "MultiString", ("msv1_0",)),
    (LSA, "Bounds", "Binary", bytes.fromhex("0030000000200000")),
    (LSA, "LimitBlankPasswordUse", "DWord", 1),
    (LSA, "NoLmHash", "DWord", 1),
    (LSA, "Notification Packages", "MultiString", ("rassfm", "scecli")),
    # Windows itself has 0 here; a host that was hardened once gives the migration something to relax and restore.
    (LSA, "RestrictAnonymous", "DWord", 1),
    (LSA, "RestrictAnonymousSam", "DWord", 1),
    (LSA, "SecureBoot", "DWord", 1),
    (rf"{_CONTROL}\Session Manager\Environment", "TEMP", "ExpandString", r"%SystemRoot%\TEMP"),
    (rf"{_CONTROL}\Session Manager\Environment", "windir", "ExpandString", "%SystemRoot%"),
)

_AUDITED = ("235", "236", "237")  # user accounts, computer accounts, security groups
_AWKWARD_AUDIT = {"235": 1, "236": 0, "237": 3, "238": 2, "239": 0, "23A": 1}

_TEMPLATE = (
    "[Unicode]\r\nUnicode=yes\r\n[Registry Values]\r\n"
    "MACHINE\\System\\CurrentControlSet\\Services\\NTDS\\Parameters\\LDAPServerIntegrity=4,1\r\n"
    '[Version]\r\nsignature="$CHICAGO$"\r\nRevision=1\r\n'
)


def pristine(
    facts: DomainFacts, awkward: bool, clock: Callable[[], datetime] = lambda: datetime.now(UTC), *, member: str = ""
) -> dict[str, Any]:
    """Return the first disk of a host; ``machine.write_disk`` writes it.

    Args:
        facts: The domain it controls, or is a member of.
        awkward: Settings are partly there already: AllowPasswordExport present as 0, a mixed audit policy.
        clock: Gives the times of files and keys.
        member: DNS name of a member server; empty for the controller.
    """
    registry, files, services = Registry(clock, _unwatched), Files(clock, _unwatched), Services(_unwatched)
    for path, name, kind, data in _VALUES:
        registry.set(path, name, kind, data)
    registry.set(rf"{_CONTROL}\ProductOptions", "ProductType", "String", "ServerNT" if member else "LanmanNT")
    registry.set(r"HKLM\SYSTEM\CurrentControlSet\Services\Tcpip\Parameters", "Domain", "String", facts.dns)
    registry.create(r"HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Policies\System\Audit")
    if awkward:
        registry.set(LSA, "AllowPasswordExport", "DWord", 0)
    Software(registry).add(
        Product("{8D4F7A6D-6B81-3DC8-9C21-6008E4866727}", "Microsoft Visual C++ 2010  x86 Runtime", "10.0.40219")
    )
    for service in _SERVICES:
        if not member or service.name not in _OF_CONTROLLERS:
            services.add(service)
    local = SecurityDatabase(_unwatched)
    if member:
        local.found(_machine_sid(), facts.sid)
    _fill(files, member or facts.controller, is_controller=not member)
    return {
        "format": 1,
        "registry": registry.to_disk(),
        "services": services.to_disk(),
        "files": files.to_disk(),
        "audit": _audit(files, awkward).to_disk(),
        "tasks": [],
        "local": local.to_disk(),
    }


def _machine_sid() -> str:
    return "-".join(["S-1-5-21", *(str(secrets.randbits(32)) for _ in range(3))])


def _fill(files: Files, fqdn: str, *, is_controller: bool) -> None:
    for directory in (*_DIRECTORIES, *(_DIRECTORIES_OF_CONTROLLERS if is_controller else ())):
        files.make_directory(directory)
    for program in SYSTEM32_PROGRAMS:
        if is_controller or program not in ("netdom.exe", "nltest.exe"):
            files.write(rf"C:\Windows\System32\{program}", b"MZ\x90\x00" + program.encode())
    files.write(ADMT_SETUP, ADMT_MARK)
    files.write(r"C:\Windows\System32\drivers\etc\hosts", f"# {fqdn}\r\n".encode(), parents=True)
    if not is_controller:
        return
    files.write(PES_SETUP, PES_MARK)
    for policy in (DEFAULT_DOMAIN_POLICY, DEFAULT_CONTROLLERS_POLICY):
        template = rf"{POLICIES}\{policy}\MACHINE\Microsoft\Windows NT\SecEdit\GptTmpl.inf"
        files.write(template, b"\xff\xfe" + _TEMPLATE.encode("utf-16-le"))
        files.write(rf"{POLICIES}\{policy}\GPT.INI", b"[General]\r\nVersion=1\r\n")


def _audit(files: Files, awkward: bool) -> AuditPolicy:
    audit = AuditPolicy(files, _unwatched)
    settings = _AWKWARD_AUDIT if awkward else dict.fromkeys(_AUDITED, SUCCESS)
    for number, setting in settings.items():
        audit.set(f"{{0CCE9{number}-69AE-11D9-BED3-505054503030}}", setting)
    return audit


def _unwatched() -> None:
    """Take no note of a change: the disk is written once, when it is complete."""

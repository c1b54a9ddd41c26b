"""What the simulated world is like before anybody touches it: half of what a migration changes is set to something odd."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Self

from reconciler.core.values import Guid, Sid
from tests.crash.simulated_directory import FOREIGN, HEADS, Entries, Entry, add, entry

SIDS = {"source": Sid("S-1-5-21-1-2-3"), "target": Sid("S-1-5-21-4-5-6")}
HOSTS = {"source-pdc": "source", "admt": "target", "admt2": "target"}
FIRST = ("source-pdc", "admt")
LSA = r"HKLM:\SYSTEM\CurrentControlSet\Control\Lsa"
STAFF, MIGRATED = f"OU=Staff,{HEADS['source']}", f"OU=Migrated,{HEADS['target']}"
PEOPLE = ("ann", "bob", "cem")
EVERYONE, ANONYMOUS = Sid("S-1-1-0"), Sid("S-1-5-7")
PDC = f"CN=SRCDC1,CN=Servers,CN=Default,CN=Sites,CN=Configuration,{HEADS['source']}"
USER = ("top", "person", "organizationalPerson", "user")
_RIGHTS = {
    "Migrate-SID-History": "ba33815a-4f93-4c76-87f3-57574bff8109",
    "User-Force-Change-Password": "00299570-246d-11d0-a768-00aa006e0529",
}
_CLASSES = {"user": "bf967aba-0de6-11d0-a285-00aa003049e2", "group": "bf967a9c-0de6-11d0-a285-00aa003049e2"}


@dataclass
class Tables:
    """Everything that is remembered out there. Values are never changed in place, so that a copy costs next to nothing.

    Attributes:
        effective: What each host read when it was started: registry values and installed software.
        admt_keys: The encryption key in ADMT's own database, by host.
        pes_keys: The key that the Password Export Server was installed with, by host.
        count: RIDs and serial numbers given out, boots.
    """

    registry: dict[tuple[str, str, str], tuple[str, Any]] = field(default_factory=dict)
    audit: dict[tuple[str, str], str] = field(default_factory=dict)
    files: dict[tuple[str, str], str] = field(default_factory=dict)
    directories: dict[tuple[str, str], bool] = field(default_factory=dict)
    software: dict[tuple[str, str], str] = field(default_factory=dict)
    services: dict[tuple[str, str], tuple[str, str, str]] = field(default_factory=dict)
    tasks: dict[tuple[str, str], str] = field(default_factory=dict)
    entries: Entries = field(default_factory=dict)
    effective: dict[tuple[str, ...], Any] = field(default_factory=dict)
    admt_keys: dict[str, str] = field(default_factory=dict)
    pes_keys: dict[str, str] = field(default_factory=dict)
    count: dict[str, int] = field(default_factory=dict)

    def copy(self) -> Self:
        """Return a copy that changes by itself."""
        return type(self)(**{table.name: dict(getattr(self, table.name)) for table in fields(self)})

    def identity(self) -> tuple[frozenset[Any], ...]:
        """Return a value that two worlds share exactly where nothing tells them apart."""
        return tuple(frozenset(getattr(self, table.name).items()) for table in fields(self))


def start(hosts: Sequence[str] = FIRST) -> Tables:
    """Return the world as it was found, with these hosts in it."""
    tables = Tables(
        registry={
            ("source-pdc", LSA, "AllowPasswordExport"): ("REG_DWORD", 0),
            ("source-pdc", LSA, "RunAsPPL"): ("REG_DWORD", 1),
            ("source-pdc", LSA, "Unmanaged"): ("REG_SZ", "kept"),
            **{(host, LSA, "RestrictAnonymous"): ("REG_DWORD", 2) for host in hosts if HOSTS[host] == "target"},
        },
        audit={
            (host, f"0cce92{n}-69ae-11d9-bed3-505054503030"): _audit(host, n) for host in hosts for n in _SUBCATEGORIES
        },
        directories={("source-pdc", r"C:\PES"): True, **{(host, r"C:\Windows\ADMT"): True for host in hosts[1:]}},
        files={("source-pdc", r"C:\PES\notes.txt"): "not ours"},
        count={"rid": 1200, "serial": 0, **{f"boot/{host}": 1 for host in hosts}},
    )
    for domain in HEADS:
        for found in (*_domain(domain), *_principals(domain)):
            add(tables.entries, domain, found)
    for host in hosts:
        boot(tables, host)
    return tables


def boot(tables: Tables, host: str) -> None:
    """Let what was set since the last start count."""
    tables.effective = {key: value for key, value in tables.effective.items() if key[0] != host}
    tables.effective |= {key: value for key, value in tables.registry.items() if key[0] == host}
    tables.effective |= {key: version for key, version in tables.software.items() if key[0] == host}


_SUBCATEGORIES = ("35", "36", "37", "38", "39", "3a")


def _audit(host: str, number: str) -> str:
    odd = {("source-pdc", "35"): "Success", ("source-pdc", "36"): "Failure", ("admt", "35"): "Success and Failure"}
    return odd.get((host, number), "No Auditing")


def descriptor(*aces: bytes) -> bytes:
    """Return a security descriptor without owner; its list is of the old revision."""
    content = b"".join(aces)
    acl = struct.pack("<BBHHH", 4, 0, 8 + len(content), len(aces), 0) + content
    return struct.pack("<BBHIIII", 1, 0, 0x8004, 0, 0, 0, 20) + acl


def plain_ace(sid: Sid, mask: int, flags: int = 0) -> bytes:
    """Return an allowing ACE."""
    body = struct.pack("<I", mask) + sid.to_bytes()
    return struct.pack("<BBH", 0, flags, 4 + len(body)) + body


def _domain(domain: str) -> list[Entry]:
    head, name = HEADS[domain], domain.upper()
    config = f"CN=Configuration,{head}"
    rights = descriptor(plain_ace(Sid("S-1-5-32-544"), 0xF01FF), plain_ace(Sid("S-1-5-11"), 0x20094, 0x12))
    link = f"[LDAP://cn={{6AC1786C-016F-11D2-945F-00C04FB984F9}},CN=Policies,CN=System,{head};0]"
    found = [
        entry(head, objectClass="domainDNS", objectSid=SIDS[domain], fSMORoleOwner=f"CN=NTDS Settings,{PDC}", nTSecurityDescriptor=rights, gPLink=link),
        *(entry(f"CN={cn},{config}", objectClass="container") for cn in ("Partitions", "Schema", "Extended-Rights", "Sites", "WellKnown Security Principals")),
        entry(f"CN={name},CN=Partitions,{config}", objectClass="crossRef", nCName=head, nETBIOSName=name, dnsRoot=f"{domain}.lab"),
        entry(f"CN=Everyone,CN=WellKnown Security Principals,{config}", objectSid=EVERYONE),
        entry(f"CN=Anonymous Logon,CN=WellKnown Security Principals,{config}", objectSid=ANONYMOUS),
        entry(f"CN={{6AC1786C}},CN=Policies,CN=System,{head}", objectClass="groupPolicyContainer", cn="{6AC1786C-016F-11D2-945F-00C04FB984F9}"),
    ]  # fmt: skip
    for cn, guid in _RIGHTS.items():
        found.append(entry(f"CN={cn},CN=Extended-Rights,{config}", cn=cn, displayName=cn, rightsGuid=guid))
    for name, guid in _CLASSES.items():
        found.append(
            entry(f"CN={name},CN=Schema,{config}", lDAPDisplayName=name, schemaIDGUID=Guid(guid).to_bytes(), objectClass="classSchema")
        )  # fmt: skip
    if domain == "source":
        found.append(entry(PDC, objectClass="server", dNSHostName="srcdc1.source.lab"))
    else:
        found.append(entry(MIGRATED, objectClass="organizationalUnit", nTSecurityDescriptor=rights))
    return found


def _principals(domain: str) -> list[Entry]:
    head = HEADS[domain]
    admins = entry(
        f"CN=Administrators,CN=Builtin,{head}", objectClass="group", sAMAccountName="Administrators", objectSid=Sid("S-1-5-32-544"), member=f"CN=Administrator,CN=Users,{head}"
    )  # fmt: skip
    administrator = _person("Administrator", f"CN=Users,{head}", Sid(f"{SIDS[domain]}-500"))
    if domain == "source":
        staff = [_person(name, STAFF, Sid(f"{SIDS['source']}-{1101 + n}")) for n, name in enumerate(PEOPLE)]
        return [admins, administrator, entry(STAFF, objectClass="organizationalUnit"), *staff]
    everyone = entry(f"CN={EVERYONE},{FOREIGN},{head}", objectSid=EVERYONE, objectClass="foreignSecurityPrincipal")
    old = entry(
        f"CN=Pre-Windows 2000 Compatible Access,CN=Builtin,{head}", objectClass="group", sAMAccountName="Pre-Windows 2000 Compatible Access",
        objectSid=Sid("S-1-5-32-554"), member=f"CN={EVERYONE},{FOREIGN},{head}",
    )  # fmt: skip
    migrator = _person("migrator", f"CN=Users,{head}", Sid(f"{SIDS['target']}-1105"))
    return [admins, administrator, everyone, old, migrator]


def _person(name: str, container: str, sid: Sid) -> Entry:
    return entry(
        f"CN={name},{container}", objectClass=USER, objectCategory="person", sAMAccountName=name, objectSid=sid, pwdLastSet="5", secret=f"password of {name}"
    )  # fmt: skip

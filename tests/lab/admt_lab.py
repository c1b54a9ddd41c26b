"""Two simulated hosts with directories in memory, ready for ADMT or bare: no Samba, no WinRM."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any, Literal

from winacl.dtyp.security_descriptor import SECURITY_DESCRIPTOR

from reconciler.lab.admt.install import install
from reconciler.lab.admt.log import CURRENT, read_log
from reconciler.lab.admt.names import first_rdn, unescape_rdn
from reconciler.lab.windows.accounts import sid_bytes
from reconciler.lab.windows.audit import ACCOUNT_MANAGEMENT
from reconciler.lab.windows.contract import (
    Attributes,
    Change,
    DirectoryRefused,
    DomainFacts,
    Entry,
    Logon,
    NetworkCredential,
    RemoteDirectory,
)
from reconciler.lab.windows.machine import Machine
from reconciler.lab.windows.pristine import pristine
from reconciler.lab.windows.registry import LSA

SOURCE = DomainFacts(
    "source", "source.lab", "SOURCE", "S-1-5-21-1-1-1", "DC=source,DC=lab", "srcdc1.source.lab", "127.0.90.1"
)
TARGET = DomainFacts(
    "target", "target.lab", "TARGET", "S-1-5-21-2-2-2", "DC=target,DC=lab", "tgtdc1.target.lab", "127.0.90.2"
)
OPERATOR = f"{TARGET.sid}-1105"
ADMINISTRATORS = "S-1-5-32-544"
STAFF = "OU=Staff,DC=source,DC=lab"
MIGRATED = "OU=Migrated,DC=target,DC=lab"
RIGHT = f"D:(OA;;CR;ba33815a-4f93-4c76-87f3-57574bff8109;;{OPERATOR})"
KEY_FILE = r"C:\PES\source.pes"
KEY_PASSWORD = "key-Passw0rd"
PES_ARGUMENTS = ["/i", r"C:\Install\pwdmig.msi", "/qn", "/norestart", "/l*v", r"C:\pes.log"]
CREDENTIAL = NetworkCredential("TARGET", "migrator", "right")
SIDS_REFUSED = "Could not verify auditing and TcpipClientSupport on domains. Will not be able to migrate Sid's. "
NO_SESSION = "Unable to establish a session with the password export server. "


class MemoryDirectory:
    """Both faces of a directory: the controller's own, and what a session with rights may do."""

    def __init__(self, facts: DomainFacts) -> None:
        self.facts = facts
        self.entries: dict[str, tuple[str, dict[str, list[bytes]]]] = {}
        self.tokens: dict[str, frozenset[str]] = {}
        self.forbidden = False
        self.passwords: dict[str, tuple[bytes, bool]] = {}
        self.membership_events: list[str] = []
        self.refused_members: set[str] = set()  # lower-case DNs that no group may take
        self._rid = 1200

    def put(self, dn: str, sid: str = "", **values: Any) -> None:
        rows = {"cn": [unescape_rdn(first_rdn(dn)[3:]).encode()], "ou": [first_rdn(dn)[3:].encode()]}
        for name, value in values.items():
            many = value if isinstance(value, list) else [value]
            rows[name] = [one if isinstance(one, bytes) else str(one).encode() for one in many]
        if sid:
            rows["objectSid"] = [sid_bytes(sid)]
        self.entries[dn.lower()] = (dn, rows)

    def row(self, dn: str) -> dict[str, list[bytes]]:
        return self.entries[dn.lower()][1]

    async def search(
        self, base: str, scope: Literal["base", "one", "sub"], where: str, attributes: Sequence[str]
    ) -> list[Entry]:
        found = []
        for dn, rows in self.entries.values():
            above = dn[len(first_rdn(dn)) + 1 :].lower()
            inside = {
                "base": dn.lower() == base.lower(),
                "one": above == base.lower(),
                "sub": dn.lower() == base.lower() or dn.lower().endswith("," + base.lower()),
            }
            seen = {**rows, "memberOf": self._groups_with(dn), "distinguishedName": [dn.encode()]}
            if inside[scope] and matches(where, seen)[0]:
                found.append(Entry(dn, {name: list(values) for name, values in seen.items() if values}))
        return found

    def _groups_with(self, dn: str) -> list[bytes]:
        """Return what memberOf holds: the directory keeps it itself."""
        member = dn.encode().lower()
        return [group.encode() for group, rows in self.entries.values()
                if member in [one.lower() for one in rows.get("member", [])]]  # fmt: skip

    async def rename(self, dn: str, rdn: str, parent: str) -> None:
        new = f"{rdn},{parent}"
        if self.forbidden:
            raise DirectoryRefused(50, "insufficient access rights")
        if new.lower() in self.entries and new.lower() != dn.lower():
            raise DirectoryRefused(68, "entry already exists")
        _, rows = self.entries.pop(dn.lower())
        rows["cn"] = [unescape_rdn(rdn[3:]).encode()]
        self.entries[new.lower()] = (new, rows)
        if dn.lower() in self.passwords:
            self.passwords[new.lower()] = self.passwords.pop(dn.lower())
        for _, others in self.entries.values():
            if "member" in others:
                same = dn.encode().lower()
                others["member"] = [new.encode() if one.lower() == same else one for one in others["member"]]

    async def add(self, dn: str, attributes: Attributes) -> None:
        if self.forbidden:
            raise DirectoryRefused(50, "insufficient access rights")
        if dn.lower() in self.entries:
            raise DirectoryRefused(68, "entry already exists")
        self._rid += 1
        extra = {} if "groupType" in attributes else {"objectCategory": b"person"}
        self.put(dn, f"{self.facts.sid}-{self._rid}", **{**extra, **{name: list(v) for name, v in attributes.items()}})

    async def modify(self, dn: str, changes: Sequence[Change]) -> None:
        row = self.row(dn)
        for change in changes:
            before = row.get(change.attribute, [])
            if change.attribute == "member":
                self.membership_events += [f"{change.operation} {value.decode()}" for value in change.values]
            if change.attribute == "unicodePwd":
                self.passwords[dn.lower()] = (change.values[0], False)
            elif change.operation == "replace":
                row[change.attribute] = list(change.values)
            elif change.operation == "add":
                if {
                    value.decode().lower() for value in change.values if change.attribute == "member"
                } & self.refused_members:
                    raise DirectoryRefused(50, "insufficient access rights")
                if set(before) & set(change.values):
                    raise DirectoryRefused(68, "already a member")
                row[change.attribute] = [*before, *change.values]
            else:
                row[change.attribute] = [value for value in before if value not in change.values]

    async def delete(self, dn: str) -> None:
        del self.entries[dn.lower()]

    async def token_sids(self, account_dn: str) -> frozenset[str]:
        return self.tokens[account_dn]

    async def foreign_token_sids(self, sids: frozenset[str]) -> frozenset[str]:
        return sids

    async def check_password(self, sam_account_name: str, password: str) -> bool:
        return password == "right"

    async def add_sid_history(self, dn: str, sid: str) -> None:
        self.row(dn).setdefault("sIDHistory", []).append(sid_bytes(sid))

    async def remove_sid_history(self, dn: str, sids: Sequence[str]) -> None:
        raise NotImplementedError

    async def forget_members(self, dn: str) -> None:
        assert not self.row(dn).get("member")

    async def write_password(self, dn: str, nt_hash: bytes, supplemental: bytes | None, *, must_change: bool) -> None:
        self.passwords[dn.lower()] = (nt_hash, must_change)

    async def random_password(self, dn: str, *, must_change: bool) -> None:
        raise NotImplementedError

    async def create_trust(self, direction: int, attributes: int, secret: tuple[bytes, bytes]) -> None:
        raise NotImplementedError

    async def set_trust(self, partner_dns: str, *, attributes: int | None = None, direction: int | None = None) -> None:
        raise NotImplementedError

    async def delete_trust(self, partner_dns: str) -> None:
        raise NotImplementedError


class MemorySession:
    """A session in a MemoryDirectory with a token of its own."""

    def __init__(self, directory: MemoryDirectory, token: frozenset[str]) -> None:
        self._directory = directory
        self._token = token
        self.search, self.add = directory.search, directory.add
        self.modify, self.delete, self.rename = directory.modify, directory.delete, directory.rename

    async def token_sids(self) -> frozenset[str]:
        return self._token

    async def read_secrets(self, dn: str) -> tuple[bytes, bytes | None]:
        return b"hash of " + dn.encode(), None


def matches(where: str, rows: dict[str, list[bytes]]) -> tuple[bool, str]:
    """Evaluate an LDAP filter; return the answer and what is left of the text."""
    sign = where[1]
    if sign in "&|!":
        answers, rest = [], where[2:]
        while rest.startswith("("):
            answer, rest = matches(rest, rows)
            answers.append(answer)
        return {"&": all(answers), "|": any(answers), "!": not answers[0]}[sign], rest[1:]
    test, _, rest = where[1:].partition(")")
    name, _, value = test.partition("=")
    values = [one.lower() for key, many in rows.items() if key.lower() == name.lower() for one in many]
    raw = re.sub(rb"\\([0-9a-f]{2})", lambda found: bytes.fromhex(found[1].decode()), value.encode())
    return bool(values) if value == "*" else raw.lower() in values, rest


@dataclass
class Lab:
    """Both hosts, and who runs ADMT."""

    source: Machine
    target: Machine
    source_directory: MemoryDirectory
    target_directory: MemoryDirectory
    source_token: set[str] = field(default_factory=lambda: {OPERATOR, ADMINISTRATORS})
    target_token: set[str] = field(default_factory=lambda: {OPERATOR, ADMINISTRATORS})
    output: list[str] = field(default_factory=list)

    async def connect(self, host: str, credential: NetworkCredential) -> RemoteDirectory:
        if credential.password != "right":
            raise DirectoryRefused(49, "invalid credentials")
        if host == self.source.fqdn:
            return MemorySession(self.source_directory, frozenset(self.source_token))
        return MemorySession(self.target_directory, frozenset(self.target_token))

    async def call(self, machine: Machine, program: str, *arguments: str, logon: Logon | None = None) -> int:
        self.output.clear()
        logon = logon or Logon("TARGET\\migrator", frozenset({OPERATOR, ADMINISTRATORS}), "batch", CREDENTIAL)
        return await machine.run_program(program, arguments, logon, self.output.append, self.output.append)

    async def user(self, *more: str, logon: Logon | None = None) -> int:
        common = ("/SD:source.lab", "/TD:TARGET", "/TO:Migrated", "/MSS:YES", "/PO:COPY", r"/PS:\\srcdc1")
        includes = re.compile(r"/(n|f:.*|d(:.*)?)", re.IGNORECASE)
        names = () if any(includes.fullmatch(one) for one in more) else ("/N", "alice")
        return await self.call(self.target, "admt", "user", *names, *common, *more, logon=logon)

    async def restart(self, machine: Machine) -> None:
        await machine.shut_down()
        await machine.boot()

    async def install_pes(self, *more: str) -> int:
        properties = (f"PESKEYFILE={KEY_FILE}", f"PESKEYPASSWORD={KEY_PASSWORD}")
        return await self.call(self.source, "msiexec", *PES_ARGUMENTS, *properties, *more)

    def log(self) -> str:
        return read_log(self.target.files.read(CURRENT))


def directories() -> tuple[MemoryDirectory, MemoryDirectory]:
    source, target = MemoryDirectory(SOURCE), MemoryDirectory(TARGET)
    for directory, other, direction in ((source, target, 2), (target, source, 1)):
        base = directory.facts.base_dn
        descriptor = SECURITY_DESCRIPTOR.from_sddl(RIGHT).to_bytes() if directory is target else b""
        directory.put(base, objectClass="domainDNS", nTSecurityDescriptor=descriptor)
        directory.put(
            f"CN={other.facts.dns},CN=System,{base}",
            objectClass="trustedDomain",
            trustPartner=other.facts.dns,
            flatName=other.facts.netbios,
            trustDirection=direction,
        )
    source.put(STAFF, objectClass="organizationalUnit")
    target.put(MIGRATED, objectClass="organizationalUnit")
    person = {"objectClass": ["top", "person", "user"], "objectCategory": "person", "userAccountControl": 512}
    source.put(f"CN=Alice Example,{STAFF}", f"{SOURCE.sid}-1001", **person, sAMAccountName="alice", givenName="Alice")
    source.put(rf"CN=Monster\, Cookie,{STAFF}", f"{SOURCE.sid}-1002", **person, sAMAccountName="cookie")
    group = {"objectClass": ["top", "group"], "groupType": -2147483646}
    member = f"CN=Alice Example,{STAFF}"
    source.put(f"CN=Readers,{STAFF}", f"{SOURCE.sid}-1003", **group, sAMAccountName="Readers", member=member)
    source.put(
        "CN=SOURCE$$$,CN=Users,DC=source,DC=lab",
        f"{SOURCE.sid}-1004",
        objectClass=["top", "group"],
        groupType=-2147483644,
        sAMAccountName="SOURCE$$$",
    )
    foreign = f"CN=ForeignSecurityPrincipals,{TARGET.base_dn}"
    target.put(
        f"CN=Pre-Windows 2000 Compatible Access,CN=Builtin,{TARGET.base_dn}",
        "S-1-5-32-554",
        member=[f"CN=S-1-1-0,{foreign}", f"CN=S-1-5-7,{foreign}"],
    )
    target.put(f"CN=migrator,CN=Users,{TARGET.base_dn}", OPERATOR, objectClass="user", sAMAccountName="migrator")
    return source, target


async def bare_lab(directory: Path) -> Lab:
    """Two pristine hosts that are up, with nothing installed."""
    machines = []
    sides = directories()
    for side in sides:
        machine = Machine(path=directory / f"{side.facts.role}.json", facts=side.facts, directory=side)
        machine.read(pristine(side.facts, awkward=False))
        install(machine)
        await machine.boot()
        machines.append(machine)
    lab = Lab(machines[0], machines[1], *sides)
    for machine, peer in ((machines[0], machines[1]), (machines[1], machines[0])):
        machine.peers = {peer.fqdn: peer}
        machine.connect = lab.connect
    return lab


async def ready_lab(directory: Path) -> Lab:
    """Everything in place, in the order of the article."""
    lab = await bare_lab(directory)
    assert await lab.call(lab.target, r"C:\Install\admtsetup32.exe", "/quiet") == 0
    lab.target.files.make_directory(r"C:\PES")
    assert await create_key(lab) == 0
    lab.source.files.write(KEY_FILE, lab.target.files.read(KEY_FILE), parents=True)
    assert await lab.install_pes() == 3010
    lab.source.registry.set(LSA, "TcpipClientSupport", "DWord", 1)
    lab.source.registry.set(LSA, "AllowPasswordExport", "DWord", 1)
    lab.target.registry.set(LSA, "RestrictAnonymous", "DWord", 0)
    for machine in (lab.source, lab.target):
        for one in machine.audit.in_category(ACCOUNT_MANAGEMENT):
            machine.audit.set(one.guid, 3)
    await lab.restart(lab.source)
    assert await lab.source.services.start("PesSvc") == 0
    return lab


async def create_key(
    lab: Lab, option: str = "create", password: str = KEY_PASSWORD, file: str = r"C:\PES\source"
) -> int:
    return await lab.call(
        lab.target, "admt.exe", "key", f"/option:{option}", "/sourcedomain:source.lab", f"/keyfile:{file}",
        f"/keypassword:{password}",
    )  # fmt: skip


def on_loop(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    @wraps(test)
    def run(*arguments: Any, **named: Any) -> None:
        asyncio.run(test(*arguments, **named))  # type: ignore[arg-type]

    return run

"""What a lab is asked to be, where it keeps things, and what it tells other programs about itself (lab.json)."""

from __future__ import annotations

import hashlib
import ipaddress
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

from reconciler.lab.windows.contract import DomainFacts

Role = Literal["source", "target"]
ROLES: tuple[Role, Role] = ("source", "target")
MOST_ADMT_HOSTS = 9
PASSWORDS = ("source-admin", "target-admin", "migrator", "key-password")

# Settings that are baked into the disks; the others may change with every start.
BUILT_IN = (
    "source_address", "target_address", "users", "groups", "computers", "units", "awkward", "trust", "locale", "admt_hosts", "member_address",
)  # fmt: skip

# Unix socket addresses end at 108 bytes, and Samba adds "/source/ncalrpc/np/..." to the directory.
LONGEST_DIRECTORY = 64


class LabError(Exception):
    """The lab cannot do what was asked; the text is written for a person."""


@dataclass(frozen=True, slots=True)
class Member:
    """A member server of the target domain.

    Attributes:
        name: Its host name without its domain.
        address: A loopback address of its own.
    """

    name: str
    address: str

    @property
    def fqdn(self) -> str:
        """Its DNS name."""
        return f"{self.name}.target.lab"


@dataclass(frozen=True, slots=True)
class LabSettings:
    """What was asked for when the lab was started.

    Args:
        directory: Everything the lab owns lies below it.
        users: Accounts in OU=Staff of the source, awkward names included.
        groups: Nested groups in OU=Groups of the source, beside the six that are always there.
        computers: Computer accounts in OU=Workstations of the source.
        units: Departments below OU=Staff, among which the numbered part of the staff is spread.
        awkward: Start from a world in which somebody had already changed some of the things a migration changes.
        trust: Build the lab with an external, quarantined two-way trust already there (implied by ``awkward``).
        restart_seconds: How long a restarting host stays down.
        locale: Language of the simulated hosts.
        hosts: Run the simulated Windows hosts too, not only the directories.
        admt_hosts: On how many hosts of the target ADMT can be installed; all but the controller are member servers.
        member_address: Loopback address of the first member server; the others have those that follow.
    """

    directory: Path
    source_address: str = "127.0.0.21"
    target_address: str = "127.0.0.22"
    users: int = 40
    groups: int = 0
    computers: int = 0
    units: int = 0
    awkward: bool = False
    trust: bool = False
    restart_seconds: float = 2.0
    locale: str = "en"
    hosts: bool = True
    admt_hosts: int = 1
    member_address: str = "127.0.0.23"

    @property
    def members(self) -> tuple[Member, ...]:
        """The member servers of the target."""
        first = ipaddress.ip_address(self.member_address)
        return tuple(Member(f"tgtadmt{2 + index}", str(first + index)) for index in range(self.admt_hosts - 1))

    def problem(self) -> str | None:
        """Say why there cannot be such member servers."""
        if not 1 <= self.admt_hosts <= MOST_ADMT_HOSTS:
            return (
                f"there can be 1 to {MOST_ADMT_HOSTS} ADMT hosts, not {self.admt_hosts}\n  do: choose with --admt-hosts"
            )
        try:
            taken = {one.address for one in self.members} & {self.source_address, self.target_address}
        except ValueError:
            return f"{self.member_address} is no address for member servers\n  do: choose another one with --member-address"
        if taken:
            return f"{', '.join(taken)} is a controller's address\n  do: choose another one with --member-address"
        return None

    def address(self, role: Role) -> str:
        """Return the loopback address of a domain's controller."""
        return self.source_address if role == "source" else self.target_address

    @property
    def paths(self) -> LabPaths:
        """Where things lie."""
        return LabPaths(self.directory)

    def differences(self, built: LabSettings) -> list[str]:
        """Name what cannot be changed without building the lab anew, as ``users=40 (built with 20)``."""
        return [
            f"{name}={getattr(self, name)} (built with {getattr(built, name)})"
            for name in BUILT_IN
            if getattr(self, name) != getattr(built, name)
        ]

    def write(self) -> None:
        """Keep the settings in the lab's directory."""
        values = {key: value for key, value in asdict(self).items() if key != "directory"}
        write_private(self.paths.settings_file, json.dumps(values, indent=2) + "\n")

    @classmethod
    def read(cls, directory: Path) -> LabSettings | None:
        """Return the settings a lab was last started with, or None where there is no lab."""
        try:
            values = json.loads(LabPaths(directory).settings_file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        known = {field.name for field in fields(cls)}
        return replace(cls(directory), **{key: value for key, value in values.items() if key in known})


@dataclass(frozen=True, slots=True)
class LabPaths:
    """Every place below the lab's directory."""

    directory: Path

    @property
    def settings_file(self) -> Path:
        return self.directory / "settings.json"

    @property
    def lab_json(self) -> Path:
        return self.directory / "lab.json"

    @property
    def ca_file(self) -> Path:
        return self.directory / "ca.pem"

    @property
    def krb5_conf(self) -> Path:
        return self.directory / "krb5.conf"

    @property
    def keytab(self) -> Path:
        """Keys of host/, HTTP/ and WSMAN/ of all hosts, for the WinRM listeners."""
        return self.directory / "winrm.keytab"

    @property
    def users_file(self) -> Path:
        return self.directory / "users.csv"

    @property
    def log_file(self) -> Path:
        return self.directory / "lab.log"

    @property
    def snapshot(self) -> Path:
        return self.directory / "snapshot"

    @property
    def restoring(self) -> Path:
        """Holds domains while they are copied back from the snapshot."""
        return self.directory / "restoring"

    @property
    def run(self) -> Path:
        return self.directory / "run"

    @property
    def lock_file(self) -> Path:
        """Held by the supervisor as long as it lives: the only test of whether a lab runs."""
        return self.run / "lock"

    @property
    def pid_file(self) -> Path:
        return self.run / "pid"

    @property
    def control_socket(self) -> Path:
        return self.run / "control.sock"

    @property
    def hosts(self) -> Path:
        return self.directory / "hosts"

    @property
    def journal(self) -> Path:
        """The product's journal for this lab; only reset touches it."""
        return self.directory / "journal"

    @property
    def locks(self) -> Path:
        """Samba's lock directories. They lie elsewhere because Samba insists that part of them is open to all."""
        digest = hashlib.sha256(os.fsencode(self.directory)).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"reconcile-lab-{os.getuid()}-{digest}"

    def secret(self, name: str) -> Path:
        return self.directory / "secrets" / name

    def password(self, name: str) -> str:
        """Read one of PASSWORDS."""
        return self.secret(name).read_text(encoding="utf-8").rstrip("\r\n")

    def domain(self, role: Role) -> Path:
        """Return the directory that holds one domain's Samba."""
        return self.directory / role

    def smb_conf(self, role: Role) -> Path:
        return self.domain(role) / "etc" / "smb.conf"

    def certificate(self, place: str) -> Path:
        """Return the certificate of a domain's controller, by its role, or of a member server, by its name."""
        return self.directory / "tls" / f"{place}.pem"

    def private_key(self, place: str) -> Path:
        return self.directory / "tls" / f"{place}.key"

    def disk(self, fqdn: str) -> Path:
        """Return the file in which a simulated host keeps its disk."""
        return self.hosts / fqdn / "disk.json"

    def command_log(self, fqdn: str) -> Path:
        return self.hosts / fqdn / "commands.jsonl"


def domain_facts(settings: LabSettings, role: Role, sid: str) -> DomainFacts:
    """Return what every room needs to know about one domain."""
    dns = f"{role}.lab"
    return DomainFacts(
        role=role,
        dns=dns,
        netbios=role.upper(),
        sid=sid,
        base_dn=f"DC={role},DC=lab",
        controller=f"{controller_name(role)}.{dns}",
        address=settings.address(role),
    )


def controller_name(role: Role) -> str:
    """Return a controller's host name without its domain."""
    return "srcdc1" if role == "source" else "tgtdc1"


def lab_document(settings: LabSettings, facts: Mapping[Role, DomainFacts], pid: int, network: str) -> dict[str, Any]:
    """Describe a running lab for people and other programs.

    Args:
        network: ``host`` where the addresses are on the host's own loopback, ``namespace`` where they can only be
            reached from inside the supervisor's network namespace (``reconcile lab exec``).
    """
    paths = settings.paths
    domains: dict[str, Any] = {}
    hosts: dict[str, Any] = {}
    for role, domain in facts.items():
        domains[role] = {
            "dns": domain.dns,
            "netbios": domain.netbios,
            "sid": domain.sid,
            "base_dn": domain.base_dn,
            "controller": domain.controller,
            "address": domain.address,
            "ldap": f"ldap://{domain.address}:389",
            "ldaps": f"ldaps://{domain.address}:636",
            "ca_file": str(paths.ca_file),
            "admin": f"Administrator@{domain.dns.upper()}",
            "admin_password_file": str(paths.secret(f"{role}-admin")),
        }
        hosts[domain.controller] = _host_document(paths, domain, domain.controller, domain.address)
    for member in settings.members:
        hosts[member.fqdn] = _host_document(paths, facts["target"], member.fqdn, member.address)
    return {
        "domains": domains,
        "hosts": hosts,
        "users_file": str(paths.users_file),
        "operator": {"account": "TARGET\\migrator", "password_file": str(paths.secret("migrator"))},
        "key_password_file": str(paths.secret("key-password")),
        "krb5_config": str(paths.krb5_conf),
        "control_socket": str(paths.control_socket),
        "network": network,
        "pid": pid,
    }


def _host_document(paths: LabPaths, domain: DomainFacts, fqdn: str, address: str) -> dict[str, Any]:
    return {
        "address": address,
        "winrm_https": f"https://{address}:5986/wsman",
        "winrm_http": f"http://{address}:5985/wsman",
        "ca_file": str(paths.ca_file),
        "user": f"{domain.netbios}\\Administrator",
        "password_file": str(paths.secret(f"{domain.role}-admin")),
        "command_log": str(paths.command_log(fqdn)),
    }


def write_private(path: Path, content: str | bytes) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    data = content.encode("utf-8") if isinstance(content, str) else content
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    draft.replace(path)

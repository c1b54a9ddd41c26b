"""What the rooms of the lab agree on: who acts, what a machine offers, what a command is. Nothing here acts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

Attributes = Mapping[str, Sequence[bytes]]


@dataclass(frozen=True, slots=True)
class DomainFacts:
    """One Samba forest of the lab, as every room needs to know it."""

    role: Literal["source", "target"]
    dns: str  # source.lab
    netbios: str  # SOURCE
    sid: str  # S-1-5-21-...
    base_dn: str  # DC=source,DC=lab
    controller: str  # srcdc1.source.lab
    address: str  # 127.0.0.21


@dataclass(frozen=True, slots=True)
class NetworkCredential:
    """A name and password that can be used against another machine."""

    domain: str  # NetBIOS name
    username: str  # sAMAccountName
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Logon:
    """On whose behalf something runs on a simulated host.

    A WinRM session is a *network* logon: it has no credential for a second machine (``network is None``).
    A scheduled task registered with a password is a *batch* logon and carries one.
    """

    account: str  # SOURCE\Administrator, or NT AUTHORITY\SYSTEM
    sids: frozenset[str]  # the user's own SID and every group, nested ones included
    kind: Literal["network", "batch", "interactive", "system"]
    network: NetworkCredential | None = None

    @property
    def is_administrator(self) -> bool:
        """True where the token holds BUILTIN\\Administrators or is the system itself."""
        return "S-1-5-32-544" in self.sids or "S-1-5-18" in self.sids


@dataclass(frozen=True, slots=True)
class Entry:
    """One directory object; attribute names as the directory spells them."""

    dn: str
    attributes: Attributes

    def text(self, name: str) -> str | None:
        """Return the first value of an attribute as text, or None."""
        for key, values in self.attributes.items():
            if key.lower() == name.lower() and values:
                return values[0].decode("utf-8")
        return None

    def all(self, name: str) -> list[bytes]:
        """Return every value of an attribute, [] where it is absent."""
        for key, values in self.attributes.items():
            if key.lower() == name.lower():
                return list(values)
        return []


@dataclass(frozen=True, slots=True)
class Change:
    """One attribute change inside a modify."""

    attribute: str
    operation: Literal["add", "replace", "delete"]
    values: tuple[bytes, ...] = ()


class DirectoryRefused(Exception):
    """The directory answered with an error; ``code`` is the LDAP result code."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text


class Directory(Protocol):
    """The domain controller's own directory, with the rights of the system (file access to its database)."""

    facts: DomainFacts

    async def search(
        self, base: str, scope: Literal["base", "one", "sub"], where: str, attributes: Sequence[str]
    ) -> list[Entry]: ...
    async def add(self, dn: str, attributes: Attributes) -> None: ...
    async def modify(self, dn: str, changes: Sequence[Change]) -> None: ...
    async def delete(self, dn: str) -> None: ...

    async def token_sids(self, account_dn: str) -> frozenset[str]:
        """Return the account's SID and those of every group it is in, nested and BUILTIN ones included."""
        ...

    async def foreign_token_sids(self, sids: frozenset[str]) -> frozenset[str]:
        """Return ``sids`` plus the groups of *this* domain that they bring through foreignSecurityPrincipals."""
        ...

    async def check_password(self, sam_account_name: str, password: str) -> bool:
        """Return whether the password is right (a real logon against the controller)."""
        ...

    async def add_sid_history(self, dn: str, sid: str) -> None: ...
    async def remove_sid_history(self, dn: str, sids: Sequence[str]) -> None: ...

    async def forget_members(self, dn: str) -> None:
        """Drop the traces of former members of an empty group; each of them makes the next change of it slower on Samba."""
        ...

    async def write_password(self, dn: str, nt_hash: bytes, supplemental: bytes | None, *, must_change: bool) -> None:
        """Store a password by its hashes, as PES does; nobody ever sees the clear text."""
        ...

    async def random_password(self, dn: str, *, must_change: bool) -> None: ...

    async def create_trust(self, direction: int, attributes: int, secret: tuple[bytes, bytes]) -> None:
        """Create this side's trustedDomain object towards the other lab forest.

        Args:
            direction: 1 inbound, 2 outbound, 3 both (trustDirection).
            attributes: trustAttributes; 0x4 is quarantined, 0x8 forest-transitive, 0x40 treat-as-external.
            secret: (incoming, outgoing) trust passwords; the other side stores them crossed over.
        """
        ...

    async def set_trust(
        self, partner_dns: str, *, attributes: int | None = None, direction: int | None = None
    ) -> None: ...
    async def delete_trust(self, partner_dns: str) -> None: ...


class RemoteDirectory(Protocol):
    """Another machine's directory over the network with somebody's own credentials: real LDAPS, real DRSUAPI."""

    async def search(
        self, base: str, scope: Literal["base", "one", "sub"], where: str, attributes: Sequence[str]
    ) -> list[Entry]: ...
    async def add(self, dn: str, attributes: Attributes) -> None: ...
    async def modify(self, dn: str, changes: Sequence[Change]) -> None: ...
    async def delete(self, dn: str) -> None: ...

    async def rename(self, dn: str, rdn: str, parent: str) -> None:
        """Give an object another name, another place below ``parent``, or both."""
        ...

    async def token_sids(self) -> frozenset[str]:
        """Return the SIDs of this session's token (rootDSE tokenGroups)."""
        ...

    async def read_secrets(self, dn: str) -> tuple[bytes, bytes | None]:
        """Return (NT hash, supplementalCredentials) of an account by DRSUAPI replication of that one object."""
        ...


ConnectDirectory = Callable[[str, NetworkCredential], Awaitable[RemoteDirectory]]
"""(controller FQDN or domain DNS name, credential) -> a bound session; raises DirectoryRefused(49, ...) or OSError."""


class Process(Protocol):
    """A running native program: its argument list, its logon, its machine, and where its output goes."""

    arguments: Sequence[str]  # without the program itself
    logon: Logon
    machine: Any  # reconciler.lab.windows.machine.Machine
    directory: str  # current directory, 'C:\\Windows\\System32' in a session

    def out(self, line: str) -> None: ...
    def err(self, line: str) -> None: ...


Program = Callable[[Process], Awaitable[int]]
"""A native program; returns its exit code."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a simulated cmdlet, bound as PowerShell binds it."""

    name: str
    kind: Literal[
        "string", "strings", "switch", "int", "bool", "any", "bytes", "securestring", "credential", "dictionary"
    ] = "string"
    position: int | None = None
    mandatory: bool = False
    from_pipeline: bool = False
    aliases: tuple[str, ...] = ()
    values: tuple[str, ...] = ()  # ValidateSet
    secret: bool = False  # masked in the command log


class Call(Protocol):
    """What a simulated cmdlet sees of its invocation."""

    machine: Any  # reconciler.lab.windows.machine.Machine
    logon: Logon
    arguments: Mapping[str, Any]  # bound parameters, by their full names
    pipeline_input: Sequence[Any]
    what_if: bool

    def output(self, value: Any) -> None: ...
    def warning(self, text: str) -> None: ...
    def verbose(self, text: str) -> None: ...

    def error(self, exception: str, message: str, error_id: str, category: str, target: object = None) -> None:
        """Write a non-terminating error (honours -ErrorAction).

        Args:
            exception: .NET type, 'System.Management.Automation.ItemNotFoundException'.
            message: The text a person sees.
            error_id: First part of FullyQualifiedErrorId; the cmdlet's class is appended.
            category: Name in ErrorCategory, 'ObjectNotFound'.
            target: TargetObject.
        """
        ...

    def throw(self, exception: str, message: str, error_id: str, category: str, target: object = None) -> Any:
        """Raise a statement-terminating error."""
        ...


@dataclass(frozen=True, slots=True)
class Cmdlet:
    """A simulated cmdlet: name, parameters, .NET class (for error ids) and what it does."""

    name: str
    parameters: tuple[Parameter, ...]
    run: Callable[[Call], Awaitable[None]]
    class_name: str = ""  # empty: Microsoft.PowerShell.Commands.<Verb><Noun>Command
    aliases: tuple[str, ...] = ()

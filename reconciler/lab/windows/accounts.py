"""Names and SIDs on a simulated controller: which account a person means by ``DOMAIN\\name``."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reconciler.lab.windows.contract import Entry
from reconciler.lab.windows.trusts import controller_of, is_domain, trust_with

if TYPE_CHECKING:
    from reconciler.lab.windows.machine import Machine

WELL_KNOWN = {
    "S-1-1-0": "Everyone",
    "S-1-5-7": r"NT AUTHORITY\ANONYMOUS LOGON",
    "S-1-5-9": r"NT AUTHORITY\ENTERPRISE DOMAIN CONTROLLERS",
    "S-1-5-11": r"NT AUTHORITY\Authenticated Users",
    "S-1-5-17": r"NT AUTHORITY\IUSR",
    "S-1-5-18": r"NT AUTHORITY\SYSTEM",
    "S-1-5-19": r"NT AUTHORITY\LOCAL SERVICE",
    "S-1-5-20": r"NT AUTHORITY\NETWORK SERVICE",
}
_SPELLINGS = {
    **{name.lower(): sid for sid, name in WELL_KNOWN.items()},
    **{name.partition("\\")[2].lower(): sid for sid, name in WELL_KNOWN.items() if "\\" in name},
    "localsystem": "S-1-5-18",
}
_ATTRIBUTES = ("objectSid", "objectClass", "sAMAccountName")


class NoSuchAccount(LookupError):
    """No account has that name or SID, as far as this machine can see."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody or a group. ``home`` is the controller whose directory holds it; None for well-known principals and local ones."""

    account: str  # TARGET\migrator
    sid: str
    dn: str
    is_group: bool
    home: Machine | None = None

    @property
    def sam_account_name(self) -> str:
        """The name without its domain."""
        return self.account.rpartition("\\")[2]


async def find_account(machine: Machine, account: str) -> Principal:
    """Return the account that a name means: ``DOMAIN\\name``, ``name@domain``, a bare name, or a SID.

    A foreign name resolves only through a trust, and only while a controller of that domain answers.

    Raises:
        NoSuchAccount: Nobody has it.
    """
    text = account.strip()
    sid = text.upper() if text.upper().startswith("S-1-") else _SPELLINGS.get(text.lower())
    if sid is not None:
        return await find_sid(machine, sid)
    domain, name = split_account(text, machine.facts.netbios)
    if not machine.is_controller and domain.upper() == "BUILTIN":
        return _local(machine, machine.local.named(name) or account)
    home = await _home(machine, domain)
    if home is None:
        raise NoSuchAccount(account)
    where = f"(&(sAMAccountName={escape(name)})(objectSid=*))"
    rows = await home.directory.search(home.facts.base_dn, "sub", where, _ATTRIBUTES)
    if not rows:
        raise NoSuchAccount(account)
    return _principal(rows[0], home)


async def find_sid(machine: Machine, sid: str) -> Principal:
    """Return who has a SID; raises NoSuchAccount where nobody does."""
    if sid in WELL_KNOWN:
        return Principal(WELL_KNOWN[sid], sid, "", sid not in ("S-1-5-18", "S-1-5-19", "S-1-5-20"))
    if not machine.is_controller and (sid in machine.local.accounts or sid.startswith("S-1-5-32-")):
        return _local(machine, sid)
    home = machine.authority
    for peer in machine.peers.values():
        if sid.startswith(peer.facts.sid + "-"):
            home = await _home(machine, peer.facts.netbios)
    if home is None:
        raise NoSuchAccount(sid)
    where = f"(objectSid={escape_bytes(sid_bytes(sid))})"
    rows = await home.directory.search(home.facts.base_dn, "sub", where, _ATTRIBUTES)
    rows = [row for row in rows if row.text("sAMAccountName")]
    if not rows:
        raise NoSuchAccount(sid)
    return _principal(rows[0], home)


async def _home(machine: Machine, domain: str) -> Machine | None:
    if is_domain(machine.facts, domain) or domain.upper() == "BUILTIN":
        return machine.authority
    if await trust_with(machine, domain) is None:
        return None
    return controller_of(machine, domain)


def _local(machine: Machine, sid: str) -> Principal:
    """Return a group or an account of a member server itself."""
    if sid in machine.local.accounts:
        return Principal(f"{machine.name}\\{machine.local.accounts[sid]}", sid, "", is_group=False)
    if sid in machine.local.groups:
        return Principal(f"BUILTIN\\{machine.local.groups[sid].name}", sid, "", is_group=True)
    raise NoSuchAccount(sid)


def _principal(row: Entry, home: Machine) -> Principal:
    sid = sid_text(row.all("objectSid")[0])
    domain = "BUILTIN" if sid.startswith("S-1-5-32-") else home.facts.netbios
    is_group = b"group" in row.all("objectClass")
    return Principal(f"{domain}\\{row.text('sAMAccountName')}", sid, row.dn, is_group, home)


def split_account(account: str, default: str) -> tuple[str, str]:
    """Return (domain, name) of ``DOMAIN\\name``, ``name@domain`` or ``name``; ``.\\name`` is the default domain's."""
    if "\\" in account:
        domain, _, name = account.partition("\\")
        return (default if domain == "." else domain), name
    if "@" in account:
        name, _, domain = account.rpartition("@")
        return domain, name
    return default, account


def escape(text: str) -> str:
    """Return text as it may stand in an LDAP filter (RFC 4515)."""
    return "".join(f"\\{ord(sign):02x}" if sign in '\\*()\0"' else sign for sign in text)


def escape_bytes(value: bytes) -> str:
    """Return bytes as they may stand in an LDAP filter."""
    return "".join(f"\\{byte:02x}" for byte in value)


def sid_text(value: bytes) -> str:
    """Return a binary SID as S-1-..."""
    count = value[1]
    parts = struct.unpack_from(f"<{count}I", value, 8)
    return "-".join(["S", str(value[0]), str(int.from_bytes(value[2:8], "big")), *map(str, parts)])


def sid_bytes(text: str) -> bytes:
    """Return S-1-... as a binary SID; raises ValueError where it is none."""
    parts = text.split("-")
    if len(parts) < 3 or parts[0].upper() != "S":
        raise ValueError(text)
    revision, authority, *rest = (int(part) for part in parts[1:])
    return bytes([revision, len(rest)]) + authority.to_bytes(6, "big") + struct.pack(f"<{len(rest)}I", *rest)

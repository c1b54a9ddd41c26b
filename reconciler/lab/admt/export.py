"""Copying passwords through the Password Export Server: whether a session opens, and what one copy does.

A deviation: the real PES reads the hash inside the source controller's LSA and hands it over encrypted with the key.
Here the hash is read by replication with the task's own credential, which an administrator of the source may do too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from reconciler.lab.admt.database import key_for
from reconciler.lab.admt.domains import Side, host_named
from reconciler.lab.admt.errors import ACCESS_DENIED, RPC_UNAVAILABLE, TEXT, CopyRefused, reason, session_refused
from reconciler.lab.admt.pes import LOCAL_SYSTEM, SERVICE, pes_is_loaded, pes_key
from reconciler.lab.windows.accounts import escape_bytes, sid_bytes
from reconciler.lab.windows.contract import DirectoryRefused
from reconciler.lab.windows.registry import LSA

if TYPE_CHECKING:
    from reconciler.lab.windows.machine import Machine

PRE_WINDOWS_2000 = "S-1-5-32-554"
ANONYMOUS = frozenset({"S-1-1-0", "S-1-5-7"})  # Everyone and Anonymous Logon


@dataclass(slots=True)
class Export:
    """A session with a password export server."""

    server: Machine
    source: Side
    target: Side
    _let_in: bool | None = None  # by the target, when it was first asked: PES opens its session with it once [K]

    async def copy(self, source_dn: str, target_dn: str, *, must_change: bool) -> None:
        """Copy one password; nobody sees it.

        Raises:
            CopyRefused: The password of the target account is what it was.
        """
        if not _answers(self.server):
            raise CopyRefused(TEXT[RPC_UNAVAILABLE])  # row 5, and a service stopped in the middle of a run
        if self._let_in is None:
            self._let_in = not self._is_anonymous() or await _lets_anonymous_in(self.target)
        if not self._let_in:
            raise CopyRefused(TEXT[ACCESS_DENIED])  # row 4
        try:
            nt_hash, supplemental = await self.source.remote.read_secrets(source_dn)
            await self.target.directory.write_password(target_dn, nt_hash, supplemental, must_change=must_change)
        except (DirectoryRefused, OSError) as error:
            raise CopyRefused(reason(error)) from error

    def _is_anonymous(self) -> bool:
        """Tell whether PES comes to the target as nobody: LocalSystem has no identity across the trust."""
        service = self.server.services.get(SERVICE)
        return service is None or service.account.lower() == LOCAL_SYSTEM.lower()


def open_export(machine: Machine, name: str, source: Side, target: Side) -> Export:
    """Open a session with the password export server ``name``.

    Raises:
        RunRefused: The first precondition that is not met, in the words of the failure table.
    """
    server = host_named(machine, name)
    if server is None or server is not source.machine or not server.up or pes_key(server) is None:
        raise session_refused(TEXT[RPC_UNAVAILABLE])  # row 3
    if server.booted_dword("RunAsPPL") not in (None, 0) or not pes_is_loaded(server):
        raise session_refused(TEXT[RPC_UNAVAILABLE])  # row 3: LSA protection, or not restarted since the installation
    if not _answers(server):
        raise session_refused("Password Export Service is not running.")  # row 7
    if server.booted_dword("AllowPasswordExport") != 1:
        raise session_refused(TEXT[ACCESS_DENIED])  # facts 2: absent or 0 refuses; the wording is not documented
    key = key_for(machine, source.facts.netbios)
    if key is None:  # row 2
        raise session_refused(
            f"The target server \\\\{machine.name} does not have an encryption key "
            f"for source domain {source.facts.netbios}."
        )
    if key != pes_key(server):  # row 1
        raise session_refused(
            f"The source password export server and the target server \\\\{machine.name} "
            f"do not have the same encryption key for the source domain {source.facts.netbios}."
        )
    return Export(server, source, target)


def _answers(server: Machine) -> bool:
    service = server.services.get(SERVICE)
    return server.up and service is not None and service.running


async def _lets_anonymous_in(target: Side) -> bool:
    """Return whether the target's settings let an unauthenticated caller look accounts up. [KB322981]"""
    if target.machine.registry.dword(LSA, "RestrictAnonymous") not in (None, 0):
        return False
    where = f"(objectSid={escape_bytes(sid_bytes(PRE_WINDOWS_2000))})"
    rows = await target.directory.search(target.facts.base_dn, "sub", where, ("member",))
    members = {member.decode("utf-8").lower() for row in rows for member in row.all("member")}
    return all([members & await _names_of(sid, target) for sid in sorted(ANONYMOUS)])


async def _names_of(sid: str, target: Side) -> set[str]:
    """Return the DNs under which a well-known SID can be a member: its foreign object, and the forest's own one."""
    base = target.facts.base_dn
    known = f"CN=WellKnown Security Principals,CN=Configuration,{base}"
    rows = await target.directory.search(known, "one", f"(objectSid={escape_bytes(sid_bytes(sid))})", ("cn",))
    return {f"cn={sid},cn=foreignsecurityprincipals,{base}".lower(), *(row.dn.lower() for row in rows)}

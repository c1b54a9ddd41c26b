"""What must be true before ADMT migrates anything; each check reads the actual state and fails as documented.

The command line repairs nothing: only the wizard creates the group, the registry value and the audit policy. [KB322970]
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.lab.admt.domains import Side, connect, controllers, disconnect
from reconciler.lab.admt.errors import (
    ACCESS_DENIED,
    DESTINATION_AUDITING,
    DOMAIN_NOT_FOUND,
    INVALID_HANDLE,
    LOGON_FAILURE,
    MEMBER_IN_ALIAS,
    NO_SOURCE_CONTROLLER,
    NO_SUCH_ALIAS,
    NOT_ON_DESTINATION,
    SOURCE_AUDITING,
    TRUST_FAILURE,
    RunRefused,
    coded,
    sids_refused,
)
from reconciler.lab.admt.rights import may_migrate_sid_history
from reconciler.lab.windows.accounts import escape
from reconciler.lab.windows.audit import ACCOUNT_MANAGEMENT
from reconciler.lab.windows.contract import DirectoryRefused, Logon, NetworkCredential
from reconciler.lab.windows.logons import ADMINISTRATORS
from reconciler.lab.windows.trusts import trust_with

if TYPE_CHECKING:
    from reconciler.lab.admt.options import Options
    from reconciler.lab.windows.machine import Machine

LOCAL_SECURITY_GROUP = 0x80000004


async def open_domains(machine: Machine, logon: Logon, options: Options) -> tuple[Side, Side]:
    """Check what every run needs and return both domains; the caller disconnects them.

    Raises:
        RunRefused: The first precondition that is not met.
    """
    sids = options.yes("MIGRATESIDS")
    source, target = controllers(machine, options)
    if logon.network is None:
        # A WinRM session has no credential for a second machine (facts 6, JEA).
        raise _denied(sids)
    if sids and machine is not target:
        raise sids_refused(NOT_ON_DESTINATION)  # row 16
    await _check_trust(source, target)
    source_side = await _open(machine, source, logon.network, NO_SOURCE_CONTROLLER)
    try:
        if ADMINISTRATORS not in await source_side.remote.token_sids():
            raise _denied(sids)  # row 10
        target_side = await _open(machine, target, logon.network, DOMAIN_NOT_FOUND)
    except BaseException:
        await disconnect(source_side)
        raise
    return source_side, target_side


async def check_sid_history(source: Side, target: Side) -> None:
    """Check what DsAddSidHistory needs. [DSADD, KB322970]

    Raises:
        RunRefused: The first precondition that is not met.
    """
    await local_group(source)
    if source.machine.booted_dword("TcpipClientSupport") != 1:
        raise sids_refused(INVALID_HANDLE)  # row 8: missing, or set but not restarted since
    if not source.machine.audit.covers(ACCOUNT_MANAGEMENT):
        raise sids_refused(SOURCE_AUDITING)  # row 12
    if not target.machine.audit.covers(ACCOUNT_MANAGEMENT):
        raise sids_refused(DESTINATION_AUDITING)  # row 12
    if not await may_migrate_sid_history(target.directory, await target.remote.token_sids()):
        raise sids_refused(ACCESS_DENIED)  # row 10


async def local_group(source: Side) -> str:
    """Return the DN of the empty local group ``<NetBIOS>$$$``.

    Raises:
        RunRefused: It is missing, of another kind, or has members.
    """
    name = f"{source.facts.netbios}$$$"
    attributes = ("groupType", "member")
    rows = await source.directory.search(source.facts.base_dn, "sub", f"(sAMAccountName={escape(name)})", attributes)
    if not rows or int(rows[0].text("groupType") or 0) % 2**32 != LOCAL_SECURITY_GROUP:
        raise sids_refused(NO_SUCH_ALIAS)  # row 9
    if rows[0].all("member"):
        raise sids_refused(MEMBER_IN_ALIAS)  # facts 3.1: left behind by a run that died
    return rows[0].dn


async def _check_trust(source: Machine, target: Machine) -> None:
    outgoing = await trust_with(source, target.facts.dns)
    incoming = await trust_with(target, source.facts.dns)
    if outgoing is None or incoming is None or not outgoing.trusts_partner or not incoming.trusted_by_partner:
        raise RunRefused(f"{source.facts.netbios}: {coded(TRUST_FAILURE)}")


async def _open(machine: Machine, controller: Machine, credential: NetworkCredential, unreachable: int) -> Side:
    try:
        return await connect(machine, controller, credential)
    except DirectoryRefused as refusal:
        # The trust objects are there, so a refused logon means secrets that do not match, or a wrong password.
        raise RunRefused(f"{controller.facts.netbios}: {coded(LOGON_FAILURE)} [{refusal.code}]") from refusal
    except OSError as error:
        raise RunRefused(f"{controller.facts.netbios}: {coded(unreachable)}") from error


def _denied(sids: bool) -> RunRefused:
    if sids:
        return sids_refused(ACCESS_DENIED)
    return RunRefused(f"Unable to access the source domain. {coded(ACCESS_DENIED)}")

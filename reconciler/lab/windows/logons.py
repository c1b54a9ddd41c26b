"""Who gets on to a simulated host, and with which SIDs: network, batch and system logons."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from reconciler.lab.windows.accounts import NoSuchAccount, Principal, find_account
from reconciler.lab.windows.contract import DirectoryRefused, Logon, NetworkCredential
from reconciler.lab.windows.trusts import Trust, controller_of, trust_with

if TYPE_CHECKING:
    from reconciler.lab.windows.machine import Machine

ADMINISTRATORS = "S-1-5-32-544"
REMOTE_MANAGEMENT_USERS = "S-1-5-32-580"
BATCH_RIGHT = (ADMINISTRATORS, "S-1-5-32-551", "S-1-5-32-559")  # backup operators, performance log users

ERROR_NO_LOGON_SERVERS = 1311
ERROR_LOGON_FAILURE = 1326
ERROR_LOGON_TYPE_NOT_GRANTED = 1385
ERROR_NO_SUCH_ACCOUNT = 1332


class LogonRefused(Exception):
    """Nobody was logged on; ``code`` is the Win32 error."""

    def __init__(self, code: int, account: str) -> None:
        super().__init__(f"logon of {account} refused: {code}")
        self.code = code
        self.account = account


async def network_logon(machine: Machine, account: str) -> Logon:
    """Return the logon of somebody whose password or ticket was checked already; it ends at this machine.

    Raises:
        LogonRefused: The account is unknown here (a foreign one needs a trust).
    """
    principal = await _known(machine, account)
    return Logon(principal.account, await _token(machine, principal), "network")


async def check_account(machine: Machine, account: str, password: str) -> Principal:
    """Return the account if the password is right.

    Raises:
        LogonRefused: It is not, or the account is unknown (code 1332).
    """
    principal = await _known(machine, account)
    if principal.home is None or principal.is_group:
        raise LogonRefused(ERROR_LOGON_FAILURE, account)
    with _controller_answers(account):
        right = await principal.home.directory.check_password(principal.sam_account_name, password)
    if not right:
        raise LogonRefused(ERROR_LOGON_FAILURE, account)
    return principal


async def batch_logon(machine: Machine, account: str, password: str) -> Logon:
    """Return the logon of a scheduled task; it carries the credential, so it can go on to other machines.

    Raises:
        LogonRefused: Wrong password, or no right to log on as a batch job.
    """
    principal = await check_account(machine, account, password)
    sids = await _token(machine, principal)
    if not sids.intersection(BATCH_RIGHT):
        raise LogonRefused(ERROR_LOGON_TYPE_NOT_GRANTED, account)
    domain = principal.account.partition("\\")[0]
    return Logon(principal.account, sids, "batch", NetworkCredential(domain, principal.sam_account_name, password))


def system_logon(machine: Machine) -> Logon:
    """Return the logon of the machine's own system account, without an identity on the network."""
    del machine  # every machine's system is the same
    sids = frozenset({"S-1-5-18", ADMINISTRATORS, "S-1-1-0", "S-1-5-11"})
    return Logon(r"NT AUTHORITY\SYSTEM", sids, "system")


def may_open_shell(logon: Logon) -> bool:
    """Return whether WinRM lets somebody open a shell."""
    return logon.is_administrator or REMOTE_MANAGEMENT_USERS in logon.sids


async def _known(machine: Machine, account: str) -> Principal:
    if machine.authority is None:
        raise LogonRefused(ERROR_NO_LOGON_SERVERS, account)
    try:
        with _controller_answers(account):
            principal = await find_account(machine, account)
            trusted = principal.home in (None, machine.authority) or await _outbound(machine, principal) is not None
    except NoSuchAccount:
        raise LogonRefused(ERROR_NO_SUCH_ACCOUNT, account) from None
    if not trusted:
        raise LogonRefused(ERROR_NO_SUCH_ACCOUNT, account)
    return principal


@contextmanager
def _controller_answers(account: str) -> Iterator[None]:
    """Turn a directory that does not answer into the refusal Windows gives then."""
    try:
        yield
    except (DirectoryRefused, OSError) as refused:
        raise LogonRefused(ERROR_NO_LOGON_SERVERS, account) from refused


async def _token(machine: Machine, principal: Principal) -> frozenset[str]:
    with _controller_answers(principal.account):
        return await _sids(machine, principal)


async def _sids(machine: Machine, principal: Principal) -> frozenset[str]:
    if principal.home is None:
        return frozenset({principal.sid})
    sids = await _domain_sids(machine, principal, principal.home)
    if machine.is_controller:
        return sids
    # The built-in groups of a controller are its own; a member server has others under the same SIDs.
    return machine.local.token(frozenset(sid for sid in sids if not sid.startswith("S-1-5-32-")))


async def _domain_sids(machine: Machine, principal: Principal, home: Machine) -> frozenset[str]:
    """Return the SIDs that an account has by the directories."""
    sids = await home.directory.token_sids(principal.dn)
    if home is machine.authority:
        return sids
    trust = await _outbound(machine, principal)
    if trust is None or controller_of(machine, trust.partner_dns) is None:
        raise LogonRefused(ERROR_NO_SUCH_ACCOUNT, principal.account)
    return await machine.directory.foreign_token_sids(_filtered(sids, trust, home.facts.sid))


def _filtered(sids: frozenset[str], trust: Trust, home_sid: str) -> frozenset[str]:
    """Drop what does not cross a trust: the other side's BUILTIN groups, and foreign SIDs where they are filtered."""
    crossing = {sid for sid in sids if not sid.startswith("S-1-5-32-")}
    if trust.honours_history:
        return frozenset(crossing)
    return frozenset(sid for sid in crossing if sid.startswith(home_sid + "-") or not sid.startswith("S-1-5-21-"))


async def _outbound(machine: Machine, principal: Principal) -> Trust | None:
    if principal.home is None:
        return None
    trust = await trust_with(machine, principal.home.facts.dns)
    return trust if trust is not None and trust.trusts_partner else None

"""netdom.exe trust: makes, removes, verifies and relaxes external trusts, with a credential for each side."""

from __future__ import annotations

import secrets
import string
from dataclasses import dataclass

from reconciler.lab.windows.contract import DirectoryRefused, Logon, Process
from reconciler.lab.windows.logons import LogonRefused, check_account, network_logon
from reconciler.lab.windows.machine import Machine
from reconciler.lab.windows.switches import Switches, read_switches
from reconciler.lab.windows.trusts import (
    BOTH_WAYS,
    FOREST_TRANSITIVE,
    INBOUND,
    OUTBOUND,
    QUARANTINED,
    TREAT_AS_EXTERNAL,
    Trust,
    controller_of,
    trust_with,
)

_SECRET_LENGTH = 120
_PRINTABLE = string.ascii_letters + string.digits + "!#$%&()*+,-./:;<=>?@[]^_{|}~"
_TEXTS = {
    2: "The system cannot find the file specified.",
    5: "Access is denied.",
    87: "The parameter is incorrect.",
    183: "Cannot create a file when that file already exists.",
    1326: "The user name or password is incorrect.",
    1355: "The specified domain either does not exist or could not be contacted.",
    1787: "The security database on the server does not have a computer account for this trust relationship.",
    1789: "The trust relationship between this workstation and the primary domain failed.",
}
_KNOWN = (
    *("domain", "d", "add", "remove", "force", "twoway", "verify", "quarantine", "enablesidhistory"),
    *("userd", "ud", "passwordd", "pd", "usero", "uo", "passwordo", "po"),
)
_ACTIONS = ("add", "remove", "verify", "quarantine", "enablesidhistory")


class _Failed(Exception):
    """The command fails with a Win32 code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class _Request:
    """One command: the two domains' controllers, where ``trusting`` is the side that lets the other's users in."""

    process: Process
    switches: Switches
    trusting: Machine
    trusted: Machine


async def netdom(process: Process) -> int:
    """Run netdom.exe; of its commands the lab has ``trust``."""
    switches = read_switches(process.arguments)
    try:
        await _trust(process, switches)
    except _Failed as failed:
        process.err(_TEXTS.get(failed.code, f"Error {failed.code}."))
        process.err("")
        process.err("The command failed to complete successfully.")
        return failed.code
    process.out("The command completed successfully.")
    return 0


async def _trust(process: Process, switches: Switches) -> None:
    partner = switches.get("domain", "d")
    actions = [name for name in _ACTIONS if name in switches]
    if len(switches.words) != 2 or not partner or len(actions) != 1 or switches.unknown(_KNOWN):
        raise _Failed(87)
    if switches.words[0].lower() != "trust":
        raise _Failed(87)
    trusting, trusted = controller_of(process.machine, switches.words[1]), controller_of(process.machine, partner)
    if trusting is None or trusted is None or trusting is trusted:
        raise _Failed(1355)
    request = _Request(process, switches, trusting, trusted)
    try:
        await {
            "add": _add,
            "remove": _remove,
            "verify": _verify,
            "quarantine": _quarantine,
            "enablesidhistory": _history,
        }[actions[0]](request)
    except DirectoryRefused as refused:
        raise _Failed({50: 5, 68: 183, 32: 2}.get(refused.code, 87)) from None


async def _add(request: _Request) -> None:
    await _demand_both(request)
    if await _between(request.trusting, request.trusted) or await _between(request.trusted, request.trusting):
        raise _Failed(183)
    both = "twoway" in request.switches
    first, second = _secret(), _secret()
    await request.trusting.directory.create_trust(BOTH_WAYS if both else OUTBOUND, QUARANTINED, (first, second))
    try:
        await request.trusted.directory.create_trust(BOTH_WAYS if both else INBOUND, QUARANTINED, (second, first))
    except DirectoryRefused:
        await request.trusting.directory.delete_trust(request.trusted.facts.dns)
        raise


def _secret() -> bytes:
    """Return a trust password as Windows makes them: 120 characters of UTF-16."""
    return "".join(secrets.choice(_PRINTABLE) for _ in range(_SECRET_LENGTH)).encode("utf-16-le")


async def _remove(request: _Request) -> None:
    await _demand_both(request)
    pairs = ((request.trusting, request.trusted), (request.trusted, request.trusting))
    there = [(one, other) for one, other in pairs if await _between(one, other) is not None]
    if not there:
        raise _Failed(2)
    for one, other in there:
        await one.directory.delete_trust(other.facts.dns)


async def _verify(request: _Request) -> None:
    await _demand_both(request)
    outgoing = await _between(request.trusting, request.trusted)
    incoming = await _between(request.trusted, request.trusting)
    if outgoing is None or not outgoing.trusts_partner:
        raise _Failed(1787)
    if incoming is None or not incoming.trusted_by_partner:
        raise _Failed(1789)
    names = request.trusting.facts.dns, request.trusted.facts.dns
    request.process.out(f"The trust between {names[0]} and {names[1]} has been successfully verified")


async def _quarantine(request: _Request) -> None:
    trust = await _outgoing(request)
    wanted = _yes_or_no(request.switches.get("quarantine"))
    if wanted is None:
        request.process.out(
            "SID filtering is enabled for this trust. Only SIDs from the trusted domain will be accepted for "
            "authorization data returned during authentication. SIDs from any other domains will be removed."
            if trust.attributes & QUARANTINED
            else "SID filtering is not enabled for this trust. All SIDs presented in an authentication request from "
            "this domain will be honored."
        )
        return
    await _set_bit(request, trust, QUARANTINED, wanted)
    request.process.out("Setting the trust to filter SIDs" if wanted else "Setting the trust to not filter SIDs")


async def _history(request: _Request) -> None:
    trust = await _outgoing(request)
    wanted = _yes_or_no(request.switches.get("enablesidhistory"))
    if not trust.attributes & FOREST_TRANSITIVE:
        raise _Failed(87)
    if wanted is None:
        state = "enabled" if trust.attributes & TREAT_AS_EXTERNAL else "disabled"
        request.process.out(f"SID history is {state} for this trust.")
        return
    await _set_bit(request, trust, TREAT_AS_EXTERNAL, wanted)
    request.process.out(f"{'Enabling' if wanted else 'Disabling'} SID history for this trust.")


def _yes_or_no(word: str | None) -> bool | None:
    if not word:
        return None
    if word.lower() not in ("yes", "no"):
        raise _Failed(87)
    return word.lower() == "yes"


async def _outgoing(request: _Request) -> Trust:
    """Return the trust as the trusting side holds it; only that side's administrator may look at it or change it."""
    await _demand(request.process, request.trusting, *_credential(request, "o"))
    trust = await _between(request.trusting, request.trusted)
    if trust is None or not trust.trusts_partner:
        raise _Failed(1355)
    return trust


async def _set_bit(request: _Request, trust: Trust, bit: int, wanted: bool) -> None:
    attributes = trust.attributes | bit if wanted else trust.attributes & ~bit
    await request.trusting.directory.set_trust(request.trusted.facts.dns, attributes=attributes)


async def _between(one: Machine, other: Machine) -> Trust | None:
    return await trust_with(one, other.facts.dns)


def _credential(request: _Request, side: str) -> tuple[str | None, str | None]:
    switches = request.switches
    return switches.get(f"user{side}", f"u{side}"), switches.get(f"password{side}", f"p{side}")


async def _demand_both(request: _Request) -> None:
    await _demand(request.process, request.trusting, *_credential(request, "o"))
    await _demand(request.process, request.trusted, *_credential(request, "d"))


async def _demand(process: Process, side: Machine, user: str | None, password: str | None) -> None:
    """Insist on an administrator of one side: by the credential given, else by who runs the command.

    A network logon has nothing to show to another machine: without a credential it is nobody there.
    """
    logon: Logon = process.logon
    try:
        if user is not None:
            principal = await check_account(side, user, password or "")
            logon = await network_logon(side, principal.account)
        elif side is not process.machine:
            if logon.network is None:
                raise _Failed(5)
            account = f"{logon.network.domain}\\{logon.network.username}"
            await check_account(side, account, logon.network.password)
            logon = await network_logon(side, account)
    except LogonRefused as refused:
        raise _Failed(1326 if user is not None else 5) from refused
    if not logon.is_administrator:
        raise _Failed(5)


PROGRAMS = {"netdom.exe": netdom}

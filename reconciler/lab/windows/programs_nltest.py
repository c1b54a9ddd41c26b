"""nltest.exe: asks Netlogon about secure channels, trusts and controllers."""

from __future__ import annotations

import uuid

from reconciler.lab.windows.contract import Process
from reconciler.lab.windows.machine import Machine
from reconciler.lab.windows.switches import Switches, read_switches
from reconciler.lab.windows.trusts import (
    FOREST_TRANSITIVE,
    QUARANTINED,
    TREAT_AS_EXTERNAL,
    Trust,
    controller_of,
    trust_with,
    trusts_of,
)

_NAMES = {
    0: "NERR_Success",
    5: "ERROR_ACCESS_DENIED",
    1311: "ERROR_NO_LOGON_SERVERS",
    1355: "ERROR_NO_SUCH_DOMAIN",
    1787: "ERROR_NO_TRUST_SAM_ACCOUNT",
}
_DONE = "The command completed successfully"


async def nltest(process: Process) -> int:
    """Run nltest.exe: /sc_verify, /sc_query, /domain_trusts, /dsgetdc."""
    switches = read_switches(process.arguments)
    for name, action in (
        ("sc_verify", _secure_channel),
        ("sc_query", _secure_channel),
        ("domain_trusts", _domain_trusts),
        ("dsgetdc", _controller),
    ):
        if name in switches:
            return await action(process, switches)
    process.out("Usage: nltest [/OPTIONS]")
    return 1


async def _secure_channel(process: Process, switches: Switches) -> int:
    """Show the channel to a domain that this one trusts; the other side must know of the trust, too."""
    machine: Machine = process.machine
    verify = "sc_verify" in switches
    domain = switches.get("sc_verify", "sc_query") or ""
    trust = await trust_with(machine, domain) if domain else None
    if not process.logon.is_administrator:
        return _failed(process, "I_NetLogonControl", 5)
    if trust is None or not trust.trusts_partner:
        return _failed(process, "I_NetLogonControl", 1355)
    partner = controller_of(machine, trust.partner_dns)
    status = await _channel_status(machine, partner)
    process.out(f"Flags: {'b0' if verify else '30'} {'HAS_IP  HAS_TIMESERV' if not status else '0'}")
    process.out(f"Trusted DC Name {'' if status or partner is None else chr(92) * 2 + partner.fqdn} ")
    process.out(f"Trusted DC Connection Status Status = {_status(status)}")
    if verify:
        process.out(f"Trust Verification Status = {_status(status)}")
    process.out(_DONE)
    return 0


async def _channel_status(machine: Machine, partner: Machine | None) -> int:
    if partner is None:
        return 1311
    back = await trust_with(partner, machine.facts.dns)
    return 0 if back is not None and back.trusted_by_partner else 1787


async def _domain_trusts(process: Process, switches: Switches) -> int:
    del switches
    machine: Machine = process.machine
    process.out("List of domain trusts:")
    trusts = await trusts_of(machine.directory, machine.facts)
    for index, trust in enumerate(trusts):
        flags = _flags(trust)
        process.out(f"    {index}: {trust.partner_netbios} {trust.partner_dns} (NT 5) {flags}")
    own = machine.facts
    process.out(f"    {len(trusts)}: {own.netbios} {own.dns} (NT 5) (Forest Tree Root) (Primary Domain) (Native)")
    process.out(_DONE)
    return 0


def _flags(trust: Trust) -> str:
    shown = [f"(Direct {word})" for word, there in _directions(trust) if there]
    bits = ((QUARANTINED, "quarantined"), (FOREST_TRANSITIVE, "foresttrans"), (TREAT_AS_EXTERNAL, "treat_as_external"))
    words = [word for bit, word in bits if trust.attributes & bit]
    return " ".join([*shown, f"( Attr: {' '.join(words)} )" if words else ""]).strip()


def _directions(trust: Trust) -> tuple[tuple[str, bool], ...]:
    return ("Outbound", trust.trusts_partner), ("Inbound", trust.trusted_by_partner)


async def _controller(process: Process, switches: Switches) -> int:
    machine: Machine = process.machine
    found = controller_of(machine, switches.get("dsgetdc") or machine.facts.dns)
    if found is None:
        return _failed(process, "Getting DC name", 1355)
    rows = await found.directory.search(found.facts.base_dn, "base", "(objectClass=*)", ("objectGUID",))
    guid = rows[0].all("objectGUID") if rows else []
    process.out(f"           DC: \\\\{found.fqdn}")
    process.out(f"      Address: \\\\{found.facts.address}")
    if guid:
        process.out(f"     Dom Guid: {uuid.UUID(bytes_le=guid[0])}")
    process.out(f"     Dom Name: {found.facts.dns}")
    process.out(f"  Forest Name: {found.facts.dns}")
    process.out(" Dc Site Name: Default-First-Site-Name")
    process.out("Our Site Name: Default-First-Site-Name")
    process.out(
        "        Flags: PDC GC DS LDAP KDC TIMESERV GTIMESERV WRITABLE DNS_DC DNS_DOMAIN DNS_FOREST CLOSE_SITE "
        "FULL_SECRET WS DS_8 DS_9 DS_10"
    )
    process.out(_DONE)
    return 0


def _failed(process: Process, what: str, code: int) -> int:
    process.out(f"{what} failed: Status = {_status(code)}")
    return 1


def _status(code: int) -> str:
    return f"{code} {hex(code)} {_NAMES[code]}"


PROGRAMS = {"nltest.exe": nltest}

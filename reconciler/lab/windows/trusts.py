"""The trusts of a simulated controller: the trustedDomain objects of its directory, and who stands behind them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from reconciler.lab.windows.contract import Directory, DomainFacts

if TYPE_CHECKING:
    from reconciler.lab.windows.machine import Machine

INBOUND, OUTBOUND, BOTH_WAYS = 1, 2, 3
QUARANTINED, FOREST_TRANSITIVE, TREAT_AS_EXTERNAL = 0x4, 0x8, 0x40


@dataclass(frozen=True, slots=True)
class Trust:
    """One trustedDomain object."""

    dn: str
    partner_dns: str
    partner_netbios: str
    direction: int
    attributes: int

    @property
    def trusts_partner(self) -> bool:
        """True where accounts of the partner may log on here."""
        return bool(self.direction & OUTBOUND)

    @property
    def trusted_by_partner(self) -> bool:
        """True where our accounts may log on there."""
        return bool(self.direction & INBOUND)

    @property
    def honours_history(self) -> bool:
        """True where SIDs of other domains in a partner's token count here."""
        if self.attributes & FOREST_TRANSITIVE:
            return bool(self.attributes & TREAT_AS_EXTERNAL)
        return not self.attributes & QUARANTINED


async def trusts_of(directory: Directory, facts: DomainFacts) -> list[Trust]:
    """Return every trust that a directory holds."""
    names = ("trustPartner", "flatName", "trustDirection", "trustAttributes")
    rows = await directory.search(f"CN=System,{facts.base_dn}", "one", "(objectClass=trustedDomain)", names)
    return [
        Trust(
            dn=row.dn,
            partner_dns=(row.text("trustPartner") or "").lower(),
            partner_netbios=(row.text("flatName") or "").upper(),
            direction=int(row.text("trustDirection") or 0),
            attributes=int(row.text("trustAttributes") or 0),
        )
        for row in rows
    ]


async def trust_with(machine: Machine, domain: str) -> Trust | None:
    """Return the machine's trust with a domain given by DNS or NetBIOS name, or None."""
    wanted = domain.lower()
    for trust in await trusts_of(machine.directory, machine.facts):
        if wanted in (trust.partner_dns, trust.partner_netbios.lower()):
            return trust
    return None


def is_domain(facts: DomainFacts, name: str) -> bool:
    """Return whether a name, DNS or NetBIOS, means this domain."""
    return name.lower() in (facts.dns.lower(), facts.netbios.lower())


def controller_of(machine: Machine, domain: str) -> Machine | None:
    """Return the controller of a domain that answers right now: this machine, a peer, or None."""
    for one in (machine, *machine.peers.values()):
        if one.is_controller and is_domain(one.facts, domain) and one.up:
            return one
    return None

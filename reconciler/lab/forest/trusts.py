"""Trusts between the two forests of a lab: creating both sides at once, and what the source lets through."""

from __future__ import annotations

import secrets

from reconciler.lab.forest.bridge import Bridge

BOTH_WAYS = 3
QUARANTINED, FOREST_TRANSITIVE, TREAT_AS_EXTERNAL = 0x4, 0x8, 0x40
CROSSED = {1: 2, 2: 1, 3: 3}  # what is inbound for one side is outbound for the other
SECRET_CHARACTERS = 120


def new_secret() -> bytes:
    """Return a trust password: 120 printable characters as UTF-16, as Windows makes them."""
    return secrets.token_urlsafe(SECRET_CHARACTERS)[:SECRET_CHARACTERS].encode("utf-16-le")


async def trust_each_other(one: Bridge, other: Bridge, *, direction: int, attributes: int) -> None:
    """Create both sides of a trust; ``direction`` is how ``one`` sees it."""
    incoming, outgoing = new_secret(), new_secret()
    await one.create_trust(direction, attributes, (incoming, outgoing))
    await other.create_trust(CROSSED[direction], attributes, (outgoing, incoming))


async def history_is_honoured(trusting: Bridge) -> bool:
    """Return whether a domain lets the partner's SID history in. Without a trust nothing gets there to be filtered."""
    rows = await trusting.search(
        f"CN=System,{trusting.facts.base_dn}",
        "one",
        f"(&(objectClass=trustedDomain)(trustPartner={trusting.peer.dns}))",
        ["trustAttributes"],
    )
    if not rows:
        return True
    attributes = int(rows[0].text("trustAttributes") or 0)
    if attributes & FOREST_TRANSITIVE:
        return bool(attributes & TREAT_AS_EXTERNAL)
    return not attributes & QUARANTINED

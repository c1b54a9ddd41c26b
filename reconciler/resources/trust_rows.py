"""What two directories say about a trust, and what ``nltest`` says about it; read into one view."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

from reconciler.core.query import Row, Rows, Search
from reconciler.resources import rows
from reconciler.resources.directory_rows import DomainNames, row_dn

TRUST_ATTRIBUTES = ("trustPartner", "flatName", "securityIdentifier", "trustDirection", "trustType", "trustAttributes")

_INBOUND, _OUTBOUND = 1, 2
_ACTIVE_DIRECTORY = 2
_QUARANTINED, _FOREST, _WITHIN_FOREST, _TREAT_AS_EXTERNAL = 0x4, 0x8, 0x20, 0x40

Direction = Literal["two-way", "outbound", "inbound", "disabled"]
Type = Literal["external", "forest", "other"]

_DIRECTIONS: dict[int, Direction] = {0: "disabled", 1: "inbound", 2: "outbound", 3: "two-way"}
_STATUS = re.compile(r"\bStatus\s*=\s*(\d+)", re.IGNORECASE)


class Side(Struct, frozen=True):
    """One trustedDomain object."""

    dn: str
    direction: Direction  # as this side sees it
    type: Type
    relaxed: bool  # whether SIDs of other domains are accepted from the partner

    @property
    def mirrored(self) -> Direction:
        """The direction as the other side should see it."""
        return mirror(self.direction)


def mirror(direction: Direction) -> Direction:
    """Return the same direction seen from the other end."""
    return {"inbound": "outbound", "outbound": "inbound"}.get(direction, direction)  # type: ignore[return-value]


def trusts_query(domain: str) -> Search:
    """Ask for every trust of a domain."""
    return Search(domain, "", "(objectClass=trustedDomain)", TRUST_ATTRIBUTES, "subtree")


def side_towards(partner: DomainNames, trusts: Rows, domain: str) -> Side | None:
    """Pick the trust with a partner: by SID, else by its names; None where there is none."""
    mine = [row for row in trusts if _is_with(row, partner)]
    row = rows.at_most_one(tuple(mine), f"the trust with {partner.dns}", domain)
    if row is None:
        return None
    attributes = rows.number_or_none(row, "trustAttributes") or 0
    kind: Type = "forest" if attributes & _FOREST else "external"
    if rows.number(row, "trustType") != _ACTIVE_DIRECTORY or attributes & _WITHIN_FOREST:
        kind = "other"
    relaxed = not attributes & _QUARANTINED and (kind != "forest" or bool(attributes & _TREAT_AS_EXTERNAL))
    return Side(
        str(row_dn(row)), _DIRECTIONS[rows.number(row, "trustDirection") & (_INBOUND | _OUTBOUND)], kind, relaxed
    )


def channel_works(answer: Rows) -> bool:
    """Read the answer of ``nltest /sc_verify``: its exit code, and every ``Status = n`` it prints."""
    exit_codes = [rows.number(row, "exit_code") for row in answer if rows.has(row, "exit_code")]
    statuses = [int(found) for line in _lines(answer) for found in _STATUS.findall(line)]
    return exit_codes == [0] and not any(statuses)


def _lines(answer: Rows) -> Iterable[str]:
    return (rows.text(row, "line") for row in answer if rows.has(row, "line"))


def _is_with(row: Row, partner: DomainNames) -> bool:
    sid = rows.sid_or_none(row, "securityIdentifier")
    if sid is not None:
        return sid == partner.sid
    names = {(rows.text_or_none(row, name) or "").casefold() for name in ("trustPartner", "flatName")}
    return not names.isdisjoint({partner.dns.casefold(), partner.netbios.casefold()})

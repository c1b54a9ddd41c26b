"""The DNS name of the PDC emulator of a domain, as its directory tells it."""

from __future__ import annotations

from reconciler.core.query import Query, Rows, Search
from reconciler.core.values import Dn
from reconciler.resources import rows
from reconciler.resources.directory_rows import head_query, row_dn


def pdc_queries(domain: str) -> tuple[Query, Query]:
    """Ask for the holder of the role, and for the names of all servers."""
    servers = Search(domain, "config:CN=Sites,", "(objectClass=server)", ("dNSHostName",), "subtree")
    return head_query(domain, "fSMORoleOwner"), servers


def read_pdc(head: Rows, servers: Rows, domain: str) -> str:
    """Read the answers to ``pdc_queries``; empty where it cannot be told."""
    owner = rows.text_or_none(rows.one(head, "the head of the domain", domain), "fSMORoleOwner")
    if owner is None:
        return ""
    holders = (one for one in servers if row_dn(one) == Dn(owner).parent and rows.has(one, "dNSHostName"))
    return next((rows.text(one, "dNSHostName") for one in holders), "")

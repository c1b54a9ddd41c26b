"""Which controllers a domain has, and which is the PDC emulator, by the directory's own account."""

from __future__ import annotations

from collections.abc import Callable

from reconciler.core.errors import UnexpectedAnswer
from reconciler.core.query import Row, Rows, Search
from reconciler.core.values import Dn

# Every naming context that a controller holds whole. A global catalog's part of another domain is in neither.
# msDS-hasFullReplicaNCs is what a read-only controller has instead of the first two (background knowledge; MS-ADSC
# names it among the attributes of the class and says no more).
_HOLDS = ("msDS-hasMasterNCs", "hasMasterNCs", "msDS-hasFullReplicaNCs", "msDS-HasDomainNCs")


def recorded_controllers(ask: Callable[[Search], Rows], domain: str, dns: str) -> tuple[str, ...]:
    """Return the DNS names of the controllers that hold a domain, read-only ones too.

    Each controller of a forest has an nTDSDSA object in the configuration naming context, below its server object, which
    has its DNS name. After a demotion the server object may stay; the nTDSDSA object goes (background knowledge), so
    that a server without one is none of ours. The class of read-only controllers, nTDSDSARO, is a subclass of nTDSDSA
    and found by the same filter (background knowledge).

    Args:
        ask: Answers a search.
        domain: Name in the state file.
        dns: DNS name of the domain.

    Raises:
        UnexpectedAnswer: The directory names none, or one that has no DNS name.

    Source: MS-ADTS 6.1.1.2.2.1.2.1.1 nTDSDSA Object; the section on the Server Object beside it (parent, dNSHostName).
    """
    head = Dn(",".join(f"DC={label}" for label in dns.rstrip(".").split(".")))
    agents = ask(Search(domain, "config:CN=Sites,", "(objectClass=nTDSDSA)", _HOLDS, "subtree", absent_ok=False))
    servers = ask(Search(domain, "config:CN=Sites,", "(objectClass=server)", ("dNSHostName",), "subtree"))
    names = {Dn(str(row["dn"])): _texts(row, "dnshostname") for row in servers}
    found: list[str] = []
    for agent in agents:
        if not any(head == held for name in _HOLDS for held in _texts(agent, name.lower())):
            continue
        server = Dn(str(agent["dn"])).parent
        if not names.get(server):
            raise UnexpectedAnswer(
                "a controller has no DNS name in the directory, so it cannot be asked",
                target=domain,
                where=str(server),
                do="if it is gone for good, remove its server object; else find out why its name is not there",
            )
        found.append(names[server][0])
    if not found:
        raise UnexpectedAnswer(
            f"the directory names no controller of {dns}",
            target=domain,
            where="CN=Sites in the configuration",
            do="give the credential the right to read the configuration",
        )
    return tuple(sorted(found, key=str.lower))


def pdc_emulator(ask: Callable[[Search], Rows], domain: str) -> str:
    """Return the DNS name of the controller that holds the PDC emulator role of a domain."""
    role = _first(ask(Search(domain, "", attributes=("fSMORoleOwner",))), "fsmoroleowner")
    if not role:
        raise UnexpectedAnswer("the directory does not say who the PDC emulator is", target=domain)
    server = Dn(role).parent  # the role is held by the server's NTDS settings
    name = _first(ask(Search(domain, str(server), attributes=("dNSHostName",))), "dnshostname")
    if not name:
        raise UnexpectedAnswer("the PDC emulator has no DNS name in the directory", target=domain, where=str(server))
    return name


def _first(rows: Rows, attribute: str) -> str:
    return next(iter(_texts(rows[0], attribute)), "") if rows else ""


def _texts(row: Row, name: str) -> tuple[str, ...]:
    values = row.get(name)
    if not isinstance(values, tuple):
        return ()
    return tuple(value.decode() for value in values if isinstance(value, bytes))

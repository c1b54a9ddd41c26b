"""Questions about a domain that several kinds ask, and how their answers are read: the domain head, its names, principals."""

from __future__ import annotations

from msgspec import Struct

from reconciler.core.errors import UnexpectedAnswer
from reconciler.core.query import Row, Rows, Search
from reconciler.core.values import Dn, Sid, escape_filter
from reconciler.resources import rows

FOREIGN = "CN=ForeignSecurityPrincipals"
WELL_KNOWN = "config:CN=WellKnown Security Principals,"
DOMAIN_SIDS = ("S-1-5-21-", "S-1-5-32-")


def row_dn(row: Row) -> Dn:
    """Return the DN of a search row."""
    try:
        return Dn(str(row["dn"]))
    except (KeyError, ValueError):
        raise UnexpectedAnswer("a search row has no readable DN", where=rows.where(row)) from None


def dns_of(dn: Dn) -> str:
    """Return the DNS name that the DC= parts of a DN spell, lower case."""
    return ".".join(value for name, value in dn.rdns() if name == "DC").lower()


def head_query(domain: str, *attributes: str) -> Search:
    """Ask for the domain head and its SID."""
    return Search(domain, "", attributes=("objectSid", *attributes), absent_ok=False)


def crossref_query(domain: str) -> Search:
    """Ask for the names of every domain of the forest."""
    return Search(
        domain,
        "config:CN=Partitions,",
        "(&(objectClass=crossRef)(nETBIOSName=*))",
        ("nCName", "nETBIOSName", "dnsRoot"),
        "one",
        absent_ok=False,
    )


class DomainNames(Struct, frozen=True):
    """What a domain calls itself."""

    dn: Dn
    sid: Sid
    dns: str
    netbios: str


def read_names(domain: str, head: Rows, crossrefs: Rows) -> DomainNames:
    """Read the answers to ``head_query`` and ``crossref_query``."""
    row = rows.one(head, "the head of the domain", domain)
    dn = row_dn(row)
    for crossref in crossrefs:
        if dn == rows.text(crossref, "nCName"):
            return DomainNames(dn, rows.sid(row, "objectSid"), dns_of(dn), rows.text(crossref, "nETBIOSName").upper())
    raise UnexpectedAnswer(f"CN=Partitions has no crossRef for {dn}, so its NetBIOS name is unknown", target=domain)


class Found(Struct, frozen=True):
    """A security principal: its SID, and the DNs that stand for it in the domain that was asked.

    A well-known SID may have two: below CN=ForeignSecurityPrincipals, and below CN=WellKnown Security Principals.
    """

    sid: Sid
    dns: tuple[Dn, ...] = ()


class Principal(Struct, frozen=True):
    """A user or group as written in a state file: a SID, ``NETBIOS\\name`` or a bare sAMAccountName."""

    text: str
    domain: str

    @property
    def sid(self) -> Sid | None:
        """The SID, where it was written as one."""
        return Sid(self.text) if self.text.upper().startswith("S-1-") else None

    @property
    def name(self) -> str:
        """The sAMAccountName."""
        return self.text.rpartition("\\")[2]

    @property
    def netbios(self) -> str:
        """The NetBIOS name in front of the backslash; empty for none."""
        return self.text.rpartition("\\")[0].upper()

    def queries(self) -> tuple[Search, Search, Search]:
        """Ask for the principal and for the names of its domain."""
        sid = self.sid
        where = (
            f"(objectSid={escape_filter(sid.to_bytes())})" if sid else f"(sAMAccountName={escape_filter(self.name)})"
        )
        # Everyone and its like live in the configuration; a member value may name that object instead of a foreign one.
        base = WELL_KNOWN if sid and not sid.startswith(DOMAIN_SIDS) else ""
        return (
            Search(self.domain, base, where, ("objectSid",), "subtree"),
            head_query(self.domain),
            crossref_query(self.domain),
        )

    def read(self, found: Rows, head: Rows, crossrefs: Rows) -> Found:
        """Read the answers to ``queries``.

        Raises:
            UnexpectedAnswer: There is no such account, or the name belongs to another domain than the one that was asked.
        """
        if self.sid is not None:  # well-known and foreign SIDs have no object here, and need none
            return Found(self.sid, tuple(map(row_dn, found)))
        row = rows.at_most_one(found, f"the account {self.text}", self.domain)
        names = read_names(self.domain, head, crossrefs)
        if self.netbios and self.netbios != names.netbios:
            raise UnexpectedAnswer(
                f"{self.text} was looked for in {names.netbios}, which is another domain",
                target=self.domain,
                do="name the domain that the account belongs to, as `member_domain` or `trustee_domain`",
            )
        if row is None:
            raise UnexpectedAnswer(
                f"{names.netbios} has no account {self.name!r}", target=self.domain, do="create it, or correct the name"
            )
        return Found(rows.sid(row, "objectSid"), (row_dn(row),))


def is_member(member: Dn, found: Found, *, foreign_in: Dn) -> bool:
    """Return whether an entry of ``member`` means this principal: by DN, or as a foreign security principal by SID."""
    if member.parent == f"{FOREIGN},{foreign_in}":
        return member.name.upper() == str(found.sid)
    return member in found.dns


def check_principal(text: str) -> str:
    """Refuse what cannot be a principal; for pydantic."""
    if text.upper().startswith("S-1-"):
        return str(Sid(text))
    netbios, slash, name = text.rpartition("\\")
    if not name or (slash and not netbios) or "\0" in text:
        raise ValueError(f"neither a SID nor NETBIOS\\name: {text!r}")
    return text

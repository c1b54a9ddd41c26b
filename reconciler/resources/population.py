"""Which objects of the source a population means, and what they are to be called in the target. Pure values of a state file."""

from __future__ import annotations

from itertools import accumulate
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from reconciler.core.query import Search
from reconciler.core.values import Dn, escape_filter

Of = Literal["users", "groups", "computers"]
Afterwards = Literal["leave", "disable"] | Annotated[int, Field(ge=1, le=1095)]
"""What becomes of a source account once it was migrated; a number of days after which it expires (ADMT's range)."""
OnNameConflict = Literal["fail", "skip", "merge", "prefix"]

CLASSES: dict[Of, str] = {
    "users": "(objectCategory=person)(objectClass=user)(!(objectClass=computer))",
    "groups": "(objectClass=group)",
    "computers": "(objectClass=computer)",
}
EVERYTHING: dict[Of, str] = {
    "users": "(objectClass=user)",
    "groups": "(objectClass=group)",
    "computers": "(objectClass=computer)",
}
NEVER_COPIED = frozenset(
    [
        "objectguid", "objectsid", "sidhistory", "samaccountname", "userprincipalname", "pwdlastset", "unicodepwd", "userpassword",
        "member", "memberof", "manager", "managedby", "directreports", "cn", "name", "distinguishedname", "objectclass",
        "objectcategory", "useraccountcontrol", "primarygroupid", "admincount", "iscriticalsystemobject", "legacyexchangedn",
        "accountexpires", "lastlogontimestamp", "usnchanged", "usncreated", "whenchanged", "whencreated", "samaccounttype",
        "ntsecuritydescriptor",
    ]
)  # fmt: skip
"""Attributes that mean something else in another domain, or that a directory writes itself; those with a meaning here have a field of their own."""
_IN_CHAIN = "1.2.840.113556.1.4.1941"  # LDAP_MATCHING_RULE_IN_CHAIN (MS-ADTS 3.1.1.3.4.4.3): members of members too


def _is_filter(text: str) -> str:
    depths = list(accumulate({"(": 1, ")": -1}.get(char, 0) for char in text))
    if "\0" in text or not text.startswith("(") or depths[-1] != 0 or 0 in depths[:-1] or min(depths) < 0:
        raise ValueError("an LDAP filter is one pair of parentheses, such as (objectClass=user)")
    return text


def _is_container(into: Dn) -> Dn:
    if all(name == "DC" for name, _ in into.rdns()):
        raise ValueError("accounts go into a container, not into the head of a domain")
    return into


LdapFilter = Annotated[str, AfterValidator(_is_filter)]
Container = Annotated[Dn, AfterValidator(_is_container)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Listed(_Part):
    """One line of a list of accounts; what is empty is as for the others of the population."""

    name: str = Field(min_length=1, description="sAMAccountName or the name of the object (`cn`) in the source.")
    sam: str = Field("", description="sAMAccountName in the target.")
    upn: str = Field("", description="userPrincipalName in the target.")
    rdn: str = Field("", description="First part of its DN in the target, such as `CN=Monster\\, Cookie`.")


class Except(_Part):
    """What a population leaves out."""

    names: tuple[str, ...] = Field((), description="sAMAccountNames.")
    filter: LdapFilter | None = Field(None, description="LDAP filter.")
    members_of: tuple[Dn, ...] = Field((), description="Groups whose members are left out, members of members too.")
    below: tuple[Dn, ...] = Field((), description="Containers; everything below them is left out.")


class Placement(_Part):
    """Where the accounts of one container of the source go."""

    below: Dn = Field(description="Container in the source; the longest that fits counts.")
    into: Container = Field(description="Container in the target.")


class Rename(_Part):
    """How accounts are called in the target."""

    upn_suffix: str = Field("", description="What follows the `@` of every userPrincipalName in the target.")
    prefix: str = Field(
        "",
        description="Put before a sAMAccountName that somebody else has in the target, with `on_name_conflict: prefix`.",
    )


class Selection(_Part):
    """Objects of the source: below a container, by filter, by membership, by list, less the exceptions."""

    of: Of = Field("users", description="Users, groups or computers.")
    base: Dn = Field(description="Container; everything below it counts.")
    filter: LdapFilter = Field(description="LDAP filter.")
    members_of: tuple[Dn, ...] = Field((), description="Only members of one of these groups, members of members too.")
    listed: tuple[Listed, ...] = Field(
        (), description="Only these; everything that the rest selects where none is given."
    )
    excluded: Except = Field(Except(), description="What is left out.")

    def search(self, domain: str, attributes: tuple[str, ...]) -> Search:
        """Return the search for everything that a directory can select; the lists are applied to what it finds."""
        return Search(domain, self.base, self._where(), attributes, "subtree", absent_ok=False)

    def _where(self) -> str:
        parts = [CLASSES[self.of], self.filter]
        if self.members_of:
            parts.append(f"(|{''.join(map(_member_of, self.members_of))})")
        parts += [f"(!{_member_of(group)})" for group in self.excluded.members_of]
        if self.excluded.filter is not None:
            parts.append(f"(!{self.excluded.filter})")
        return f"(&{''.join(parts)})"


def _member_of(group: Dn) -> str:
    return f"(memberOf:{_IN_CHAIN}:={escape_filter(group)})"

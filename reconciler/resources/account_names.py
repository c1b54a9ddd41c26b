"""What an account is to be called in the target, and where it goes; and which objects are no accounts to migrate, by name."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from msgspec import Struct, field

from reconciler.core.values import Dn, escape_rdn, split_unescaped
from reconciler.resources.account_records import (
    CONTROLLER,
    READ_ONLY_CONTROLLER,
    TRUST_ACCOUNT,
    Account,
    Kind,
    below,
    first_of,
)
from reconciler.resources.population import Listed, Of, Placement, Rename, Selection

_ILLEGAL = re.compile(r'["*+,/:;<=>?\[\\\]|]')
SAM_LENGTH = 20  # of users; MS-ADA3 sAMAccountName
KINDS: Mapping[Of, Kind] = {"users": "user", "groups": "group", "computers": "computer"}


def sanitised(name: str) -> str:
    """Replace what ADMT replaces in a SAM account name.

    Source: ADMT Guide, cc974359.
    """
    cleaned = _ILLEGAL.sub("_", name) if _ILLEGAL.search(name) else name
    return f"{cleaned[:-1]}_" if cleaned.endswith(".") else cleaned


def _all_clean(names: Sequence[str]) -> bool:
    """Whether ``sanitised`` changes none of them; in doubt not."""
    whole = "\n".join([*names, ""])
    return ".\n" not in whole and not _ILLEGAL.search(whole)


class Names(NamedTuple):
    """What an account is to be called.

    Attributes:
        upn: Empty where that is left to ADMT.
        called: First part of the DN, escaped, as it was declared; or the DN of the source as its directory spells it, where that part
            is taken over: mostly so, and then the DN is kept once.
        into: Container.
    """

    sam: str
    upn: str
    called: str | bytes
    into: Dn

    @property
    def rdn(self) -> str:
        """The first part of the DN, escaped."""
        return self.called if isinstance(self.called, str) else first_of(self.called.decode())

    def keep_rdn_of(self, account: Account) -> bool:
        """Whether the first part of the DN is that of an account."""
        return self.called is account.spelled or self.rdn == account.rdn

    @property
    def place(self) -> str:
        """The DN that it would get, folded."""
        return f"{self.rdn},{self.into}".casefold()


class Naming(Struct, frozen=True):
    """How the accounts of a population are called and where they go."""

    into: Dn
    placed: tuple[Placement, ...] = ()
    rename: Rename = field(default_factory=Rename)
    listed: Mapping[str, Listed] = field(default_factory=dict)  # by folded name

    def of(self, account: Account) -> Names:
        """Return the names for one account."""
        said = self._said(account) if self.listed else None
        sam = (said.sam if said else "") or sanitised(account.sam)
        upn = said.upn if said else ""
        if not upn and self.rename.upn_suffix:
            upn = f"{account.upn.partition('@')[0] or sam}@{self.rename.upn_suffix}"
        into = self._placed(account.dn) if self.placed else self.into
        return Names(sam, upn, (said.rdn if said else "") or account.spelled, into)

    def of_all(self, accounts: Sequence[Account]) -> list[Names]:
        """Return the names for many; at once where nothing but the container is said of any, and no name has to be cleaned."""
        if self.listed or self.placed or self.rename.upn_suffix or not _all_clean([one.sam for one in accounts]):
            return [self.of(account) for account in accounts]
        into = self.into
        return [Names(account.sam, "", account.spelled, into) for account in accounts]

    def _said(self, account: Account) -> Listed | None:
        return self.listed.get(account.sam.casefold()) or self.listed.get(account.name.casefold())

    def _placed(self, dn: str) -> Dn:
        fitting = [one for one in self.placed if below(one.below)(dn)]
        return max(fitting, key=lambda one: len(one.below.rdns())).into if fitting else self.into

    @property
    def containers(self) -> tuple[Dn, ...]:
        """Return every container that accounts may go to."""
        return tuple(dict.fromkeys([self.into, *(one.into for one in self.placed)]))


def listed_by_name(listed: Sequence[Listed]) -> dict[str, Listed]:
    """Return a list by the names in it, folded."""
    return {one.name.casefold(): one for one in listed}


def chooser(selection: Selection) -> Callable[[Account], bool] | None:
    """Return a test for what a search cannot say: the list, and exceptions by name and place; None where there are none."""
    wanted = {one.name.casefold() for one in selection.listed}
    left_out = {name.casefold() for name in selection.excluded.names}
    places = [below(container) for container in selection.excluded.below]
    if not (wanted or left_out or places):
        return None

    def chosen(account: Account) -> bool:
        called = {account.sam.casefold(), account.name.casefold()} if wanted else {account.sam.casefold()}
        if wanted and not called & wanted:
            return False
        return account.sam.casefold() not in left_out and not any(inside(account.dn) for inside in places)

    return chosen


def unfit(account: Account, of: Of) -> str:
    """Say why an object is never migrated; empty where it can be.

    Sources: MS-SAMR 2.2.1.14 (RIDs), MS-ADTS 2.2.16 (userAccountControl), the table of ADMT's limits (KB4089459).
    """
    if account.control & TRUST_ACCOUNT:
        return "account of a trust"
    if account.built_in:
        return "built-in account"
    if account.kind == "service":
        return "managed service account: ADMT cannot migrate it to another forest"
    if account.control & (CONTROLLER | READ_ONLY_CONTROLLER):
        return "domain controller"
    if of == "groups" and account.sam.endswith("$$$"):
        return "the group through which SID history is audited"
    return "" if account.kind == KINDS[of] else f"it is a {account.kind}"


def too_long(name: str, of: Of) -> str:
    """Say that a name is too long for a user; empty where it is not."""
    if of != "users" or len(name) <= SAM_LENGTH:
        return ""
    return f"its name in the target, {name}, has {len(name)} characters; {SAM_LENGTH} are the most"


def apart(names: Names, sam: str) -> str:
    """Return an RDN that nothing else in the container has: with the sAMAccountName behind it."""
    kind, _, _ = split_unescaped(names.rdn, ",")[0].partition("=")
    return f"{kind}={escape_rdn(f'{Dn(names.rdn).name} ({sam})')}"

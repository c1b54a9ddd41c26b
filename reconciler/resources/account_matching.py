"""Which account of the target is which account of the source: by SID history, else by name below the container."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from reconciler.core.query import Row, Rows
from reconciler.core.values import Dn, Sid, split_unescaped
from reconciler.resources import rows
from reconciler.resources.directory_rows import row_dn

FIRST_FREE_RID = 1000  # below it are built-in accounts; they cannot be migrated (MS-SAMR 2.2.1.14)

_ILLEGAL = re.compile(r'["*+,/:;<=>?\[\\\]|]')
_SAM_LENGTH = 20


@dataclass(frozen=True, slots=True)
class Account:
    """One account of either domain; an attribute that it does not have is empty or 0."""

    dn: Dn
    sid: Sid
    sam: str
    upn: str = ""
    pwd_last_set: int = 0
    history: frozenset[Sid] = frozenset()
    user: bool = True
    critical: bool = False

    @property
    def rdn(self) -> str:
        """The first component of the DN, as escaped there."""
        return split_unescaped(self.dn, ",")[0]

    @property
    def built_in(self) -> bool:
        """Whether it belongs to the system."""
        return self.critical or int(self.sid.rpartition("-")[2]) < FIRST_FREE_RID


@dataclass(frozen=True, slots=True)
class Pair:
    """An account of the source and what became of it; ``conflict`` says why nothing can, if that is so."""

    source: Account
    target: Account | None = None
    has_history: bool = False
    conflict: str = ""


def read_account(row: Row) -> Account:
    """Read an account from a search row."""
    return Account(
        dn=row_dn(row),
        sid=rows.sid(row, "objectSid"),
        sam=rows.text(row, "sAMAccountName"),
        upn=rows.text_or_none(row, "userPrincipalName") or "",
        pwd_last_set=rows.number_or_none(row, "pwdLastSet") or 0,
        history=frozenset(rows.sids(row, "sIDHistory")),
        user=_is_user(row),
        critical=rows.has(row, "isCriticalSystemObject") and rows.flag(row, "isCriticalSystemObject"),
    )


def sanitised(name: str) -> str:
    """Replace what ADMT replaces in a SAM account name.

    Source: ADMT Guide, cc974359.
    """
    cleaned = _ILLEGAL.sub("_", name)
    return f"{cleaned[:-1]}_" if cleaned.endswith(".") else cleaned


def match(sources: Iterable[Account], targets: Rows, into: Dn) -> tuple[Pair, ...]:
    """Pair accounts, ordered by name.

    Args:
        sources: Accounts to migrate.
        targets: Everything in the target domain that has a sAMAccountName.
        into: Container in which an account of the same name counts as the same person.
    """
    found = [read_account(row) for row in targets]
    by_history = {sid: account for account in found for sid in account.history}
    by_name = {account.sam.casefold(): account for account in found}
    ordered = sorted(sources, key=lambda account: (account.sam.casefold(), str(account.sid)))
    sharing = Counter(sanitised(account.sam).casefold() for account in ordered)
    return tuple(_pair(account, by_history, by_name, sharing, into) for account in ordered)


def _pair(
    source: Account,
    by_history: Mapping[Sid, Account],
    by_name: Mapping[str, Account],
    sharing: Mapping[str, int],
    into: Dn,
) -> Pair:
    if source.sid in by_history:
        return Pair(source, by_history[source.sid], has_history=True)
    name = sanitised(source.sam)
    if sharing[name.casefold()] > 1 and name != source.sam:
        return Pair(source, conflict=f"another account of the source is called {name} as well")
    other = by_name.get(name.casefold()) or by_name.get(name[:_SAM_LENGTH].casefold())
    if other is None:
        return Pair(source)
    if not other.user:
        return Pair(source, conflict=f"{other.dn} has its name, and is no user account")
    if any(sid.domain == source.sid.domain for sid in other.history):
        return Pair(source, conflict=f"{other.dn} has its name, and the SID history of another account")
    if not other.dn.is_below(into):
        return Pair(source, conflict=f"{other.dn} has its name")
    return Pair(source, other)


def _is_user(row: Row) -> bool:
    classes = {name.lower() for name in rows.texts(row, "objectClass")}
    return "user" in classes and "computer" not in classes  # a computer is a user to the schema

"""Which of the rows of a search are accounts of a population, and which are not, and why."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from reconciler.core.query import Rows
from reconciler.resources.account_names import chooser, unfit
from reconciler.resources.account_records import Account, read
from reconciler.resources.canary_name import is_canary
from reconciler.resources.population import Selection


class Selected(Struct, frozen=True):
    """What a population selects.

    Attributes:
        accounts: Those to migrate.
        unfit: Those that the selection means and that are never migrated, with the reason.
        not_found: Names of its list that nothing has.
    """

    accounts: tuple[Account, ...]
    unfit: tuple[tuple[Account, str], ...] = ()
    not_found: tuple[str, ...] = ()


def select(
    selection: Selection, found: Rows, earlier: Iterable[tuple[Selection, Rows]], more: Sequence[str]
) -> Selected:
    """Read what a population selects, less what earlier ones have taken.

    Args:
        found: Answer to the search of the selection.
        earlier: Selections of earlier populations with their answers.
        more: Attributes that were asked for beside the usual ones.
    """
    taken = {account.sid for one, rows in earlier for account in chosen_of(one, rows, ())}
    chosen = chosen_of(selection, found, more)
    accounts: list[Account] = []
    left_out: list[tuple[Account, str]] = []
    for account in chosen:
        if account.sid in taken:
            continue
        if why := unfit(account, selection.of):
            left_out.append((account, why))
        else:
            accounts.append(account)
    known = {name for account in chosen for name in (account.sam.casefold(), account.name.casefold())} if selection.listed else set()  # fmt: skip
    lost = tuple(one.name for one in selection.listed if one.name.casefold() not in known)
    return Selected(tuple(accounts), tuple(left_out), lost)


def chosen_of(selection: Selection, found: Rows, more: Sequence[str]) -> list[Account]:
    """Return the accounts of an answer that the list and the exceptions of a selection mean; no throw-away ones."""
    chosen = chooser(selection)
    some = read(found, more) if chosen is None else filter(chosen, read(found, more))
    return [account for account in some if not is_canary(account.sam)]

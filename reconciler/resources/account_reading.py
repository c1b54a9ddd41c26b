"""A population as the answers of a look show it: all of it, or what has become of it since the look before."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from reconciler.core.facts import facts_in
from reconciler.core.query import Rows
from reconciler.core.table import Moved, Table
from reconciler.core.values import Sid
from reconciler.resources.account_book import Book, Turn
from reconciler.resources.account_matching import Pair, Rules, Target, match
from reconciler.resources.account_names import unfit
from reconciler.resources.account_records import Account, read
from reconciler.resources.account_runs import known_about, prefix
from reconciler.resources.account_selecting import chosen_of, select
from reconciler.resources.account_standing import Stand, Terms, stand, stands
from reconciler.resources.population import Selection


class Declared(Struct, frozen=True):
    """What is declared of a population.

    Attributes:
        domain: Name of the source.
        earlier: Selections of earlier populations.
        more: Attributes that were asked for beside the usual ones.
    """

    domain: str
    selection: Selection
    earlier: tuple[Selection, ...]
    more: tuple[str, ...]
    rules: Rules
    terms: Terms


class Answers(Struct, frozen=True):
    """What was answered: its accounts, those of the earlier populations, everybody in the target, the journal's facts about accounts."""

    own: Rows
    earlier: tuple[Rows, ...]
    everybody: Rows
    facts: Rows


class Found(Struct, frozen=True):
    """How a population stands.

    Attributes:
        stands: Every account, in the order of their names.
        unfinished: Those about which something is left to do or to note.
        unfit: Those that the selection means and that are never migrated, with the reason.
        not_found: Names of its list that nothing has.
        book: By what each account rests on; None until a second look needed that.
    """

    stands: tuple[Stand, ...]
    unfinished: tuple[Stand, ...]
    unfit: tuple[tuple[Account, str], ...] = ()
    not_found: tuple[str, ...] = ()
    book: Book | None = None


def found_in(answers: Answers, declared: Declared) -> Found:
    """Read everything."""
    before = zip(declared.earlier, answers.earlier, strict=True)
    selected = select(declared.selection, answers.own, before, declared.more)
    pairs = match(selected.accounts, everybody(answers.everybody, declared), declared.rules)
    found = stands(pairs, declared.domain, facts_in(answers.facts), declared.terms)
    return Found(found, tuple(one for one in found if not one.settled), selected.unfit, selected.not_found)


def found_again(before: Found, old: Answers, answers: Answers, declared: Declared) -> Found | None:
    """Read what has moved since an earlier look; None where that cannot be told, or would change who belongs to it."""
    own, others = _since(answers.own, old.own), _since(answers.everybody, old.everybody)
    noted = facts_in(answers.facts).since(facts_in(old.facts))
    if own is None or others is None or noted is None or not _same_taken(answers, old, declared):
        return None
    lost, won = (chosen_of(declared.selection, rows, declared.more) for rows in own)
    if not _same_names(lost, won, declared.selection) or any(unfit(one, declared.rules.of) for one in (*lost, *won)):
        return None
    target = everybody(answers.everybody, declared)
    if not (lost or won or others or noted):
        return before
    if before.book is not None and not before.book.is_of(before.stands):
        return None  # it went on with another look
    book = before.book or Book(before.stands, before.unfinished, declared.rules)
    elsewhere = [one for rows in others for one in read(rows, declared.more)]
    moved = Turn(lost, _ours(won, lost, book, answers, declared), elsewhere, _sids(noted, declared.domain))
    facts = facts_in(answers.facts)

    def compared(pair: Pair) -> Stand:
        return stand(pair, known_about(pair, declared.domain, facts), declared.terms)

    book.turn(moved, target, compared)
    return replace(before, stands=book.snapshot(), unfinished=book.unfinished, book=book)


def everybody(rows: Rows, declared: Declared) -> Target:
    """Return the accounts of the target by what they are found by; all populations of a look share it."""
    more, key_at = declared.more, declared.rules.key_at

    def make(table: Table) -> Target:
        return Target.of(read(table, more), key_at)

    def follow(target: Target, moved: Moved) -> Target:
        return target.turned(read(moved.gone, more), read(moved.fresh, more))

    return Table.of(rows).made(("accounts of the target", more, key_at), make, follow)


def _since(rows: Rows, older: Rows) -> Moved | None:
    return rows.since(older) if isinstance(rows, Table) else None


def _same_taken(answers: Answers, old: Answers, declared: Declared) -> bool:
    """Whether earlier populations have taken the same accounts as before."""
    for selection, rows, older in zip(declared.earlier, answers.earlier, old.earlier, strict=True):
        moved = _since(rows, older)
        if moved is None:
            return False
        lost, won = ({one.sid for one in chosen_of(selection, some, ())} for some in moved)
        if lost != won:
            return False
    return True


def _ours(
    won: Sequence[Account], lost: Sequence[Account], book: Book, answers: Answers, declared: Declared
) -> list[Account]:
    """Return those of them that no earlier population has taken, where these have taken the same as before."""
    there = {one.sid for one in lost}
    if all(one.sid in there for one in won):
        return [one for one in won if one.sid in book]
    before = zip(declared.earlier, answers.earlier, strict=True)
    taken = {one.sid for selection, rows in before for one in chosen_of(selection, rows, ())}
    return [one for one in won if one.sid not in taken]


def _same_names(lost: Sequence[Account], won: Sequence[Account], selection: Selection) -> bool:
    """Whether no name of a list came or went."""
    old, new = ({(one.sam, one.name) for one in some} for some in (lost, won))
    return not selection.listed or old == new


def _sids(noted: frozenset[str], domain: str) -> list[bytes]:
    """Return whom facts are about; those about files and the like are about nobody."""
    names = (key.removeprefix(prefix(domain)) for key in noted)
    return [Sid(name).to_bytes() for name in names if name.startswith("S-1-")]

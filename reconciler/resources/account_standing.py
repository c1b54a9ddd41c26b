"""How each account of a population stands: what it lacks, and the one verdict that follows from it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from msgspec import Struct

from reconciler.core.facts import Facts
from reconciler.core.verdicts import Standing, Verdict
from reconciler.resources.account_matching import Pair
from reconciler.resources.account_records import NEVER, Account
from reconciler.resources.account_runs import Known, known_about
from reconciler.resources.population import Afterwards

SAM, UPN, CN = "sAMAccountName", "userPrincipalName", "cn"


class Terms(Struct, frozen=True):
    """What is declared of every account.

    Attributes:
        attributes: Those that shall be as in the source, and the place of each in ``Account.values``.
        renamed: Names in the target are declared, and set right.
    """

    sid_history: bool
    passwords: bool
    change_password_at_logon: bool
    attributes: tuple[tuple[str, int], ...] = ()
    renamed: bool = False
    source_afterwards: Afterwards = "leave"


class Stand(NamedTuple):
    """One account and what it lacks.

    Attributes:
        names: Which of its names are not as declared.
        attributes: Which attributes are not as in the source.
        in_part: A run of ours began to make it and did not come to the end: it is disabled as ADMT makes accounts at first.
        source: What the source account still has to become.
        places: Where the values of each declared attribute are in ``Account.values``.
    """

    pair: Pair
    known: Known
    history: bool = False
    password: bool = False
    stale: bool = False
    must_change: bool = False
    names: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()
    in_part: bool = False
    source: Literal["", "disabled", "expiring"] = ""
    places: tuple[tuple[str, int], ...] = ()

    @property
    def missing(self) -> bool:
        """Whether there is no account in the target."""
        return self.pair.target is None and not self.pair.skipped

    @property
    def usable(self) -> bool:
        """Whether it has everything that its owner needs."""
        return not (
            self.missing
            or self.in_part
            or self.pair.conflict
            or self.history
            or self.password
            or self.stale
            or self.must_change
        )

    @property
    def complete(self) -> bool:
        """Whether it lacks nothing."""
        pair = self.pair  # all it may lack at once: this is asked of a hundred thousand
        return self[2:10] == _NOTHING and not pair.conflict and (pair.target is not None or bool(pair.skipped))

    @property
    def unproven(self) -> bool:
        """Whether it is complete by a run of ours, and it is not yet noted for which account of the target."""
        return self.complete and self._to_note

    @property
    def settled(self) -> bool:
        """Whether nothing is left to do for it, and nothing to note."""
        return self.complete and not self._to_note

    @property
    def _to_note(self) -> bool:
        return self.known.ours and not self.known.target_sid and self.pair.target is not None


_NOTHING = (False, False, False, False, (), (), False, "")
"""From `history` to `source`: what an account has that lacks nothing."""


def stand(pair: Pair, known: Known, terms: Terms) -> Stand:
    """Compare one account with what is declared."""
    target, source = pair.target, pair.source
    if target is None or pair.conflict:
        return Stand(pair, known)
    copied = known.password == "copied"
    history, password = terms.sid_history and not pair.has_history, terms.passwords and not copied
    stale = terms.passwords and copied and _stale(source, target, known)
    must_change = copied and _must_change(source, target, known, terms)
    names = _misnamed(pair, target) if terms.renamed else ()
    attributes = _unlike(source, target, terms.attributes)
    in_part = known.made and target.disabled and not source.disabled
    left = _source_left(source, terms.source_afterwards)
    # By place and not by name: a hundred thousand are made.
    return Stand(pair, known, history, password, stale, must_change, names, attributes, in_part, left, terms.attributes)


def _stale(source: Account, target: Account, known: Known) -> bool:
    """Whether the password was changed in the source after it was copied, and not in the target after that."""
    return 0 < known.source_set < source.pwd_last_set and target.pwd_last_set < source.pwd_last_set


def _must_change(source: Account, target: Account, known: Known, terms: Terms) -> bool:
    asked = terms.passwords and not terms.change_password_at_logon
    return asked and target.pwd_last_set == 0 and source.pwd_last_set != 0 and not known.target_sid


def _misnamed(pair: Pair, target: Account) -> tuple[str, ...]:
    names = pair.names
    found = [SAM] if target.sam.casefold() != names.sam.casefold() else []
    return (*found, *((UPN,) if names.upn and target.upn.casefold() != names.upn.casefold() else ()))


def _unlike(source: Account, target: Account, attributes: Sequence[tuple[str, int]]) -> tuple[str, ...]:
    if source.values == target.values:
        return ()
    return tuple(
        name
        for name, at in attributes
        if source.values[at] != target.values[at] and sorted(source.values[at]) != sorted(target.values[at])
    )


def _source_left(source: Account, afterwards: Afterwards) -> Literal["", "disabled", "expiring"]:
    """Return what the source account still has to become."""
    if afterwards == "disable":
        return "" if source.disabled else "disabled"
    return "expiring" if afterwards != "leave" and source.expires in NEVER else ""


def verdict(one: Stand, *, passwords: bool) -> Verdict:
    """Return the verdict on one account."""
    pair, known = one.pair, one.known
    target = pair.target.dn if pair.target else ""
    standing, why = _standing(one, passwords)
    return Verdict(pair.source.sam, pair.source.dn, pair.source.sid_text(), standing, target, why or _lacks(one, known))


def _standing(one: Stand, passwords: bool) -> tuple[Standing, str]:
    pair, known = one.pair, one.known
    if pair.skipped:
        return "excluded", pair.skipped
    if pair.conflict:
        return "failed", pair.conflict
    if one.complete:
        return ("password copied" if passwords else "migrated"), ""
    if known.password == "random" and pair.target is not None and not one.history:
        return "password random", known.failed
    if known.failed:
        return "failed", known.failed
    if known.batch == 1:
        return "failed", "a run of ADMT with this account alone did not come to it"
    return "waiting", ""


def _lacks(one: Stand, known: Known) -> str:
    words = {
        "no account in the target": one.missing,
        "its account in the target was made only in part": one.in_part,
        "no SID history": one.history,
        "password not copied": one.password,
        "password changed in the source since": one.stale,
        "has to change the copied password": one.must_change,
        "source account is not yet as declared": bool(one.source),
    }
    found = [word for word, is_so in words.items() if is_so]
    return ", ".join([*found, *(f"{name} is not as declared" for name in (*one.names, *one.attributes))])


def can_log_on(one: Stand, terms: Terms) -> bool:
    """Whether the directory and the journal say that its owner can use the account in the target as before."""
    target = one.pair.target
    if target is None or one.pair.conflict or target.disabled or target.locked:
        return False
    if one.history or one.password or one.stale:
        return False
    return terms.change_password_at_logon or target.pwd_last_set != 0 or one.pair.source.pwd_last_set == 0


def share_able(stands: Iterable[Stand], terms: Terms) -> tuple[int, int, tuple[str, ...]]:
    """Return how many of those that can log on in the source can do so in the target, of how many, and who cannot."""
    asked = [one for one in stands if not one.pair.skipped and not _disabled_before(one)]
    unable = tuple(one.pair.source.sam for one in asked if not can_log_on(one, terms))
    return len(asked) - len(unable), len(asked), unable


def _disabled_before(one: Stand) -> bool:
    """Whether nobody could log on with it in the source either: disabled there, and not by us because it was migrated."""
    return one.pair.source.disabled and (one.pair.target is None or one.pair.target.disabled)


def stands(pairs: Iterable[Pair], domain: str, facts: Facts, terms: Terms) -> tuple[Stand, ...]:
    """Compare every account of a domain."""
    return tuple(stand(pair, known_about(pair, domain, facts), terms) for pair in pairs)

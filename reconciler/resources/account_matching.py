"""Which account of the target is which account of the source: by SID history first, then by the declared key."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from msgspec import Struct

from reconciler.resources.account_names import KINDS, Names, Naming, apart, too_long
from reconciler.resources.account_records import Account, below
from reconciler.resources.population import Of, OnNameConflict
from reconciler.resources.several import Several

BY_NAME = "sAMAccountName"


class Pair(NamedTuple):
    """An account of the source and what became of it.

    Attributes:
        has_history: The target has the SID of the source.
        conflict: Why nothing can be done for it, if that is so.
        skipped: Why it is deliberately left out, if that is so.
    """

    source: Account
    names: Names
    target: Account | None = None
    has_history: bool = False
    conflict: str = ""
    skipped: str = ""


class Rules(Struct, frozen=True):
    """How a population is matched.

    Attributes:
        key: Attribute by which an account of the target is the same person, where no SID says so.
        key_at: Place of that attribute in ``Account.values``; None for the sAMAccountName.
    """

    of: Of
    naming: Naming
    on_name_conflict: OnNameConflict = "fail"
    key: str = BY_NAME
    key_at: int | None = None


class Target:
    """Everything in the target that has a sAMAccountName, by what it is found by."""

    __slots__ = ("_by_place", "_key_at", "by_history", "by_key", "by_name")

    def __init__(self, key_at: int | None = None) -> None:
        self._key_at = key_at
        self.by_history: Several[bytes, Account] = Several()
        self.by_name: Several[str, Account] = Several()
        self.by_key: Several[bytes, Account] = Several()
        self._by_place: Several[str, Account] | None = None  # only once somebody is missing

    @classmethod
    def of(cls, accounts: Iterable[Account], key_at: int | None = None) -> Target:
        """Take them all up.

        Args:
            key_at: Place of the key in ``Account.values``.
        """
        return cls(key_at).turned((), accounts)

    def turned(self, gone: Iterable[Account], fresh: Iterable[Account]) -> Target:
        """Take some out, exactly as they were taken up, and others up; return itself."""
        for index, keys, accounts in self._keyed(list(gone)):
            index.drop_all(keys, accounts)
        for index, keys, accounts in self._keyed(list(fresh)):
            index.add_all(keys, accounts)
        return self

    def reached(self, source: Account, names: Iterable[str], value: bytes | None) -> Iterator[Account]:
        """Yield every account that the pair of this one may depend on."""
        yield from self.by_history.of(source.sid)
        for name in names:
            yield from self.by_name.of(name)
        if value is not None:
            yield from self.by_key.of(value)

    def has_at(self, place: str) -> bool:
        """Whether something stands at a DN, folded."""
        if self._by_place is None:
            self._by_place = Several()
            for account in self.by_name.values():
                self._by_place.add(account.dn.casefold(), account)
        return place in self._by_place

    def _keyed(self, some: list[Account]) -> Iterator[tuple[Several[Any, Account], list[Any], list[Account]]]:
        """Yield each index, the keys by which it finds these accounts, and the account of each key."""
        past = [account for account in some if account.history]
        sids = [sid for account in past for sid in account.history]
        yield self.by_history, sids, [account for account in past for _ in account.history]
        yield self.by_name, [folded(account.sam) for account in some], some
        if self._by_place is not None:
            yield self._by_place, [account.dn.casefold() for account in some], some
        if (key_at := self._key_at) is not None:
            values = [key_value(account, key_at) for account in some]
            known = [account for account, value in zip(some, values, strict=True) if value is not None]
            yield self.by_key, [value for value in values if value is not None], known


def folded(name: str) -> str:
    """Return a name folded, and the same text where it is: a hundred thousand are kept."""
    low = name.casefold()
    return name if low == name else low


def key_value(account: Account, key_at: int | None) -> bytes | None:
    """Return the value by which an account is the same person as another; None where it has none."""
    values = account.values[key_at] if key_at is not None else ()
    return values[0].lower() if values else None


def in_order(account: Account) -> tuple[str, bytes]:
    """Return what accounts are ordered by: their names."""
    return folded(account.sam), account.sid


def match(sources: Sequence[Account], target: Target, rules: Rules) -> tuple[Pair, ...]:
    """Pair accounts, ordered by name."""
    ordered = sorted(sources, key=in_order)
    names = rules.naming.of_all(ordered)
    renamed = any(one.sam != account.sam for one, account in zip(names, ordered, strict=True))
    sharing = Counter(folded(one.sam) for one in names) if renamed else Counter[str]()
    inside = _inside(rules.naming)
    known = target.by_history.only([account.sid for account in ordered])
    called = target.by_name.only([one.sam.casefold() for one in names])
    by_name = rules.key_at is None
    found = [
        # Nearly all of those that were migrated: the old SID and the name say the same.
        Pair(source, names_of, one, has_history=True)
        if one is other and one is not None and by_name
        else _pair(source, names_of, target, rules, sharing, inside)
        for source, names_of, one, other in zip(ordered, names, known, called, strict=True)
    ]
    return _apart(_claimed_once(found), target)


def _pair(
    source: Account,
    names: Names,
    target: Target,
    rules: Rules,
    sharing: Mapping[str, int],
    inside: Callable[[str], bool],
) -> Pair:
    found = target.by_history.of(source.sid)
    if len(found) > 1:
        return Pair(source, names, conflict=f"its SID is in the history of {found[0].dn} and of {found[1].dn}")
    known = found[0] if found else None
    other, doubt = _by_key(source, names, target, rules)
    if known is not None:
        if other is not None and other.sid != known.sid and _same_person(other, source, rules, inside):
            said = f"its SID is in the history of {known.dn}, and its {rules.key} is that of {other.dn}"
            return Pair(source, names, known, has_history=True, conflict=said)
        return Pair(source, names, known, has_history=True)
    if doubt:
        return Pair(source, names, conflict=doubt)
    if sharing[names.sam.casefold()] > 1 and names.sam != source.sam:
        return Pair(source, names, conflict=f"another account of the source is called {names.sam} as well")
    if long := too_long(names.sam, rules.of):
        return Pair(source, names, conflict=long)
    if other is not None and rules.key != BY_NAME:
        taken = _taken(other, source, rules)
        return Pair(source, names, conflict=taken) if taken else Pair(source, names, other)
    return _by_name(source, names, target, rules, inside)


def _by_key(source: Account, names: Names, target: Target, rules: Rules) -> tuple[Account | None, str]:
    """Return who has the same key, or why that cannot be told."""
    if rules.key_at is None:
        return target.by_name.first(names.sam.casefold()), ""
    value = key_value(source, rules.key_at)
    found = target.by_key.of(value) if value is not None else ()
    if len(found) > 1:
        return None, f"{len(found)} accounts have its {rules.key}: {found[0].dn} and {found[1].dn}"
    return (found[0] if found else None), ""


def _by_name(source: Account, names: Names, target: Target, rules: Rules, inside: Callable[[str], bool]) -> Pair:
    other = target.by_name.first(names.sam.casefold())
    if other is None:
        return Pair(source, names)
    taken = _taken(other, source, rules) or ("" if inside(other.dn) else f"{other.dn} has its name")
    if not taken:
        return Pair(source, names, other)
    if rules.on_name_conflict == "skip":
        return Pair(source, names, skipped=taken)
    if rules.on_name_conflict == "merge" and not _taken(other, source, rules):
        return Pair(source, names, other)
    if rules.on_name_conflict != "prefix" or names.sam.startswith(rules.naming.rename.prefix):
        return Pair(source, names, conflict=taken)
    called = names._replace(sam=rules.naming.rename.prefix + names.sam)
    if long := too_long(called.sam, rules.of):
        return Pair(source, called, conflict=f"{taken}; {long}")
    return _by_name(source, called, target, rules, inside)


def _same_person(other: Account, source: Account, rules: Rules, inside: Callable[[str], bool]) -> bool:
    """Whether the key alone would have made them a pair; a name counts only where the population goes to."""
    return rules.key != BY_NAME or (inside(other.dn) and not _taken(other, source, rules))


def _taken(other: Account, source: Account, rules: Rules) -> str:
    """Say why an account cannot be the one of this source account; empty where it can."""
    if other.kind != KINDS[rules.of]:
        return f"{other.dn} has its name, and is no {KINDS[rules.of]} account"
    domain = source.sid[:-4]
    if any(sid[:-4] == domain for sid in other.history):
        return f"{other.dn} has its name, and the SID history of another account"
    return ""


def _inside(naming: Naming) -> Callable[[str], bool]:
    tests = [below(container) for container in naming.containers]
    return lambda dn: any(test(dn) for test in tests)


def _claimed_once(pairs: Sequence[Pair]) -> list[Pair]:
    """Refuse accounts of the source that would become one account of the target."""
    claims = Counter([pair.target.sid for pair in pairs if pair.target is not None])
    if len(claims) == claims.total():
        return list(pairs)
    return [
        pair._replace(target=None, conflict=f"another account of the source is {pair.target.dn} as well")
        if pair.target is not None and claims[pair.target.sid] > 1 and not pair.has_history and not pair.conflict
        else pair
        for pair in pairs
    ]


def _apart(pairs: Sequence[Pair], target: Target) -> tuple[Pair, ...]:
    """Give those that would get a DN that is taken another one."""
    taken: set[str] = set()
    found = []
    for pair in pairs:
        if pair.target is None and not pair.conflict and not pair.skipped:
            place = pair.names.place
            if place in taken or target.has_at(place):
                pair = pair._replace(names=pair.names._replace(called=apart(pair.names, pair.names.sam)))
                place = pair.names.place
            taken.add(place)
        found.append(pair)
    return tuple(found)

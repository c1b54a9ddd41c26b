"""The pairs of a population, kept from one look to the next: only those are formed anew that something touched which they rest on.

The law: they are the pairs that ``match`` would form of everything. Two accounts of the source touch each other where both may reach
the same account of the target, or would be called the same, or would stand in the same place; those that touch are always formed
together. What touches too much costs a little.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from msgspec import Struct

from reconciler.resources.account_matching import Pair, Rules, Target, folded, in_order, key_value, match
from reconciler.resources.account_records import Account
from reconciler.resources.account_standing import Stand
from reconciler.resources.several import Several


class Turn(Struct, frozen=True):
    """What has moved since the last look.

    Attributes:
        lost: Accounts of the source as they were.
        won: Accounts of the source as they are.
        elsewhere: Accounts of the target as they were and as they are.
        noted: SIDs of accounts of the source about which the journal says something else.
    """

    lost: Sequence[Account] = ()
    won: Sequence[Account] = ()
    elsewhere: Sequence[Account] = ()
    noted: Iterable[bytes] = ()


class Book:
    """How each account of a population stands, by what it rests on."""

    def __init__(self, stands: Sequence[Stand], unfinished: Iterable[Stand], rules: Rules) -> None:
        self._stands = list(stands)  # in the order of their names
        self._latest: tuple[Stand, ...] | None = None
        self._rules = rules
        self._by_sid: dict[bytes, Stand] = {}
        self._unfinished = {one.pair.source.sid: one for one in unfinished}
        self._by_name: Several[str, bytes] = Several()
        self._by_key: Several[bytes, bytes] = Several()
        self._by_place: Several[str, bytes] = Several()
        self._take_up(stands)

    @property
    def unfinished(self) -> tuple[Stand, ...]:
        """Return those about which something is left to do or to note, in the order of their names."""
        return tuple(sorted(self._unfinished.values(), key=_in_order))

    def __contains__(self, sid: bytes) -> bool:
        """Whether an account of the source is in it."""
        return sid in self._by_sid

    def snapshot(self) -> tuple[Stand, ...]:
        """Return how all of them stand now."""
        self._latest = tuple(self._stands)
        return self._latest

    def is_of(self, stands: tuple[Stand, ...]) -> bool:
        """Whether these are what was last returned: another look may have gone on from there."""
        return stands is self._latest

    def turn(self, moved: Turn, target: Target, stand: Callable[[Pair], Stand]) -> None:
        """Form anew what was touched.

        Args:
            target: As it is now.
            stand: Compares a pair with what is declared.
        """
        now = {account.sid: account for account in moved.won}
        gone = {account.sid for account in moved.lost} - now.keys()
        touched = {*gone, *now, *(sid for sid in moved.noted if sid in self._by_sid)}
        for account in moved.elsewhere:
            touched |= self._readers(account)
        pairs: tuple[Pair, ...] = ()
        edge = set(touched)
        while edge:
            near = self._near(edge, now, target)
            if near <= touched:
                pairs = match([self._account(sid, now) for sid in touched - gone], target, self._rules)
                near = {sid for pair in pairs for sid in self._beside(pair, target)}
            edge = near - touched
            touched |= edge
        for sid in touched:
            self._drop(sid)
        for pair in pairs:
            self._take(stand(pair))

    def _account(self, sid: bytes, now: dict[bytes, Account]) -> Account:
        return now.get(sid) or self._by_sid[sid].pair.source

    def _near(self, sids: Iterable[bytes], now: dict[bytes, Account], target: Target) -> set[bytes]:
        """Return whoever touches one of these, as it was or as it is."""
        found: set[bytes] = set()
        for sid in sids:
            if sid in self._by_sid:
                found.update(self._beside(self._by_sid[sid].pair, target))
            if sid in now:
                found.update(self._beside(Pair(now[sid], self._rules.naming.of(now[sid])), target))
        return found

    def _beside(self, pair: Pair, target: Target) -> Iterator[bytes]:
        names, value = self._called(pair), key_value(pair.source, self._rules.key_at)
        for name in names:
            yield from self._by_name.of(name)
        for account in target.reached(pair.source, names, value):
            yield from self._readers(account)
        for place in self._places(pair):
            yield from self._by_place.of(place)

    def _readers(self, account: Account) -> set[bytes]:
        """Return whoever of the source may reach an account of the target, or would stand where it stands."""
        found = {sid for sid in account.history if sid in self._by_sid}
        found.update(self._by_name.of(account.sam.casefold()), self._by_place.of(account.dn.casefold()))
        value = key_value(account, self._rules.key_at)
        return found.union(self._by_key.of(value)) if value is not None else found

    def _called(self, pair: Pair) -> set[str]:
        """Return the names, folded, that an account is looked for by: as it will be called, and as it would be without a prefix."""
        sam = pair.names.sam
        return {folded(sam), folded(sam.removeprefix(self._rules.naming.rename.prefix))}

    def _places(self, pair: Pair) -> set[str]:
        """Return where an account would stand that is still missing: as it would be called, and as it will be."""
        if pair.target is not None or pair.conflict or pair.skipped:
            return set()
        return {pair.names.place, self._rules.naming.of(pair.source).place}

    def _take(self, one: Stand) -> None:
        self._stands.insert(bisect_left(self._stands, _in_order(one), key=_in_order), one)
        if not one.settled:
            self._unfinished[one.pair.source.sid] = one
        self._take_up([one])

    def _take_up(self, some: Sequence[Stand]) -> None:
        """Take stands up into every index."""
        pairs = [one.pair for one in some]
        self._by_sid.update(zip([pair.source.sid for pair in pairs], some, strict=True))
        for index, keys, sids in self._keyed(pairs):
            index.add_all(keys, sids)

    def _drop(self, sid: bytes) -> None:
        one = self._by_sid.get(sid)
        if one is None:
            return
        del self._stands[bisect_left(self._stands, _in_order(one), key=_in_order)]
        del self._by_sid[sid]
        self._unfinished.pop(sid, None)
        for index, keys, sids in self._keyed([one.pair]):
            index.drop_all(keys, sids)

    def _keyed(self, pairs: Sequence[Pair]) -> Iterator[tuple[Several[Any, bytes], list[Any], list[bytes]]]:
        """Yield each index, the keys by which it finds these accounts of the source, and the SID for each key."""
        sids = [pair.source.sid for pair in pairs]
        sams = [pair.names.sam for pair in pairs]
        yield self._by_name, list(map(folded, sams)), sids
        if prefix := self._rules.naming.rename.prefix:
            yield self._by_name, [folded(sam.removeprefix(prefix)) for sam in sams], sids
        missing = [pair for pair in pairs if pair.target is None]
        places = [(place, pair.source.sid) for pair in missing for place in self._places(pair)]
        yield self._by_place, [place for place, _ in places], [sid for _, sid in places]
        if (key_at := self._rules.key_at) is not None:
            values = [(key_value(pair.source, key_at), sid) for pair, sid in zip(pairs, sids, strict=True)]
            known = [(value, sid) for value, sid in values if value is not None]
            yield self._by_key, [value for value, _ in known], [sid for _, sid in known]


def _in_order(one: Stand) -> tuple[str, bytes]:
    return in_order(one.pair.source)

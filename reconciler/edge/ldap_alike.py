"""Entries that look like those before them, found by one regular expression each: what most of a large answer consists of.

A directory spells its answer the same way for each account: the same attributes in the same order, and only the values and their
lengths differ. Walking that in Python takes three times as long as matching it.

The law: what is found is what ``ldap_ber.Columns.entry`` would have found. An expression goes along the tags, the names and the
lengths of the values; every other length is looked up among those that were taken apart strictly (``Heads``, ``_Sizes``, ``_Lists``), and
must agree. Whatever does not is left to be walked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice, repeat
from operator import add, sub

from reconciler.core.table import Entry, Held, held_of
from reconciler.edge import ldap_ber as ber
from reconciler.edge.ldap_ber import Columns, Malformed

_LENGTH = rb"(?:[\x00-\x7f]|\x81.|\x82..|\x83...|\x84....)"
_PLAIN = re.compile(r"[a-z][a-z0-9-]*")
_NUMBER = rb"\x02(?:\x01.|\x02..|\x03...|\x04....)"
_LONGEST, _LONGEST_DN = 127, 255  # bytes
# Lengths are taken in steps, so that most of what comes fits, and both sides of a migration share expressions.
_STEP = 16
_FEW = 200  # entries that are not worth an expression
_SAMPLE = 64
_OFTEN = 4  # so many of a sample make a shape
_MOST_SHAPES, _TRIES = 8, 8
_MOST_KEPT = 4096


class Heads(dict[bytes, int]):
    """How long a message is, by its bytes up to the DN; -1 for what is no answer to this question, or does not agree."""

    def __init__(self, number: bytes) -> None:
        super().__init__()
        self._number = number

    def __missing__(self, head: bytes) -> int:
        """Take apart one that is new."""
        size = -1
        begin, length = _length(head, 1)
        place = begin + len(self._number)
        if head.startswith(self._number, begin) and head[place : place + 1] == bytes((ber.ENTRY,)):
            inner, rest = _length(head, place + 1)
            if inner + rest == begin + length and inner == len(head):
                size = begin + length
        self[head] = size
        return size


class _Sizes(dict[bytes, int]):
    """How long the value of an attribute is with its tag and length, by the bytes before it; -1 where these do not agree."""

    groups = 2

    def __init__(self, tagged: bytes) -> None:
        super().__init__()
        self._tagged = tagged

    def __missing__(self, head: bytes) -> int:
        """Take apart one that is new."""
        begin, length = _length(head, 1)
        following, size = _length(head, begin + len(self._tagged) + 1)
        agrees = following == len(head) and begin + length == following + size
        self[head] = size if agrees else -1
        return self[head]

    def held(self, heads: Sequence[bytes], bodies: Sequence[bytes]) -> Iterable[Held]:
        """Return the values of many, one each.

        Raises:
            Malformed: Some do not agree.
        """
        if list(map(self.__getitem__, heads)) != list(map(len, bodies)):
            raise Malformed("values that do not end where they should")
        return [body[2:] for body in bodies]


class _Lists(dict[bytes, int]):
    """How long a list of attributes is with its tag and length, by these."""

    def __missing__(self, head: bytes) -> int:
        """Take apart one that is new."""
        begin, length = _length(head, 1)
        self[head] = begin + length
        return self[head]


class _Kept(dict[bytes, Held]):
    """Values that repeat, by the whole attribute that they come in: each is taken apart and kept once."""

    groups = 1

    def __missing__(self, whole: bytes) -> Held:
        """Take apart one that is new.

        Raises:
            Malformed: It does not agree.
        """
        begin, end = ber.opened(whole, 0, ber.SEQUENCE, len(whole))
        _, behind = ber.opened(whole, begin, ber.OCTET_STRING, end)
        body, stop = ber.opened(whole, behind, ber.SET, end)
        if stop != end or end != len(whole):
            raise Malformed("an attribute that does not end where it should")
        held = self[whole] = held_of(ber.values(whole[body:stop]))
        return held

    def held(self, wholes: Sequence[bytes]) -> Iterable[Held]:
        """Return the values of many.

        Raises:
            Malformed: Some do not agree.
        """
        if len(self) > _MOST_KEPT:  # the sample was misleading, or it has several values
            self.clear()
        return list(map(self.__getitem__, wholes))


def _length(data: bytes, at: int) -> tuple[int, int]:
    """Return where the content begins whose length stands at ``at``, and how long it is."""
    first = data[at]
    if first < 128:
        return at + 1, first
    begin = at + 1 + (first & 127)
    return begin, int.from_bytes(data[at + 1 : begin], "big")


@dataclass(frozen=True, slots=True)
class Spelled:
    """How one attribute is spelled in a shape.

    Attributes:
        tagged: Its name with tag and length.
        several: Whether it may have more or less than one value.
        shortest: Bytes of the shortest value.
        longest: Of the longest.
        repeats: Many entries have the same.
    """

    tagged: bytes
    several: bool
    shortest: int
    longest: int
    repeats: bool

    @property
    def whole(self) -> bool:
        """Whether it is taken as a whole: with its name and lengths."""
        return self.several or self.repeats


class Shape:
    """Entries with the same attributes in the same order, as they come in one answer.

    Args:
        spelled: Its attributes.
        dn: Bytes of the shortest and of the longest DN.
        places: Of the attributes in an entry.
    """

    __slots__ = ("_lists", "_places", "_readers", "found", "match", "numbers", "sizes")

    def __init__(self, spelled: Sequence[Spelled], dn: tuple[int, int], places: Sequence[int]) -> None:
        self.match = _compiled(tuple(spelled), dn).match
        self.numbers: list[int] = []  # of the entries of a page that look like this
        self.found: list[tuple[bytes, ...]] = []  # what is in them: of the head, and of each attribute
        self.sizes: list[int] = []  # of their messages
        self._places = places
        self._readers: list[_Sizes | _Kept] = [_Kept() if one.whole else _Sizes(one.tagged) for one in spelled]
        self._lists = _Lists()

    def take(self, width: int) -> tuple[list[int], list[Entry]]:
        """Return the numbers of the entries that were found, and the entries; and forget them. None where some do not agree."""
        numbers, found, sizes = self.numbers, self.found, self.sizes
        self.numbers, self.found, self.sizes = [], [], []
        if not found:
            return [], []
        heads, dns, lists, *others = zip(*found, strict=True)
        columns: list[Iterable[Held]] = [repeat(None, len(found)) for _ in range(width)]
        columns[0] = names = [dn[2:] if dn[1] < 128 else dn[3:] for dn in dns]
        before = map(add, map(len, heads), map(len, dns))
        if list(map(sub, sizes, before)) != list(map(self._lists.__getitem__, lists)) or not _readable(names):
            return [], []
        parts = iter(others)
        try:
            for place, reader in zip(self._places, self._readers, strict=True):
                columns[place] = reader.held(*islice(parts, reader.groups))
        except Malformed:
            return [], []
        return numbers, list(zip(*columns, strict=True))


@lru_cache(64)
def _compiled(spelled: tuple[Spelled, ...], dn: tuple[int, int]) -> re.Pattern[bytes]:
    name = rb"(\x04(?:" + _any_of(dn[0], dn[1]) + rb"))"
    parts = [rb"(\x30", _LENGTH, _NUMBER, rb"\x64", _LENGTH, rb")", name, rb"(\x30", _LENGTH, rb")"]
    for one in spelled:
        value = rb"\x04(?:" + _any_of(one.shortest, one.longest) + rb")"
        values = rb"(?:" + value + rb")*" if one.several else value
        head = rb"\x30" + _LENGTH + re.escape(one.tagged) + rb"\x31" + _LENGTH
        parts.append(rb"(" + head + values + rb")" if one.whole else rb"(" + head + rb")(" + values + rb")")
    return re.compile(b"".join(parts), re.DOTALL)


def _any_of(shortest: int, longest: int) -> bytes:
    """Return the expression for a length and as many bytes."""
    plain = [re.escape(bytes((size,))) + rb".{%d}" % size for size in range(shortest, min(longest, 127) + 1)]
    long = [re.escape(bytes((size,))) + rb".{%d}" % size for size in range(max(shortest, 128), longest + 1)]
    return rb"|".join([*plain, *([rb"\x81(?:" + rb"|".join(long) + rb")"] if long else [])])


def _readable(names: Sequence[bytes]) -> bool:
    """Whether all of them are UTF-8."""
    try:
        b"\n".join(names).decode()
    except UnicodeDecodeError:
        return False
    return True


class Alike:
    """The shapes of one answer, learnt from those of its entries that were walked."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self._shapes: list[Shape] = []
        self._seen: dict[tuple[bytes, ...], _Seen] = {}
        self._tries = 0

    def follow(self, buffer: bytearray, at: int, heads: Heads, starts: list[int]) -> int:
        """Take whole messages that look like others, and return where they end.

        Args:
            heads: Of answers to this question.
            starts: Where the entries of this page begin; these are added.
        """
        if len(starts) >= _FEW and not self._tries:
            self._learn(bytes(buffer), starts)
        shapes, size = self._shapes, len(buffer)
        while at < size:
            for shape in shapes:
                match = shape.match(buffer, at)
                if match is not None:
                    found, end = match.groups(), match.end()
                    if heads[found[0]] == end - at:
                        break
            else:
                return at
            shape.numbers.append(len(starts))
            shape.found.append(found)
            shape.sizes.append(end - at)
            starts.append(at)
            at = end
        return at

    def entries(self, buffer: bytes, starts: Sequence[int], first: int) -> list[Entry]:
        """Return the entries of a page.

        Args:
            starts: Where the SearchResultEntry of each begins, or its message.
            first: Number of its first row.

        Raises:
            Malformed: One of them is none.
        """
        found: list[Entry | None] = [None] * len(starts)
        width = 1 + len(self._columns.places)
        for shape in self._shapes:
            numbers, some = shape.take(width)
            if len(numbers) == len(starts):
                return some
            for number, entry in zip(numbers, some, strict=True):
                found[number] = entry
        walked = {number: _operation(buffer, starts[number]) for number, entry in enumerate(found) if entry is None}
        for number, start in walked.items():
            found[number] = self._columns.entry(buffer, start, first + number)
        if len(walked) > max(_FEW, len(starts) // 4):
            self._learn(buffer, list(walked.values()))
        return found  # type: ignore[return-value]  # each is there now

    def _learn(self, buffer: bytes, starts: Sequence[int]) -> None:
        """Take up the shapes that some entries have of which there are many."""
        self._tries += 1
        if self._tries > _TRIES:
            return
        for start in starts[:: len(starts) // _SAMPLE | 1]:  # odd, because entries of two kinds may alternate
            dn, spelled = _spelled(buffer, start)
            order = tuple(spelled)
            self._seen.setdefault(order, _Seen()).add(dn, list(spelled.values()))
        often = [(order, seen) for order, seen in self._seen.items() if len(seen.dns) >= _OFTEN]
        often.sort(key=lambda one: -len(one[1].dns))
        self._shapes = [shape for one in often[:_MOST_SHAPES] if (shape := self._shape(*one)) is not None]

    def _shape(self, order: Sequence[bytes], seen: _Seen) -> Shape | None:
        names = [tagged[2:].decode("ascii", "replace").lower() for tagged in order]
        if not all(map(_PLAIN.fullmatch, names)) or len(set(names)) < len(names):  # one that comes in part, or twice
            return None
        places = [self._columns.place(name) for name in names]
        spelled = [
            _attribute(tagged, bodies) for tagged, bodies in zip(order, zip(*seen.bodies, strict=True), strict=True)
        ]
        return Shape(spelled, _range(map(len, seen.dns), _LONGEST_DN), places)


@dataclass(slots=True)
class _Seen:
    """Entries of a sample that have the same attributes in the same order: their DNs, and what each has of them."""

    dns: list[bytes] = field(default_factory=list)
    bodies: list[Sequence[bytes]] = field(default_factory=list)

    def add(self, dn: bytes, bodies: Sequence[bytes]) -> None:
        """Take up one."""
        self.dns.append(dn)
        self.bodies.append(bodies)


def _spelled(buffer: bytes, start: int) -> tuple[bytes, dict[bytes, bytes]]:
    """Return the DN of an entry that was walked, and the body of each attribute by its name with tag and length, in their order."""
    at, end = ber.opened(buffer, start, ber.ENTRY, len(buffer))
    name, at = ber.opened(buffer, at, ber.OCTET_STRING, end)
    dn = buffer[name:at]
    at, _ = ber.opened(buffer, at, ber.SEQUENCE, end)
    found = {}
    while at < end:
        begin, following = ber.opened(buffer, at, ber.SEQUENCE, end)
        _, behind = ber.opened(buffer, begin, ber.OCTET_STRING, following)
        body, _ = ber.opened(buffer, behind, ber.SET, following)
        found[buffer[begin:behind]] = buffer[body:following]
        at = following
    return dn, found


def _attribute(tagged: bytes, bodies: Sequence[bytes]) -> Spelled:
    found = [ber.values(body) for body in bodies]
    lengths = [len(value) for several in found for value in several] or [0]
    repeats = 2 * len(set(bodies)) <= len(bodies)
    shortest, longest = _range(lengths, _LONGEST)
    return Spelled(tagged, any(len(several) != 1 for several in found), shortest, longest, repeats)


def _range(lengths: Iterable[int], most: int) -> tuple[int, int]:
    """Return the least and the greatest, and some beyond them."""
    found = list(lengths)
    shortest, longest = min(found) - _STEP // 4, max(found) + _STEP // 4
    return max(0, shortest // _STEP * _STEP), min(most, longest // _STEP * _STEP + _STEP - 1)


def _operation(buffer: bytes, start: int) -> int:
    """Return where the operation begins of an entry that begins there, or whose message does."""
    if buffer[start] == ber.ENTRY:
        return start
    begin, _ = ber.opened(buffer, start, ber.SEQUENCE, len(buffer))
    return ber.opened(buffer, begin, ber.INTEGER, len(buffer))[1]

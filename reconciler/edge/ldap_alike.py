"""What the entries of a long answer look like, learnt from some of them: most of the others are matched, and not walked.

A directory spells its answer the same way for each account: the same attributes in the same order, and only the values and their
lengths differ. Walking that in Python takes three times as long as matching it (``ldap_shape``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from msgspec import Struct, field

from reconciler.core.table import Entry
from reconciler.edge import ldap_ber as ber
from reconciler.edge.ldap_ber import Columns
from reconciler.edge.ldap_shape import Heads, Shape, Spelled

_PLAIN = re.compile(r"[a-z][a-z0-9-]*")
_LONGEST, _LONGEST_DN = 127, 255  # bytes
_HEADS = 4  # bytes of the tag and the short length of a value, and of a set of values
# Lengths are taken in steps, so that most of what comes fits, and both sides of a migration share expressions.
_STEP = 16
_FEW = 200  # entries that are not worth an expression
_SAMPLE = 64
_OFTEN = 4  # so many of a sample make a shape
_MOST_SHAPES, _TRIES = 8, 8


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
            _attribute(tagged, parts) for tagged, parts in zip(order, zip(*seen.parts, strict=True), strict=True)
        ]
        return Shape(spelled, _range(map(len, seen.dns), _LONGEST_DN), places)


class _Part(NamedTuple):
    """One attribute of an entry: how many bytes its length and that of its set of values take, and what is in the set."""

    outer: int
    inner: int
    body: bytes


class _Seen(Struct):
    """Entries of a sample that have the same attributes in the same order: their DNs, and what each has of them."""

    dns: list[bytes] = field(default_factory=list)
    parts: list[Sequence[_Part]] = field(default_factory=list)

    def add(self, dn: bytes, parts: Sequence[_Part]) -> None:
        """Take up one."""
        self.dns.append(dn)
        self.parts.append(parts)


def _spelled(buffer: bytes, start: int) -> tuple[bytes, dict[bytes, _Part]]:
    """Return the DN of an entry that was walked, and each attribute by its name with tag and length, in their order."""
    at, end = ber.opened(buffer, start, ber.ENTRY, len(buffer))
    name, at = ber.opened(buffer, at, ber.OCTET_STRING, end)
    dn = buffer[name:at]
    at, _ = ber.opened(buffer, at, ber.SEQUENCE, end)
    found = {}
    while at < end:
        begin = at
        name, values_at, body, at = ber.attribute(buffer, begin, end)
        found[buffer[name:values_at]] = _Part(name - begin - 1, body - values_at - 1, buffer[body:at])
    return dn, found


def _attribute(tagged: bytes, parts: Sequence[_Part]) -> Spelled:
    found = [ber.values(part.body) for part in parts]
    lengths = [len(value) for values in found for value in values] or [0]
    repeats = 2 * len({part.body for part in parts}) <= len(parts)
    shortest, longest = _range(lengths, _LONGEST)
    several = any(len(values) != 1 for values in found)
    forms = {size for part in parts for size in (part.outer, part.inner)}
    if 1 in forms and (several or len(tagged) + longest + _HEADS > _LONGEST):
        forms.add(2)  # the next one may be longer than all of the sample
    return Spelled(tagged, several, shortest, longest, repeats, frozenset(forms))


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

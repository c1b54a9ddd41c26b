"""One shape of entries as a regular expression, and what it finds as entries.

The law: what is found is what ``ldap_ber.Columns.entry`` would have found. An expression goes along the tags, the names and the
lengths of the values; every other length is looked up among those that were taken apart strictly (``Heads``, ``_Sizes``,
``_Lists``, ``_Kept``), and must agree. Whatever does not is left to be walked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import islice, repeat
from operator import add, sub

from msgspec import Struct

from reconciler.core.table import Entry, Held, held_of
from reconciler.edge.ldap_ber import ENTRY, Malformed, attribute, extent, values

_FORMS = (rb"[\x00-\x7f]", rb"\x81.", rb"\x82..", rb"\x83...", rb"\x84....")  # of a length, by the bytes that it takes
_NUMBER = rb"\x02(?:\x01.|\x02..|\x03...|\x04....)"
_MOST_KEPT = 4096


class Heads(dict[bytes, int]):
    """How long a message is, by its bytes up to the DN; -1 for what is no answer to this question, or does not agree."""

    def __init__(self, number: bytes) -> None:
        super().__init__()
        self._number = number

    def __missing__(self, head: bytes) -> int:
        """Take apart one that is new."""
        size = -1
        begin, length = extent(head, 0)
        place = begin + len(self._number)
        if head.startswith(self._number, begin) and head[place : place + 1] == bytes((ENTRY,)):
            inner, rest = extent(head, place)
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
        begin, length = extent(head, 0)
        following, size = extent(head, begin + len(self._tagged))
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
        begin, length = extent(head, 0)
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
        _, _, body, end = attribute(whole, 0, len(whole))
        if end != len(whole):
            raise Malformed("an attribute that does not end where it should")
        held = self[whole] = held_of(values(whole[body:end]))
        return held

    def held(self, wholes: Sequence[bytes]) -> Iterable[Held]:
        """Return the values of many.

        Raises:
            Malformed: Some do not agree.
        """
        if len(self) > _MOST_KEPT:  # the sample was misleading, or it has several values
            self.clear()
        return list(map(self.__getitem__, wholes))


class Spelled(Struct, frozen=True):
    """How one attribute is spelled in a shape.

    Attributes:
        tagged: Its name with tag and length.
        several: Whether it may have more or less than one value.
        shortest: Bytes of the shortest value.
        longest: Of the longest.
        repeats: Many entries have the same.
        lengths: How many bytes the lengths of the attribute and of its set of values take, 1 to 5. A directory writes them all as
            short as can be, or all in five bytes: an expression that tries nothing else finds entries a sixth faster.
    """

    tagged: bytes
    several: bool
    shortest: int
    longest: int
    repeats: bool
    lengths: frozenset[int]

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
    any_length = _length(range(1, 6))
    name = rb"(\x04(?:" + _any_of(dn[0], dn[1]) + rb"))"
    head = rb"(\x30" + any_length + _NUMBER + rb"\x64" + any_length + rb")"
    parts = [head, name, rb"(\x30" + any_length + rb")"]
    for one in spelled:
        length = _length(sorted(one.lengths))
        value = rb"\x04(?:" + _any_of(one.shortest, one.longest) + rb")"
        values = rb"(?:" + value + rb")*" if one.several else value
        head = rb"\x30" + length + re.escape(one.tagged) + rb"\x31" + length
        parts.append(rb"(" + head + values + rb")" if one.whole else rb"(" + head + rb")(" + values + rb")")
    return re.compile(b"".join(parts), re.DOTALL)


def _length(sizes: Sequence[int]) -> bytes:
    """Return the expression for a length that takes so many bytes, or so many."""
    forms = [_FORMS[size - 1] for size in sizes]
    return forms[0] if len(forms) == 1 else rb"(?:" + rb"|".join(forms) + rb")"


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

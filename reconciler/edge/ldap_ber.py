"""LDAP answers straight from BER: walked by lengths, everything checked, nothing copied but what is kept. Pure.

The law: what is not exactly an answer raises ``Malformed``; it never becomes a row. Lengths may be longer than they need be,
as Windows writes them, but not indefinite. Source: RFC 4511, sections 4.1.1, 4.5.2, 5.1 and appendix B.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Struct, field

from reconciler.core.table import Entry, Held, held_of

LONGEST_MESSAGE = 1 << 28
"""Bytes; whoever announces more than that does not speak LDAP."""

BOOLEAN, INTEGER, OCTET_STRING, ENUMERATED, SEQUENCE, SET, CONTROLS = 0x01, 0x02, 0x04, 0x0A, 0x30, 0x31, 0xA0
SEARCH, ENTRY, DONE, REFERENCE, EXTENDED, INTERMEDIATE = 0x63, 0x64, 0x65, 0x73, 0x78, 0x79
MODIFY, MODIFIED = 0x66, 0x67
PASSED_OVER = (REFERENCE, INTERMEDIATE)  # references point at other servers; never followed
PAGED_RESULTS = b"1.2.840.113556.1.4.319"  # RFC 2696
_RANGE = re.compile(r"^(?P<name>[^;]+);range=(?P<first>\d+)-(?P<last>\d+|\*)$", re.IGNORECASE)


class Malformed(ValueError):
    """This is no LDAP."""


class Part(Struct, frozen=True):
    """A range of an attribute's values: ``member;range=0-1499``. Source: MS-ADTS 3.1.1.3.1.3.3.

    Attributes:
        last: None where nothing follows.
    """

    name: str
    first: int
    last: int | None


class Columns(Struct):
    """Which attribute stands where in an entry; learns them as they come.

    Attributes:
        places: By name in lower case.
        parts: For each row whose number is kept, which attributes came in part.
    """

    places: dict[str, int] = field(default_factory=dict)
    parts: dict[int, list[Part]] = field(default_factory=dict)
    _known: dict[bytes, int] = field(default_factory=dict)
    _previous: list[tuple[bytes | None, Held]] = field(default_factory=lambda: [(None, None)])

    def entry(self, buffer: bytes, start: int, row: int) -> Entry:
        """Return the SearchResultEntry at ``start``, as ``core.table.Table`` keeps it; what repeats is kept once.

        Raises:
            Malformed: It is none.
        """
        try:
            return self._entry(buffer, start, row)
        except (IndexError, ValueError) as error:
            raise error if isinstance(error, Malformed) else Malformed(f"an entry: {error}") from error

    def place(self, name: str) -> int:
        """Return where an attribute stands, from now on if it is new."""
        place = self.places.get(name)
        if place is None:
            place = self.places[name] = len(self._previous)
            self._previous.append((None, None))
        return place

    def _entry(self, buffer: bytes, start: int, row: int) -> Entry:
        at, end = opened(buffer, start, ENTRY, len(buffer))
        at, stop = opened(buffer, at, OCTET_STRING, end)
        name = buffer[at:stop]
        if not name.isascii():
            name.decode()
        at, stop = opened(buffer, stop, SEQUENCE, end)
        if stop != end:
            raise Malformed("an entry that does not end where it should")
        found: list[Held] = [None] * len(self._previous)
        found[0] = name
        known, previous = self._known, self._previous
        while at < end:
            # A PartialAttribute. Its name is looked up together with its own tag and length and the tag of the SET behind it.
            size, begin = buffer[at + 1], at + 2
            if size > 127:
                begin, size = _long(buffer, at)
            following = begin + size
            values_at = begin + 2 + buffer[begin + 1]
            place = known.get(buffer[begin : values_at + 1])
            if place is None or buffer[at] != SEQUENCE:
                place = self._learn(buffer, at, end, row)
                found += [None] * (len(previous) - len(found))
            size, begin = buffer[values_at + 1], values_at + 2
            if size > 127:
                begin, size = _long(buffer, values_at)
            if begin + size != following:
                raise Malformed("values that do not end where they should")
            body = buffer[begin:following]
            known_body, held = previous[place]
            if body != known_body:
                # Mostly a single short one; in any other all values are looked at.
                plain = 2 <= size <= 129 and buffer[begin] == OCTET_STRING and buffer[begin + 1] == size - 2
                held = body[2:] if plain else held_of(values(body))
                previous[place] = body, held
            if found[place] is None or found[place] == ():
                found[place] = held  # a long attribute comes twice: whole but empty, and as its first range
            elif held != ():
                raise Malformed("an attribute that comes twice")
            at = following
        if at != end:
            raise Malformed("an attribute that does not end where it should")
        return tuple(found)

    def _learn(self, buffer: bytes, start: int, end: int, row: int) -> int:
        """Return the place of an attribute that was not spelled so before, or comes in part."""
        at, values_at, _, _ = attribute(buffer, start, end)
        begin, _ = opened(buffer, at, OCTET_STRING, values_at)
        if begin != at + 2:
            raise Malformed("a long name of an attribute")
        spelled = buffer[begin:values_at].decode()
        part = part_of(spelled)
        name = part.name if part else spelled.lower()
        if name in ("", "dn"):  # a row has its DN there
            raise Malformed(f"{spelled!r} as the name of an attribute")
        place = self.place(name)
        if part is None:
            self._known[buffer[at : values_at + 1]] = place
        else:
            self.parts.setdefault(row, []).append(part)
        return place


def attribute(buffer: bytes, at: int, end: int) -> tuple[int, int, int, int]:
    """Return of the PartialAttribute at ``at`` where its name begins with its tag, where its SET, the SET's content, and what follows.

    Raises:
        Malformed: It is none, or reaches beyond ``end``.
    """
    name_at, following = opened(buffer, at, SEQUENCE, end)
    _, values_at = opened(buffer, name_at, OCTET_STRING, following)
    body, stop = opened(buffer, values_at, SET, following)
    if stop != following:
        raise Malformed("values that do not end where they should")
    return name_at, values_at, body, following


def values(body: bytes) -> tuple[bytes, ...]:
    """Return the values in the body of a ``SET OF OCTET STRING``: RFC 4511, section 4.1.7.

    Raises:
        Malformed: It is no such thing.
    """
    found, at = [], 0
    while at < len(body):
        begin, at = opened(body, at, OCTET_STRING, len(body))
        found.append(body[begin:at])
    return tuple(found)


def part_of(spelled: str) -> Part | None:
    """Return which values these are, where they are not all.

    Raises:
        Malformed: They are a part, but not one that can be followed to its end.
    """
    if ";range=" not in spelled.lower():
        return None
    found = _RANGE.match(spelled)
    if found is None:  # read as an attribute of that name, the real one would seem to be absent
        raise Malformed(f"a range that is not understood: {spelled!r}")
    first, last = int(found["first"]), None if found["last"] == "*" else int(found["last"])
    if last is not None and last < first:  # it would be asked for again for ever
        raise Malformed(f"a range from {first} to {last}")
    return Part(found["name"].lower(), first, last)


class Result(Struct, frozen=True):
    """How an operation ended: RFC 4511, section 4.1.9, and the cookie of the next page, empty for none."""

    code: int
    message: str
    cookie: bytes


def result(buffer: bytes, start: int, end: int, tag: int = DONE) -> Result:
    """Read the SearchResultDone, or another result, at ``start`` and the controls up to ``end``, where its message ends.

    Raises:
        Malformed: It is none.
    """
    at, stop = opened(buffer, start, tag, end)
    code_at, code_end = opened(buffer, at, ENUMERATED, stop)
    _, matched_end = opened(buffer, code_end, OCTET_STRING, stop)
    message_at, message_end = opened(buffer, matched_end, OCTET_STRING, stop)
    if code_at == code_end or code_end - code_at > 4:
        raise Malformed("a result code of no known size")
    code = int.from_bytes(buffer[code_at:code_end], "big", signed=True)
    return Result(code, buffer[message_at:message_end].decode("utf-8", "replace"), _cookie(buffer, stop, end))


def _cookie(buffer: bytes, start: int, end: int) -> bytes:
    if start == end:
        return b""
    at, stop = opened(buffer, start, CONTROLS, end)
    for begin, finish in _inside(buffer, at, stop, SEQUENCE):
        name_at, at = opened(buffer, begin, OCTET_STRING, finish)
        if buffer[name_at:at] == PAGED_RESULTS:
            if at < finish and buffer[at] == BOOLEAN:  # criticality
                _, at = opened(buffer, at, BOOLEAN, finish)
            at, finish = opened(buffer, at, OCTET_STRING, finish)
            at, finish = opened(buffer, at, SEQUENCE, finish)
            _, at = opened(buffer, at, INTEGER, finish)
            at, finish = opened(buffer, at, OCTET_STRING, finish)
            return buffer[at:finish]
    return b""


def _inside(buffer: bytes, at: int, end: int, tag: int) -> Iterator[tuple[int, int]]:
    while at < end:
        begin, at = opened(buffer, at, tag, end)
        yield begin, at


def opened(buffer: bytes | bytearray, at: int, tag: int, end: int) -> tuple[int, int]:
    """Return where the content of what stands at ``at`` begins and ends.

    Raises:
        Malformed: It has another tag, an indefinite length, or reaches beyond ``end``.
    """
    if at + 2 > end or buffer[at] != tag:
        raise Malformed(f"something else where the tag 0x{tag:02x} should be")
    begin, size = extent(buffer, at)
    if begin + size > end:
        raise Malformed("something that reaches beyond what it is in")
    return begin, begin + size


def extent(buffer: bytes | bytearray, at: int) -> tuple[int, int]:
    """Return where the content of what stands at ``at`` begins and its size, whether or not all of it is there."""
    size = buffer[at + 1]
    return _long(buffer, at) if size > 127 else (at + 2, size)


def message_end(buffer: bytes | bytearray, at: int, end: int) -> int:
    """Return where the message at ``at`` ends, 0 where more has to come before that is known.

    Raises:
        Malformed: It is none, or an absurdly long one.
    """
    if at < end and buffer[at] != SEQUENCE:
        raise Malformed("something else where a message should begin")
    if end - at < 2:
        return 0
    size, begin = buffer[at + 1], at + 2
    if size > 127:
        if end - at < 2 + (size & 127) and 0 < size & 127 < 5:
            return 0
        begin, size = _long(buffer, at)
    if size > LONGEST_MESSAGE:
        raise Malformed(f"a message of {size} bytes")
    return begin + size


def _long(buffer: bytes | bytearray, at: int) -> tuple[int, int]:
    """Return where the content begins and its size, where the size does not fit into seven bits."""
    count = buffer[at + 1] & 127
    if not 0 < count < 5:
        raise Malformed("a length that is indefinite, or has more than four bytes")
    begin = at + 2 + count
    return begin, int.from_bytes(buffer[at + 2 : begin], "big")


def packed(tag: int, content: bytes) -> bytes:
    """Return content with its tag and length, the shortest way."""
    size = len(content)
    if size < 128:
        return bytes((tag, size)) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 128 | len(octets))) + octets + content


def packed_number(number: int) -> bytes:
    """Return a positive INTEGER."""
    return packed(INTEGER, number.to_bytes(number.bit_length() // 8 + 1, "big"))

"""Many rows of one search in little memory: values stay as they came, and become Python objects when somebody reads them.

Of each entry a tuple is kept: the DN in UTF-8, then per column the body of its ``SET OF OCTET STRING`` in BER, None where the
entry has no such attribute. Source: RFC 4511, sections 4.5.2 and 5.1; X.690, section 8.1.3.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import compress
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar, overload

from reconciler.core.errors import UnexpectedAnswer
from reconciler.core.query import Row, Rows
from reconciler.core.version import Version

Entry = tuple[Any, ...]
"""``(dn: bytes, body: bytes | None, ...)``: as long as its table has columns, and one more."""

_OCTET_STRING = 4
_CHUNK = 1000
T = TypeVar("T")


class Moved(NamedTuple):
    """What an answer has no longer, and what it has instead; a row that changed is in both."""

    gone: Table
    fresh: Table

    def __bool__(self) -> bool:
        """Whether anything moved."""
        return bool(self.gone or self.fresh)


class Table(Sequence[Row]):
    """Rows that compare with plain ones: ``table == (row, ...)``.

    Args:
        columns: Attribute names in lower case, and where in an entry they stand; entries may hold more than is shown.
        entries: Checked: whoever makes them has seen that each body is well formed (``values`` reads it).
    """

    __slots__ = ("_columns", "_entries", "_hidden", "_version")
    __hash__ = None  # type: ignore[assignment]

    def __init__(
        self,
        columns: Mapping[str, int],
        entries: Sequence[Entry],
        version: Version[Moved] | None = None,
        hidden: frozenset[str] = frozenset(),
    ) -> None:
        self._columns = columns
        self._entries = entries
        self._version: Version[Moved] = version or Version()
        self._hidden = hidden

    @classmethod
    def of(cls, rows: Rows) -> Table:
        """Return rows as a table: the same one where they are."""
        if isinstance(rows, cls):
            return rows
        names = dict.fromkeys(name for row in rows for name in row if name != "dn")
        columns = {name: place for place, name in enumerate(names, 1)}
        return cls(columns, [(str(row["dn"]).encode(), *(_packed(row.get(name)) for name in names)) for row in rows])

    def __len__(self) -> int:
        """Return how many rows there are."""
        return len(self._entries)

    @overload
    def __getitem__(self, at: int) -> Row: ...
    @overload
    def __getitem__(self, at: slice) -> Table: ...
    def __getitem__(self, at: int | slice) -> Row | Table:
        """Return a row, or a table of some."""
        if isinstance(at, slice):
            return Table(self._columns, self._entries[at])
        return EntryRow(self._columns, self._entries[at])

    def __iter__(self) -> Iterator[Row]:
        """Yield a view of each row."""
        columns = self._columns
        return (EntryRow(columns, entry) for entry in self._entries)

    def __eq__(self, other: object) -> bool:
        """Whether the other has the same rows in the same order."""
        if not isinstance(other, Sequence) or isinstance(other, str | bytes):
            return NotImplemented
        return len(self) == len(other) and all(one == two for one, two in zip(self, other, strict=True))

    def __repr__(self) -> str:
        """Show what there is, not all of it."""
        return f"<Table of {len(self)} rows: {', '.join(self._columns)}>"

    def only(self, places: Sequence[int]) -> Table:
        """Return some of the rows."""
        return Table(self._columns, [self._entries[place] for place in places])

    def without(self, name: str) -> Table:
        """Return the same rows without one attribute; nothing is copied."""
        columns = {column: place for column, place in self._columns.items() if column != name}
        return Table(columns, self._entries, self._version, self._hidden | {name})

    def bodies(self, name: str) -> Iterable[bytes | None]:
        """Return what each row has of an attribute, as it came."""
        place = self._columns.get(name)
        return (None for _ in self._entries) if place is None else map(itemgetter(place), self._entries)

    def replaced(self, name: str, gone: Collection[bytes], fresh: Table) -> Table:
        """Return the rows without those whose only value of ``name`` is one of ``gone``, and with fresh ones behind them."""
        bodies = frozenset(map(packed_value, gone))
        leaves = [body in bodies for body in self.bodies(name)]
        left = list(compress(self._entries, leaves))
        if not left and not fresh:
            return self
        kept = list(compress(self._entries, (not leaving for leaving in leaves)))
        columns = dict(self._columns)
        width = len(self._entries[0]) if self._entries else 1 + max(columns.values(), default=0)
        for column in fresh._columns:
            if column not in columns:
                columns[column], width = width, width + 1
        if self._entries and len(self._entries[0]) < width:  # an attribute that no row had until now
            kept, left = ([entry + (None,) * (width - len(entry)) for entry in some] for some in (kept, left))
        came = fresh._moved_to(columns, width)
        moved = Moved(Table(columns, left), Table(columns, came))
        return Table(columns, kept + came, Version(self._version, moved), self._hidden)

    def since(self, older: Rows) -> Moved | None:
        """Return what has moved since an older answer to the same question; None where that is not known."""
        if not isinstance(older, Table) or self._hidden != older._hidden:
            return None
        moved = self._version.since(older._version, Moved(self[:0], self[:0]))
        return None if moved is None else self._seen(moved)

    def made(self, name: Hashable, make: Callable[[Table], T], follow: Callable[[T, Moved], T]) -> T:
        """Return what ``make`` makes of these rows, or what follows from what was made before; see ``Version.made``.

        Args:
            name: Of what is made; equal names are the same thing made the same way, of the same attributes.
        """
        return self._version.made(name, lambda: make(self), lambda made, moved: follow(made, self._seen(moved)))

    def _seen(self, moved: Moved) -> Moved:
        """Return what moved as it is seen here: without the attributes that are left out."""
        if not self._hidden:
            return moved
        return Moved(*(Table(self._columns, some._entries) for some in moved))

    def _moved_to(self, columns: Mapping[str, int], width: int) -> list[Entry]:
        found = []
        for entry in self._entries:
            moved: list[bytes | None] = [None] * width
            moved[0] = entry[0]
            for name, place in self._columns.items():
                moved[columns[name]] = entry[place]
            found.append(tuple(moved))
        return found

    def records(self, single: Sequence[str], several: Sequence[str] = ()) -> Iterator[tuple[Any, ...]]:
        """Yield ``(dn, value or None, ..., (value, ...), ...)`` per row, all of bytes: for who reads a hundred thousand.

        Args:
            single: Attributes, in lower case, of which one value is expected, or none.
            several: Attributes of which all values are wanted; equal answers share one tuple.

        Raises:
            UnexpectedAnswer: A single one has more than one value.
        """
        shared: dict[bytes | None, tuple[bytes, ...]] = {None: ()}
        for start in range(0, len(self), _CHUNK):
            chunk = self[start : start + _CHUNK]
            dns = map(itemgetter(0), chunk._entries)
            ones = [chunk._single(name) for name in single]
            yield from zip(dns, *ones, *(chunk._several(name, shared) for name in several), strict=True)

    def _single(self, name: str) -> list[bytes | None]:
        # A body below 130 bytes that says that its first value ends where it ends has a length of one byte, and one value.
        return [
            body[2:] if body and body[1] == len(body) - 2 < 128 else self._odd(name, number, body) if body else None
            for number, body in enumerate(self.bodies(name))
        ]

    def _odd(self, name: str, number: int, body: bytes) -> bytes:
        found = values(body)
        if len(found) == 1:
            return found[0]
        raise UnexpectedAnswer(
            f"the answer has {len(found)} values of {name!r} where at most one was expected",
            where=str(self[number]["dn"]),
        )

    def _several(self, name: str, shared: dict[bytes | None, tuple[bytes, ...]]) -> list[tuple[bytes, ...]]:
        found = []
        for body in self.bodies(name):
            several = shared.get(body)
            if several is None:
                several = shared[body] = values(body or b"")
            found.append(several)
        return found


class EntryRow(Mapping[str, object]):
    """One row of a table; equal to a plain one of the same content."""

    __slots__ = ("_columns", "_entry")

    def __init__(self, columns: Mapping[str, int], entry: Entry) -> None:
        self._columns = columns
        self._entry = entry

    def __getitem__(self, name: str) -> object:
        """Return the DN, or the values of an attribute."""
        if name == "dn":
            return str(self._entry[0], "utf-8")
        body = self._entry[self._columns[name]]
        if body is None:
            raise KeyError(name)
        return values(body)

    def __iter__(self) -> Iterator[str]:
        """Yield ``dn`` and the names of the attributes that are there."""
        yield "dn"
        yield from (name for name, place in self._columns.items() if self._entry[place] is not None)

    def __len__(self) -> int:
        """Return how many names there are."""
        return 1 + sum(self._entry[place] is not None for place in self._columns.values())

    def __repr__(self) -> str:
        """Show it as a plain row."""
        return repr(dict(self))


def records(rows: Rows, single: Sequence[str], several: Sequence[str] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield what ``Table.records`` says, of any rows of a search."""
    return Table.of(rows).records(single, several)


def values(body: bytes) -> tuple[bytes, ...]:
    """Return the values in the body of a ``SET OF OCTET STRING``.

    Raises:
        ValueError: It is no such thing.
    """
    found = []
    at, end = 0, len(body)
    try:
        while at < end:
            start, size = at + 2, body[at + 1]
            if size > 127:
                start += size & 127
                if not 0 < size & 127 < 5:
                    raise ValueError("a length that is indefinite, or has more than four bytes")
                size = int.from_bytes(body[at + 2 : start], "big")
            if body[at] != _OCTET_STRING:
                raise ValueError("a value that is no octet string")
            at = start + size
            found.append(body[start:at])
    except IndexError:
        at = -1
    if at != end:
        raise ValueError("a value that does not end where it should")
    return tuple(found)


def packed_value(value: bytes) -> bytes:
    """Return one value as it stands in a body: the shortest way."""
    size = len(value)
    if size < 128:
        return bytes((_OCTET_STRING, size)) + value
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((_OCTET_STRING, 128 | len(octets))) + octets + value


def _packed(found: object) -> bytes | None:
    if found is None:
        return None
    if not isinstance(found, tuple | list):
        raise TypeError(f"a row of a search has {type(found).__name__} where a tuple of bytes is expected")
    return b"".join(map(packed_value, found))

"""Many rows of one search in little memory, and read by columns: a mapping for each is made when somebody looks at it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import compress
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar, overload

from reconciler.core.errors import UnexpectedAnswer
from reconciler.core.query import Row, Rows
from reconciler.core.version import Version

Held = bytes | tuple[bytes, ...] | None
"""What an entry has of an attribute: its one value; none or several; or None where it has no such attribute."""
Entry = tuple[Any, ...]
"""``(dn: bytes, held: Held, ...)``: as long as its table has columns, and one more."""

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
        entries: One per row; a tuple of values never has exactly one.
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
        return cls(columns, [(str(row["dn"]).encode(), *(_held(row.get(name)) for name in names)) for row in rows])

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

    def column(self, name: str) -> Iterable[Held]:
        """Return what each row has of an attribute."""
        place = self._columns.get(name)
        return (None for _ in self._entries) if place is None else map(itemgetter(place), self._entries)

    def replaced(self, name: str, gone: Collection[bytes], fresh: Table) -> Table:
        """Return the rows without those whose only value of ``name`` is one of ``gone``, and with fresh ones behind them."""
        leaving = frozenset(gone)
        leaves = [held in leaving for held in self.column(name)]
        left = list(compress(self._entries, leaves))
        if not left and not fresh:
            return self
        kept = list(compress(self._entries, (not leaves_it for leaves_it in leaves)))
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
            moved: list[Held] = [None] * width
            moved[0] = entry[0]
            for name, place in self._columns.items():
                moved[columns[name]] = entry[place]
            found.append(tuple(moved))
        return found

    def records(self, single: Sequence[str], several: Sequence[str] = ()) -> Iterator[tuple[Any, ...]]:
        """Yield ``(dn, value or None, ..., (value, ...), ...)`` per row, all of bytes: for who reads a hundred thousand.

        Args:
            single: Attributes, in lower case, of which one value is expected, or none.
            several: Attributes of which all values are wanted; rows near each other share equal ones.

        Raises:
            UnexpectedAnswer: A single one has more than one value.
        """
        for chunk in self.chunks():
            yield from zip(*chunk.columns(single, several), strict=True)

    def chunks(self) -> Iterator[Table]:
        """Yield all rows, so many at a time as are well read at once."""
        return (self[start : start + _CHUNK] for start in range(0, len(self), _CHUNK))

    def columns(self, single: Sequence[str], several: Sequence[str] = ()) -> list[list[Any]]:
        """Return what ``records`` yields by columns, the DNs first."""
        dns: list[Any] = list(map(itemgetter(0), self._entries))
        return [dns, *map(self._single, single), *map(self._several, several)]

    def _single(self, name: str) -> list[bytes | None]:
        column = list(self.column(name))
        if tuple in set(map(type, column)):
            return [self._odd(name, number, held) for number, held in enumerate(column)]
        return column  # type: ignore[return-value]  # there is no tuple in it

    def _odd(self, name: str, number: int, held: Held) -> bytes | None:
        if not isinstance(held, tuple):
            return held
        if not held:
            return None
        raise UnexpectedAnswer(
            f"the answer has {len(held)} values of {name!r} where at most one was expected",
            where=str(self[number]["dn"]),
        )

    def _several(self, name: str) -> list[tuple[bytes, ...]]:
        return list(map(_Shared().__getitem__, self.column(name)))


class _Shared(dict[Held, tuple[bytes, ...]]):
    """Values by what is held: a department is that of thousands."""

    def __missing__(self, held: Held) -> tuple[bytes, ...]:
        """Make those of one that is new."""
        found = self[held] = values_of(held)
        return found


class EntryRow(Mapping[str, object]):
    """One row of a table; equal to a plain one of the same content."""

    __slots__ = ("_columns", "_entry")

    def __init__(self, columns: Mapping[str, int], entry: Entry) -> None:
        self._columns = columns
        self._entry = entry

    def __getitem__(self, name: str) -> object:
        """Return the DN, or the values of an attribute."""
        found = self.get(name)
        if found is None:
            raise KeyError(name)
        return found

    @overload
    def get(self, name: str) -> object: ...
    @overload
    def get(self, name: str, default: object) -> object: ...
    def get(self, name: str, default: object = None) -> object:
        """Return the DN, or the values of an attribute; what is not there is asked for as often as what is."""
        place = self._columns.get(name)
        if place is None:
            return str(self._entry[0], "utf-8") if name == "dn" else default
        held = self._entry[place]
        return default if held is None else values_of(held)

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


def held_of(found: Sequence[bytes]) -> bytes | tuple[bytes, ...]:
    """Return values as an entry holds them."""
    return found[0] if len(found) == 1 else tuple(found)


def values_of(held: Held) -> tuple[bytes, ...]:
    """Return what an entry holds as values."""
    return (held,) if isinstance(held, bytes) else held or ()


def _held(found: object) -> Held:
    if found is None:
        return None
    if not isinstance(found, tuple | list):
        raise TypeError(f"a row of a search has {type(found).__name__} where a tuple of bytes is expected")
    return held_of(found)

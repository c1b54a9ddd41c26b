"""Facts of the journal at one moment, and what has changed since another one: there may be some about a hundred thousand accounts."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TypeVar, overload

from reconciler.core.ports import Json
from reconciler.core.query import Row
from reconciler.core.version import Version

T = TypeVar("T")
_NOTHING: frozenset[str] = frozenset()


class Facts(Mapping[str, Json]):
    """Facts in the order of their keys. They stay as they are: later ones are others."""

    __slots__ = ("_facts", "_version")

    def __init__(self, facts: Mapping[str, Json], version: Version[frozenset[str]] | None = None) -> None:
        self._facts = facts
        self._version = version or Version()

    def became(self, facts: Mapping[str, Json], changed: Iterable[str]) -> Facts:
        """Return what these became when those with some keys were added or replaced; none is ever taken away."""
        return Facts(facts, Version(self._version, frozenset(changed)))

    def __getitem__(self, key: str) -> Json:
        """Return a fact."""
        return self._facts[key]

    def __iter__(self) -> Iterator[str]:
        """Yield the keys in their order."""
        return iter(self._facts)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._facts)

    def __repr__(self) -> str:
        """Show what there is, not all of it."""
        return f"<{len(self)} facts>"

    def since(self, older: Facts) -> frozenset[str] | None:
        """Return the keys of the facts that were added or replaced since; None where that is not known."""
        return self._version.since(older._version, _NOTHING)

    def made(self, name: Hashable, make: Callable[[], T], follow: Callable[[T, frozenset[str]], T]) -> T:
        """Return what is made of these facts; see ``Version.made``."""
        return self._version.made(name, make, follow)


class FactRows(Sequence[Row]):
    """The same as rows, ``{"key": ..., "value": ...}``: what answers a ``Recall``. They compare with plain ones."""

    __slots__ = ("facts",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, facts: Mapping[str, Json]) -> None:
        self.facts = facts if isinstance(facts, Facts) else Facts(dict(sorted(facts.items())))

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.facts)

    @overload
    def __getitem__(self, at: int) -> Row: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[Row, ...]: ...
    def __getitem__(self, at: int | slice) -> Row | tuple[Row, ...]:
        """Return a row, or some."""
        if isinstance(at, slice):
            return tuple(self)[at]
        place = at if at >= 0 else len(self) + at
        key = next(islice(self.facts, place, None), None) if place >= 0 else None
        if key is None:
            raise IndexError(at)
        return {"key": key, "value": self.facts[key]}

    def __iter__(self) -> Iterator[Row]:
        """Yield the rows, in the order of their keys."""
        return ({"key": key, "value": value} for key, value in self.facts.items())

    def __eq__(self, other: object) -> bool:
        """Whether the other has the same rows in the same order."""
        if not isinstance(other, Sequence) or isinstance(other, str | bytes):
            return NotImplemented
        return len(self) == len(other) and all(one == two for one, two in zip(self, other, strict=True))

    def __repr__(self) -> str:
        """Show what there is, not all of it."""
        return repr(self.facts)


def facts_in(rows: Sequence[Row]) -> Facts:
    """Return the facts of any answer to a ``Recall``."""
    return rows.facts if isinstance(rows, FactRows) else Facts({str(row["key"]): row["value"] for row in rows})  # type: ignore[misc]

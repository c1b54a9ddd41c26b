"""An index in which nearly every key has one value: small for a hundred thousand, and right for the few keys that several share."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Several(Generic[K, V]):
    """Values by key; those of one key in their natural order, whichever came first. No value may be a list."""

    __slots__ = ("_found",)

    def __init__(self) -> None:
        self._found: dict[K, V | list[V]] = {}

    def add(self, key: K, value: V) -> None:
        """Take one up. The same one twice is one."""
        had = self._found.setdefault(key, value)
        if had is value or had == value:
            return
        rest: list[V] = had if isinstance(had, list) else [had]
        if value not in rest:
            self._found[key] = sorted([*rest, value])  # type: ignore[type-var]  # they are tuples or bytes

    def add_all(self, keys: Sequence[K], values: Sequence[V]) -> None:
        """Take up a value for each key; at once where no key comes twice, which is what nearly all do."""
        if not self._found:
            found: dict[K, V | list[V]] = dict(zip(keys, values, strict=True))
            if len(found) == len(keys):
                self._found = found
                return
        for key, value in zip(keys, values, strict=True):
            self.add(key, value)

    def drop(self, key: K, value: V) -> None:
        """Take one out, if it is there."""
        had = self._found.get(key)
        if isinstance(had, list):
            rest = [one for one in had if one != value]
            self._found[key] = rest if len(rest) > 1 else rest[0]
        elif had == value:
            del self._found[key]

    def drop_all(self, keys: Sequence[K], values: Sequence[V]) -> None:
        """Take out a value of each key, those that are there."""
        for key, value in zip(keys, values, strict=True):
            self.drop(key, value)

    def first(self, key: K) -> V | None:
        """Return the value of a key, or the first of several."""
        had = self._found.get(key)
        return had[0] if isinstance(had, list) else had

    def of(self, key: K) -> tuple[V, ...]:
        """Return every value of a key."""
        had = self._found.get(key)
        if had is None:
            return ()
        return tuple(had) if isinstance(had, list) else (had,)

    def only(self, keys: Sequence[K]) -> list[V | None]:
        """Return the value of each key that has one and no other."""
        found = list(map(self._found.get, keys))
        return [None if type(had) is list else had for had in found]  # type: ignore[misc]

    def values(self) -> Iterator[V]:
        """Yield every value of every key."""
        for had in self._found.values():
            if isinstance(had, list):
                yield from had
            else:
                yield had

    def __contains__(self, key: K) -> bool:
        """Whether a key has a value."""
        return key in self._found

    def __len__(self) -> int:
        """Return how many keys there are."""
        return len(self._found)

    def __iter__(self) -> Iterator[K]:
        """Yield the keys."""
        return iter(self._found)

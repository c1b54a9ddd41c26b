"""What a large answer became of an earlier one by moving a little, so that what was made of it can follow instead of being made again.

The law: what followed is what would have been made anew. Where it is not known what moved, everything is made anew.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar, cast

M = TypeVar("M")
T = TypeVar("T")


class Version(Generic[M]):
    """One state of a collection. Not safe for several threads.

    Attributes:
        before: The state that it was made of; None where there was none, or where that is no longer of interest.
        moved: What moved between the two.
    """

    __slots__ = ("_made", "before", "moved")

    def __init__(self, before: Version[M] | None = None, moved: M | None = None) -> None:
        self.before = before
        self.moved = moved
        self._made: dict[Hashable, object] = {}
        if before is not None:  # one step back is enough; a chain of them would never be free
            before.before = before.moved = None

    def since(self, older: Version[M], nothing: M) -> M | None:
        """Return what has moved since an older state; None where that is not known."""
        if self is older:
            return nothing
        return self.moved if self.before is older else None

    def made(self, name: Hashable, make: Callable[[], T], follow: Callable[[T, M], T]) -> T:
        """Return what is made of this state, under a name; it is made once, or follows what was made of the state before.

        Args:
            follow: Returns what ``make`` would. It may change what it is given: the state before loses it.
        """
        if name not in self._made:
            before = self.before
            if before is not None and self.moved is not None and name in before._made:
                self._made[name] = follow(cast("T", before._made.pop(name)), self.moved)
            else:
                self._made[name] = make()
        return cast("T", self._made[name])

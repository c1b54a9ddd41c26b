"""How it stands with each of the many things that one resource stands for: an account ends with exactly one verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal, NamedTuple, overload

Standing = Literal["migrated", "password copied", "password random", "waiting", "excluded", "failed"]
"""``migrated``: everything that was declared of it is there, a password is not; ``password copied``: everything, with the old
password; ``password random``: it is there, but ADMT made a password because it could not copy the old one; ``waiting``: not yet
there, or not yet all of it; ``excluded``: deliberately left out; ``failed``: it was tried and did not succeed, or cannot be.
"""
STANDINGS: tuple[Standing, ...] = ("migrated", "password copied", "password random", "waiting", "excluded", "failed")


class Verdict(NamedTuple):
    """One account.

    Attributes:
        name: sAMAccountName in the source.
        dn: Its DN in the source.
        sid: Its SID in the source.
        target: DN in the target; empty where there is none.
        why: What it lacks, or why it failed or was left out; empty where there is nothing to say.
    """

    name: str
    dn: str
    sid: str
    standing: Standing
    target: str = ""
    why: str = ""


class Verdicts(Sequence[Verdict]):
    """Verdicts that are given when somebody reads them: a watch looks at a hundred thousand accounts and tells of ten.

    Args:
        parts: Things, and what gives the verdict on one of them.
    """

    __slots__ = ("_parts",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, *parts: tuple[Sequence[Any], Callable[[Any], Verdict]]) -> None:
        self._parts = parts

    def __len__(self) -> int:
        """Return how many there are."""
        return sum(len(things) for things, _ in self._parts)

    def __iter__(self) -> Iterator[Verdict]:
        """Give them, one after the other."""
        return (give(thing) for things, give in self._parts for thing in things)

    @overload
    def __getitem__(self, at: int) -> Verdict: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[Verdict, ...]: ...
    def __getitem__(self, at: int | slice) -> Verdict | tuple[Verdict, ...]:
        """Give one of them, or some."""
        return tuple(self)[at]

    def __eq__(self, other: object) -> bool:
        """Whether the other has the same in the same order."""
        return tuple(self) == tuple(other) if isinstance(other, Sequence) else NotImplemented


def counted(verdicts: Iterable[Verdict]) -> dict[Standing, int]:
    """Return how many accounts have each verdict; those that nobody has are left out."""
    found = Counter(verdict.standing for verdict in verdicts)
    return {standing: found[standing] for standing in STANDINGS if found[standing]}

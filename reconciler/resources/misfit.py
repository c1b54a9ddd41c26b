"""Names in a state file that do not fit together."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from reconciler.core.errors import Problem
from reconciler.core.resource import Declaration

Found = tuple[str | int, ...]
"""Path of keys and indexes inside the document."""


class Misfit(ValueError):
    """Names in the state file that do not fit together; carries every one of them.

    Attributes:
        rest: What is declared all the same, so that its edges can be checked too.
    """

    def __init__(self, problems: list[tuple[Found, str, str]], rest: Sequence[Declaration] = ()) -> None:
        super().__init__("names do not fit together")
        self.problems = problems
        self.rest = rest

    def located(self, where: Callable[[Found], str]) -> tuple[Problem, ...]:
        """Return the problems with their places; ``where`` turns an origin into file:line:column."""
        return tuple(Problem(what, where(origin), do) for origin, what, do in self.problems)


def unknown(name: str, known: Collection[str], what: str, origin: Found) -> Iterable[tuple[Found, str, str]]:
    """Return what is wrong with a name: nothing where it is known."""
    if name not in known:
        yield origin, f"no {what} is called '{name}'", f"known {what}s: {', '.join(known) or 'none'}"

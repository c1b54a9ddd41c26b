"""Names in a state file that do not fit together."""

from __future__ import annotations

from collections.abc import Callable

from reconciler.core.errors import Problem

Found = tuple[str | int, ...]
"""Path of keys and indexes inside the document."""


class Misfit(ValueError):
    """Names in the state file that do not fit together; carries every one of them."""

    def __init__(self, problems: list[tuple[Found, str, str]]) -> None:
        super().__init__("names do not fit together")
        self.problems = problems

    def located(self, where: Callable[[Found], str]) -> tuple[Problem, ...]:
        """Return the problems with their places; ``where`` turns an origin into file:line:column."""
        return tuple(Problem(what, where(origin), do) for origin, what, do in self.problems)

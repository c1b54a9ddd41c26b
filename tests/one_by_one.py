"""What worlds of tests do one after the other where a real one does it at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from reconciler.core.errors import ReconcileError

Given = TypeVar("Given")
Answer = TypeVar("Answer")


def one_by_one(do: Callable[[Given], Answer], given: Iterable[Given]) -> list[Answer | ReconcileError]:
    """Return what comes of each, or the error in its place."""
    found: list[Answer | ReconcileError] = []
    for one in given:
        try:
            found.append(do(one))
        except ReconcileError as error:
            found.append(error)
    return found

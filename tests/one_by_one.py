"""What worlds of tests do one after the other where a real one does it at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from reconciler.core.errors import ReconcileError
from reconciler.core.ports import AsksTogether
from reconciler.core.query import Query, Rows

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


def answers_of(world: AsksTogether, queries: Sequence[Query]) -> list[Rows | ReconcileError]:
    """Return what a world answers to each question, in their order; each is answered once."""
    answers = list(world.ask_each(queries))
    found = dict(answers)
    assert sorted(found) == list(range(len(queries))) and len(answers) == len(queries)
    return [found[place] for place in range(len(queries))]

"""What a watch keeps of the look before: of what each resource was read, and as what, so that the next reads what has moved since."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct, field

from reconciler.core.query import Recall, Rows
from reconciler.core.resource import Key, Resource

Read = Callable[[Resource, Sequence[Rows]], Resource]
"""Makes a resource of answers about it."""


class LastLook(Struct):
    """The last answers about each resource, and what was made of them."""

    _read: dict[Key, tuple[tuple[Rows, ...], Resource]] = field(default_factory=dict)

    def read(self, wanted: Resource, answers: Sequence[Rows]) -> Resource:
        """Return what ``wanted.parse`` makes of these answers.

        Raises:
            UnexpectedAnswer: As ``Resource.parse`` does.
        """
        before = self._read.pop(wanted.key, None)
        found = wanted.parse(*answers) if before is None else wanted.reread(before[1], before[0], *answers)
        self._read[wanted.key] = (tuple(answers), found)
        return found

    def forget(self) -> None:
        """Read everything next time."""
        self._read.clear()


def plainly(wanted: Resource, answers: Sequence[Rows]) -> Resource:
    """Read everything, always."""
    return wanted.parse(*answers)


class Reading(Struct, frozen=True):
    """How what was answered is read.

    Attributes:
        recall: Answers from the journal.
        read: Makes a resource of answers about it.
    """

    recall: Callable[[Recall], Rows]
    read: Read = plainly

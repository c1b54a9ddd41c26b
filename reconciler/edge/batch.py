"""Several commands in one message, and whose answer is whose. Pure.

The law: an answer is given to a command only where it is certain that it is its own; what is not certain is asked again alone.

PSRP does not say which statement of a batch an output came from. So behind each command stands a statement that puts out a
word nobody can foresee, and the errors of a command are merged into its output, where they stand between two such words.
A terminating error is not merged, and does not keep the next statement from running: it is told by the name of its command.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from reconciler.edge.psrp_statement import Answer, Statement

MOST = 40
"""Commands in one message: each takes up to 2 KB of it, and Windows takes 500 KB."""


class Asked(Struct, frozen=True):
    """One command of a batch: its statements in order."""

    statements: tuple[Statement, ...]

    @property
    def name(self) -> str:
        """What its errors name as what was being done."""
        return self.statements[0].name


class Batch:
    """The statements of several commands, and how their answer is taken apart."""

    def __init__(self, asked: Sequence[Asked]) -> None:
        self._asked = asked
        # Select-Object is the one command that puts out what it is given on every endpoint, JEA's restricted ones included.
        self._words = [f"reconcile:{secrets.token_hex(8)}:{index}" for index in range(len(asked))]

    @property
    def statements(self) -> list[Statement]:
        """What to send."""
        found: list[Statement] = []
        for asked, word in zip(self._asked, self._words, strict=True):
            found += [replace(statement, merged=True) for statement in asked.statements]
            found.append(Statement("Select-Object", (("InputObject", word),)))
        return found

    def parts(self, answer: Answer) -> list[Answer | None]:
        """Return the answer of each command; None where it is not certain."""
        whole: list[Answer | None] = list(self._between_words(answer.output))
        for record in answer.errors:
            doing = str(getattr(record, "activity", None) or "").lower()
            suspects = [index for index, asked in enumerate(self._asked) if asked.name.lower() == doing]
            only = whole[suspects[0]] if len(suspects) == 1 else None
            if only is not None:
                whole[suspects[0]] = Answer(only.output, (*only.errors, record))
                continue
            for index in suspects or range(len(whole)):
                whole[index] = None
        return whole

    def _between_words(self, output: Sequence[object]) -> list[Answer | None]:
        ends = [next((at for at, item in enumerate(output) if _is_word(item, word)), None) for word in self._words]
        known = [end for end in ends if end is not None]
        if len(known) < len(ends) or known != sorted(known):
            return [None] * len(ends)
        starts = [0, *(end + 1 for end in known[:-1])]
        return [_part(output[start:end]) for start, end in zip(starts, known, strict=True)]


def _part(items: Sequence[object]) -> Answer | None:
    from pypsrp.complex_objects import ErrorRecord

    if any(_is_unread_error(item) for item in items):
        return None
    errors = tuple(item for item in items if isinstance(item, ErrorRecord))
    return Answer(tuple(item for item in items if not isinstance(item, ErrorRecord)), errors)


def _is_word(item: object, word: str) -> bool:
    return isinstance(item, str) and item == word


def _is_unread_error(item: object) -> bool:
    from pypsrp.complex_objects import GenericComplexObject

    return isinstance(item, GenericComplexObject) and any(name.endswith("ErrorRecord") for name in item.types)

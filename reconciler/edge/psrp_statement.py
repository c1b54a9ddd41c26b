"""What goes to a Windows host in one message, and what comes back. Without pypsrp: who asks no host need not load it."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from reconciler.core.errors import Unreachable


class Statement(Struct, frozen=True):
    """One command with everything in it as pypsrp wants it, secrets included. Never shown.

    Attributes:
        merged: Its errors go to its output, as with ``2>&1``.
    """

    name: str
    parameters: tuple[tuple[str, object], ...] = ()
    arguments: tuple[object, ...] = ()
    merged: bool = False

    def __repr__(self) -> str:
        return f"Statement({self.name!r})"


class Answer(Struct, frozen=True):
    """What a pipeline put out."""

    output: Sequence[object]
    errors: Sequence[object]


class TimedOut(Unreachable):
    """The host answers, but the command took too long: no reason to repeat it."""

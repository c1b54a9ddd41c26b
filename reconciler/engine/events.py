"""What a run tells its watcher while it works. Data only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from msgspec import Struct

from reconciler.core.resource import Key


class Event(Struct, frozen=True):
    """One thing that just happened.

    Attributes:
        what: ``observing`` and ``round`` have no key; ``ended`` carries the status in ``text``; ``progress`` says how far a long
            piece of work is.
    """

    what: Literal["observing", "round", "started", "step", "progress", "ended"]
    key: Key = ""
    text: str = ""


Listener = Callable[[Event], None]


def nobody(event: Event) -> None:
    """Listen to nothing."""

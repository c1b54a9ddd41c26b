"""Who rang and was not heeded yet. Pure.

The law: a ring that comes while nobody waits is kept for the next who does. It never says what happened, only: look.
"""

from __future__ import annotations

FILE = "file"
"""Who rings when the state file was edited: that waits for no rest."""


class Bells:
    """What rang since somebody was woken last."""

    def __init__(self) -> None:
        self._rung: set[str] = set()

    def ring(self, source: str) -> None:
        """Take note; twice is as good as once."""
        self._rung.add(source)

    def rung(self, *, resting: bool) -> bool:
        """Whether there is somebody to heed; while it rests only the state file."""
        return FILE in self._rung or (bool(self._rung) and not resting)

    @property
    def edited(self) -> bool:
        """Whether the state file was edited."""
        return FILE in self._rung

    def take(self) -> str:
        """Heed all of them at once, and return who it was: the state file before all others."""
        rung, self._rung = self._rung, set()
        return FILE if FILE in rung else min(rung)

"""The program, killed as by `kill -9` right after its n-th effect on a host or in a directory."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from reconciler.core.query import Command, Rows
from reconciler.core.steps import Effect, Restart
from reconciler.edge.world import LiveWorld

DANGEROUS = ("Register-ScheduledTask", "Start-Service", "Set-Service")
SETTINGS = ("AllowPasswordExport", "RestrictAnonymous", "RunAsPPL")


def is_dangerous(effect: Effect) -> bool:
    """Whether an effect opens something, guards it, or makes it count."""
    if isinstance(effect, Restart):
        return True
    sets = isinstance(effect, Command) and dict(effect.parameters).get("Name") in SETTINGS
    return sets or (isinstance(effect, Command) and effect.name in DANGEROUS)


def die_after(left: int, note: Callable[[Effect], None]) -> None:
    """Let this process die after so many effects; ``note`` is told of each one before."""
    real = LiveWorld.do

    def do(self: LiveWorld, effect: Effect) -> Rows:
        nonlocal left
        rows = real(self, effect)
        note(effect)
        left -= 1
        if left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return rows

    LiveWorld.do = do  # type: ignore[method-assign]

"""The installed program, killed as by `kill -9` right after its n-th dangerous effect: `python -m tests.lab.killed N apply STATE`."""

from __future__ import annotations

import os
import signal
import sys

from reconciler.cli.main import run
from reconciler.core.query import Command, Rows
from reconciler.core.steps import Effect, Restart
from reconciler.edge.world import LiveWorld

DANGEROUS = ("Register-ScheduledTask", "Start-Service", "Set-Service")
SETTINGS = ("AllowPasswordExport", "RestrictAnonymous")


def is_dangerous(effect: Effect) -> bool:
    """Whether an effect opens something, guards it, or makes it count."""
    if isinstance(effect, Restart):
        return True
    sets = isinstance(effect, Command) and dict(effect.parameters).get("Name") in SETTINGS
    return sets or (isinstance(effect, Command) and effect.name in DANGEROUS)


def main() -> None:
    """Run the program with a death in it."""
    left = int(sys.argv.pop(1))
    real = LiveWorld.do

    def do(self: LiveWorld, effect: Effect) -> Rows:
        nonlocal left
        rows = real(self, effect)
        left -= is_dangerous(effect)
        if left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return rows

    LiveWorld.do = do  # type: ignore[method-assign]
    run()


if __name__ == "__main__":
    main()

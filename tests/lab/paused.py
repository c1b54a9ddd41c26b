"""The installed program, paused as by SIGSTOP right before it sends its n-th change: `python -m tests.lab.paused N apply STATE`.

The pause comes after every check that the program makes on its own side, so that only the other side can stop the write.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

from reconciler.cli.main import run
from reconciler.edge import directory
from reconciler.edge.psrp_session import Session
from reconciler.edge.psrp_statement import Answer, Statement

CHANGES = ("New-", "Set-", "Remove-", "Rename-", "Add-", "Register-", "Unregister-", "Start-", "Stop-", "Restart-")


def changes(statements: Sequence[Statement]) -> bool:
    """Whether a message to a host changes something there."""
    return any(
        one.name.startswith((*CHANGES, "gpupdate.exe"))
        or (one.name == "auditpol.exe" and any(str(argument).startswith("/set") for argument in one.arguments))
        for one in statements
    )


def main() -> None:
    """Run the program with a pause in it."""
    left = int(sys.argv.pop(1))
    run_session, send = Session.run, directory._send

    def pause() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGSTOP)

    def paused_run(self: Session, statements: Sequence[Statement], *, timeout_s: float, repeatable: bool) -> Answer:
        if changes(statements):
            pause()
        return run_session(self, statements, timeout_s=timeout_s, repeatable=repeatable)

    def paused_send(connection: Any, effect: directory.Write) -> None:
        pause()
        send(connection, effect)

    Session.run = paused_run  # type: ignore[method-assign]
    directory._send = paused_send
    run()


if __name__ == "__main__":
    main()

"""How long the wait for one answer may last at the longest, by what is asked or done. Only for who watches over a hang."""

from __future__ import annotations

from collections.abc import Sequence

from reconciler.core.query import Command, Query
from reconciler.core.steps import CopyFile, Effect, Restart, RunTask

OPENING_S = 600.0
"""For the connection, a second attempt on a new one, and the number of the writer that goes before a change."""
DIRECTORY_S = 300.0
"""For one operation of a directory with several controllers of which the first ones do not answer."""
COPYING_S = 3600.0
TURN_S = 300.0
"""For what is said to one host when the world is opened or closed."""


def longest_s(asked: Query | Effect) -> float:
    """Return after how many seconds an answer or an error is certain to be there."""
    match asked:
        case Command():
            return 2 * asked.timeout_s + OPENING_S
        case RunTask() | Restart():
            return asked.timeout_s + 2 * DIRECTORY_S
        case CopyFile():
            return COPYING_S
    return DIRECTORY_S


def longest_together_s(commands: Sequence[Command]) -> float:
    """Return the same for commands that go in one message, and one by one where that did not tell them apart."""
    return OPENING_S + 2 * sum(command.timeout_s for command in commands) + sum(map(longest_s, commands))

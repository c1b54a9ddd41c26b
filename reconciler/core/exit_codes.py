"""What a shell learns from a run. The worst of several wins."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of every verb; documented in docs/guide.md."""

    OK = 0
    ERROR = 1
    DRIFT = 2
    INVALID = 3
    PARTLY_FAILED = 4
    WAITING = 7
    NOT_CONVERGED = 8
    REVERT_INCOMPLETE = 9
    UNREACHABLE = 10


SEVERITY = (
    ExitCode.OK,
    ExitCode.DRIFT,
    ExitCode.WAITING,
    ExitCode.NOT_CONVERGED,
    ExitCode.PARTLY_FAILED,
    ExitCode.UNREACHABLE,
    ExitCode.REVERT_INCOMPLETE,
    ExitCode.INVALID,
    ExitCode.ERROR,
)
"""From best to worst."""


def worst(codes: Iterable[ExitCode]) -> ExitCode:
    """Return the most severe of them, OK for none."""
    return max(codes, key=SEVERITY.index, default=ExitCode.OK)

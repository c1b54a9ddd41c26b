"""Whether a host writes command lines into its security log: a password on one would be kept there."""

from __future__ import annotations

from reconciler.core.query import Command, Rows
from reconciler.resources.rows import at_most_one, number
from reconciler.resources.windows_values import ABSENT_VALUE

RISK = "key-password-on-command-line"
EXPLANATION = (
    "the host logs command lines (event 4688, ProcessCreationIncludeCmdLine_Enabled), and a password is on this one; "
    "switch that policy off meanwhile, or approve it and change the password afterwards"
)

_PATH = r"HKLM:\Software\Microsoft\Windows\CurrentVersion\Policies\System\Audit"
_NAME = "ProcessCreationIncludeCmdLine_Enabled"


def logging_query(host: str) -> Command:
    """Ask whether command lines are logged."""
    return Command(host, "Get-ItemProperty", (("Path", _PATH), ("Name", _NAME)), absent=ABSENT_VALUE)


def is_logged(rows: Rows, host: str) -> bool:
    """Read the answer to ``logging_query``."""
    row = at_most_one(rows, _NAME, host)
    return row is not None and number(row, _NAME) != 0

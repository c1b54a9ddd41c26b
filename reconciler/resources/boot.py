"""When a host was started, and what has waited for a restart since: some settings count only from the next boot on."""

from __future__ import annotations

from datetime import datetime, timedelta

from reconciler.core.query import Command, Rows
from reconciler.core.resource import Key
from reconciler.core.steps import Note
from reconciler.resources.rows import one, text

# Windows derives the boot time from the clock, so setting the clock moves it a little.
TOLERANCE = timedelta(seconds=1)


def boot_query(host: str) -> Command:
    """Ask when a host was started."""
    return Command(host, "Get-CimInstance", (("ClassName", "Win32_OperatingSystem"),))


def boot_time(rows: Rows, host: str) -> str:
    """Read the answer to ``boot_query``, as the host wrote it."""
    return text(one(rows, "the operating system", host), "LastBootUpTime")


def restart_note(host: str, key: Key, booted: str, because: str) -> Note:
    """Return the fact that a change counts only after a restart; kept before the change is sent."""
    return Note(f"restart/{host}/{key}", {"boot_time": booted, "because": because})


def booted_since(then: str, now: str) -> bool:
    """Return whether a boot at ``now`` is another, later one than the boot at ``then``.

    Two texts that are no dates are compared as they are: another text is another boot.
    """
    try:
        before, after = datetime.fromisoformat(then), datetime.fromisoformat(now)
        return after - before > TOLERANCE
    except (TypeError, ValueError):
        return then != now

"""Restart a host and wait until it serves again."""

from __future__ import annotations

import time
from collections.abc import Callable

from msgspec import Struct

from reconciler.core.errors import AuthenticationFailed, Fenced, Refused, UnexpectedAnswer, Unreachable
from reconciler.core.query import Command, Row
from reconciler.core.steps import Restart
from reconciler.edge.files import Run
from reconciler.edge.tasks import Patience

BACKUP_CONTROLLER = 4  # Win32_ComputerSystem.DomainRole: 4 and 5 are controllers
STILL_THERE = "it did not restart"
GOING_DOWN_S = 30.0
"""For so long a host that does not let itself be restarted may still be going down by itself."""
CONTROLLER_SERVICES = ("NTDS", "Netlogon")
_RUNNING = ("Running", 4)


class Ways(Struct, frozen=True):
    """What a restart needs from the world.

    Attributes:
        run: Runs a command on a host.
        drop: Forgets the sessions with the host, and its directory connections.
        serves: Returns whether the directory of the host, a controller, answers.
    """

    run: Run
    drop: Callable[[], None]
    serves: Callable[[], bool]
    pause: Callable[[float], None] = time.sleep


def restart(ways: Ways, effect: Restart) -> None:
    """Restart a host; return once its boot time moved and it serves again.

    A host that is about to go down, because somebody else ordered it or a run that was killed, answers with an error (1115, in the
    language of the host): the restart that comes is as good. So a refusal is believed only when it still has not gone down
    a while later. That Windows answers so while it shuts down is background knowledge.

    Raises:
        Unreachable: It did not come back in time; ``sent``, as it may be on its way.
        Refused: It does not let itself be restarted.
    """
    before = boot_time(ways.run, effect.host)
    controller = _is_controller(ways.run, effect.host)
    refused: Refused | None = None
    try:
        ways.run(Command(effect.host, "Restart-Computer", (("Force", True),), repeatable=False))
    except Unreachable:  # the answer is often lost with the host; the boot time tells
        pass
    except Fenced:
        raise
    except Refused as error:
        refused = error
    ways.drop()
    patience = Patience(effect.timeout_s, ways.pause, wait_s=0.5)
    waiting_for = STILL_THERE
    while not patience.spent():
        patience.rest()
        waiting_for = _missing(ways, effect.host, before, controller)
        if not waiting_for:
            return
        if refused is not None and waiting_for == STILL_THERE and patience.elapsed_s >= GOING_DOWN_S:
            break
    if refused is not None and waiting_for == STILL_THERE:
        raise refused
    raise Unreachable(
        f"'{effect.host}' is not back {effect.timeout_s:g} s after the restart: {waiting_for}",
        target=effect.host,
        do="look at its console; run apply again when it is up",
        sent=True,
    )


def boot_time(run: Run, host: str) -> str:
    """Return when the host was started, as it says it."""
    text = _instance(run, host, "Win32_OperatingSystem").get("LastBootUpTime")
    if not isinstance(text, str) or not text:
        raise UnexpectedAnswer(f"'{host}' does not say when it was started", target=host)
    return text


def _missing(ways: Ways, host: str, before: str, controller: bool) -> str:
    """Say what is not there yet; empty when everything is."""
    try:
        if boot_time(ways.run, host) == before:
            return STILL_THERE
        if not controller:
            return ""
        stopped = _stopped(ways.run, host)
    except (Unreachable, AuthenticationFailed, Refused, UnexpectedAnswer) as error:
        # While it starts nearly every answer is possible: a controller cannot even check passwords at first.
        ways.drop()
        return error.what
    if stopped:
        return f"services are not running: {', '.join(stopped)}"
    try:
        return "" if ways.serves() else "its directory does not answer"
    except (Unreachable, AuthenticationFailed, Refused, UnexpectedAnswer) as error:
        return error.what


def _is_controller(run: Run, host: str) -> bool:
    role = _instance(run, host, "Win32_ComputerSystem").get("DomainRole")
    if not isinstance(role, int):
        raise UnexpectedAnswer(f"'{host}' does not say whether it is a controller", target=host)
    return role >= BACKUP_CONTROLLER


def _stopped(run: Run, host: str) -> list[str]:
    rows = run(Command(host, "Get-Service", (("Name", CONTROLLER_SERVICES),)))
    running = {str(row.get("Name")).lower() for row in rows if row.get("Status") in _RUNNING}
    return [name for name in CONTROLLER_SERVICES if name.lower() not in running]


def _instance(run: Run, host: str, name: str) -> Row:
    rows = run(Command(host, "Get-CimInstance", (("ClassName", name),)))
    if not rows:
        raise UnexpectedAnswer(f"'{host}' has no {name}", target=host)
    return rows[0]

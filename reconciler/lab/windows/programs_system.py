"""The small programs of a simulated host: whoami, hostname, shutdown and sc."""

from __future__ import annotations

from collections.abc import Sequence

from reconciler.lab.windows.accounts import NoSuchAccount, find_account
from reconciler.lab.windows.contract import Process
from reconciler.lab.windows.machine import Machine
from reconciler.lab.windows.services import BUILT_IN_ACCOUNTS, ERROR_SERVICE_DOES_NOT_EXIST, Service, StartMode

_MODES: dict[str, StartMode] = {"auto": "Automatic", "demand": "Manual", "disabled": "Disabled"}
_MODE_LINES = {"Automatic": "2   AUTO_START", "Manual": "3   DEMAND_START", "Disabled": "4   DISABLED"}
_REASONS = {
    5: "Access is denied.",
    1056: "An instance of the service is already running.",
    1057: "The account name is invalid or does not exist, or the password is invalid for the account name specified.",
    1058: "The service cannot be started, either because it is disabled or because it has no enabled devices "
    "associated with it.",
    1060: "The specified service does not exist as an installed service.",
    1062: "The service has not been started.",
    1069: "The service did not start due to a logon failure.",
}


async def whoami(process: Process) -> int:
    """Run whoami.exe without options."""
    if process.arguments:
        process.err(f"ERROR: Invalid argument/option - '{process.arguments[0]}'.")
        process.err('Type "WHOAMI /?" for usage.')
        return 1
    process.out(process.logon.account.lower())
    return 0


async def hostname(process: Process) -> int:
    """Run hostname.exe."""
    if process.arguments:
        process.err("sethostname: Use the Network Control Panel Applet to set hostname.")
        return 1
    process.out(process.machine.name)
    return 0


async def shutdown(process: Process) -> int:
    """Run shutdown.exe /r [/f] [/t seconds]; the lab's machines only restart, they are never switched off."""
    machine: Machine = process.machine
    words = [word.lower().replace("-", "/", 1) for word in process.arguments]
    delay = 30.0
    if "/t" in words:
        position = words.index("/t") + 1
        if position >= len(words) or not words[position].isdigit():
            process.err(f"Invalid value for option '/t'. '{''.join(words[position : position + 1])}'(87)")
            return 87
        delay = float(words[position])
    if "/r" not in words:
        process.err("The parameter is incorrect.(87)")
        return 87
    if not process.logon.is_administrator:
        process.err("Access is denied.(5)")
        return 5
    machine.restart(f"shutdown.exe by {process.logon.account}", max(delay, 0.3))
    return 0


async def sc(process: Process) -> int:
    """Run sc.exe: query, qc, config, start and stop."""
    machine: Machine = process.machine
    if len(process.arguments) < 2 or process.arguments[0].lower() not in _SC:
        process.out('ERROR:  Unrecognized command, or no service name given. Type "SC /?" for usage.')
        return 1639
    action, name, *rest = process.arguments
    what = {"query": "EnumQueryServicesStatus:OpenService", "start": "StartService"}.get(action.lower(), "OpenService")
    service = machine.services.get(name)
    if service is None:
        return _failed(process, what, ERROR_SERVICE_DOES_NOT_EXIST)
    if action.lower() not in ("query", "qc") and not process.logon.is_administrator:
        return _failed(process, "OpenService", 5)
    code = await _SC[action.lower()](process, service, rest)
    return _failed(process, "ControlService" if action.lower() == "stop" else what, code) if code else 0


async def _query(process: Process, service: Service, rest: Sequence[str]) -> int:
    del rest
    process.out("")
    process.out(f"SERVICE_NAME: {service.name} ")
    process.out("        TYPE               : 10  WIN32_OWN_PROCESS  ")
    process.out(f"        STATE              : {'4  RUNNING ' if service.running else '1  STOPPED '}")
    process.out(f"        WIN32_EXIT_CODE    : {service.exit_code}  ({hex(service.exit_code)})")
    process.out("        SERVICE_EXIT_CODE  : 0  (0x0)")
    process.out("        CHECKPOINT         : 0x0")
    process.out("        WAIT_HINT          : 0x0")
    return 0


async def _show_config(process: Process, service: Service, rest: Sequence[str]) -> int:
    del rest
    process.out("[SC] QueryServiceConfig SUCCESS")
    process.out("")
    process.out(f"SERVICE_NAME: {service.name}")
    process.out("        TYPE               : 10  WIN32_OWN_PROCESS ")
    process.out(f"        START_TYPE         : {_MODE_LINES[service.start_mode]}")
    process.out("        ERROR_CONTROL      : 1   NORMAL")
    process.out(f"        BINARY_PATH_NAME   : {service.path}")
    process.out("        LOAD_ORDER_GROUP   : ")
    process.out("        TAG                : 0")
    process.out(f"        DISPLAY_NAME       : {service.display}")
    process.out(f"        DEPENDENCIES       : {' : '.join(service.dependencies)}")
    process.out(f"        SERVICE_START_NAME : {service.account}")
    return 0


async def _config(process: Process, service: Service, rest: Sequence[str]) -> int:
    machine: Machine = process.machine
    given = _pairs(rest)
    if given is None or not set(given) <= {"start", "obj", "password", "displayname"}:
        return 87
    if "start" in given and given["start"].lower() not in _MODES:
        return 87
    account = given.get("obj")
    if account is not None and account.lower() not in BUILT_IN_ACCOUNTS:
        try:
            account = (await find_account(machine, account)).account
        except NoSuchAccount:
            return 1057
    mode = _MODES.get(given.get("start", "").lower())
    machine.services.configure(service.name, start_mode=mode, account=account, password=given.get("password"))
    service.display = given.get("displayname", service.display)
    process.out("[SC] ChangeServiceConfig SUCCESS")
    return 0


async def _start(process: Process, service: Service, rest: Sequence[str]) -> int:
    if service.running:
        return 1056
    code = int(await process.machine.services.start(service.name))
    return code or await _query(process, service, rest)


async def _stop(process: Process, service: Service, rest: Sequence[str]) -> int:
    if not service.running:
        return 1062
    process.machine.services.stop(service.name)
    return await _query(process, service, rest)


def _pairs(words: Sequence[str]) -> dict[str, str] | None:
    """Read ``start= demand`` (sc wants the blank) and ``start=demand``; None where a value is missing."""
    found: dict[str, str] = {}
    rest = list(words)
    while rest:
        name, sign, value = rest.pop(0).partition("=")
        if not sign or (not value and not rest):
            return None
        found[name.lower()] = value or rest.pop(0)
    return found


def _failed(process: Process, what: str, code: int) -> int:
    process.out(f"[SC] {what} FAILED {code}:")
    process.out("")
    process.out(_REASONS.get(code, "The parameter is incorrect."))
    process.out("")
    return code


_SC = {"query": _query, "qc": _show_config, "config": _config, "start": _start, "stop": _stop}

PROGRAMS = {"whoami.exe": whoami, "hostname.exe": hostname, "shutdown.exe": shutdown, "sc.exe": sc}

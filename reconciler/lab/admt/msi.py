"""``msiexec.exe`` and ``admtsetup32.exe``: installing and removing the two packages from a command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from reconciler.lab.admt.pes import PRODUCT as PES
from reconciler.lab.admt.pes import PesNotInstalled, PesSetup, install_pes, uninstall_pes
from reconciler.lab.admt.setup import PRODUCT as ADMT
from reconciler.lab.admt.setup import install_admt, uninstall_admt
from reconciler.lab.windows.files import DriveNotFound, normal
from reconciler.lab.windows.pristine import PES_MARK

if TYPE_CHECKING:
    from reconciler.lab.windows.contract import Logon, Process
    from reconciler.lab.windows.machine import Machine

SUCCESS = 0
INSTALL_USEREXIT = 1602
INSTALL_FAILURE = 1603
UNKNOWN_PRODUCT = 1605
INSTALL_ALREADY_RUNNING = 1618
INSTALL_PACKAGE_OPEN_FAILED = 1619
INSTALL_PACKAGE_INVALID = 1620
INVALID_COMMAND_LINE = 1639
SUCCESS_REBOOT_INITIATED = 1641
SUCCESS_REBOOT_REQUIRED = 3010

_INSTALL = ("i", "package")
_REMOVE = ("x", "uninstall")
_SILENT = ("qn", "q", "quiet", "passive", "qb", "qb!", "qb-", "qr")
_IGNORED = ("promptrestart", "forcerestart")
_busy: set[Machine] = set()


class _BadArguments(Exception):
    """The command line is none that msiexec knows."""


@dataclass(slots=True)
class Request:
    """One msiexec command line. ``restart`` is False where ``/norestart`` or ``REBOOT=ReallySuppress`` was said."""

    install: str = ""  # package path
    remove: str = ""  # product code
    silent: bool = False
    restart: bool = True
    log: str = ""
    properties: dict[str, str] = field(default_factory=dict, repr=False)


async def admtsetup(process: Process) -> int:
    """Run ``admtsetup32.exe``: without ``/quiet`` or ``/q`` it waits for a person whom a session has not got."""
    machine: Machine = process.machine
    switches = [argument.lower().lstrip("/-") for argument in process.arguments]
    if not {"quiet", "q", "qn"} & set(switches):
        # In reality the window opens where nobody sees it and the call hangs.
        return INSTALL_USEREXIT
    if machine in _busy:
        return INSTALL_ALREADY_RUNNING
    if not process.logon.is_administrator:
        return INSTALL_FAILURE
    install_admt(machine)
    return SUCCESS


async def msiexec(process: Process) -> int:
    """Run ``msiexec.exe`` for the packages that the lab has.

    ``/i <path>\\pwdmig.msi`` takes properties that exist in this lab only (the real package documents none):
    ``PESKEYFILE`` (local path of the .pes file), ``PESKEYPASSWORD``, ``PESACCOUNT`` (``LocalSystem`` or
    ``TARGET\\user``; LocalSystem if absent), ``PESACCOUNTPASSWORD``.
    """
    machine: Machine = process.machine
    try:
        request = parse(process.arguments)
    except _BadArguments:
        return INVALID_COMMAND_LINE
    if not request.silent:
        return INSTALL_USEREXIT
    if machine in _busy:
        return INSTALL_ALREADY_RUNNING
    _busy.add(machine)
    try:
        code, reason = await _carry_out(machine, request, process.logon)
    finally:
        _busy.discard(machine)
    _write_log(machine, request, code, reason)
    if code == SUCCESS_REBOOT_REQUIRED and request.restart:
        # Without /norestart a silent installation that needs a restart restarts the machine by itself.
        machine.restart("The Windows Installer initiated a system restart.")
        return SUCCESS_REBOOT_INITIATED
    return code


def parse(arguments: Sequence[str]) -> Request:
    """Read a command line; switches start with ``/`` or ``-`` and may touch the product code (``/X{...}``)."""
    request = Request()
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        if argument[:1] not in ("/", "-"):
            name, equals, value = argument.partition("=")
            if not equals or not name:
                raise _BadArguments
            request.properties[name.upper()] = value.strip('"')
            continue
        _switch(request, argument[1:], rest)
    if bool(request.install) == bool(request.remove):
        raise _BadArguments
    if request.properties.get("REBOOT", "").lower() in ("reallysuppress", "r"):
        request.restart = False
    return request


def _switch(request: Request, switch: str, rest: list[str]) -> None:
    lower = switch.lower()
    if lower in _INSTALL:
        request.install = _value(rest)
    elif lower in _REMOVE:
        request.remove = _value(rest)
    elif lower.startswith(("x{", "i{")):
        request.remove, request.install = (switch[1:], "") if lower[0] == "x" else ("", switch[1:])
    elif lower in _SILENT:
        request.silent = True
    elif lower == "norestart":
        request.restart = False
    elif lower == "log" or lower[:1] == "l":
        request.log = _value(rest)
    elif lower not in _IGNORED:
        raise _BadArguments


def _value(rest: list[str]) -> str:
    if not rest:
        raise _BadArguments
    return rest.pop(0).strip('"')


async def _carry_out(machine: Machine, request: Request, logon: Logon) -> tuple[int, str]:
    if request.remove:
        return _remove(machine, request.remove, logon)
    try:
        path = normal(request.install)
        item = machine.files.item(path)
    except DriveNotFound:
        item = None
    if item is None or item.content is None:
        return INSTALL_PACKAGE_OPEN_FAILED, "This installation package could not be opened."
    if not item.content.startswith(PES_MARK):
        return INSTALL_PACKAGE_INVALID, "This installation package could not be opened: it is not valid."
    setup = PesSetup(
        key_file=request.properties.get("PESKEYFILE", ""),
        key_password=request.properties.get("PESKEYPASSWORD", ""),
        account=request.properties.get("PESACCOUNT", "LocalSystem"),
        account_password=request.properties.get("PESACCOUNTPASSWORD", ""),
    )
    try:
        if not setup.key_file:
            raise PesNotInstalled("No encryption key file was specified.")
        await install_pes(machine, setup, administrator=logon.is_administrator)
    except PesNotInstalled as refusal:
        return INSTALL_FAILURE, str(refusal)
    return SUCCESS_REBOOT_REQUIRED, "Installation completed successfully. A restart is required."


def _remove(machine: Machine, code: str, logon: Logon) -> tuple[int, str]:
    product = machine.software.get(code)
    if product is None or product.code not in (PES.code, ADMT.code):
        return UNKNOWN_PRODUCT, "This action is only valid for products that are currently installed."
    if not logon.is_administrator:
        return INSTALL_FAILURE, "You do not have sufficient privileges to remove this product."
    if product.code == ADMT.code:
        uninstall_admt(machine)
        return SUCCESS, "Removal completed successfully."
    uninstall_pes(machine)
    return SUCCESS_REBOOT_REQUIRED, "Removal completed successfully. A restart is required."


def _write_log(machine: Machine, request: Request, code: int, reason: str) -> None:
    if not request.log:
        return
    lines = [
        "=== Logging started: Windows Installer ===",
        *(f"Property(C): {name} = {_shown(name, value)}" for name, value in request.properties.items()),
        reason,
        f"MainEngineThread is returning {code}",
    ]
    text = "\r\n".join((*lines, ""))
    # The package hides its two password properties from the log, as MsiHiddenProperties does.
    machine.files.write(request.log, b"\xff\xfe" + text.encode("utf-16-le"), parents=True)


def _shown(name: str, value: str) -> str:
    return "**********" if name.endswith("PASSWORD") else value

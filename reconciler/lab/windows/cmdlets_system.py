"""Cmdlets for the machine itself: Restart-Computer, Start-Process, Get-Process, Get-Date."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any

from reconciler.lab.windows.contract import Call, Cmdlet, Parameter
from reconciler.lab.windows.failures import path_not_found
from reconciler.lab.windows.files import DriveNotFound, NoSuchPath, normal
from reconciler.lab.windows.machine import SYSTEM32, Machine, ProgramNotFound
from reconciler.lab.windows.task_xml import split_arguments
from reconciler.lab.winrm.records import Record, date, net_object

_INVALID = "System.InvalidOperationException"
_PROCESS = ("System.Diagnostics.Process", "System.ComponentModel.Component", "System.MarshalByRefObject")
_ALWAYS = (
    "Idle",
    "System",
    "csrss",
    "dns",
    "lsass",
    "services",
    "smss",
    "svchost",
    "wininit",
    "winlogon",
    "wsmprovhost",
)


async def restart_computer(call: Call) -> None:
    """Restart-Computer: answers at once, the connection drops a moment later."""
    machine: Machine = call.machine
    local = ("localhost", ".", machine.name.lower(), machine.fqdn.lower(), machine.address)
    for name in call.arguments.get("ComputerName") or ["localhost"]:
        if name.lower() not in local:
            text = (
                f"Failed to restart the computer {name} with the following error message: Access is denied. "
                "(Exception from HRESULT: 0x80070005 (E_ACCESSDENIED))."
            )
            call.error(_INVALID, text, "RestartcomputerFailed", "OperationStopped", name)
        elif call.arguments.get("Wait"):
            text = (
                "Cannot wait for the local computer to restart. The local computer is ignored when the Wait "
                "parameter is specified."
            )
            call.error(_INVALID, text, "CannotWaitLocalComputer", "InvalidOperation", name)
        elif not call.logon.is_administrator:
            text = (
                f"Failed to restart the computer {machine.name} with the following error message: Privilege not held."
            )
            call.error(_INVALID, text, "RestartcomputerFailed", "OperationStopped", machine.name)
        elif call.what_if:
            continue
        elif machine.going_down:  # Win32 error 1115
            text = (
                f"Failed to restart the computer {machine.name} with the following error message: "
                "A system shutdown is in progress."
            )
            call.error(_INVALID, text, "RestartcomputerFailed", "OperationStopped", machine.name)
        else:
            machine.restart(f"Restart-Computer by {call.logon.account}")


async def start_process(call: Call) -> None:
    """Start-Process: the arguments are joined by blanks, unquoted, and split again by the program."""
    machine: Machine = call.machine
    name = call.arguments["FilePath"]
    words = split_arguments(" ".join(call.arguments.get("ArgumentList") or ()))
    if call.arguments.get("Credential") is not None:
        _cannot_run(call, "Access is denied")  # a network logon may not start a process as somebody else
        return
    try:
        machine.find_program(name)
    except ProgramNotFound:
        _cannot_run(call, "The system cannot find the file specified")
        return
    call.verbose(f'Performing the operation "Start-Process" on target "{name}".')
    if call.what_if:
        return
    out, err = _writer(call, "RedirectStandardOutput"), _writer(call, "RedirectStandardError")
    directory = call.arguments.get("WorkingDirectory") or SYSTEM32
    started, identity = machine.clock(), machine.next_id()
    job = machine.start_job(machine.run_program(name, words, call.logon, out, err, directory))
    # A pipeline that is stopped while it waits leaves the program running.
    code: int | None = await asyncio.shield(job) if call.arguments.get("Wait") else None
    if call.arguments.get("PassThru"):
        call.output(_process_object(name, identity, started, code))


async def get_process(call: Call) -> None:
    """Get-Process: what always runs on a domain controller."""
    machine: Machine = call.machine
    for asked in call.arguments.get("Name") or ["*"]:
        found = [one for one in _ALWAYS if fnmatchcase(one.lower(), asked.lower())]
        for one in found:
            call.output(_process_object(one, 400 + 4 * _ALWAYS.index(one), machine.boot_time, None))
        if not found and not any(sign in asked for sign in "*?["):
            text = f'Cannot find a process with the name "{asked}". Verify the process name and call the cmdlet again.'
            exception = "Microsoft.PowerShell.Commands.ProcessCommandException"
            call.error(exception, text, "NoProcessFoundForGivenName", "ObjectNotFound", asked)


async def get_date(call: Call) -> None:
    """Get-Date: the machine's clock."""
    machine: Machine = call.machine
    call.output(date(machine.clock()))


def _cannot_run(call: Call, reason: str) -> None:
    text = f"This command cannot be run due to the error: {reason}."
    call.throw(_INVALID, text, "InvalidOperationException", "InvalidOperation")


def _writer(call: Call, parameter: str) -> Callable[[str], None]:
    """Return where a stream goes: to the file of -Redirect..., or nowhere, for there is no window to show it."""
    machine: Machine = call.machine
    path = call.arguments.get(parameter)
    if not path:
        return lambda line: None
    try:
        machine.files.write(path, b"")
    except (DriveNotFound, NoSuchPath):
        path_not_found(call, path)
        return lambda line: None
    whole = normal(path)

    def write(line: str) -> None:
        machine.files.append(whole, line.encode("utf-8") + b"\r\n")

    return write


def _process_object(name: str, identity: int, started: datetime, code: int | None) -> Record:
    base = name.rpartition("\\")[2]
    short = base[:-4] if base.lower().endswith(".exe") else base
    properties: dict[str, Any] = {
        "Id": identity,
        "ProcessName": short,
        "Name": short,
        "HasExited": code is not None,
        "ExitCode": code,
        "StartTime": date(started),
        "MachineName": ".",
    }
    return net_object(_PROCESS, text=f"System.Diagnostics.Process ({short})", **properties)


CMDLETS = (
    Cmdlet(
        "Restart-Computer",
        (
            Parameter("ComputerName", "strings", position=0, from_pipeline=True, aliases=("CN", "Server")),
            Parameter("Force", "switch"),
            Parameter("Wait", "switch"),
            Parameter("Timeout", "int", aliases=("TimeoutSec",)),
            Parameter("For", values=("Default", "PowerShell", "WMI", "WinRM")),
            Parameter("Delay", "int"),
        ),
        restart_computer,
    ),
    Cmdlet(
        "Start-Process",
        (
            Parameter("FilePath", position=0, mandatory=True, aliases=("PSPath", "Path")),
            Parameter("ArgumentList", "strings", position=1, aliases=("Args",), secret=True),
            Parameter("WorkingDirectory"),
            Parameter("Credential", "credential", aliases=("RunAs",)),
            Parameter("Wait", "switch"),
            Parameter("PassThru", "switch"),
            Parameter("NoNewWindow", "switch", aliases=("nnw",)),
            Parameter("WindowStyle", values=("Normal", "Hidden", "Minimized", "Maximized")),
            Parameter("RedirectStandardOutput", aliases=("RSO",)),
            Parameter("RedirectStandardError", aliases=("RSE",)),
        ),
        start_process,
        aliases=("saps", "start"),
    ),
    Cmdlet(
        "Get-Process",
        (Parameter("Name", "strings", position=0, aliases=("ProcessName",)),),
        get_process,
        aliases=("gps", "ps"),
    ),
    Cmdlet("Get-Date", (), get_date),
)

"""Cmdlets for services: Get-, Set-, Start-, Stop- and Restart-Service."""

from __future__ import annotations

from fnmatch import fnmatchcase

from reconciler.lab.windows.contract import Call, Cmdlet, Parameter
from reconciler.lab.windows.failures import missing_parameter
from reconciler.lab.windows.machine import Machine
from reconciler.lab.windows.services import (
    ERROR_SERVICE_DEPENDENCY_FAIL,
    ERROR_SERVICE_DISABLED,
    ERROR_SERVICE_LOGON_FAILED,
    Service,
    StartMode,
)
from reconciler.lab.winrm.records import Record, enum_value, net_object, note

_EXCEPTION = "Microsoft.PowerShell.Commands.ServiceCommandException"
_STATUS = "System.ServiceProcess.ServiceControllerStatus"
_MODE = "System.ServiceProcess.ServiceStartMode"
_MODES: dict[StartMode, int] = {"Automatic": 2, "Manual": 3, "Disabled": 4}
_TYPES = (
    "System.ServiceProcess.ServiceController",
    "System.ComponentModel.Component",
    "System.MarshalByRefObject",
)
# What the service control manager answers at once; everything else shows itself only while the service starts.
_AT_ONCE = (ERROR_SERVICE_DISABLED, ERROR_SERVICE_DEPENDENCY_FAIL, ERROR_SERVICE_LOGON_FAILED)


async def get_service(call: Call) -> None:
    """Get-Service: by name or display name, with wildcards; all of them without either."""
    machine: Machine = call.machine
    asked = call.arguments.get("Name") or call.arguments.get("DisplayName")
    for service in _selected(call) if asked else list(machine.services):
        call.output(service_object(machine, service))


async def set_service(call: Call) -> None:
    """Set-Service: display name, start mode, and with -Status also whether it runs."""
    machine: Machine = call.machine
    for service in _selected(call):
        if not call.logon.is_administrator:
            shown = f"{service.display} ({service.name})"
            text = f"Service '{shown}' cannot be configured due to the following error: Access is denied"
            call.error(_EXCEPTION, text, "CouldNotSetService", "PermissionDenied", service.name)
            continue
        call.verbose(f'Performing the operation "Set-Service" on target "{service.display} ({service.name})".')
        if call.what_if:
            continue
        service.display = call.arguments.get("DisplayName") or service.display
        machine.services.configure(service.name, start_mode=call.arguments.get("StartupType"))
        status = call.arguments.get("Status")
        if status == "Running":
            await _start(call, service)
        elif status == "Stopped":
            _stop(call, service)
        _pass_through(call, service)


async def start_service(call: Call) -> None:
    """Start-Service: returns when it runs."""
    for service in _selected(call):
        if await _start(call, service):
            _pass_through(call, service)


async def stop_service(call: Call) -> None:
    """Stop-Service: refuses without -Force while another service needs it."""
    for service in _selected(call):
        if _stop(call, service):
            _pass_through(call, service)


async def restart_service(call: Call) -> None:
    """Restart-Service: stop, then start; what was stopped along with it comes back too."""
    machine: Machine = call.machine
    for service in _selected(call):
        along = machine.services.dependents(service.name)
        if _stop(call, service) and await _start(call, service):
            for other in along:
                await _start(call, other)
            _pass_through(call, service)


def service_object(machine: Machine, service: Service) -> Record:
    """Return a service as a ServiceController."""
    needed = [one for name in service.dependencies if (one := machine.services.get(name))]
    made = net_object(
        _TYPES,
        text="System.ServiceProcess.ServiceController",
        CanPauseAndContinue=False,
        CanShutdown=False,
        CanStop=service.running and service.can_stop,
        DisplayName=service.display,
        DependentServices=[],
        MachineName=".",
        ServiceName=service.name,
        ServicesDependedOn=[one.name for one in needed],
        Status=enum_value(_STATUS, *(("Running", 4) if service.running else ("Stopped", 1))),
        StartType=enum_value(_MODE, service.start_mode, _MODES[service.start_mode]),
    )
    return note(made, Name=service.name, RequiredServices=[one.name for one in needed])


def _selected(call: Call) -> list[Service]:
    """Return the services that a call names, after writing an error for each that is missing."""
    machine: Machine = call.machine
    found: list[Service] = []
    by_display = call.arguments.get("DisplayName") if "Name" not in call.arguments else None
    if not call.arguments.get("Name") and not by_display:
        missing_parameter(call, "Name")
    displays = [by_display] if isinstance(by_display, str) else by_display or []
    for name in call.arguments.get("Name") or displays:
        texts = {one.name: one.display if by_display else one.name for one in machine.services}
        matching = [one for one in machine.services if fnmatchcase(texts[one.name].lower(), name.lower())]
        if not matching and not any(sign in name for sign in "*?["):
            what, error_id = ("display", "DisplayName") if by_display else ("service", "Name")
            text = f"Cannot find any service with {what} name '{name}'."
            call.error(_EXCEPTION, text, f"NoServiceFoundForGiven{error_id}", "ObjectNotFound", name)
        found += matching
    return found


async def _start(call: Call, service: Service) -> bool:
    machine: Machine = call.machine
    shown = f"{service.display} ({service.name})"
    call.verbose(f'Performing the operation "Start-Service" on target "{shown}".')
    if call.what_if or service.running:
        return not call.what_if
    code = await machine.services.start(service.name) if call.logon.is_administrator else 5
    if code == 0:
        return True
    if code == 5 or code in _AT_ONCE:
        reason = (
            f"Cannot open {service.name} service on computer '.'."
            if code == 5
            else f"Cannot start service {service.name} on computer '.'."
        )
        text = f"Service '{shown}' cannot be started due to the following error: {reason}"
        call.error(_EXCEPTION, text, "CouldNotStartService", "OpenError", service.name)
    else:
        text = f"Failed to start service '{shown}'."
        call.error(_EXCEPTION, text, "StartServiceFailed", "OpenError", service.name)
    return False


def _stop(call: Call, service: Service) -> bool:
    machine: Machine = call.machine
    shown = f"{service.display} ({service.name})"
    call.verbose(f'Performing the operation "Stop-Service" on target "{shown}".')
    if call.what_if or not service.running:
        return not call.what_if
    dependents = machine.services.dependents(service.name)
    if dependents and not call.arguments.get("Force"):
        text = (
            f"Cannot stop service '{shown}' because it has dependent services. "
            "It can only be stopped if the Force flag is set."
        )
        call.error(_EXCEPTION, text, "ServiceHasDependentServices", "InvalidOperation", service.name)
        return False
    if not call.logon.is_administrator or not service.can_stop:
        text = (
            f"Service '{shown}' cannot be stopped due to the following error: "
            f"Cannot {'stop' if call.logon.is_administrator else 'open'} {service.name} service on computer '.'."
        )
        call.error(_EXCEPTION, text, "CouldNotStopService", "CloseError", service.name)
        return False
    return all(_stop(call, other) for other in dependents) and machine.services.stop(service.name)


def _pass_through(call: Call, service: Service) -> None:
    if call.arguments.get("PassThru"):
        call.output(service_object(call.machine, service))


_NAME = Parameter("Name", "strings", position=0, from_pipeline=True, aliases=("ServiceName",))
_DISPLAY = Parameter("DisplayName", "strings")
_PASS = Parameter("PassThru", "switch")
_FORCE = Parameter("Force", "switch")
_NO_WAIT = Parameter("NoWait", "switch")

CMDLETS = (
    Cmdlet("Get-Service", (_NAME, _DISPLAY), get_service, aliases=("gsv",)),
    Cmdlet(
        "Set-Service",
        (
            _NAME,
            Parameter("DisplayName", aliases=("DN",)),
            Parameter("StartupType", aliases=("StartMode", "SM", "ST"), values=tuple(_MODES)),
            Parameter("Status", values=("Running", "Stopped")),
            _PASS,
        ),
        set_service,
    ),
    Cmdlet("Start-Service", (_NAME, _DISPLAY, _PASS), start_service, aliases=("sasv",)),
    Cmdlet("Stop-Service", (_NAME, _DISPLAY, _FORCE, _NO_WAIT, _PASS), stop_service, aliases=("spsv",)),
    Cmdlet("Restart-Service", (_NAME, _DISPLAY, _FORCE, _PASS), restart_service),
)

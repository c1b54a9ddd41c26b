"""Cmdlets for WMI: Get-CimInstance and Invoke-CimMethod."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reconciler.lab.windows.accounts import NoSuchAccount, find_account
from reconciler.lab.windows.cim import BadQuery, NoSuchClass, instances, parse_query
from reconciler.lab.windows.contract import Call, Cmdlet, Parameter
from reconciler.lab.windows.failures import cim_failure, missing_parameter
from reconciler.lab.windows.machine import Machine, ProgramNotFound
from reconciler.lab.windows.services import BUILT_IN_ACCOUNTS, StartMode
from reconciler.lab.windows.task_xml import split_arguments
from reconciler.lab.winrm.records import Record, Secret, record, uint32

_CLASS = "Microsoft.Management.Infrastructure.CimCmdlets."
_MODES: dict[str, StartMode] = {"automatic": "Automatic", "manual": "Manual", "disabled": "Disabled"}

WBEM_E_INVALID_CLASS = 0x80041010
WBEM_E_INVALID_QUERY = 0x80041017
WBEM_E_INVALID_METHOD = 0x80041055
WBEM_E_NOT_FOUND = 0x80041002
WBEM_E_ACCESS_DENIED = 0x80041003

# Return values of Win32_Service methods
OK, NOT_SUPPORTED, ACCESS_DENIED, ALREADY_RUNNING, LOGON_FAILED = 0, 1, 2, 10, 15
NOT_ACTIVE, DISABLED, INVALID_ACCOUNT, UNKNOWN_FAILURE = 6, 14, 22, 8


async def get_cim_instance(call: Call) -> None:
    """Get-CimInstance: by class and filter, or by query."""
    wanted = {name.lower() for name in call.arguments.get("Property") or ()}
    for found in _selected(call):
        if not wanted or "*" in wanted:
            call.output(found)
            continue
        kept = {name: value if name.lower() in wanted else None for name, value in found.adapted.items()}
        call.output(Record(found.type_names, kept, found.extended, found.text))


async def invoke_cim_method(call: Call) -> None:
    """Invoke-CimMethod: on what a query finds, what comes down the pipeline, or on a class itself."""
    method = str(call.arguments["MethodName"]).lower()
    given: Mapping[str, Any] = call.arguments.get("Arguments") or {}
    arguments = {str(name).lower(): value for name, value in given.items()}
    targets = [one for one in call.pipeline_input if isinstance(one, Record)]
    if isinstance(call.arguments.get("InputObject"), Record):
        targets = [call.arguments["InputObject"]]
    if not targets and call.arguments.get("ClassName"):
        if (call.arguments["ClassName"].lower(), method) != ("win32_process", "create"):
            cim_failure(call, WBEM_E_INVALID_METHOD, text="Invalid method Parameter(s) ")
            return
        _create_process(call, str(arguments.get("commandline", "")))
        return
    for target in targets or _selected(call):
        code = await _invoke(call, target, method, arguments)
        if code is None:
            cim_failure(call, WBEM_E_INVALID_METHOD, text="Invalid method Parameter(s) ")
        elif not call.what_if:
            name = "Microsoft.Management.Infrastructure.CimMethodResult"
            call.output(record(name, ReturnValue=uint32(code), PSComputerName=None))


def _selected(call: Call) -> list[Record]:
    text, class_name = call.arguments.get("Query"), call.arguments.get("ClassName")
    if not text and not class_name:
        missing_parameter(call, "ClassName")
    try:
        if text:
            query = parse_query(text)
            return instances(call.machine, query.class_name, query.where)
        return instances(call.machine, str(class_name), call.arguments.get("Filter") or "")
    except NoSuchClass:
        cim_failure(call, WBEM_E_INVALID_CLASS, class_name, "Invalid class ")
    except BadQuery:
        cim_failure(call, WBEM_E_INVALID_QUERY, None, "Invalid query ")
    return []


async def _invoke(call: Call, target: Record, method: str, arguments: Mapping[str, Any]) -> int | None:
    """Run a method on an instance; None where its class has no such method."""
    machine: Machine = call.machine
    if target.type_names[0].endswith("Win32_OperatingSystem"):
        if method != "reboot":
            return None
        if call.logon.is_administrator and not call.what_if:
            machine.restart(f"Win32_OperatingSystem.Reboot by {call.logon.account}")
        return OK if call.logon.is_administrator else 1314
    if not target.type_names[0].endswith("Win32_Service"):
        return None
    if method not in ("change", "changestartmode", "startservice", "stopservice"):
        return None
    if not call.logon.is_administrator:
        return ACCESS_DENIED
    if call.what_if:
        return OK
    if method == "startservice":
        return await _start(machine, target["Name"])
    if method == "stopservice":
        service = machine.services.get(target["Name"])
        if service is None or not service.running:
            return NOT_ACTIVE - 1  # 5: the service cannot accept the control now
        return OK if service.can_stop and machine.services.stop(service.name) else NOT_SUPPORTED
    return await _change(machine, target["Name"], arguments)


async def _start(machine: Machine, name: str) -> int:
    service = machine.services.get(name)
    if service is not None and service.running:
        return ALREADY_RUNNING
    code = await machine.services.start(name)
    return {0: OK, 1058: DISABLED, 1069: LOGON_FAILED}.get(code, UNKNOWN_FAILURE)


async def _change(machine: Machine, name: str, arguments: Mapping[str, Any]) -> int:
    """Win32_Service.Change and ChangeStartMode: the account must exist, its password is believed until the start."""
    mode = str(arguments.get("startmode") or "")
    if mode and mode.lower() not in _MODES:
        return 21  # invalid parameter
    account, password = arguments.get("startname"), arguments.get("startpassword")
    secret = password.reveal() if isinstance(password, Secret) else password
    spelled: str | None = None
    if account:
        spelled = str(account)
        if spelled.lower() not in BUILT_IN_ACCOUNTS:
            try:
                spelled = (await find_account(machine, spelled)).account
            except NoSuchAccount:
                return INVALID_ACCOUNT
    service = machine.services.get(name)
    if service is None:
        return UNKNOWN_FAILURE
    machine.services.configure(
        name,
        start_mode=_MODES[mode.lower()] if mode else None,
        account=spelled,
        password=None if secret is None else str(secret),
    )
    if arguments.get("displayname"):
        service.display = str(arguments["displayname"])
    return OK


def _create_process(call: Call, line: str) -> None:
    """Win32_Process.Create: the program runs on its own, with the rights of the session and nothing beyond it."""
    machine: Machine = call.machine
    words = split_arguments(line)
    name = "Microsoft.Management.Infrastructure.CimMethodResult"
    try:
        machine.find_program(words[0] if words else "")
    except ProgramNotFound:
        call.output(record(name, ProcessId=None, ReturnValue=uint32(9), PSComputerName=None))
        return
    if call.what_if:
        return
    machine.start_job(machine.run_program(words[0], words[1:], call.logon, _nowhere, _nowhere))
    call.output(record(name, ProcessId=uint32(machine.next_id()), ReturnValue=uint32(0), PSComputerName=None))


def _nowhere(line: str) -> None:
    """Take a line that nobody sees."""
    del line


_NAMESPACE = Parameter("Namespace")

CMDLETS = (
    Cmdlet(
        "Get-CimInstance",
        (
            Parameter("ClassName", position=0),
            Parameter("Filter"),
            Parameter("Query"),
            _NAMESPACE,
            Parameter("Property", "strings", aliases=("SelectProperties",)),
        ),
        get_cim_instance,
        class_name=_CLASS + "GetCimInstanceCommand",
        aliases=("gcim",),
    ),
    Cmdlet(
        "Invoke-CimMethod",
        (
            Parameter("InputObject", "any", position=0, from_pipeline=True, aliases=("CimInstance",)),
            Parameter("ClassName", aliases=("Class",)),
            Parameter("Query"),
            Parameter("MethodName", position=1, mandatory=True, aliases=("Name",)),
            Parameter("Arguments", "dictionary", position=2, secret=True),
            _NAMESPACE,
        ),
        invoke_cim_method,
        class_name=_CLASS + "InvokeCimMethodCommand",
        aliases=("icim",),
    ),
)

"""Cmdlets for scheduled tasks: Register-, Get-, Export-, Start-, Stop-, Unregister-ScheduledTask and Get-ScheduledTaskInfo."""

from __future__ import annotations

from fnmatch import fnmatchcase

from reconciler.lab.windows.contract import Call, Cmdlet, Parameter
from reconciler.lab.windows.failures import AUTOMATION, cim_failure, missing_parameter
from reconciler.lab.windows.logons import LogonRefused
from reconciler.lab.windows.machine import Machine
from reconciler.lab.windows.task_xml import BadTaskXml, exported
from reconciler.lab.windows.tasks import ScheduledTask, folder
from reconciler.lab.winrm.records import Record, date, enum_value, net_object, note, uint32

_CIM = "Microsoft.Management.Infrastructure.CimInstance"
_STATE = "Microsoft.PowerShell.Cmdletization.GeneratedTypes.ScheduledTask.StateEnum"
_CONFIRM = (
    "A command that prompts the user failed because the host program or the command type does not support user "
    "interaction. The host was attempting to request confirmation with the following message: Are you sure you want "
    "to perform this action?\nPerforming operation 'Delete' on Target '{uri}'."
)


async def register(call: Call) -> None:
    """Register-ScheduledTask: from a definition; the password is checked now."""
    machine: Machine = call.machine
    xml, name = call.arguments.get("Xml"), call.arguments.get("TaskName")
    if not xml or not name:
        missing_parameter(call, "TaskName" if xml else "Xml")
    path = folder(call.arguments.get("TaskPath") or "\\")
    target = "PS_ScheduledTask"
    if not call.logon.is_administrator:
        cim_failure(call, 5, target)
        return
    if machine.tasks.get(path, str(name)) is not None and not call.arguments.get("Force"):
        cim_failure(call, 183, target)
        return
    if call.what_if:
        return
    try:
        task = await machine.tasks.register(
            path, str(name), str(xml), call.arguments.get("User") or "", call.arguments.get("Password")
        )
    except BadTaskXml as bad:
        cim_failure(call, bad.code, target, bad.text)
    except LogonRefused as refused:
        cim_failure(call, refused.code, target)
    else:
        call.output(task_object(task))


async def get_task(call: Call) -> None:
    """Get-ScheduledTask: by name and folder, with wildcards."""
    for task in _selected(call, by_wildcard=True):
        call.output(task_object(task))


async def export(call: Call) -> None:
    """Export-ScheduledTask: the definition of one task, as one text."""
    for task in _selected(call):
        call.output(exported(task.xml, task.uri))


async def get_info(call: Call) -> None:
    """Get-ScheduledTaskInfo: when it ran, how it ended, when it runs next."""
    for task in _selected(call):
        never = task.last_run is None
        made = net_object(
            (f"{_CIM}#Root/Microsoft/Windows/TaskScheduler/MSFT_TaskDynamicInfo", _CIM),
            text="MSFT_TaskDynamicInfo",
            LastRunTime=None if never or task.last_run is None else date(task.last_run),
            LastTaskResult=uint32(task.last_result),
            NextRunTime=None if (moment := task.next_run()) is None else date(moment),
            NumberOfMissedRuns=uint32(task.missed),
            TaskName=task.name,
            TaskPath=task.path,
        )
        call.output(note(made, PSComputerName=None))


async def start(call: Call) -> None:
    """Start-ScheduledTask: returns at once."""
    machine: Machine = call.machine
    for task in _selected(call):
        if not call.logon.is_administrator:
            cim_failure(call, 5, "PS_ScheduledTask")
        elif not task.definition.enabled:
            text = "The task is disabled. "
            cim_failure(call, 0x80041326, "PS_ScheduledTask", text)
        elif not call.what_if:
            machine.tasks.start(task)


async def stop(call: Call) -> None:
    """Stop-ScheduledTask: ends what it runs."""
    machine: Machine = call.machine
    for task in _selected(call):
        if not call.logon.is_administrator:
            cim_failure(call, 5, "PS_ScheduledTask")
        elif not call.what_if:
            machine.tasks.stop(task)


async def unregister(call: Call) -> None:
    """Unregister-ScheduledTask: asks first, which nobody can answer here, unless -Confirm:$false says not to."""
    machine: Machine = call.machine
    for task in _selected(call, by_wildcard=True):
        if call.what_if:
            continue
        if call.arguments.get("Confirm", True):
            exception = AUTOMATION + "Host.HostException"
            call.error(exception, _CONFIRM.format(uri=task.uri), exception, "NotImplemented", task.name)
        elif not call.logon.is_administrator:
            cim_failure(call, 5, task.name)
        else:
            machine.tasks.remove(task)


def task_object(task: ScheduledTask) -> Record:
    """Return a task as MSFT_ScheduledTask."""
    name, number = ("Running", 4) if task.running else ("Ready", 3) if task.definition.enabled else ("Disabled", 1)
    made = net_object(
        (f"{_CIM}#Root/Microsoft/Windows/TaskScheduler/MSFT_ScheduledTask", _CIM),
        text=f'MSFT_ScheduledTask (TaskName = "{task.name}", TaskPath = "{task.path}")',
        Author=None,
        Date=None if task.registered is None else task.registered.isoformat(),
        Description=task.definition.description or None,
        TaskName=task.name,
        TaskPath=task.path,
        URI=task.uri,
        Version=None,
    )
    return note(made, State=enum_value(_STATE, name, number), PSComputerName=None)


def _selected(call: Call, by_wildcard: bool = False) -> list[ScheduledTask]:
    """Return the tasks a call names; one that is named outright and missing is an error."""
    machine: Machine = call.machine
    names = call.arguments.get("TaskName")
    if isinstance(names, str):
        names = [names]
    if not names and not by_wildcard:
        missing_parameter(call, "TaskName")
    paths = call.arguments.get("TaskPath")
    paths = [paths] if isinstance(paths, str) else paths
    if not by_wildcard:
        path = folder(paths[0] if paths else "\\")
        task = machine.tasks.get(path, names[0]) if names else None
        if task is None:
            cim_failure(call, 2, "PS_ScheduledTask")
        return [] if task is None else [task]
    found = [task for task in machine.tasks if _in_folders(task, paths)]
    if not names:
        return found
    chosen: list[ScheduledTask] = []
    for name in names:
        matching = [task for task in found if fnmatchcase(task.name.lower(), name.lower())]
        if not matching and not any(sign in name for sign in "*?["):
            text = (
                f"No MSFT_ScheduledTask objects found with property 'TaskName' equal to '{name}'.  "
                "Verify the value of the property and retry."
            )
            exception = "Microsoft.PowerShell.Cmdletization.Cim.CimJobException"
            call.error(exception, text, "CmdletizationQuery_NotFound_TaskName", "ObjectNotFound", name)
        chosen += matching
    return chosen


def _in_folders(task: ScheduledTask, paths: list[str] | None) -> bool:
    return not paths or any(fnmatchcase(task.path.lower(), path.lower()) for path in paths)


_NAME = Parameter("TaskName", position=0, from_pipeline=True)
_FOLDER = Parameter("TaskPath", position=1)
_NAMES = Parameter("TaskName", "strings", position=0, from_pipeline=True)
_FOLDERS = Parameter("TaskPath", "strings", position=1)


CMDLETS = (
    Cmdlet(
        "Register-ScheduledTask",
        (
            Parameter("TaskName", position=0),
            _FOLDER,
            Parameter("Xml", mandatory=True),
            Parameter("User"),
            Parameter("Password", secret=True),
            Parameter("Force", "switch"),
        ),
        register,
        class_name="Register-ScheduledTask",
    ),
    Cmdlet("Get-ScheduledTask", (_NAMES, _FOLDERS), get_task, class_name="Get-ScheduledTask"),
    Cmdlet("Get-ScheduledTaskInfo", (_NAME, _FOLDER), get_info, class_name="Get-ScheduledTaskInfo"),
    Cmdlet("Export-ScheduledTask", (_NAME, _FOLDER), export, class_name="Export-ScheduledTask"),
    Cmdlet("Start-ScheduledTask", (_NAME, _FOLDER), start, class_name="Start-ScheduledTask"),
    Cmdlet("Stop-ScheduledTask", (_NAME, _FOLDER), stop, class_name="Stop-ScheduledTask"),
    Cmdlet(
        "Unregister-ScheduledTask",
        (_NAMES, _FOLDERS, Parameter("Confirm", "switch", aliases=("cf",))),
        unregister,
        class_name="Unregister-ScheduledTask",
    ),
)

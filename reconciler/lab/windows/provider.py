"""Paths as cmdlets take them: which provider means a path, which paths a call names, and the properties items carry."""

from __future__ import annotations

from typing import Any

from reconciler.lab.windows.contract import Call, Logon, Parameter
from reconciler.lab.windows.failures import ambiguous_parameters, drive_not_found, missing_parameter, path_not_found
from reconciler.lab.windows.files import DriveNotFound, Item, normal
from reconciler.lab.windows.machine import Machine
from reconciler.lab.windows.registry import Key, NotARegistryPath, full_path
from reconciler.lab.winrm.records import Record, net_object

PATH = Parameter("Path", "strings", position=0)
# Strings and objects (by their PSPath) come down the pipeline as literal paths.
LITERAL_PATH = Parameter("LiteralPath", "strings", aliases=("PSPath",), from_pipeline=True)

_SECURITY = "hkey_local_machine\\security"


def is_registry(path: str) -> bool:
    """Return whether a path is one of the registry's."""
    head = path.lower().removeprefix("microsoft.powershell.core\\")
    return head.startswith(("hklm:", "registry::", "hkcu:"))


def paths_of(call: Call) -> tuple[list[str], bool]:
    """Return the paths of a call, and whether they are literal; one of -Path and -LiteralPath is needed."""
    path, literal = call.arguments.get("Path"), call.arguments.get("LiteralPath")
    if path and literal:
        ambiguous_parameters(call)
    if not path and not literal:
        missing_parameter(call, "Path")
    return (list(path), False) if path else (list(literal or ()), True)


def find_keys(call: Call, path: str, literal: bool) -> list[Key]:
    """Return the keys that a path names, after writing an error where there is none."""
    machine: Machine = call.machine
    try:
        if literal or not _has_wildcard(path):
            key = machine.registry.key(path)
            found = [] if key is None else [key]
        else:
            found = machine.registry.match(path)
    except NotARegistryPath:
        found = []
    found = [key for key in found if may_read(call.logon, key.path)]
    if not found and (literal or not _has_wildcard(path)):
        path_not_found(call, path)
    return found


def find_items(call: Call, path: str, literal: bool) -> list[Item]:
    """Return the files and directories that a path names, after writing an error where there is none."""
    machine: Machine = call.machine
    try:
        if literal or not _has_wildcard(path):
            item = machine.files.item(path)
            found = [] if item is None else [item]
            if item is None:
                path_not_found(call, normal(path))
            return found
        return machine.files.match(path)
    except DriveNotFound:
        if path.startswith("\\\\"):
            path_not_found(call, path)
        else:
            drive_not_found(call, path)
        return []


def may_read(logon: Logon, path: str) -> bool:
    """Return whether somebody may read a key: HKLM\\SECURITY is the system's own."""
    lower = full_path(path).lower()
    return not (lower + "\\").startswith(_SECURITY + "\\") or "S-1-5-18" in logon.sids


def may_write_file(logon: Logon, path: str) -> bool:
    """Return whether somebody may create, change or delete a file there."""
    name = logon.account.rpartition("\\")[2].lower()
    lower = normal(path).lower()
    return logon.is_administrator or lower.startswith(("c:\\windows\\temp\\", f"c:\\users\\{name}\\"))


def may_write(logon: Logon, path: str) -> bool:
    """Return whether somebody may change a key."""
    return logon.is_administrator and may_read(logon, path)


def key_notes(key: Key, asked: str) -> dict[str, Any]:
    """Return the properties that PowerShell adds to what comes from a key."""
    notes: dict[str, Any] = {
        "PSPath": f"Microsoft.PowerShell.Core\\Registry::{key.path}",
        "PSParentPath": f"Microsoft.PowerShell.Core\\Registry::{key.path.rpartition(chr(92))[0]}",
        "PSChildName": key.path.rpartition("\\")[2],
    }
    if asked.lower().startswith("hklm:"):
        notes["PSDrive"] = net_object(("System.Management.Automation.PSDriveInfo",), text="HKLM", Name="HKLM")
    notes["PSProvider"] = _provider("Registry")
    return notes


def item_notes(item: Item) -> dict[str, Any]:
    """Return the properties that PowerShell adds to a file or directory."""
    head, _, name = item.path.rstrip("\\").rpartition("\\")
    return {
        "PSPath": f"Microsoft.PowerShell.Core\\FileSystem::{item.path}",
        "PSParentPath": f"Microsoft.PowerShell.Core\\FileSystem::{head + chr(92) if head == 'C:' else head}",
        "PSChildName": name,
        "PSDrive": net_object(("System.Management.Automation.PSDriveInfo",), text="C", Name="C"),
        "PSProvider": _provider("FileSystem"),
        "PSIsContainer": item.is_directory,
    }


def _provider(name: str) -> Record:
    module = "Microsoft.PowerShell.Core"
    return net_object(
        ("System.Management.Automation.ProviderInfo",),
        text=f"{module}\\{name}",
        ImplementingType=f"Microsoft.PowerShell.Commands.{name}Provider",
        Name=name,
        ModuleName=module,
    )


def _has_wildcard(path: str) -> bool:
    return any(sign in path for sign in "*?[")

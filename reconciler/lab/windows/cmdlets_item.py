"""Cmdlets for files, directories and registry keys: Test-Path, Get-Item, Get-ChildItem, New-Item, Remove-Item."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

from reconciler.lab.windows.cmdlets_registry import item_object
from reconciler.lab.windows.contract import Call, Cmdlet, Parameter
from reconciler.lab.windows.failures import (
    AUTOMATION,
    drive_not_found,
    file_denied,
    missing_parameter,
    path_not_found,
    registry_denied,
)
from reconciler.lab.windows.files import DriveNotFound, Item, NoSuchPath, join, normal
from reconciler.lab.windows.machine import Machine
from reconciler.lab.windows.provider import (
    LITERAL_PATH,
    PATH,
    find_items,
    find_keys,
    is_registry,
    key_notes,
    may_read,
    may_write,
    may_write_file,
    paths_of,
)
from reconciler.lab.windows.registry import Key, NotARegistryPath, full_path
from reconciler.lab.winrm.records import net_object, note

_PROMPT = (
    "A command that prompts the user failed because the host program or the command type does not support user "
    "interaction. The host was attempting to request confirmation with the following message: "
)


async def test_path(call: Call) -> None:
    """Test-Path: one truth per path; nothing is an error."""
    machine: Machine = call.machine
    paths, literal = paths_of(call)
    wanted = call.arguments.get("PathType", "Any")
    for path in paths:
        wild = not literal and any(sign in path for sign in "*?[")
        if is_registry(path):
            call.output(wanted != "Leaf" and _has_key(call, path, wild))
            continue
        try:
            one = machine.files.item(path) if not wild else None
            items = machine.files.match(path) if wild else [one] if one else []
        except DriveNotFound:
            items = []
        call.output(any(wanted == "Any" or (wanted == "Container") == item.is_directory for item in items))


async def get_item(call: Call) -> None:
    """Get-Item: a file, a directory or a key."""
    paths, literal = paths_of(call)
    for path in paths:
        if is_registry(path):
            for key in find_keys(call, path, literal):
                call.output(_key_object(call.machine, key, path))
        else:
            for item in find_items(call, path, literal):
                call.output(item_object(item))


async def get_child_item(call: Call) -> None:
    """Get-ChildItem: what lies in directories or below keys."""
    machine: Machine = call.machine
    given = call.arguments.get("Path") or call.arguments.get("LiteralPath")
    paths, literal = paths_of(call) if given else (["C:\\Windows\\System32"], True)
    for path in paths:
        if is_registry(path):
            for key in find_keys(call, path, literal):
                for child in machine.registry.children(key.path):
                    if _included(call, child.path.rpartition("\\")[2]) and may_read(call.logon, child.path):
                        call.output(_key_object(machine, child, path))
            continue
        for item in find_items(call, path, literal):
            for found in _below(machine, item, bool(call.arguments.get("Recurse"))):
                if _included(call, found.name) and _of_kind(call, found):
                    call.output(item_object(found))


async def new_item(call: Call) -> None:
    """New-Item: a key, a directory (with its parents) or a file."""
    name, given = call.arguments.get("Name"), call.arguments.get("Path")
    if not given and not name:
        missing_parameter(call, "Path")
    for path in given or ["C:\\Windows\\System32"]:
        whole = join(path, name) if name else path
        if is_registry(whole):
            _new_key(call, whole)
        else:
            _new_file(call, whole)


async def remove_item(call: Call) -> None:
    """Remove-Item: files, directories and keys; what has something inside needs -Recurse, for nobody can be asked."""
    machine: Machine = call.machine
    paths, literal = paths_of(call)
    for path in paths:
        if is_registry(path):
            for key in find_keys(call, path, literal):
                if not may_write(call.logon, key.path):
                    registry_denied(call, key.path)
                elif _may_empty(call, key.path, bool(machine.registry.children(key.path))):
                    machine.registry.remove(key.path)
            continue
        for item in find_items(call, path, literal):
            if not may_write_file(call.logon, item.path):
                file_denied(call, item.path, "RemoveFileSystemItemUnAuthorizedAccess")
            elif _may_empty(call, item.path, bool(machine.files.children(item.path))):
                machine.files.delete(item.path)


def _has_key(call: Call, path: str, wild: bool) -> bool:
    machine: Machine = call.machine
    try:
        if wild:
            return bool(machine.registry.match(path))
        return machine.registry.key(path) is not None and may_read(call.logon, path)
    except NotARegistryPath:
        return False


def _key_object(machine: Machine, key: Key, asked: str) -> Any:
    made = net_object(
        ("Microsoft.Win32.RegistryKey", "System.MarshalByRefObject"),
        text=key.path,
        SubKeyCount=len(machine.registry.children(key.path)),
        ValueCount=len(key.values),
        Name=key.path,
    )
    names = [value.name or "(default)" for value in key.values.values()]
    return note(made, Property=names, **key_notes(key, asked))


def _below(machine: Machine, item: Item, recurse: bool) -> list[Item]:
    if not item.is_directory:
        return [item]
    found = []
    for child in machine.files.children(item.path):
        found.append(child)
        if recurse and child.is_directory:
            found += _below(machine, child, True)
    return found


def _included(call: Call, name: str) -> bool:
    pattern = call.arguments.get("Filter")
    return not pattern or fnmatchcase(name.lower(), pattern.lower())


def _of_kind(call: Call, item: Item) -> bool:
    if call.arguments.get("File"):
        return not item.is_directory
    return item.is_directory or not call.arguments.get("Directory")


def _may_empty(call: Call, path: str, full: bool) -> bool:
    call.verbose(f'Performing the operation "Remove" on target "{path}".')
    if call.what_if:
        return False
    if full and not call.arguments.get("Recurse"):
        question = (
            f"The item at {path} has children and the Recurse parameter was not specified. If you continue, all "
            "children will be removed with the item. Are you sure you want to continue?"
        )
        exception = AUTOMATION + "Host.HostException"
        call.error(exception, _PROMPT + question, exception, "NotImplemented", path)
        return False
    return True


def _new_key(call: Call, path: str) -> None:
    machine: Machine = call.machine
    try:
        full = full_path(path)
        there = machine.registry.key(full)
        above = machine.registry.key(full.rpartition("\\")[0])
    except NotARegistryPath:
        return path_not_found(call, path)
    force = call.arguments.get("Force")
    if not may_write(call.logon, full):
        return registry_denied(call, full)
    if there is not None and not force:
        exception = "System.IO.IOException"
        return call.error(exception, "A key in this path already exists.", exception, "ResourceExists", full)
    if above is None and not force:
        exception = "System.ArgumentException"
        text = "The registry key at the specified path does not exist."
        return call.error(exception, text, exception, "InvalidArgument", full)
    if call.what_if:
        return None
    machine.registry.remove(full)  # -Force on a key that is there empties it, as on Windows
    key = machine.registry.create(full)
    if call.arguments.get("Value") is not None:
        machine.registry.set(full, "", "String", str(call.arguments["Value"]))
    return call.output(_key_object(machine, key, path))


def _new_file(call: Call, path: str) -> None:
    machine: Machine = call.machine
    force = bool(call.arguments.get("Force"))
    try:
        whole = normal(path)
        there = machine.files.item(whole)
    except DriveNotFound:
        return drive_not_found(call, path)
    kind = "NewItemUnauthorizedAccessError"
    if not may_write_file(call.logon, whole):
        return file_denied(call, whole, f"{'CreateDirectory' if _is_directory(call) else ''}{kind}")
    if there is not None and not (force and there.is_directory == _is_directory(call)):
        text = f"An item with the specified name {whole} already exists."
        if not _is_directory(call):
            text = f"The file '{whole}' already exists."
            return call.error("System.IO.IOException", text, "NewItemIOError", "WriteError", whole)
        return call.error("System.IO.IOException", text, "DirectoryExist", "ResourceExists", whole)
    if call.what_if:
        return None
    try:
        if _is_directory(call):
            item = machine.files.make_directory(whole)
        else:
            value = str(call.arguments.get("Value") or "")
            item = machine.files.write(whole, value.encode("utf-8"), parents=force)
    except NoSuchPath:
        text = f"Could not find a part of the path '{whole}'."
        return call.error("System.IO.DirectoryNotFoundException", text, "NewItemIOError", "WriteError", whole)
    except FileExistsError:
        text = f"An item with the specified name {whole} already exists."
        return call.error("System.IO.IOException", text, "CreateDirectoryIOError", "WriteError", whole)
    return call.output(item_object(item))


def _is_directory(call: Call) -> bool:
    return str(call.arguments.get("ItemType", "File")).lower() in ("directory", "container")


_FORCE = Parameter("Force", "switch")
_RECURSE = Parameter("Recurse", "switch", aliases=("s",))

CMDLETS = (
    Cmdlet(
        "Test-Path",
        (PATH, LITERAL_PATH, Parameter("PathType", aliases=("Type",), values=("Any", "Container", "Leaf"))),
        test_path,
    ),
    Cmdlet("Get-Item", (PATH, LITERAL_PATH, _FORCE), get_item, aliases=("gi",)),
    Cmdlet(
        "Get-ChildItem",
        (
            PATH,
            LITERAL_PATH,
            Parameter("Filter", position=1),
            _RECURSE,
            _FORCE,
            Parameter("File", "switch"),
            Parameter("Directory", "switch"),
        ),
        get_child_item,
        aliases=("dir", "gci", "ls"),
    ),
    Cmdlet(
        "New-Item",
        (
            Parameter("Path", "strings", position=0),
            Parameter("Name"),
            Parameter("ItemType", aliases=("Type",)),
            Parameter("Value", "any", from_pipeline=True, aliases=("Target",)),
            _FORCE,
        ),
        new_item,
        aliases=("ni",),
    ),
    Cmdlet(
        "Remove-Item",
        (PATH, LITERAL_PATH, _RECURSE, _FORCE),
        remove_item,
        aliases=("del", "erase", "rd", "ri", "rm", "rmdir"),
    ),
)

"""Cmdlets for registry values: Get-, New-, Set- and Remove-ItemProperty, Get-ItemPropertyValue."""

from __future__ import annotations

import contextlib
from fnmatch import fnmatchcase
from typing import Any

from reconciler.lab.windows.contract import Call, Cmdlet, Parameter
from reconciler.lab.windows.failures import AUTOMATION, path_not_found, property_not_found, registry_denied
from reconciler.lab.windows.files import Item
from reconciler.lab.windows.machine import Machine
from reconciler.lab.windows.provider import (
    LITERAL_PATH,
    PATH,
    find_items,
    find_keys,
    is_registry,
    item_notes,
    key_notes,
    may_write,
    paths_of,
)
from reconciler.lab.windows.registry import Data, Key, Kind, RegistryValue
from reconciler.lab.windows.tasks import expanded
from reconciler.lab.winrm.records import byte_array, date, int64, net_object, note, record, uint32

KINDS: dict[str, Kind] = {
    "String": "String",
    "ExpandString": "ExpandString",
    "Binary": "Binary",
    "DWord": "DWord",
    "MultiString": "MultiString",
    "QWord": "QWord",
    "Unknown": "String",
    "None": "None",
}
_NAMES = tuple(KINDS)


class _WrongData(ValueError):
    """The value does not fit the kind."""


async def get_item_property(call: Call) -> None:
    """Get-ItemProperty: one object per key with its values; or the item itself in the file system."""
    paths, literal = paths_of(call)
    for path in paths:
        if not is_registry(path):
            for item in find_items(call, path, literal):
                call.output(item_object(item))
            continue
        for key in find_keys(call, path, literal):
            values = _wanted(call, key)
            if values or not call.arguments.get("Name"):
                properties = {value.name or "(default)": net_value(value) for value in values}
                call.output(record("", **properties, **key_notes(key, path)))


async def get_item_property_value(call: Call) -> None:
    """Get-ItemPropertyValue: the bare values."""
    paths, literal = paths_of(call)
    for path in paths:
        for key in find_keys(call, path, literal):
            for value in _wanted(call, key):
                call.output(net_value(value))


async def new_item_property(call: Call) -> None:
    """New-ItemProperty: a value that must not be there yet, unless -Force says so."""
    machine: Machine = call.machine
    name, force = call.arguments["Name"], call.arguments.get("Force")
    for key, path in _writable(call):
        if name.lower() in key.values and not force:
            message = "The property already exists."
            call.error("System.IO.IOException", message, "System.IO.IOException", "ResourceExists", path)
            continue
        kind = KINDS[call.arguments.get("PropertyType", "String")]
        data = _checked(call, kind, call.arguments.get("Value"))
        call.verbose(f'Performing the operation "New Property" on target "Item: {key.path} Property: {name}".')
        if data is None or call.what_if:
            continue
        machine.registry.delete(key.path, name)
        machine.registry.set(key.path, name, kind, data)
        value = machine.registry.get(key.path, name)
        if value is not None:
            call.output(record("", **{value.name: net_value(value)}, **key_notes(key, path)))


async def set_item_property(call: Call) -> None:
    """Set-ItemProperty: creates or changes; without -Type the kind there stays, or follows from the value."""
    machine: Machine = call.machine
    name, value = call.arguments["Name"], call.arguments.get("Value")
    for key, path in _writable(call):
        before = key.values.get(name.lower())
        given = call.arguments.get("Type")
        kind = KINDS[given] if given else before.kind if before else _kind_of(value)
        data = _checked(call, kind, value)
        call.verbose(f'Performing the operation "Set Property" on target "Item: {key.path} Property: {name}".')
        if data is None or call.what_if:
            continue
        machine.registry.set(key.path, name, kind, data)
        if call.arguments.get("PassThru"):
            call.output(record("", **{name: net_value(RegistryValue(name, kind, data))}, **key_notes(key, path)))


async def remove_item_property(call: Call) -> None:
    """Remove-ItemProperty: values that must be there."""
    machine: Machine = call.machine
    for key, _path in _writable(call):
        for name in call.arguments["Name"]:
            if name.lower() not in key.values:
                property_not_found(call, name, key.path)
                continue
            call.verbose(f'Performing the operation "Remove Property" on target "Item: {key.path} Property: {name}".')
            if not call.what_if:
                machine.registry.delete(key.path, name)


def net_value(value: RegistryValue) -> Any:
    """Return a value as PowerShell hands it out: expanded, and unsigned only where a DWord needs it."""
    data = value.data
    if isinstance(data, bytes):
        return byte_array(data)
    if isinstance(data, tuple):
        return list(data)
    if isinstance(data, str):
        return expanded(data) if value.kind == "ExpandString" else data
    if value.kind == "QWord":
        return int64(data if data < 2**63 else data - 2**64)
    return data if data < 2**31 else uint32(data)


def item_object(item: Item) -> Any:
    """Return a file or directory as PowerShell shows it."""
    name = "DirectoryInfo" if item.is_directory else "FileInfo"
    properties: dict[str, Any] = {
        "Name": item.name,
        "FullName": item.path,
        "Exists": True,
        "CreationTime": date(item.created),
        "LastWriteTime": date(item.written),
        "LastWriteTimeUtc": date(item.written),
        "Extension": "." + item.name.rpartition(".")[2] if "." in item.name else "",
    }
    if item.content is not None:
        properties["Length"] = int64(len(item.content))
    made = net_object((f"System.IO.{name}", "System.IO.FileSystemInfo"), text=item.path, **properties)
    return note(made, **item_notes(item))


def _wanted(call: Call, key: Key) -> list[RegistryValue]:
    """Return the values that -Name asks for, after writing an error for each that is absent."""
    names = call.arguments.get("Name")
    if not names:
        return list(key.values.values())
    found: list[RegistryValue] = []
    for name in names:
        if any(sign in name for sign in "*?"):
            found += [value for lower, value in key.values.items() if fnmatchcase(lower, name.lower())]
            continue
        value = key.values.get("" if name.lower() == "(default)" else name.lower())
        if value is None:
            property_not_found(call, name, key.path)
        else:
            found.append(value)
    return found


def _writable(call: Call) -> list[tuple[Key, str]]:
    """Return the keys of a call that the caller may change, with the path each was asked by."""
    paths, literal = paths_of(call)
    found = []
    for path in paths:
        if not is_registry(path):
            path_not_found(call, path)
            continue
        for key in find_keys(call, path, literal):
            if may_write(call.logon, key.path):
                found.append((key, path))
            else:
                registry_denied(call, key.path)
    return found


def _kind_of(value: Any) -> Kind:
    if isinstance(value, bytes):
        return "Binary"
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return "MultiString"
    if isinstance(value, int) and not isinstance(value, bool):
        return "DWord" if -(2**31) <= value < 2**31 else "QWord"
    return "String"


def _checked(call: Call, kind: Kind, value: Any) -> Data | None:
    try:
        return _data(kind, value)
    except (_WrongData, TypeError, ValueError):
        names = {"DWord": "System.Int32", "QWord": "System.Int64", "Binary": "System.Byte[]"}
        exception = AUTOMATION + "PSInvalidCastException"
        message = f'Cannot convert value "{value}" to type "{names.get(kind, "System.String")}".'
        call.throw(exception, message, "System.Management.Automation.PSInvalidCastException", "InvalidArgument")
        return None


def _data(kind: Kind, value: Any) -> Data:
    if kind in ("DWord", "QWord"):
        return _number(value, 32 if kind == "DWord" else 64)
    if kind in ("Binary", "None"):
        return b"" if value is None else bytes([value]) if isinstance(value, int) else bytes(value)
    if kind == "MultiString":
        return tuple(str(one) for one in value) if isinstance(value, list | tuple) else (str(value or ""),)
    if isinstance(value, list | tuple):
        return " ".join(str(one) for one in value)
    return "" if value is None else str(value)


def _number(value: Any, bits: int) -> int:
    number: int | None = None
    if value is None or value == "":
        number = 0
    elif isinstance(value, str):
        with contextlib.suppress(ValueError):
            number = int(value.strip(), 16 if value.strip().lower().startswith("0x") else 10)
    elif isinstance(value, int | float):
        number = round(value)
    if number is None or not -(1 << bits - 1) <= number < 1 << bits:
        raise _WrongData(value)
    return number & ((1 << bits) - 1)


_NAME = Parameter("Name", position=1, mandatory=True, aliases=("PSProperty",))
_NAMES_OF = Parameter("Name", "strings", position=1, aliases=("PSProperty",))
_VALUE = Parameter("Value", "any")
_FORCE = Parameter("Force", "switch")

CMDLETS = (
    Cmdlet("Get-ItemProperty", (PATH, LITERAL_PATH, _NAMES_OF), get_item_property, aliases=("gp",)),
    Cmdlet(
        "Get-ItemPropertyValue",
        (PATH, LITERAL_PATH, Parameter("Name", "strings", position=1, mandatory=True)),
        get_item_property_value,
        aliases=("gpv",),
    ),
    Cmdlet(
        "New-ItemProperty",
        (PATH, LITERAL_PATH, _NAME, _VALUE, Parameter("PropertyType", aliases=("Type",), values=_NAMES), _FORCE),
        new_item_property,
    ),
    Cmdlet(
        "Set-ItemProperty",
        (
            PATH,
            LITERAL_PATH,
            _NAME,
            Parameter("Value", "any", position=2, mandatory=True),
            Parameter("Type", values=_NAMES),
            Parameter("PassThru", "switch"),
            _FORCE,
        ),
        set_item_property,
        aliases=("sp",),
    ),
    Cmdlet(
        "Remove-ItemProperty",
        (PATH, LITERAL_PATH, Parameter("Name", "strings", position=1, mandatory=True, aliases=("PSProperty",)), _FORCE),
        remove_item_property,
        aliases=("rp",),
    ),
)

"""The commands that belong to PowerShell itself rather than to a machine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, cast

from reconciler.lab.windows.contract import Call, Cmdlet, Parameter
from reconciler.lab.winrm.records import EnumValue, Record, enum_value, net_object, record

if TYPE_CHECKING:
    from reconciler.lab.winrm.engine import Invocation

_INPUT = Parameter("InputObject", "any", from_pipeline=True)
VERSION = "5.1.17763.5830"


def engine_cmdlets() -> dict[str, Cmdlet]:
    """Return the engine's own commands, by lower-case name."""
    return {cmdlet.name.lower(): cmdlet for cmdlet in _CMDLETS}


async def _get_variable(call: Call) -> None:
    variables = {
        "PSVersionTable": {"PSVersion": VERSION, "PSEdition": "Desktop", "BuildVersion": "10.0.17763.5830"},
        "ErrorActionPreference": enum_value("System.Management.Automation.ActionPreference", "Continue", 2),
        **cast("Invocation", call).session.variables,
    }
    for name in call.arguments.get("Name") or sorted(variables):
        found = [(known, value) for known, value in variables.items() if fnmatchcase(known.lower(), name.lower())]
        if not found and not _has_wildcard(name):
            message = f"Cannot find a variable with the name '{name}'."
            call.error("ItemNotFoundException", message, "VariableNotFound", "ObjectNotFound", name)
        for known, value in found:
            if call.arguments.get("ValueOnly"):
                call.output(value)
            else:
                call.output(net_object(("System.Management.Automation.PSVariable",), Name=known, Value=value))


async def _get_command(call: Call) -> None:
    session = cast("Invocation", call).session
    cmdlets = session.visible_cmdlets()
    for name in call.arguments.get("Name") or ["*"]:
        found = [one for one in cmdlets if fnmatchcase(one.name.lower(), name.lower())]
        for one in found:
            call.output(_command_info("Cmdlet", 8, one.name))
        if found or _has_wildcard(name):
            continue
        if session.has_program(name):
            call.output(_command_info("Application", 32, name))
            continue
        message = (
            f"The term '{name}' is not recognized as the name of a cmdlet, function, script file, or operable program."
        )
        call.error("CommandNotFoundException", message, "CommandNotFoundException", "ObjectNotFound", name)


async def _select_object(call: Call) -> None:
    values = _window(call, _inputs(call))
    wanted = call.arguments.get("Property")
    expand = call.arguments.get("ExpandProperty")
    for value in values:
        if expand is not None:
            _expand(call, value, expand)
        elif wanted is not None:
            call.output(_selected(value, wanted))
        else:
            call.output(value)


def _window(call: Call, values: list[Any]) -> list[Any]:
    values = values[call.arguments.get("Skip", 0) :]
    if "First" in call.arguments:
        values = values[: call.arguments["First"]]
    if "Last" in call.arguments:
        values = values[len(values) - min(len(values), call.arguments["Last"]) :]
    return values


def _expand(call: Call, value: Any, name: str) -> None:
    if not isinstance(value, Mapping) or name.lower() not in (str(key).lower() for key in value):
        message = f'Property "{name}" cannot be found.'
        call.error("PSArgumentException", message, "ExpandPropertyNotFound", "InvalidArgument", value)
        return
    found = property_of(value, name)
    for one in found if isinstance(found, list) else [found]:
        call.output(one)


def _selected(value: Any, wanted: Iterable[str]) -> Record:
    properties: dict[str, Any] = {}
    for name in wanted:
        if _has_wildcard(name) and isinstance(value, Mapping):
            properties.update({key: one for key, one in value.items() if fnmatchcase(key.lower(), name.lower())})
        else:
            properties[name] = property_of(value, name)
    return record("Selected." + _type_name(value), **properties)


def property_of(value: Any, name: str) -> Any:
    """Return a property of a value in any letter case; None where it has none."""
    if not isinstance(value, Mapping):
        return len(value) if name.lower() == "length" and isinstance(value, (str, list, bytes)) else None
    return next((one for key, one in value.items() if str(key).lower() == name.lower()), None)


async def _measure_object(call: Call) -> None:
    values = _inputs(call)
    measured: dict[str, Any] = {"Count": len(values), "Average": None, "Sum": None, "Maximum": None, "Minimum": None}
    measured["Property"] = None
    call.output(net_object(("Microsoft.PowerShell.Commands.GenericMeasureInfo",), **measured))


async def _write_output(call: Call) -> None:
    for value in _inputs(call):
        call.output(value)


async def _out_string(call: Call) -> None:
    texts = [as_text(value) for value in _inputs(call)]
    if call.arguments.get("Stream"):
        for text in texts:
            call.output(text)
    else:
        call.output("".join(f"{text}\r\n" for text in texts))


async def _out_nothing(call: Call) -> None:
    """Swallow the input: Out-Null, and Out-Default, whose display goes to a host that is not there."""


def as_text(value: Any) -> str:
    """Return a value as a line of text; objects as their properties, which is not what PowerShell's formatter does."""
    if isinstance(value, Record) and value.text is None:
        return "\r\n".join(f"{name} : {as_text(one)}" for name, one in value.items())
    if isinstance(value, EnumValue):
        return value.name
    return "" if value is None else str(value)


def _inputs(call: Call) -> list[Any]:
    if "InputObject" in call.arguments:
        given = call.arguments["InputObject"]
        return list(given) if isinstance(given, list) else [given]
    return list(call.pipeline_input)


def _has_wildcard(name: str) -> bool:
    return any(sign in name for sign in "*?[")


def _type_name(value: Any) -> str:
    if isinstance(value, Record):
        return value.type_names[0]
    return "System.Collections.Hashtable" if isinstance(value, dict) else "System.Object"


def _command_info(kind: str, number: int, name: str) -> Record:
    return net_object(
        (f"System.Management.Automation.{kind}Info", "System.Management.Automation.CommandInfo"),
        name,
        Name=name,
        CommandType=enum_value("System.Management.Automation.CommandTypes", kind, number),
        Definition=name,
        Version="",
        Source="",
    )


_CMDLETS = (
    Cmdlet(
        "Get-Variable",
        (Parameter("Name", "strings", 0, from_pipeline=True), Parameter("ValueOnly", "switch"), Parameter("Scope")),
        _get_variable,
        aliases=("gv",),
    ),
    Cmdlet("Get-Command", (Parameter("Name", "strings", 0, from_pipeline=True),), _get_command, aliases=("gcm",)),
    Cmdlet(
        "Select-Object",
        (
            _INPUT,
            Parameter("Property", "strings", 0),
            Parameter("ExpandProperty"),
            Parameter("First", "int"),
            Parameter("Last", "int"),
            Parameter("Skip", "int"),
        ),
        _select_object,
        aliases=("select",),
    ),
    Cmdlet("Measure-Object", (_INPUT,), _measure_object, aliases=("measure",)),
    Cmdlet(
        "Write-Output",
        (Parameter("InputObject", "any", 0, mandatory=True, from_pipeline=True), Parameter("NoEnumerate", "switch")),
        _write_output,
        aliases=("echo", "write"),
    ),
    Cmdlet("Out-String", (_INPUT, Parameter("Stream", "switch"), Parameter("Width", "int")), _out_string),
    Cmdlet("Out-Default", (_INPUT,), _out_nothing, aliases=("od",)),
    Cmdlet("Out-Null", (_INPUT,), _out_nothing),
)

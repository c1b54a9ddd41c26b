"""Translate between the plain values of records.py and the objects of psrpcore that travel in PSRP messages."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from psrpcore import types as ps

from reconciler.lab.winrm.errors import Failure, exception_types
from reconciler.lab.winrm.records import Credential, EnumValue, Record, Secret, SizedInt

_SIZED = {"UInt32": ps.PSUInt, "Int64": ps.PSInt64, "UInt64": ps.PSUInt64}
_HRESULT = -2146233087


# Three lists of one record need three .NET types, as on Windows: pypsrp resolves <TNRef> in the order of its own
# properties, not of the document, and fails with KeyError where two of them share their type names. They must be
# subclasses, or psrpcore casts them back.
@ps.PSType(
    [
        "System.Collections.Generic.List`1[[System.Object, mscorlib, Version=4.0.0.0, Culture=neutral, "
        "PublicKeyToken=b77a5c561934e089]]",
        "System.Object",
    ],
    tag="LST",
    rehydrate=False,
    skip_inheritance=True,
)
class UnboundArguments(ps.PSList):
    """InvocationInfo.UnboundArguments."""


@ps.PSType(
    [
        "System.Collections.ObjectModel.ReadOnlyCollection`1[[System.Int32, mscorlib, Version=4.0.0.0, "
        "Culture=neutral, PublicKeyToken=b77a5c561934e089]]",
        "System.Object",
    ],
    tag="LST",
    rehydrate=False,
    skip_inheritance=True,
)
class IterationInfo(ps.PSList):
    """PipelineIterationInfo of a record."""


@ps.PSType(
    ["System.Management.Automation.PSBoundParametersDictionary", "System.Object"],
    tag="DCT",
    rehydrate=False,
    skip_inheritance=True,
)
class BoundParameters(ps.PSDict):
    """InvocationInfo.BoundParameters."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Which command a record comes from, and where it stands in its pipeline (from 1)."""

    command: str
    position: int
    length: int
    parameters: Mapping[str, Any]
    native: bool = False


@dataclass(frozen=True)
class _CommandInfo:  # no slots: psrpcore keeps weak references to what it serializes
    CommandType: ps.CommandTypes
    Name: str
    Definition: str
    Visibility: ps.SessionStateEntryVisibility


def to_wire(value: Any) -> Any:
    """Return what psrpcore is to serialize for a plain value.

    Raises:
        TypeError: The value is none of those that records.py lists.
    """
    if value is None or isinstance(value, (bool, ps.PSObject)):
        return value
    if isinstance(value, int):
        return _integer(value)
    if isinstance(value, float):
        return ps.PSDouble(value)
    if isinstance(value, str):
        return str(value)
    if isinstance(value, (bytes, bytearray)):
        return ps.PSByteArray(value)
    if isinstance(value, (datetime, timedelta, uuid.UUID)):
        return value
    return _complex(value)


def from_wire(value: Any) -> Any:
    """Return the plain value of what psrpcore deserialized."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, ps.PSSecureString):
        return Secret(str.__str__(value.decrypt()))
    if isinstance(value, ps.PSCredential):
        return Credential(str.__str__(value.UserName), from_wire(value.Password))
    if isinstance(value, (ps.PSEnumBase, ps.PSFlagBase)):
        return EnumValue(value.PSTypeNames[0], str(value.name), int(value.value))
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, bytes):
        return bytes(memoryview(value))
    if isinstance(value, list):
        return [from_wire(one) for one in value]
    if isinstance(value, dict):
        return {from_wire(name): from_wire(one) for name, one in value.items()}
    if isinstance(value, ps.PSObject) and not isinstance(value, (datetime, timedelta, uuid.UUID)):
        return _record(value)
    return value


def error_record(failure: Failure, origin: Origin | None, *, with_origin: bool) -> ps.ErrorRecord:
    """Return the ErrorRecord of a failure."""
    exception = ps.NETException(Message=failure.message, HResult=_HRESULT)
    exception.PSObject.type_names = exception_types(failure.exception)
    exception.PSObject.to_string = f"{failure.exception}: {failure.message}"
    category = ps.ErrorCategoryInfo(
        Category=getattr(ps.ErrorCategory, failure.category, ps.ErrorCategory.NotSpecified),
        Activity=failure.activity,
        Reason=failure.reason,
        TargetName="" if failure.target is None else str(failure.target),
        TargetType=_short_type(failure.target),
    )
    invocation = invocation_info(origin) if origin is not None and with_origin else None
    made = ps.ErrorRecord(
        Exception=exception,
        TargetObject=to_wire(failure.target),
        FullyQualifiedErrorId=failure.error_id,
        InvocationInfo=invocation,
        CategoryInfo=category,
        ErrorDetails=None,
        PipelineIterationInfo=IterationInfo([0, 0]),
    )
    made.serialize_extended_info = invocation is not None
    return made


def invocation_info(origin: Origin) -> ps.InvocationInfo:
    """Return the InvocationInfo that goes with a record where the client asks for it."""
    shown = {name: str(value) for name, value in origin.parameters.items() if isinstance(value, (str, int))}
    kind = ps.CommandTypes.Application if origin.native else ps.CommandTypes.Cmdlet
    return ps.InvocationInfo(
        BoundParameters=BoundParameters(shown),
        CommandOrigin=ps.CommandOrigin.Internal,
        ExpectingInput=origin.position > 1,
        InvocationName=origin.command,
        Line="",
        OffsetInLine=0,
        HistoryId=1,
        PipelineLength=origin.length,
        PipelinePosition=origin.position,
        PositionMessage="",
        ScriptLineNumber=0,
        ScriptName="",
        UnboundArguments=UnboundArguments(),
        PSScriptRoot="",
        PSCommandPath="",
        MyCommand=_CommandInfo(kind, origin.command, origin.command, ps.SessionStateEntryVisibility.Public),
    )


def _integer(value: int) -> Any:
    if isinstance(value, SizedInt):
        return _SIZED[value.net_type](int(value))
    if -(2**31) <= value < 2**31:
        return ps.PSInt(value)
    if -(2**63) <= value < 2**63:
        return ps.PSInt64(value)
    return ps.PSUInt64(value)


def _complex(value: Any) -> Any:
    if isinstance(value, EnumValue):
        return _enumeration(value.type_name, value.name, value.number)
    if isinstance(value, Record):
        return _object(value)
    if isinstance(value, Failure):
        return error_record(value, None, with_origin=False)
    if isinstance(value, Secret):
        return ps.PSSecureString(value.reveal())
    if isinstance(value, Credential):
        return ps.PSCredential(UserName=value.username, Password=ps.PSSecureString(value.password.reveal()))
    if isinstance(value, (list, tuple)):
        return _array([to_wire(one) for one in value])
    if isinstance(value, dict):
        return ps.PSDict({to_wire(name): to_wire(one) for name, one in value.items()})
    raise TypeError(f"{type(value).__name__} is nothing a command may output")


def _array(values: list[Any]) -> ps.PSList:
    made = ps.PSList(values)
    made.PSObject.type_names = ["System.Object[]", "System.Array", "System.Object"]
    return made


def _object(value: Record) -> ps.PSObject:
    made = ps.PSObject()
    made.PSObject.type_names = list(value.type_names)
    made.PSObject.to_string = str(value)
    for properties, onto in (
        (value.adapted, made.PSObject.adapted_properties),
        (value.extended, made.PSObject.extended_properties),
    ):
        onto.extend(ps.PSNoteProperty(name, value=to_wire(one)) for name, one in properties.items())
    return made


@lru_cache(maxsize=512)
def _enumeration(type_name: str, name: str, number: int) -> Any:
    """Return an enumeration member; psrpcore knows classes only, so each value brings its own."""
    made: Any = ps.PSEnumBase(type_name.rsplit(".", 1)[-1], {name: number})  # type: ignore[arg-type]
    return ps.PSType([type_name], rehydrate=False)(made)[name]


def _record(value: ps.PSObject) -> Record:
    adapted = {info.name: from_wire(info.get_value(value)) for info in value.PSObject.adapted_properties}
    extended = {info.name: from_wire(info.get_value(value)) for info in value.PSObject.extended_properties}
    return Record(tuple(value.PSObject.type_names), adapted, extended, value.PSObject.to_string)


def _short_type(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, Record):
        return value.type_names[0].rsplit(".", 1)[-1]
    return {"str": "String", "int": "Int32", "bool": "Boolean", "list": "Object[]"}.get(type(value).__name__, "Object")

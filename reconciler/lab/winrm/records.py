"""Say what a simulated cmdlet receives and returns, as plain Python; nothing here knows the wire.

What a cmdlet outputs (``call.output``) or finds in ``call.arguments`` and ``call.pipeline_input``:

=====================  ==================================================================================
``str``                System.String
``bool``               System.Boolean
``int``                System.Int32, or System.Int64 where it does not fit; `uint32`, `int64`, `uint64` to choose
``float``              System.Double
``bytes``              System.Byte[] (`byte_array` from any bytes-like or list of numbers)
``datetime``           System.DateTime (`date` insists on an aware one)
``timedelta``, UUID    System.TimeSpan, System.Guid
``None``               null
``list``, ``tuple``    System.Object[]; one output value that *is* an array (an output array is never unrolled)
``dict``               System.Collections.Hashtable
`Record`               an object with named properties: made by `record` or `net_object`
`EnumValue`            a .NET enumeration value: made by `enum_value`; equals neither its text nor its number
`Secret`, `Credential` SecureString, PSCredential (given by the client; `Secret.reveal` gives the text)
=====================  ==================================================================================

Typical use::

    call.output(record("", Name="x", Value=3))             # [PSCustomObject]@{Name = "x"; Value = 3}
    call.output(record("Selected.System.Thing", **{"a name": uint32(0xFFFFFFFF)}))
    service = net_object(("System.ServiceProcess.ServiceController",), Status=enum_value(STATUS, "Running", 4))
    call.output(note(service, Name="Spooler"))             # added (extended) properties
    wanted = call.pipeline_input[0]["servicename"]         # names are not case-sensitive; KeyError
    call.pipeline_input[0].get("ServiceName", "")
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

CUSTOM_OBJECT = "System.Management.Automation.PSCustomObject"


class SizedInt(int):
    """An integer that insists on its .NET type."""

    net_type: Literal["UInt32", "Int64", "UInt64"]

    def __new__(cls, value: int, net_type: Literal["UInt32", "Int64", "UInt64"]) -> SizedInt:
        made = super().__new__(cls, value)
        made.net_type = net_type
        return made


@dataclass(frozen=True, slots=True)
class EnumValue:
    """A value of a .NET enumeration; travels as its number with its name beside it."""

    type_name: str
    name: str
    number: int

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Secret:
    """The text of a SecureString; does not show itself."""

    _text: str = field(repr=False)

    def reveal(self) -> str:
        """Return the clear text."""
        return self._text

    def __str__(self) -> str:
        return "System.Security.SecureString"


@dataclass(frozen=True, slots=True)
class Credential:
    """A PSCredential."""

    username: str
    password: Secret


@dataclass(frozen=True, slots=True)
class Record(Mapping[str, Any]):
    """A .NET object as its properties; looked up by name in any letter case, in the order given.

    Attributes:
        type_names: The object's type and what it derives from.
        adapted: Properties of the .NET type itself.
        extended: Properties that PowerShell added (all of them in a PSCustomObject).
        text: What ToString() says; None where it has nothing to say.
    """

    type_names: tuple[str, ...]
    adapted: Mapping[str, Any] = field(default_factory=dict)
    extended: Mapping[str, Any] = field(default_factory=dict)
    text: str | None = None

    def __getitem__(self, name: str) -> Any:
        wanted = name.lower()
        for properties in (self.extended, self.adapted):
            for key, value in properties.items():
                if key.lower() == wanted:
                    return value
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        yield from self.adapted
        yield from (name for name in self.extended if name not in self.adapted)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __str__(self) -> str:
        if self.text is not None:
            return self.text
        if CUSTOM_OBJECT not in self.type_names:
            return self.type_names[0]
        return "@{" + "; ".join(f"{name}={_inside(self[name])}" for name in self) + "}"


def record(type_name: str, /, **properties: Any) -> Record:
    """Make a PSCustomObject.

    Args:
        type_name: A name put before PSCustomObject ('Selected.X', 'My.Type'), or '' for none.
        properties: In the order they are to be shown; a name that is no Python name goes in by ``**{"a b": 1}``.
    """
    names = (type_name,) if type_name else ()
    return Record((*names, CUSTOM_OBJECT, "System.Object"), extended=properties)


def net_object(type_names: Iterable[str], /, text: str | None = None, **properties: Any) -> Record:
    """Make an instance of a .NET class (ServiceController, CimInstance ...); 'System.Object' is appended.

    Args:
        type_names: The class and its ancestors, most derived first.
        text: What ToString() says; a property of that name goes in through `note`.
        properties: The properties of the class.
    """
    return Record((*type_names, "System.Object"), adapted=properties, text=text)


def note(base: Record, /, **properties: Any) -> Record:
    """Return the record with note properties added behind those it has."""
    return Record(base.type_names, base.adapted, {**base.extended, **properties}, base.text)


def enum_value(type_name: str, name: str, number: int) -> EnumValue:
    """Make a value of a .NET enumeration, e.g. ('System.ServiceProcess.ServiceControllerStatus', 'Running', 4)."""
    return EnumValue(type_name, name, number)


def date(moment: datetime) -> datetime:
    """Make a DateTime from an aware moment."""
    if moment.tzinfo is None:
        raise ValueError("a date on the wire needs its time zone")
    return moment


def int32(value: int) -> int:
    """Make an Int32; ValueError where it does not fit."""
    return _within(value, -(2**31), 2**31)


def uint32(value: int) -> int:
    """Make a UInt32; ValueError where it does not fit."""
    return SizedInt(_within(value, 0, 2**32), "UInt32")


def int64(value: int) -> int:
    """Make an Int64 even of a small number; ValueError where it does not fit."""
    return SizedInt(_within(value, -(2**63), 2**63), "Int64")


def uint64(value: int) -> int:
    """Make a UInt64; ValueError where it does not fit."""
    return SizedInt(_within(value, 0, 2**64), "UInt64")


def byte_array(value: bytes | bytearray | Iterable[int]) -> bytes:
    """Make a Byte[] (arrives as one value, not as numbers)."""
    return bytes(value)


def _inside(value: Any) -> str:
    """Return a property's value as it shows inside the text of its object."""
    if isinstance(value, (list, tuple)):
        return "System.Object[]"
    if isinstance(value, dict):
        return "System.Collections.Hashtable"
    if isinstance(value, bytes):
        return "System.Byte[]"
    return "" if value is None else str(value)


def _within(value: int, low: int, end: int) -> int:
    if not low <= value < end:
        raise ValueError(f"{value} is not in [{low}, {end})")
    return value

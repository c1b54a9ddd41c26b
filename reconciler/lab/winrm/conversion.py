"""Convert what a client sent to the type of a parameter, or say why that cannot be, as PowerShell does."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from reconciler.lab.windows.contract import Parameter
from reconciler.lab.winrm.records import Credential, EnumValue, Record, Secret

NET_TYPES = {
    "string": "System.String",
    "strings": "System.String[]",
    "switch": "System.Management.Automation.SwitchParameter",
    "int": "System.Int32",
    "bool": "System.Boolean",
    "any": "System.Object",
    "bytes": "System.Byte[]",
    "securestring": "System.Security.SecureString",
    "credential": "System.Management.Automation.PSCredential",
    "dictionary": "System.Collections.Hashtable",
}
_INT_MAX = 2**63


class CannotConvert(Exception):
    """The value does not fit the parameter's type."""

    def __init__(self, message: str, error_id: str = "CannotConvertArgumentNoMessage") -> None:
        super().__init__(message)
        self.error_id = error_id


class NotInSet(Exception):
    """The value is none of those the parameter allows."""


def convert(parameter: Parameter, value: Any) -> Any:
    """Convert a value to the parameter's kind.

    Returns:
        The value; a member of ``parameter.values`` in the letter case given there.

    Raises:
        CannotConvert: The type does not fit.
        NotInSet: It fits, but ``parameter.values`` does not hold it.
    """
    converted = _CONVERTERS[parameter.kind](parameter, value)
    if not parameter.values or converted is None:
        return converted
    if isinstance(converted, list):
        return [_in_set(parameter, one) for one in converted]
    return _in_set(parameter, converted)


def _in_set(parameter: Parameter, value: Any) -> Any:
    for allowed in parameter.values:
        if str(value).lower() == allowed.lower():
            return allowed
    names = ",".join(parameter.values)
    raise NotInSet(
        f"Cannot validate argument on parameter '{parameter.name}'. The argument \"{value}\" does not belong to the "
        f'set "{names}" specified by the ValidateSet attribute. Supply an argument that is in the set and then try the '
        "command again."
    )


def _refuse(parameter: Parameter, value: Any) -> CannotConvert:
    shown = _type_of(value) if isinstance(value, (list, Mapping, bytes, Secret, Credential)) else value
    return CannotConvert(
        f"Cannot bind parameter '{parameter.name}'. Cannot convert value \"{shown}\" to type "
        f'"{NET_TYPES[parameter.kind]}".'
    )


def _type_of(value: Any) -> str:
    if isinstance(value, Record):
        return value.type_names[0]
    if isinstance(value, bytes):
        return "System.Byte[]"
    if isinstance(value, list):
        return "System.Object[]"
    if isinstance(value, Mapping):
        return "System.Collections.Hashtable"
    if isinstance(value, Secret):
        return NET_TYPES["securestring"]
    return NET_TYPES["credential"]


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _string(parameter: Parameter, value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, (list, bytes)):
        raise CannotConvert(
            f"Cannot convert '{_type_of(value)}' to the type 'System.String' required by parameter '{parameter.name}'. "
            "Specified method is not supported.",
            "CannotConvertArgument",
        )
    if isinstance(value, dict):
        return NET_TYPES["dictionary"]
    return _text(value)


def _strings(parameter: Parameter, value: Any) -> list[str] | None:
    if value is None:
        return None
    return [_text(one) for one in (value if isinstance(value, list) else [_string(parameter, value)])]


def _switch(parameter: Parameter, value: Any) -> bool:
    if value is None:  # the name alone makes it true
        return True
    if isinstance(value, (bool, int)):
        return bool(value)
    raise CannotConvert(
        f"Cannot convert '{_type_of(value) if not isinstance(value, str) else 'System.String'}' to the type "
        f"'{NET_TYPES['switch']}' required by parameter '{parameter.name}'. ",
        "CannotConvertArgument",
    )


def _int(parameter: Parameter, value: Any) -> int:
    if value is None:
        return 0
    if isinstance(value, EnumValue):
        return value.number
    if isinstance(value, str):
        text = value.strip()
        if not re.fullmatch(r"[+-]?(0[xX][0-9a-fA-F]+|\d+)", text):
            raise CannotConvert(
                f'Cannot bind parameter \'{parameter.name}\'. Cannot convert value "{value}" to type "System.Int32". '
                'Error: "Input string was not in a correct format."'
            )
        return int(text, 16) if "x" in text.lower() else int(text)
    if isinstance(value, (int, float)) and abs(value) < _INT_MAX:
        return round(value)
    raise _refuse(parameter, value)


def _bool(parameter: Parameter, value: Any) -> bool:
    if isinstance(value, (bool, int, float)):
        return bool(value)
    if value is None:
        message = f"Cannot bind argument to parameter '{parameter.name}' because it is null."
        raise CannotConvert(message, "ParameterArgumentValidationErrorNullNotAllowed")
    raise CannotConvert(
        f"Cannot convert '{_type_of(value) if not isinstance(value, str) else 'System.String'}' to the type "
        f"'System.Boolean' required by parameter '{parameter.name}'. Boolean parameters accept only Boolean values and "
        "numbers, such as $True, $False, 1 or 0.",
        "CannotConvertArgument",
    )


def _bytes(parameter: Parameter, value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, list) and all(isinstance(one, int) and 0 <= one <= 255 for one in value):
        return bytes(value)
    if isinstance(value, int) and 0 <= value <= 255:
        return bytes([value])
    raise _refuse(parameter, value)


def _secure_string(parameter: Parameter, value: Any) -> Secret:
    if isinstance(value, Secret):
        return value
    raise _refuse(parameter, value if isinstance(value, (list, Mapping, bytes)) else NET_TYPES["string"])


def _credential(parameter: Parameter, value: Any) -> Credential:
    if isinstance(value, Credential):
        return value
    raise _refuse(parameter, value)


def _dictionary(parameter: Parameter, value: Any) -> dict[Any, Any]:
    if isinstance(value, dict):
        return value
    raise _refuse(parameter, value)


_CONVERTERS = {
    "string": _string,
    "strings": _strings,
    "switch": _switch,
    "int": _int,
    "bool": _bool,
    "any": lambda _parameter, value: value,
    "bytes": _bytes,
    "securestring": _secure_string,
    "credential": _credential,
    "dictionary": _dictionary,
}

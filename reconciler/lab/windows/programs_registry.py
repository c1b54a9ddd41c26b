"""reg.exe: query, add and delete."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

from reconciler.lab.windows.contract import Process
from reconciler.lab.windows.machine import Machine
from reconciler.lab.windows.provider import may_read, may_write
from reconciler.lab.windows.registry import Data, Key, Kind, NotARegistryPath, RegistryValue, full_path

_KINDS: dict[str, Kind] = {
    "REG_SZ": "String",
    "REG_EXPAND_SZ": "ExpandString",
    "REG_BINARY": "Binary",
    "REG_DWORD": "DWord",
    "REG_MULTI_SZ": "MultiString",
    "REG_QWORD": "QWord",
    "REG_NONE": "None",
}
_TYPES = {kind: name for name, kind in _KINDS.items()}
_TEXTS = {
    "en": {
        "done": "The operation completed successfully.",
        "missing": "ERROR: The system was unable to find the specified registry key or value.",
        "syntax": "ERROR: Invalid syntax.",
        "denied": "ERROR: Access is denied.",
        "default": "(Default)",
    },
    "de": {
        "done": "Der Vorgang wurde erfolgreich beendet.",
        "missing": "FEHLER: Der angegebene Registrierungsschlüssel bzw. Wert wurde nicht gefunden.",
        "syntax": "FEHLER: Ungültige Syntax.",
        "denied": "FEHLER: Zugriff verweigert",
        "default": "(Standard)",
    },
}


class _Wrong(Exception):
    """The command cannot be carried out; the argument names the text that says so."""


@dataclass(slots=True)
class _Request:
    """One command line. ``name`` is None without /v, and '' for /ve."""

    path: str
    name: str | None = None
    kind: Kind = "String"
    data: str = ""
    force: bool = False
    every_value: bool = False


async def reg(process: Process) -> int:
    """Run reg.exe; there is nobody to answer its questions, so what is there is only overwritten with /f."""
    texts = _TEXTS.get(process.machine.locale, _TEXTS["en"])
    action = _ACTIONS.get(process.arguments[0].lower()) if process.arguments else None
    try:
        if action is None:
            raise _Wrong("syntax")
        action(process, _request(process.arguments[1:]))
    except _Wrong as wrong:
        process.err(texts[str(wrong)])
        return 1
    except NotARegistryPath:
        process.err(texts["syntax"])
        return 1
    return 0


def _request(arguments: Sequence[str]) -> _Request:
    words = list(arguments)
    if not words:
        raise _Wrong("syntax")
    request = _Request(full_path(words.pop(0).strip('"')))
    while words:
        option = words.pop(0).lower()
        if option in ("/v", "/t", "/d") and not words:
            raise _Wrong("syntax")
        if option == "/v":
            request.name = words.pop(0)
        elif option == "/t":
            kind = _KINDS.get(words.pop(0).upper())
            if kind is None:
                raise _Wrong("syntax")
            request.kind = kind
        elif option == "/d":
            request.data = words.pop(0)
        elif option == "/ve":
            request.name = ""
        elif option == "/va":
            request.every_value = True
        elif option == "/f":
            request.force = True
        elif option not in ("/reg:64", "/reg:32"):
            raise _Wrong("syntax")
    return request


def _query(process: Process, request: _Request) -> None:
    machine: Machine = process.machine
    key = machine.registry.key(request.path)
    if not may_read(process.logon, request.path):
        raise _Wrong("denied")
    if key is None:
        raise _Wrong("missing")
    values = list(key.values.values())
    if request.name is not None:
        values = [value for value in values if value.name.lower() == request.name.lower()]
        if not values:
            raise _Wrong("missing")
    _show(process, key, values)
    if request.name is None:
        for child in machine.registry.children(key.path):
            process.out(child.path)


def _show(process: Process, key: Key, values: list[RegistryValue]) -> None:
    default = _TEXTS.get(process.machine.locale, _TEXTS["en"])["default"]
    process.out("")
    process.out(key.path)
    for value in values:
        process.out(f"    {value.name or default}    {_TYPES[value.kind]}    {_shown(value.data)}")
    process.out("")


def _shown(data: Data) -> str:
    if isinstance(data, bytes):
        return data.hex().upper()
    if isinstance(data, tuple):
        return "\\0".join(data)
    return hex(data) if isinstance(data, int) else data


def _add(process: Process, request: _Request) -> None:
    machine: Machine = process.machine
    if not may_write(process.logon, request.path):
        raise _Wrong("denied")
    if request.name is None:
        machine.registry.create(request.path)
    else:
        if machine.registry.get(request.path, request.name) is not None and not request.force:
            raise _Wrong("syntax")  # the question finds the end of its input
        machine.registry.set(request.path, request.name, request.kind, _data(request))
    process.out(_TEXTS.get(machine.locale, _TEXTS["en"])["done"])


def _data(request: _Request) -> Data:
    text = request.data
    if request.kind in ("DWord", "QWord"):
        with contextlib.suppress(ValueError):
            number = int(text or "0", 16 if text.lower().startswith("0x") else 10)
            if 0 <= number < 1 << (32 if request.kind == "DWord" else 64):
                return number
        raise _Wrong("syntax")
    if request.kind in ("Binary", "None"):
        try:
            return bytes.fromhex(text)
        except ValueError:
            raise _Wrong("syntax") from None
    return tuple(text.split("\\0")) if request.kind == "MultiString" else text


def _delete(process: Process, request: _Request) -> None:
    machine: Machine = process.machine
    if not may_write(process.logon, request.path):
        raise _Wrong("denied")
    key = machine.registry.key(request.path)
    if key is None or (request.name is not None and request.name.lower() not in key.values):
        raise _Wrong("missing")
    if not request.force:
        raise _Wrong("syntax")  # the question finds the end of its input
    if request.name is not None:
        machine.registry.delete(key.path, request.name)
    elif request.every_value:
        for name in list(key.values):
            machine.registry.delete(key.path, name)
    else:
        machine.registry.remove(key.path)
    process.out(_TEXTS.get(machine.locale, _TEXTS["en"])["done"])


_ACTIONS = {"query": _query, "add": _add, "delete": _delete}

PROGRAMS = {"reg.exe": reg}

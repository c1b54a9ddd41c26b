"""The WMI classes of a simulated host: their instances, and the little WQL that selects them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from reconciler.lab.windows.machine import Machine
from reconciler.lab.winrm.records import Record, date, int64, net_object, note, uint32

_SELECT = re.compile(r"^\s*select\s+(?P<what>.+?)\s+from\s+(?P<of>\w+)(?:\s+where\s+(?P<where>.+))?\s*$", re.I | re.S)
_TERM = re.compile(r"^\s*(?P<name>\w+)\s*(?P<sign>=|<>|!=|like)\s*(?P<value>'[^']*'|\"[^\"]*\"|\w+)\s*", re.I)
_MODES = {"Automatic": "Auto"}


class BadQuery(ValueError):
    """The query is not WQL that this host understands."""


class NoSuchClass(LookupError):
    """There is no such class."""


@dataclass(frozen=True, slots=True)
class Query:
    """One query: the class, and the condition as it was written."""

    class_name: str
    where: str


def parse_query(text: str) -> Query:
    """Read ``SELECT ... FROM class [WHERE condition]``; raises BadQuery."""
    found = _SELECT.match(text)
    if found is None:
        raise BadQuery(text)
    return Query(found["of"], found["where"] or "")


def instances(machine: Machine, class_name: str, where: str = "") -> list[Record]:
    """Return the instances of a class that meet a condition.

    Raises:
        NoSuchClass: The host has none of that name.
        BadQuery: The condition is wrong.
    """
    make = _CLASSES.get(class_name.lower())
    if make is None:
        raise NoSuchClass(class_name)
    name, rows = make(machine)
    meets = _condition(where)
    return [_instance(name, row) for row in rows if meets(row)]


def _instance(name: str, properties: Mapping[str, Any]) -> Record:
    base = "Microsoft.Management.Infrastructure.CimInstance"
    made = net_object((f"{base}#root/cimv2/{name}", base), text=name, **properties)
    return note(made, PSComputerName=None, CreationClassName=name)


def _condition(where: str) -> Callable[[Mapping[str, Any]], bool]:
    rest, terms, joins = where, [], []
    while rest.strip():
        found = _TERM.match(rest)
        if found is None:
            raise BadQuery(where)
        terms.append((found["name"], found["sign"].lower(), found["value"].strip("'\"")))
        rest = rest[found.end() :]
        if not rest.strip():
            break
        joined = re.match(r"(and|or)\s+", rest, re.I)
        if joined is None:
            raise BadQuery(where)
        joins.append(joined[1].lower())
        rest = rest[joined.end() :]
    if len(joins) >= max(len(terms), 1) or len(set(joins)) > 1:
        raise BadQuery(where)
    fold = any if "or" in joins else all
    return lambda row: fold(_meets(row, *term) for term in terms) if terms else True


def _meets(row: Mapping[str, Any], name: str, sign: str, value: str) -> bool:
    actual = next((stored for key, stored in row.items() if key.lower() == name.lower()), None)
    if actual is None:
        raise BadQuery(name)
    text, wanted = str(actual).lower(), value.replace("\\\\", "\\").lower()
    if sign == "like":
        return fnmatchcase(text, wanted.replace("%", "*").replace("_", "?"))
    return (text == wanted) == (sign == "=")


def _operating_system(machine: Machine) -> tuple[str, list[dict[str, Any]]]:
    row = {
        "Caption": "Microsoft Windows Server 2019 Standard",
        "CSName": machine.name,
        "Version": "10.0.17763",
        "BuildNumber": "17763",
        "LastBootUpTime": date(machine.boot_time),
        "LocalDateTime": date(machine.clock()),
        "Locale": "0407" if machine.locale == "de" else "0409",
        "MUILanguages": ["de-DE" if machine.locale == "de" else "en-US"],
        "OSArchitecture": "64-bit",
        "ProductType": uint32(2 if machine.is_controller else 3),
        "SystemDirectory": r"C:\Windows\system32",
        "Status": "OK",
    }
    return "Win32_OperatingSystem", [row]


def _computer_system(machine: Machine) -> tuple[str, list[dict[str, Any]]]:
    row = {
        "Name": machine.name,
        "DNSHostName": machine.name.lower(),
        "Domain": machine.facts.dns,
        "DomainRole": 5 if machine.is_controller else 3,  # primary domain controller, member server
        "PartOfDomain": True,
        "Manufacturer": "Microsoft Corporation",
        "Model": "Virtual Machine",
        "TotalPhysicalMemory": int64(4 * 2**30),
        "Status": "OK",
    }
    return "Win32_ComputerSystem", [row]


def _services(machine: Machine) -> tuple[str, list[dict[str, Any]]]:
    rows = [
        {
            "Name": service.name,
            "DisplayName": service.display,
            "State": "Running" if service.running else "Stopped",
            "Started": service.running,
            "StartMode": _MODES.get(service.start_mode, service.start_mode),
            "StartName": service.account,
            "PathName": service.path,
            "ExitCode": uint32(service.exit_code),
            "ProcessId": uint32(1000 + 4 * index if service.running else 0),
            "AcceptStop": service.running and service.can_stop,
            "SystemName": machine.name,
            "Status": "OK",
        }
        for index, service in enumerate(machine.services)
    ]
    return "Win32_Service", rows


_CLASSES: dict[str, Callable[[Machine], tuple[str, list[dict[str, Any]]]]] = {
    "win32_operatingsystem": _operating_system,
    "win32_computersystem": _computer_system,
    "win32_service": _services,
}

"""Read task definitions: the XML of Task Scheduler 2.0, and command lines as programs split them. Nothing here runs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree

NAMESPACE = "http://schemas.microsoft.com/windows/2004/02/mit/task"

SCHED_E_UNEXPECTEDNODE = 0x80041316
SCHED_E_MISSINGNODE = 0x80041317
SCHED_E_INVALIDVALUE = 0x80041318
SCHED_E_MALFORMEDXML = 0x8004131A

_DURATION = re.compile(r"^P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?$")


class BadTaskXml(ValueError):
    """The definition cannot be registered; ``code`` is the HRESULT."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


@dataclass(frozen=True, slots=True)
class Exec:
    """One action."""

    command: str
    arguments: str = ""
    directory: str = ""


@dataclass(frozen=True, slots=True)
class Definition:
    """What a task is, as its XML says."""

    user: str
    logon_type: str  # Password, S4U, InteractiveToken, Group, ServiceAccount; '' where not given
    highest: bool
    actions: tuple[Exec, ...]
    times: tuple[datetime, ...]  # StartBoundary of every time trigger, aware
    at_boot: bool
    enabled: bool
    start_when_available: bool
    time_limit: timedelta | None
    description: str


def parse_task(xml: str) -> Definition:
    """Read a task definition.

    Raises:
        BadTaskXml: As Task Scheduler would refuse it.
    """
    root = _root(xml)
    if _find(root, "Actions") is None or not _all(root, "Actions/Exec"):
        raise _missing("Actions")
    level = _text(root, "Principals/Principal/RunLevel") or "LeastPrivilege"
    if level not in ("LeastPrivilege", "HighestAvailable"):
        raise _invalid("RunLevel", level)
    return Definition(
        user=_text(root, "Principals/Principal/UserId"),
        logon_type=_text(root, "Principals/Principal/LogonType"),
        highest=level == "HighestAvailable",
        actions=tuple(_action(action) for action in _all(root, "Actions/Exec")),
        times=tuple(_moment(one) for one in _all(root, "Triggers/TimeTrigger") if _switch(one, "Enabled", True)),
        at_boot=any(_switch(trigger, "Enabled", True) for trigger in _all(root, "Triggers/BootTrigger")),
        enabled=_switch(root, "Settings/Enabled", True),
        start_when_available=_switch(root, "Settings/StartWhenAvailable", False),
        time_limit=_duration(_text(root, "Settings/ExecutionTimeLimit") or "PT72H"),
        description=_text(root, "RegistrationInfo/Description"),
    )


def exported(xml: str, uri: str) -> str:
    """Return a registered definition as Task Scheduler gives it out: with the task's own path in it."""
    root = _root(xml)
    information = _find(root, "RegistrationInfo")
    if information is None:
        information = ElementTree.Element(_path("RegistrationInfo"))
        root.insert(0, information)
    for named in _all(information, "URI"):
        information.remove(named)
    ElementTree.SubElement(information, _path("URI")).text = uri
    ElementTree.register_namespace("", NAMESPACE)
    return '<?xml version="1.0" encoding="UTF-16"?>\r\n' + ElementTree.tostring(root, encoding="unicode")


def _root(xml: str) -> ElementTree.Element:
    if "<!DOCTYPE" in xml.upper():
        raise BadTaskXml(SCHED_E_MALFORMEDXML, "The task XML is malformed.\r\n(1,1)::")
    # The text says UTF-16 although it travels as a string: the declaration would mislead the parser.
    body = re.sub(r"^\ufeff?\s*<\?xml[^>]*\?>", "", xml)
    try:
        root = ElementTree.fromstring(body)  # noqa: S314 - document types were refused above
    except ElementTree.ParseError as error:
        line, column = error.position
        raise BadTaskXml(SCHED_E_MALFORMEDXML, f"The task XML is malformed.\r\n({line},{column})::") from None
    if root.tag != f"{{{NAMESPACE}}}Task":
        text = f"The task XML contains an unexpected node.\r\n(1,2):{root.tag.rpartition('}')[2]}:"
        raise BadTaskXml(SCHED_E_UNEXPECTEDNODE, text)
    return root


def _action(element: ElementTree.Element) -> Exec:
    command = _text(element, "Command")
    if not command:
        raise _missing("Command")
    return Exec(command, _text(element, "Arguments"), _text(element, "WorkingDirectory"))


def _moment(element: ElementTree.Element) -> datetime:
    text = _text(element, "StartBoundary")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise _invalid("StartBoundary", text) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)  # the simulated hosts live in UTC


def _duration(text: str) -> timedelta | None:
    found = _DURATION.match(text)
    if found is None or not any(found.groups()):
        raise _invalid("ExecutionTimeLimit", text)
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds) or None


def _switch(element: ElementTree.Element, path: str, default: bool) -> bool:
    text = _text(element, path).lower()
    if text not in ("", "true", "false", "1", "0"):
        raise _invalid(path.rpartition("/")[2], text)
    return text in ("true", "1") if text else default


def _missing(name: str) -> BadTaskXml:
    text = "The task XML is missing a required element or attribute."
    return BadTaskXml(SCHED_E_MISSINGNODE, f"{text}\r\n(2,2):{name}:")


def _invalid(name: str, value: str) -> BadTaskXml:
    text = "The task XML contains a value which is incorrectly formatted or out of range."
    return BadTaskXml(SCHED_E_INVALIDVALUE, f"{text}\r\n(2,2):{name}:{value}")


def _path(path: str) -> str:
    return "/".join(f"{{{NAMESPACE}}}{part}" for part in path.split("/"))


def _find(element: ElementTree.Element, path: str) -> ElementTree.Element | None:
    return element.find(_path(path))


def _all(element: ElementTree.Element, path: str) -> list[ElementTree.Element]:
    return element.findall(_path(path))


def _text(element: ElementTree.Element, path: str) -> str:
    return (element.findtext(_path(path)) or "").strip()


def split_arguments(line: str) -> list[str]:
    """Split a command line without its program, as CommandLineToArgvW does.

    2n backslashes before a quote give n backslashes and the quote acts; 2n + 1 give n and a literal quote; a doubled
    quote inside quotes is one literal quote.
    """
    found: list[str] = []
    current, quoted, started, index = "", False, False, 0
    while index < len(line):
        sign = line[index]
        if sign == "\\":
            end = index + len(line[index:]) - len(line[index:].lstrip("\\"))
            count = end - index
            before_quote = end < len(line) and line[end] == '"'
            current += "\\" * (count // 2 if before_quote else count)
            if before_quote and count % 2:
                current, end = current + '"', end + 1
            started, index = True, end
            continue
        if sign == '"':
            started = True
            if quoted and line[index + 1 : index + 2] == '"':
                current, index = current + '"', index + 1
            else:
                quoted = not quoted
        elif sign in " \t" and not quoted:
            if started:
                found.append(current)
            current, started = "", False
        else:
            current, started = current + sign, True
        index += 1
    return [*found, current] if started else found

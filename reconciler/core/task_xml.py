"""The XML of scheduled tasks, the command lines inside them, and what a host says a task is. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Self
from xml.etree import ElementTree

from msgspec import Struct

NAMESPACE = "http://schemas.microsoft.com/windows/2004/02/mit/task"
SYSTEM = "S-1-5-18"
NO_TASK = (
    "CmdletizationQuery_NotFound_TaskName",
    "CmdletizationQuery_NotFound",
    "HRESULT 0x80070002",
    "HRESULT 0x80041002",
)
"""Error ids that mean: there is no such task."""
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_VARIABLE = re.compile(r"%[^%\s]+%")
_PROLOGUE = re.compile(r"^\ufeff?\s*<\?xml[^>]*\?>")
# What Task Scheduler takes where the definition says nothing.
_DEFAULTS = {
    "Enabled": "true",
    "DisallowStartIfOnBatteries": "true",
    "StartWhenAvailable": "false",
    "RunOnlyIfIdle": "false",
    "RunOnlyIfNetworkAvailable": "false",
}

CommandLine = tuple[str, ...]
"""A program with its path, and its arguments."""


class Definition(str):
    """A task's XML that people and digests see as what it does: the moment at which it starts is not part of that.

    It travels as a part of a ``Template``, which sends the text itself.
    """

    __slots__ = ("says",)
    says: str

    def __new__(cls, xml: str, says: str) -> Self:
        made = super().__new__(cls, xml)
        made.says = says
        return made

    def __str__(self) -> str:
        return self.says


class Task(Struct, frozen=True):
    """A task as its host describes it.

    Attributes:
        user: Who it runs as.
        actions: Command and argument line of each program, in order.
        start: Start of its only trigger, where that is the clock alone; None where it starts otherwise, or never.
        settings: The simple ones by name; what is not written has its default.
    """

    user: str
    actions: tuple[tuple[str, str], ...]
    start: datetime | None
    settings: Mapping[str, str]

    @property
    def will_start(self) -> bool:
        """Whether nothing but time stands between it and its start, also where the host is down at that moment."""
        effective = {name: self.settings.get(name, default).lower() for name, default in _DEFAULTS.items()}
        return effective == {**dict.fromkeys(_DEFAULTS, "false"), "Enabled": "true", "StartWhenAvailable": "true"}


def task_xml(*, program: str, arguments: Sequence[str], username: str, timeout_s: float, description: str) -> str:
    """Return the definition of a task that runs one program once, under a logon with a password.

    Raises:
        ValueError: A text cannot stand in a task: a control character, or ``%NAME%``, which Windows would replace.
    """
    task = _task(description)
    principal = (("UserId", username), ("LogonType", "Password"), ("RunLevel", "HighestAvailable"))
    return _finished(task, principal, _settings(timeout_s), ((program, *arguments),))


def system_task_xml(actions: Sequence[CommandLine], *, at: datetime, timeout_s: float, description: str) -> str:
    """Return the definition of a task that runs programs as SYSTEM at a moment, or as soon as the host is up after it.

    Args:
        at: Aware, in UTC.

    Raises:
        ValueError: As for ``task_xml``.
    """
    task = _task(description)
    trigger = _add(next(child for child in task if child.tag == "Triggers"), "TimeTrigger")
    _add(trigger, "StartBoundary", at.strftime("%Y-%m-%dT%H:%M:%SZ"))
    _add(trigger, "Enabled", "true")
    settings = (*_settings(timeout_s), ("StartWhenAvailable", "true"))
    return _finished(task, (("UserId", SYSTEM), ("RunLevel", "HighestAvailable")), settings, actions)


def read_task(xml: str) -> Task | None:
    """Read a definition as a host exports it; None where it is none."""
    if "<!DOCTYPE" in xml.upper():
        return None
    try:
        # The text says UTF-16 although it travels as a string: the declaration would mislead the parser.
        root = ElementTree.fromstring(_PROLOGUE.sub("", xml))  # noqa: S314 - document types were refused above
    except ElementTree.ParseError:
        return None
    actions = root.find(_path("Actions"))
    if actions is None or any(action.tag != _path("Exec") for action in actions):
        return None
    return Task(
        user=_text(root, "Principals/Principal/UserId"),
        actions=tuple((_text(action, "Command"), _text(action, "Arguments")) for action in actions),
        start=_only_start(root.find(_path("Triggers"))),
        settings={
            _name(one): (one.text or "").strip() for one in root.iterfind(_path("Settings") + "/*") if not len(one)
        },
    )


def command_line(arguments: Sequence[str]) -> str:
    """Join arguments so that a Windows program splits them into the same ones again (CommandLineToArgvW)."""
    return " ".join(_quoted(argument) for argument in arguments)


def _only_start(triggers: ElementTree.Element | None) -> datetime | None:
    found = [] if triggers is None else list(triggers)
    if [one.tag for one in found] != [_path("TimeTrigger")]:
        return None
    (trigger,) = found
    if {_name(part) for part in trigger} - {"StartBoundary", "Enabled"} or _text(trigger, "Enabled") == "false":
        return None
    try:
        return datetime.fromisoformat(_text(trigger, "StartBoundary"))
    except ValueError:
        return None


def _task(description: str) -> ElementTree.Element:
    task = ElementTree.Element("Task", {"version": "1.2", "xmlns": NAMESPACE})
    _add(_add(task, "RegistrationInfo"), "Description", _fitting(description))
    _add(task, "Triggers")
    return task


def _finished(
    task: ElementTree.Element,
    who: Sequence[tuple[str, str]],
    settings: Sequence[tuple[str, str]],
    programs: Sequence[CommandLine],
) -> str:
    principal = _add(_add(task, "Principals"), "Principal")
    principal.set("id", "Author")
    for name, value in who:
        _add(principal, name, _fitting(value))
    below = _add(task, "Settings")
    for name, value in settings:
        _add(below, name, value)
    actions = _add(task, "Actions")
    actions.set("Context", "Author")
    for program, *arguments in programs:
        line = command_line(arguments)
        for text in (program, line):
            if _VARIABLE.search(_fitting(text)):
                raise ValueError("%NAME% in a scheduled task would be replaced by an environment variable")
        action = _add(actions, "Exec")
        _add(action, "Command", program)
        if line:
            _add(action, "Arguments", line)
    return ElementTree.tostring(task, encoding="unicode")


def _fitting(text: str) -> str:
    if _NOT_XML.search(text):
        raise ValueError(f"a control character cannot stand in a scheduled task: {text!r}")
    return text


def _settings(timeout_s: float) -> tuple[tuple[str, str], ...]:
    """Return the settings in the order that the schema of Windows wants."""
    return (
        ("MultipleInstancesPolicy", "IgnoreNew"),
        ("DisallowStartIfOnBatteries", "false"),
        ("StopIfGoingOnBatteries", "false"),
        ("AllowStartOnDemand", "true"),
        ("Enabled", "true"),
        ("ExecutionTimeLimit", f"PT{max(60, round(timeout_s))}S"),
    )


def _quoted(argument: str) -> str:
    if argument and not re.search(r'[\s"]', argument):
        return argument
    # Backslashes count twice only where a quote follows them.
    inside = re.sub(r'(\\*)"', lambda found: found[1] * 2 + '\\"', argument)
    return '"' + re.sub(r"(\\+)$", lambda found: found[1] * 2, inside) + '"'


def _add(parent: ElementTree.Element, name: str, text: str = "") -> ElementTree.Element:
    child = ElementTree.SubElement(parent, name)
    if text:
        child.text = text
    return child


def _path(path: str) -> str:
    return "/".join(f"{{{NAMESPACE}}}{part}" for part in path.split("/"))


def _name(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _text(element: ElementTree.Element, path: str) -> str:
    return (element.findtext(_path(path)) or "").strip()

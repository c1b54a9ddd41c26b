"""The XML of a scheduled task and the command line inside it. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree

NAMESPACE = "http://schemas.microsoft.com/windows/2004/02/mit/task"
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_VARIABLE = re.compile(r"%[^%\s]+%")


def task_xml(*, program: str, arguments: Sequence[str], username: str, timeout_s: float, description: str) -> str:
    """Return the definition of a task that runs one program once, under a logon with a password.

    Raises:
        ValueError: A text cannot stand in a task: a control character, or ``%NAME%``, which Windows would replace.
    """
    line = command_line(arguments)
    for text in (program, line, username, description):
        if _NOT_XML.search(text):
            raise ValueError(f"a control character cannot stand in a scheduled task: {text!r}")
    if _VARIABLE.search(program) or _VARIABLE.search(line):
        raise ValueError("%NAME% in a scheduled task would be replaced by an environment variable")
    task = ElementTree.Element("Task", {"version": "1.2", "xmlns": NAMESPACE})
    _add(_add(task, "RegistrationInfo"), "Description", description)
    _add(task, "Triggers")
    principal = _add(_add(task, "Principals"), "Principal")
    principal.set("id", "Author")
    for name, value in (("UserId", username), ("LogonType", "Password"), ("RunLevel", "HighestAvailable")):
        _add(principal, name, value)
    settings = _add(task, "Settings")
    for name, value in _settings(timeout_s):
        _add(settings, name, value)
    actions = _add(task, "Actions")
    actions.set("Context", "Author")
    action = _add(actions, "Exec")
    _add(action, "Command", program)
    if line:
        _add(action, "Arguments", line)
    return ElementTree.tostring(task, encoding="unicode")


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


def command_line(arguments: Sequence[str]) -> str:
    """Join arguments so that a Windows program splits them into the same ones again (CommandLineToArgvW)."""
    return " ".join(_quoted(argument) for argument in arguments)


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

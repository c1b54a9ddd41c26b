"""Scheduled tasks of the simulated hosts: what a dead-man's switch is made of. Time stands still, so that none ever starts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reconciler.core.errors import Refused
from reconciler.core.query import Command, Rows
from reconciler.core.secret import Template
from tests.crash.simulated_start import Tables


class Tasks:
    """The three commands that arm, look at and disarm a switch."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables

    def on_export_scheduledtask(self, command: Command, given: Mapping[str, Any]) -> Rows:
        found = self.tables.tasks.get((command.host, given["TaskName"]))
        return () if found is None else ({"value": found},)

    def on_register_scheduledtask(self, command: Command, given: Mapping[str, Any]) -> Rows:
        assert given["Force"], command
        xml = given["Xml"]
        parts = xml.parts if isinstance(xml, Template) else (xml,)
        self.tables.tasks[command.host, given["TaskName"]] = "".join(str.__str__(part) for part in parts)
        return ()

    def on_unregister_scheduledtask(self, command: Command, given: Mapping[str, Any]) -> Rows:
        if self.tables.tasks.pop((command.host, given["TaskName"]), None) is None and not command.absent:
            raise Refused(f"{command}: no such task", target=command.host, code="no such task")
        return ()

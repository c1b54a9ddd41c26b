"""What the pipelines of one shell share: the machine, the logon, the visible commands, the variables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from reconciler.lab.windows.contract import Cmdlet, Logon, Program
from reconciler.lab.winrm.command_log import CommandLog
from reconciler.lab.winrm.configuration import SessionConfiguration


class CommandSource(Protocol):
    """What the engine needs of a machine; `reconciler.lab.windows.machine.Machine` is one."""

    @property
    def name(self) -> str: ...
    @property
    def cmdlets(self) -> Mapping[str, Cmdlet]: ...

    def find_program(self, name: str) -> Program:
        """Return a native program; LookupError where there is none."""
        ...

    async def run_program(
        self,
        name: str,
        arguments: Sequence[str],
        logon: Logon,
        out: Callable[[str], None],
        err: Callable[[str], None],
    ) -> int: ...


@dataclass(slots=True)
class Session:
    """What all pipelines of one shell share."""

    machine: CommandSource
    logon: Logon
    user: str  # who opened the shell; differs from ``logon`` in a RunAs configuration
    configuration: SessionConfiguration
    builtin: Mapping[str, Cmdlet]
    log: CommandLog | None = None
    variables: dict[str, Any] = field(default_factory=dict)

    def find_cmdlet(self, name: str) -> Cmdlet | None:
        """Return a visible cmdlet by its name or alias."""
        wanted = name.lower()
        for table in (self.machine.cmdlets, self.builtin):
            found = table.get(wanted) or next(
                (one for one in table.values() if wanted in (alias.lower() for alias in one.aliases)), None
            )
            if found is not None and self.configuration.shows(found.name):
                return found
        return None

    def visible_cmdlets(self) -> list[Cmdlet]:
        """Return every cmdlet of the session, by name."""
        known = {**self.builtin, **self.machine.cmdlets}
        return sorted((one for one in known.values() if self.configuration.shows(one.name)), key=lambda one: one.name)

    def has_program(self, name: str) -> bool:
        """Return whether a visible native program answers to this name."""
        base = name.replace("/", "\\").rpartition("\\")[2]
        if not any(self.configuration.shows(shown) for shown in (name, base, base + ".exe")):
            return False
        try:
            self.machine.find_program(name)
        except LookupError:
            return False
        return True

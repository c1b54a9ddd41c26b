"""Session configurations: which commands a WinRM session offers, to whom, and as whom they run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from reconciler.lab.windows.contract import Logon

ADMINISTRATORS = "S-1-5-32-544"
REMOTE_MANAGEMENT_USERS = "S-1-5-32-580"
DEFAULT = "Microsoft.PowerShell"
# What New-PSSessionConfigurationFile -SessionType RestrictedRemoteServer leaves visible, as far as it exists here.
RESTRICTED_COMMANDS = ("Get-Command", "Measure-Object", "Out-Default", "Select-Object")


@dataclass(frozen=True, slots=True)
class SessionConfiguration:
    """One registered session configuration.

    Attributes:
        name: Last part of the resource URI.
        language: NoLanguage refuses every script text.
        visible: Wildcards of the command names that exist in the session; None: all of them.
        allowed: SIDs of which the client's token must hold one.
        run_as: Gives the logon that commands run as instead of the client's (a RunAs credential brings its network
            credential with it); it is asked once per shell.
    """

    name: str
    language: Literal["FullLanguage", "NoLanguage"] = "FullLanguage"
    visible: tuple[str, ...] | None = None
    allowed: frozenset[str] = frozenset({ADMINISTRATORS, REMOTE_MANAGEMENT_USERS})
    run_as: Callable[[], Awaitable[Logon | None]] | None = None

    def shows(self, command: str) -> bool:
        """Return whether the command exists in this session."""
        if self.visible is None:
            return True
        return any(fnmatchcase(command.lower(), pattern.lower()) for pattern in self.visible)

    def admits(self, logon: Logon) -> bool:
        """Return whether this logon may open a shell."""
        return bool(self.allowed & logon.sids) or "S-1-5-18" in logon.sids


def default_configurations() -> dict[str, SessionConfiguration]:
    """Return what every Windows has, by lower-case name."""
    return {DEFAULT.lower(): SessionConfiguration(DEFAULT)}


def restricted(name: str, *visible: str, **settings: object) -> SessionConfiguration:
    """Return a JEA configuration: no language, the restricted commands and those given."""
    shown = (*RESTRICTED_COMMANDS, *visible)
    return SessionConfiguration(name, "NoLanguage", shown, **settings)  # type: ignore[arg-type]

"""Say how a command failed, as PowerShell would, in plain Python; nothing here knows the wire."""

from __future__ import annotations

from dataclasses import dataclass

AUTOMATION = "System.Management.Automation."

COMMAND_NOT_FOUND = (
    "The term '{name}' is not recognized as the name of a cmdlet, function, script file, or operable program. "
    "Check the spelling of the name, or if a path was included, verify that the path is correct and try again."
)
NO_LANGUAGE = "The syntax is not supported by this runspace. This can occur if the runspace is in no-language mode."
COMMANDS_ONLY = "The simulator runs commands with parameters only, never script text."
STOPPED_BY_PREFERENCE = (
    'The running command stopped because the preference variable "ErrorActionPreference" or common parameter '
    "is set to Stop: {message}"
)

# What the known exceptions derive from, nearest first; System.Exception and System.Object follow.
_ANCESTORS = {
    AUTOMATION + "ItemNotFoundException": (AUTOMATION + "SessionStateException",),
    AUTOMATION + "DriveNotFoundException": (AUTOMATION + "SessionStateException",),
    AUTOMATION + "SessionStateException": (AUTOMATION + "RuntimeException",),
    AUTOMATION + "CommandNotFoundException": (AUTOMATION + "RuntimeException",),
    AUTOMATION + "ParameterBindingException": (AUTOMATION + "RuntimeException",),
    AUTOMATION + "ParameterBindingValidationException": (AUTOMATION + "ParameterBindingException",),
    AUTOMATION + "ActionPreferenceStopException": (AUTOMATION + "RuntimeException",),
    AUTOMATION + "RemoteException": (AUTOMATION + "RuntimeException",),
    AUTOMATION + "ParseException": (AUTOMATION + "RuntimeException",),
    AUTOMATION + "PSArgumentException": ("System.ArgumentException",),
    AUTOMATION + "PSInvalidOperationException": ("System.InvalidOperationException",),
    AUTOMATION + "Host.HostException": (AUTOMATION + "RuntimeException",),
    "System.IO.FileNotFoundException": ("System.IO.IOException",),
    "System.IO.DirectoryNotFoundException": ("System.IO.IOException",),
}


@dataclass(frozen=True, slots=True)
class Failure:
    """One error record.

    Attributes:
        exception: Full .NET type name.
        message: What a person reads.
        error_id: The whole FullyQualifiedErrorId.
        category: Name in System.Management.Automation.ErrorCategory.
        target: TargetObject, as records.py has it.
        activity: Name of the command that failed.
    """

    exception: str
    message: str
    error_id: str
    category: str
    target: object = None
    activity: str = ""

    @property
    def reason(self) -> str:
        """The exception's name without its namespace."""
        return self.exception.rsplit(".", 1)[-1]

    @property
    def stops_everything(self) -> bool:
        """True for -ErrorAction Stop: the following statements don't run either."""
        return self.exception == AUTOMATION + "ActionPreferenceStopException"

    def __str__(self) -> str:
        return self.message


class Terminated(Exception):
    """A statement ended by an error."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def full_exception_name(name: str) -> str:
    """Return the exception's name with PowerShell's own namespace where it has none."""
    return name if "." in name else AUTOMATION + name


def exception_types(name: str) -> list[str]:
    """Return the exception's type and what it derives from, most derived first."""
    types = [name]
    while parents := _ANCESTORS.get(types[-1]):
        types.extend(parents)
    types.extend(parent for parent in ("System.SystemException", "System.Exception") if parent not in types)
    return [*types, "System.Object"]


def command_not_found(name: str) -> Failure:
    """Say that no visible command has this name."""
    return Failure(
        AUTOMATION + "CommandNotFoundException",
        COMMAND_NOT_FOUND.format(name=name),
        "CommandNotFoundException",
        "ObjectNotFound",
        name,
    )


def script_refused(text: str, *, no_language: bool) -> Failure:
    """Say why script text does not run here."""
    if no_language:
        return Failure(AUTOMATION + "ParseException", NO_LANGUAGE, "ScriptsNotAllowed", "ParserError", text)
    error_id = "SimulatorScriptsNotSupported"
    return Failure(AUTOMATION + "RuntimeException", COMMANDS_ONLY, error_id, "NotImplemented", text)


def stopped_by_preference(failure: Failure) -> Failure:
    """Turn a non-terminating error into what -ErrorAction Stop makes of it; the error id stays."""
    return Failure(
        AUTOMATION + "ActionPreferenceStopException",
        STOPPED_BY_PREFERENCE.format(message=failure.message),
        failure.error_id,
        failure.category,
        failure.target,
        failure.activity,
    )

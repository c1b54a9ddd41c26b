"""Run a native program inside a pipeline: its lines, its error records, its exit code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.lab.winrm.binder import Given
from reconciler.lab.winrm.errors import AUTOMATION, Failure

if TYPE_CHECKING:
    from reconciler.lab.winrm.engine import Invocation

EXIT_CODE = "LASTEXITCODE"


def arguments_of(given: Given) -> list[str]:
    """Return the argument list that PowerShell makes of a native command's parameters."""
    arguments = []
    for name, value in given:
        if name is not None:
            arguments.append(name.rstrip())
        arguments.extend(_texts(value))
    return arguments


async def run_native(call: Invocation, name: str) -> None:
    """Run a program; stdout lines are output, stderr lines error records, the exit code is $LASTEXITCODE."""
    seen_error = False

    def write_error(line: str) -> None:
        nonlocal seen_error
        error_id = "NativeCommandErrorMessage" if seen_error else "NativeCommandError"
        seen_error = True
        call.write_failure(Failure(AUTOMATION + "RemoteException", line, error_id, "NotSpecified", line, name))

    arguments = arguments_of(call.command.parameters)
    code = await call.machine.run_program(name, arguments, call.logon, call.output, write_error)
    call.session.variables[EXIT_CODE] = code
    if code and not seen_error:
        call.outcome = f"exit {code}"


def _texts(value: Any) -> list[str]:
    if value is None:
        return []
    if isinstance(value, list):
        return [text for one in value for text in _texts(one)]
    return [str(value)]

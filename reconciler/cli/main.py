"""The front door: parses the command line, runs one verb, and turns every error into words and an exit code."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence

from reconciler import __version__
from reconciler.core.errors import AuthenticationFailed, DesiredStateError, NeedsPerson, ReconcileError, Unreachable
from reconciler.core.exit_codes import ExitCode

CYCLES = (2_000_000, 20, 100)


def run(arguments: Sequence[str] | None = None) -> None:
    """Run the program and leave with its exit code."""
    # A look at a hundred thousand pairs of accounts makes a million objects and no cycles among them: looking for cycles as often
    # as Python does by default takes a third of the time. What goes on for weeks looks more often (``cli.watch``).
    gc.set_threshold(*CYCLES)
    code = main(sys.argv[1:] if arguments is None else arguments)
    # Python looks for cycles twice more on its way out, among all that was ever imported: a tenth of a short run, for memory
    # that the end of the process frees anyway.
    gc.freeze()
    sys.exit(code)


def main(arguments: Sequence[str]) -> int:
    """Run one verb; return the exit code."""
    # pydantic would look through every installed package for plugins, and let them see what is validated.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    if list(arguments) == ["--version"]:  # the one question that needs no parser, and is asked by scripts
        sys.stdout.write(f"{__version__}\n")
        return ExitCode.OK
    from reconciler.cli.output import log_as, stderr

    log_as("text")
    try:
        return _verb(arguments)
    except DesiredStateError as error:
        stderr(str(error), "red")
        stderr(error.what, "bold red")
        return ExitCode.INVALID
    except ReconcileError as error:
        stderr(str(error), "red")
        return exit_code_of(error)
    except KeyboardInterrupt:
        stderr("interrupted", "bold yellow")
        return 130
    except BrokenPipeError:
        return ExitCode.ERROR
    except OSError as error:
        place = f": {error.filename}" if error.filename else ""
        stderr(f"{error.strerror or error}{place}", "red")
        return ExitCode.ERROR


def _verb(arguments: Sequence[str]) -> int:
    """Run what a command line asks for. A parser is as slow to import as a thousand accounts are to check: a file alone needs none."""
    from pathlib import Path

    match arguments:
        case ["validate", path] if not path.startswith("-"):
            from reconciler.cli.looking import check_file

            return check_file(Path(path))
        case [("plan" | "drift") as verb, path] if not path.startswith("-"):
            from reconciler.cli.looking import look

            return look(Path(path), verb)
    return _parsed(arguments)


def _parsed(arguments: Sequence[str]) -> int:
    from cyclopts import CycloptsError

    from reconciler.cli.program import program

    try:
        result = program(arguments)(
            list(arguments), exit_on_error=False, print_error=True, result_action="return_value"
        )
    except CycloptsError:
        return ExitCode.ERROR
    return int(result or 0)


def exit_code_of(error: ReconcileError) -> ExitCode:
    """Return the exit code of an error that stopped a whole run."""
    if isinstance(error, Unreachable | AuthenticationFailed):
        return ExitCode.UNREACHABLE
    return ExitCode.WAITING if isinstance(error, NeedsPerson) else ExitCode.ERROR

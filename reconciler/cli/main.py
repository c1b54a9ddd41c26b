"""The front door: parses the command line, runs one verb, and turns every error into words and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError

from reconciler import __version__
from reconciler.cli import audit, certificate, history, lab, pausing, verbs, watch
from reconciler.core.errors import AuthenticationFailed, DesiredStateError, NeedsPerson, ReconcileError, Unreachable
from reconciler.core.exit_codes import ExitCode

app = App(
    name="reconcile",
    help="Declare an Active Directory migration; let it be set up, carried out, and every temporary setting put back.",
    version=__version__,
)
verbs.register(app)
watch.register(app)
pausing.register(app)
history.register(app)
audit.register(app)
certificate.register(app)
lab.register(app)


def run(arguments: Sequence[str] | None = None) -> None:
    """Run the program and leave with its exit code."""
    sys.exit(main(sys.argv[1:] if arguments is None else arguments))


def main(arguments: Sequence[str]) -> int:
    """Run one verb; return the exit code."""
    from reconciler.cli.output import log_as, stderr

    log_as("text")
    try:
        result = app(list(arguments), exit_on_error=False, print_error=True, result_action="return_value")
    except CycloptsError:
        return ExitCode.ERROR
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
    return int(result or 0)


def exit_code_of(error: ReconcileError) -> ExitCode:
    """Return the exit code of an error that stopped a whole run."""
    if isinstance(error, Unreachable | AuthenticationFailed):
        return ExitCode.UNREACHABLE
    return ExitCode.WAITING if isinstance(error, NeedsPerson) else ExitCode.ERROR

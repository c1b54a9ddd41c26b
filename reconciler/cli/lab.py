"""The verbs about the embedded lab: two real forests and simulated Windows hosts, on this machine only."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal, ParamSpec

from cyclopts import App, Parameter

from reconciler.cli import output as screen
from reconciler.core.errors import ReconcileError
from reconciler.core.exit_codes import ExitCode

Given = ParamSpec("Given")
lab = App(name="lab", help="An embedded lab: two real AD forests and simulated Windows hosts, on this machine.")

Directory = Annotated[Path, Parameter(name="--dir", help="Where the lab keeps everything.")]
DIRECTORY = Path(".lab")


def in_words(verb: Callable[Given, int]) -> Callable[Given, int]:
    """Let what the lab refuses end like every other error of the program: in words, with an exit code."""

    @functools.wraps(verb)
    def told(*args: Given.args, **kwargs: Given.kwargs) -> int:
        from reconciler.lab.settings import LabError

        try:
            return verb(*args, **kwargs)
        except LabError as error:
            raise ReconcileError(str(error)) from error

    return told


@lab.command
@in_words
def up(
    *,
    users: Annotated[int, Parameter(help="Accounts in OU=Staff of the source.")] = 40,
    groups: Annotated[int, Parameter(help="Nested groups beside the six that are always there.")] = 0,
    computers: Annotated[int, Parameter(help="Computer accounts in OU=Workstations of the source.")] = 0,
    units: Annotated[int, Parameter(help="Departments below OU=Staff for the numbered part of the staff.")] = 0,
    dir: Directory = DIRECTORY,
    awkward: Annotated[
        bool, Parameter(help="Start from a world in which some temporary settings are already half set.", negative="")
    ] = False,
    trust: Annotated[
        bool, Parameter(help="Start with an external, quarantined trust already there.", negative="")
    ] = False,
    source_address: str = "127.0.0.21",
    target_address: str = "127.0.0.22",
    admt_hosts: Annotated[
        int, Parameter(help="Hosts of the target on which ADMT can be installed: the controller, and member servers.")
    ] = 1,
    member_address: Annotated[str, Parameter(help="Address of the first member server; others follow.")] = "127.0.0.23",
    restart_seconds: Annotated[float, Parameter(help="How long a restarting host stays down.")] = 2.0,
    locale: Annotated[str, Parameter(help="Display language of the hosts: en or de.")] = "en",
) -> int:
    """Build the lab if it is not there, and start it."""
    from reconciler.lab.settings import LabSettings
    from reconciler.lab.up import up as start

    settings = LabSettings(
        directory=dir, users=users, groups=groups, computers=computers, units=units, awkward=awkward, trust=trust,
        source_address=source_address, target_address=target_address, restart_seconds=restart_seconds, locale=locale,
        admt_hosts=admt_hosts, member_address=member_address,
    )  # fmt: skip
    document = start(settings, screen.stderr)
    screen.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    return ExitCode.OK


@lab.command
@in_words
def down(*, dir: Directory = DIRECTORY) -> int:
    """Stop the lab. Its disks stay."""
    from reconciler.lab.up import down as stop

    screen.stderr("the lab is down" if stop(dir) else "no lab was running")
    return ExitCode.OK


@lab.command
@in_words
def status(*, dir: Directory = DIRECTORY) -> int:
    """Show what runs. Exit 0 where the lab is up, 1 where it is not."""
    from reconciler.lab.up import status as look

    found = look(dir)
    screen.write(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
    return ExitCode.OK if found.get("running") else ExitCode.ERROR


@lab.command
@in_words
def reset(*, dir: Directory = DIRECTORY) -> int:
    """Put the lab back to its pristine snapshot. Journals kept below its directory go too."""
    from reconciler.lab.up import reset as put_back

    screen.stderr(f"the lab is as it was built ({put_back(dir)['seconds']} s)")
    return ExitCode.OK


@lab.command
@in_words
def clock(
    *,
    forward: Annotated[str, Parameter(help="How much time passes, such as 9h or 30m.")],
    host: Annotated[str, Parameter(help="Which host: all, source, target, or its DNS name.")] = "all",
    dir: Directory = DIRECTORY,
) -> int:
    """Let time pass on the simulated hosts, and nowhere else: what their schedulers have to run by then is run."""
    from reconciler.core.lengths import duration
    from reconciler.lab.forest.control import ask
    from reconciler.lab.settings import LabError, LabPaths

    try:
        seconds = duration(forward).total_seconds()
    except ValueError as error:
        raise LabError(f"--forward {forward}: {error}") from None
    done = ask(
        LabPaths(dir.expanduser().absolute()).control_socket, "advance-clock", {"host": host, "seconds": seconds}
    )
    for name, now in done["clock"].items():
        screen.stderr(f"{name}: it is {now}")
    screen.stderr(f"{done['ran']} scheduled tasks became due, and were run")
    return ExitCode.OK


@lab.command(name="exec")
@in_words
def execute(*command: Annotated[str, Parameter(allow_leading_hyphen=True)], dir: Directory = DIRECTORY) -> int:
    """Run a command where the lab can be reached, with its Kerberos configuration: `lab exec -- reconcile plan states/lab.yaml`."""
    from reconciler.lab.up import exec_

    return exec_(dir, command)


@lab.command
@in_words
def wizard(
    product: Literal["pes"],
    *,
    key_file: Annotated[
        str, Parameter(help="Key file on the local disk of the source's controller.")
    ] = r"C:\PES\source.pes",
    key_password_file: Annotated[
        Path | None, Parameter(help="File with its password; the lab's own where not given.")
    ] = None,
    account: Annotated[str, Parameter(help="Account of the service.")] = "LocalSystem",
    dir: Directory = DIRECTORY,
) -> int:
    """Do at the screen of a lab host what only a person can: click through the installer of the Password Export Server."""
    from reconciler.lab.forest.control import ask
    from reconciler.lab.settings import LabPaths
    from reconciler.lab.up import read_lab_json

    directory = dir.expanduser().absolute()
    password = (key_password_file or directory / "secrets" / "key-password").read_text(encoding="utf-8").rstrip("\n")
    host = read_lab_json(directory)["domains"]["source"]["controller"]
    arguments = {"host": host, "key_file": key_file, "key_password": password, "account": account}
    ask(LabPaths(directory).control_socket, f"{product}-wizard", arguments)
    screen.stderr("installed; the restart that the wizard offers was declined")
    return ExitCode.OK

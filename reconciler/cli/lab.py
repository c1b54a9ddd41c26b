"""The verbs about the embedded lab: two real forests and simulated Windows hosts, on this machine only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from reconciler.cli import output as screen
from reconciler.core.exit_codes import ExitCode

lab = App(name="lab", help="An embedded lab: two real AD forests and simulated Windows hosts, on this machine.")

Directory = Annotated[Path, Parameter(name="--dir", help="Where the lab keeps everything.")]
DIRECTORY = Path(".lab")


@lab.command
def up(
    *,
    users: Annotated[int, Parameter(help="Accounts in OU=Staff of the source.")] = 40,
    dir: Directory = DIRECTORY,
    awkward: Annotated[
        bool, Parameter(help="Start from a world in which some temporary settings are already half set.", negative="")
    ] = False,
    trust: Annotated[
        bool, Parameter(help="Start with an external, quarantined trust already there.", negative="")
    ] = False,
    source_address: str = "127.0.0.21",
    target_address: str = "127.0.0.22",
    restart_seconds: Annotated[float, Parameter(help="How long a restarting host stays down.")] = 2.0,
    locale: Annotated[str, Parameter(help="Display language of the hosts: en or de.")] = "en",
) -> int:
    """Build the lab if it is not there, and start it."""
    from reconciler.lab.settings import LabSettings
    from reconciler.lab.up import up as start

    settings = LabSettings(
        directory=dir, users=users, awkward=awkward, trust=trust, source_address=source_address, target_address=target_address, restart_seconds=restart_seconds, locale=locale
    )  # fmt: skip
    document = start(settings, screen.stderr)
    screen.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    return ExitCode.OK


@lab.command
def down(*, dir: Directory = DIRECTORY) -> int:
    """Stop the lab. Its disks stay."""
    from reconciler.lab.up import down as stop

    screen.stderr("the lab is down" if stop(dir) else "no lab was running")
    return ExitCode.OK


@lab.command
def status(*, dir: Directory = DIRECTORY) -> int:
    """Show what runs. Exit 0 where the lab is up, 1 where it is not."""
    from reconciler.lab.up import status as look

    found = look(dir)
    screen.write(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
    return ExitCode.OK if found.get("running") else ExitCode.ERROR


@lab.command
def reset(*, dir: Directory = DIRECTORY) -> int:
    """Put the lab back to its pristine snapshot. Journals kept below its directory go too."""
    from reconciler.lab.up import reset as put_back

    screen.stderr(f"the lab is as it was built ({put_back(dir)['seconds']} s)")
    return ExitCode.OK


@lab.command(name="exec")
def execute(*command: Annotated[str, Parameter(allow_leading_hyphen=True)], dir: Directory = DIRECTORY) -> int:
    """Run a command where the lab can be reached, with its Kerberos configuration: `lab exec -- reconcile plan states/lab.yaml`."""
    from reconciler.lab.up import exec_

    return exec_(dir, command)


def register(app: App) -> None:
    """Add the verbs to the program."""
    app.command(lab)

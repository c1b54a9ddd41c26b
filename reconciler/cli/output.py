"""Where words go: data to standard output, everything else to standard error."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from reconciler.engine.events import Event

PIPE_COLUMNS = 1000


def stdout(renderable: RenderableType) -> None:
    """Print result data for a person."""
    screen = console(stderr=False)
    if screen.is_terminal:
        screen.print(renderable, highlight=False)
        return
    with screen.capture() as captured:
        screen.print(renderable, highlight=False)
    write("".join(line.rstrip() + "\n" for line in captured.get().splitlines()))


def write(text: str) -> None:
    """Print result data for a program, as it is."""
    sys.stdout.write(text)
    sys.stdout.flush()


def stderr(text: str, style: str = "") -> None:
    """Say something that is not result data."""
    console(stderr=True).print(text, style=style or None, markup=False, emoji=False, highlight=False, soft_wrap=True)


def console(*, stderr: bool) -> Console:
    """Return a console that respects NO_COLOR; a pipe or a file gets whole lines."""
    from rich.console import Console

    found = Console(stderr=stderr, markup=False, emoji=False)
    return found if found.is_terminal else Console(stderr=stderr, width=PIPE_COLUMNS, markup=False, emoji=False)


STYLES = {"changed": "green", "failed": "bold red", "waiting": "magenta", "skipped": "dim"}


def tell(event: Event) -> None:
    """Show progress while it happens."""
    if event.what == "round":
        stderr(f"round {event.text}", "bold")
    elif event.what == "observing":
        stderr(f"  looking at {event.text}", "dim")
    elif event.what == "started":
        stderr(f"  > {event.text}")
    elif event.what == "step":
        stderr(f"      {event.text}", "cyan")
    elif event.text != "changed":
        stderr(f"  {event.key}: {event.text}", STYLES.get(event.text, ""))

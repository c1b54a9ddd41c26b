"""Where words go: data to standard output, everything else to standard error, as text or as JSON lines."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, TextIO

from msgspec import Struct

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from reconciler.engine.events import Event

LogForm = Literal["text", "json"]
PIPE_COLUMNS = 1000
LEVELS = {
    "red": "error",
    "bold red": "error",
    "yellow": "warning",
    "bold yellow": "warning",
    "magenta": "warning",
    "dim": "debug",
}
"""What a style means to a program; anything else is ``info``."""
_ASKED_FOR = frozenset(("FORCE_COLOR", "TTY_COMPATIBLE"))
"""Variables by which rich decides beside the terminal itself."""
_MOVES = dict.fromkeys((7, 8, 11, 12, 13))
"""The characters that rich leaves out of any text: they ring, or write over what was said."""


class Sink(Struct):
    """How standard error is written, for as long as the program runs.

    Attributes:
        run: The run that is under way; empty between two.
        scrub: Strikes secrets that were looked up out of a text: the last line of defence.
    """

    form: LogForm = "text"
    run: str = ""
    scrub: Callable[[str], str] = str


SINK = Sink()


def log_as(form: LogForm) -> None:
    """Write standard error in this form from now on."""
    SINK.form = form


@contextmanager
def about(run: str, scrub: Callable[[str], str]) -> Iterator[None]:
    """Say of every line to which run it belongs, and strike out what that run looked up."""
    before = SINK.run, SINK.scrub
    SINK.run, SINK.scrub = run, scrub
    try:
        yield
    finally:
        SINK.run = before[0]  # what was looked up stays struck out: an error is told after its run


def stdout(renderable: RenderableType) -> None:
    """Print result data for a person."""
    screen = console(stderr=False)
    if screen.is_terminal:
        screen.print(renderable, highlight=False)
        return
    with screen.capture() as captured:
        screen.print(renderable, highlight=False)
    write("".join(line.rstrip() + "\n" for line in captured.get().splitlines()))


def line(text: str, style: str) -> None:
    """Print a line of result data for a person."""
    if _may_be_styled(sys.stdout):
        from rich.text import Text

        stdout(Text(text, style=style))
    else:
        write(text + "\n")


def write(text: str) -> None:
    """Print result data for a program, as it is."""
    sys.stdout.write(text)
    sys.stdout.flush()


def stderr(text: str, style: str = "", *, event: str = "said", key: str = "") -> None:
    """Say something that is not result data.

    Args:
        event: What happened, for programs; the same word for the same thing.
        key: The resource that it is about.
    """
    text = SINK.scrub(text)
    if SINK.form == "json":
        sys.stderr.write(_line(text, LEVELS.get(style, "info"), event, key))
        sys.stderr.flush()
        return
    if not _may_be_styled(sys.stderr):
        sys.stderr.write(text.translate(_MOVES) + "\n")
        sys.stderr.flush()
        return
    console(stderr=True).print(text, style=style or None, markup=False, emoji=False, highlight=False, soft_wrap=True)


def _may_be_styled(stream: TextIO) -> bool:
    """Whether rich has to be asked; where it need not, it is not imported: that takes longer than to check a small state file."""
    return stream.isatty() or not _ASKED_FOR.isdisjoint(os.environ)


def _line(text: str, level: str, event: str, key: str) -> str:
    now = datetime.now(UTC).isoformat("T", "milliseconds").replace("+00:00", "Z")
    facts = {"ts": now, "level": level, "run": SINK.run, "event": event, "key": key, "text": text.strip()}
    return json.dumps(facts, ensure_ascii=False) + "\n"


def console(*, stderr: bool) -> Console:
    """Return a console that respects NO_COLOR; a pipe or a file gets whole lines."""
    from rich.console import Console

    found = Console(stderr=stderr, markup=False, emoji=False)
    return found if found.is_terminal else Console(stderr=stderr, width=PIPE_COLUMNS, markup=False, emoji=False)


STYLES = {"changed": "green", "failed": "bold red", "waiting": "magenta", "skipped": "dim"}


def tell(event: Event) -> None:
    """Show progress while it happens."""
    shown, style = _progress(event)
    if shown:
        stderr(shown, style, event=event.what, key=event.key)


def _progress(event: Event) -> tuple[str, str]:
    if event.what == "round":
        return f"round {event.text}", "bold"
    if event.what == "observing":
        return f"  looking at {event.text}", "dim"
    if event.what == "started":
        return f"  > {event.text}", ""
    if event.what == "step":
        return f"      {event.text}", "cyan"
    if event.what == "progress":
        return f"      {event.text}", "dim"
    return ("", "") if event.text == "changed" else (f"  {event.key}: {event.text}", STYLES.get(event.text, ""))

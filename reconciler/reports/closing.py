"""Render the end of a migration: the certificate, why there is none, and what is no longer as it was certified."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from reconciler.core.certificate import Alarm, Closing, Doubt
from reconciler.reports.plain import plain, plain_error, printable
from reconciler.reports.undo import show


def closing_json(closing: Closing) -> dict[str, Any]:
    """Return the members of a report that are about the end."""
    return {
        "certificate": dict(closing.certificate) if closing.certificate else None,
        "withheld": [{"key": d.key, "where": d.where, "what": d.what, "do": d.do} for d in closing.withheld],
        "alarms": [_alarm_json(alarm) for alarm in closing.alarms],
    }


def unknown_json(closing: Closing) -> list[dict[str, Any]]:
    """Return what was certified and could not be observed, as other errors are."""
    return [{"key": key, **plain_error(error)} for key, error in closing.unknown.items()]


def _alarm_json(alarm: Alarm) -> dict[str, Any]:
    return {
        "key": alarm.key,
        "title": alarm.title,
        "alarm": alarm.kind,
        "weakens": alarm.weakens,
        "certified_at": alarm.certified_at,
        "differs": [
            {"field": d.field, "observed": plain(d.observed), "certified": plain(d.wanted)} for d in alarm.differs
        ],
    }


def alarm_lines(closing: Closing) -> Iterator[RenderableType]:
    """Say what is no longer as it was certified, and what is not known."""
    for alarm in closing.alarms:
        yield _alarm(alarm)
    for key, error in closing.unknown.items():
        yield Text.assemble(("✗ ", "bold red"), (key, "bold"), " was certified, and could not be observed now")
        yield Padding(Text(str(error), style="red"), (0, 0, 0, 4))


def _alarm(alarm: Alarm) -> RenderableType:
    says = "has reappeared" if alarm.kind == "reappeared" else "has changed"
    lines = [
        Text.assemble((f"{d.field}: ", "dim"), show(d.observed), ("; certified was ", "dim"), show(d.wanted))
        for d in alarm.differs
    ]
    if alarm.weakens:
        lines.append(Text.assemble(("weakens: ", "red"), alarm.weakens))
    lines.append(Text("it is not ours any more and is left as it is: find out who set it", style="dim"))
    head = Text.assemble(("! ", "bold red"), (f"ALARM: {alarm.title} {says}", "bold red"), (f" since {alarm.certified_at}", "dim"), (f"  [{alarm.key}]", "dim"))  # fmt: skip
    return Group(head, *(Padding(line, (0, 0, 0, 4)) for line in lines))


def closing_lines(closing: Closing) -> Iterator[RenderableType]:
    """Say where the certificate is, or why there is none."""
    if closing.withheld:
        yield Text("\nNo certificate:", style="bold red")
        yield from (_doubt(doubt) for doubt in closing.withheld)
    elif closing.certificate:
        found = closing.certificate
        made = "new" if found["new"] else f"made {found['made_at']}"
        yield Text(f"\nCertificate ({made}, {found['settings']} settings): {found['path']}", style="green")


def _doubt(doubt: Doubt) -> RenderableType:
    lines = [Text(f"  {printable(str(doubt))}", style="red")]
    return Group(*lines, *(Text(f"    do: {printable(line)}", style="dim") for line in doubt.do.splitlines()))

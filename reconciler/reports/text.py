"""Render plans, runs and promises for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from reconciler.core.errors import ReconcileError
from reconciler.core.exposure import Exposure, about, weighted_minutes
from reconciler.core.lengths import spoken
from reconciler.core.plan import Change
from reconciler.core.ports import Obligation
from reconciler.core.report import Outcome, Report
from reconciler.core.resource import Key
from reconciler.reports.closing import alarm_lines, closing_lines
from reconciler.reports.drifts import drift_lines, ignored_lines
from reconciler.reports.edits import edit_lines, policy_of
from reconciler.reports.json_report import foreseen, live, weight_of
from reconciler.reports.remarks import remark_lines
from reconciler.reports.summary import alarmed, nothing_differs
from reconciler.reports.undo import show, undo_of
from reconciler.reports.verdicts import verdict_lines

COLOURS = {"+": "green", "~": "yellow", "-": "red"}
MARKS = {
    "unchanged": ("=", "dim"),
    "changed": ("✓", "green"),
    "failed": ("✗", "bold red"),
    "skipped": ("·", "dim"),
    "waiting": ("?", "magenta"),
}


class PlanText:
    """A plan, or a drift report, as a person reads it."""

    def __init__(self, report: Report) -> None:
        self.report = report

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        plan = self.report.plan
        assert plan is not None
        for change in plan.changes:
            yield _change(change, self.report)
        for key in [key for key in plan.edits if key in plan.unchanged]:
            yield Text.assemble(("= ", "dim"), (plan.observed[key].title(), "dim"), (f"  [{key}]", "dim"))
            yield _indented(edit_lines(plan.edits[key], "keep"))
        yield from ignored_lines(self.report.drifts)
        yield from remark_lines(self.report)
        for key, error in plan.errors.items():
            yield Text.assemble(("✗ ", "bold red"), (key, "bold"), " could not be observed")
            yield Padding(_error(error), (0, 0, 0, 4))
        yield from alarm_lines(self.report.closing)
        yield self._summary()
        if plan.exposure:
            yield _exposure(plan.exposure)

    def _summary(self) -> Text:
        plan = self.report.plan
        assert plan is not None
        counts = {symbol: sum(1 for change in plan.changes if change.symbol == symbol) for symbol in "+~-"}
        if plan.quiet:
            return Text(nothing_differs(self.report), style="green" if self.report.exit_code == 0 else "bold red")
        words = f"{self.report.state}: phase {plan.phase}, {len(plan.changes)} differ (+{counts['+']} ~{counts['~']} -{counts['-']}), {len(plan.unchanged)} as wanted"
        waiting = sum(1 for change in plan.changes if change.gate)
        words += f", {waiting} wait for a person" if waiting else ""
        words += f", {len(plan.errors)} unknown" if plan.errors else ""
        words += alarmed(self.report.closing)
        digest = f"\nDigest of these steps, for approvals: {plan.digest}" if waiting and plan.digest else ""
        return Text.assemble((words + ".", "bold"), (digest, "dim"))


def _change(change: Change, report: Report) -> RenderableType:
    colour = COLOURS[change.symbol]
    head = Text.assemble(
        (f"{change.symbol} ", f"bold {colour}"), (change.wanted.title(), colour), (f"  [{change.key}]", "dim")
    )
    lines: list[Text] = drift_lines(report.drifts, change.key)
    for difference in change.differs:
        if difference.field != "ensure":
            lines.append(
                Text.assemble(
                    (f"{difference.field}: ", "dim"),
                    show(difference.observed),
                    (" -> ", "dim"),
                    show(difference.wanted),
                )
            )
    lines += [
        Text.assemble(("do: ", "cyan"), str(step), (f"  needs approval `{step.risk}`" if step.risk else "", "magenta"))
        for step in change.steps
    ]
    if report.plan is not None and change.wanted.on_conflict != "ask":  # the gate that asks says it already
        lines += edit_lines(report.plan.edits.get(change.key, ()), change.wanted.on_conflict)
    if change.pending:
        lines.append(Text.assemble(("do: ", "cyan"), (f"known later: {change.pending}", "dim")))
    if change.gate:
        lines += [Text(line, style="magenta") for line in f"waits for a person: {change.gate}".splitlines()]
    if change.wanted.weakens and change.direction == "apply":
        lines.append(Text.assemble(("weakens: ", "red"), change.wanted.weakens, _foreseen(change, report)))
    undo = _undo(change, report)
    if undo:
        phases = ", ".join(phase for phase in ("prepare", "migrate", "complete") if phase in change.wanted.during)
        until = f"; at the latest {spoken(change.wanted.lease)} after it was set" if change.wanted.lease else ""
        lines.append(Text.assemble(("temporary: ", "yellow"), f"during {phases}; then {undo}{until}"))
    if change.lapsed is not None:
        lines.append(Text(f"its lease ended at {change.lapsed.isoformat(timespec='seconds')}", style="yellow"))
    lines += _reasons(change)
    if where := report.where.get(change.key):
        lines.append(Text(f"at {where}", style="dim"))
    return Group(head, *(Padding(line, (0, 0, 0, 4)) for line in lines))


def _foreseen(change: Change, report: Report) -> str:
    """Say how dangerous a weakening is, and for how long it will be live."""
    weight = f" (weight {change.wanted.danger})"
    found = next((one for one in (report.plan.exposure if report.plan else ()) if one.key == change.key), None)
    if found is None:
        return weight
    if found.live is None:
        return f"{weight}; stays for good, nothing puts it back"
    return f"{weight}; live for about {about(found.live)} if it is completed right after"


def _exposure(found: Sequence[Exposure]) -> Text:
    """Sum up what is weakened: one line."""
    ending = [exposure for exposure in found if exposure.live is not None]
    total = weighted_minutes((exposure.weight, exposure.live) for exposure in ending)
    words = f"Exposure if it is completed right after: {total:.0f} weighted minutes (weight x minutes live) of {len(ending)} weakening{'s' if len(ending) != 1 else ''}"
    longest = max((exposure.live for exposure in ending if exposure.live is not None), default=None)
    words += f", the longest for about {about(longest)}" if longest is not None else ""
    good = len(found) - len(ending)
    return Text(words + (f"; for good: {good}" if good else "") + ".")


def _undo(change: Change, report: Report) -> str:
    """Say what it goes back to: the journal's baseline, where one was kept before this change."""
    kept = report.back.get(change.key)
    undo = undo_of(change)
    if not undo or kept is None:
        return undo
    return "is removed again" if kept == "absent" else f"goes back to {kept}"


def _reasons(change: Change) -> list[Text]:
    """Say why it comes where it comes; requirements with the same reason share a line."""
    grouped: dict[str, list[str]] = {}
    for need in change.reasons:
        grouped.setdefault(need.because, []).append(need.key)
    word = "after" if change.direction == "apply" else "once undone"
    return [
        Text.assemble((f"{word} ", "dim"), (", ".join(keys), "dim"), (f": {because}", "dim italic"))
        for because, keys in grouped.items()
    ]


def _indented(lines: Iterable[Text]) -> RenderableType:
    return Group(*(Padding(line, (0, 0, 0, 4)) for line in lines))


def _error(error: ReconcileError) -> Text:
    return Text(str(error), style="red")


class ApplyText:
    """What a run did, what it could not do, what is open, and how long each weakening was live."""

    def __init__(self, report: Report) -> None:
        self.report = report

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for outcome in self.report.outcomes:
            if outcome.status != "unchanged" or outcome.edits:
                yield _outcome(outcome)
                yield _indented(verdict_lines(outcome.verdicts))
                if said := drift_lines(self.report.drifts, outcome.key):
                    yield _indented(said)
        yield from remark_lines(self.report)
        if self.report.closed:
            yield Text("\nPut back:", style="bold")
            yield undone_table(self.report.closed)
            yield exposed(self.report.closed)
        if self.report.open:
            yield Text("\nStill to be put back:", style="bold yellow")
            yield open_table(self.report.open, self.report.ended, self.report.back)
        yield from alarm_lines(self.report.closing)
        yield from closing_lines(self.report.closing)
        yield self._summary()

    def _summary(self) -> Text:
        count = {status: sum(1 for outcome in self.report.outcomes if outcome.status == status) for status in MARKS}
        words = ", ".join(f"{number} {status}" for status, number in count.items() if number)
        took = (self.report.ended - self.report.started).total_seconds()
        fine = all(outcome.status in ("unchanged", "changed") for outcome in self.report.outcomes)
        end = "converged" if self.report.converged and fine else "not converged"
        style = "bold green" if self.report.exit_code == 0 else "bold red"
        return Text(
            f"\n{self.report.state}: phase {self.report.phase}, {end} in {self.report.rounds} rounds, {took:.1f} s: {words or 'no resources'}{alarmed(self.report.closing)}.",
            style=style,
        )


def _outcome(outcome: Outcome) -> RenderableType:
    mark, style = MARKS[outcome.status]
    head = Text.assemble((f"{mark} ", style), (outcome.title, style), (f"  [{outcome.key}] {outcome.status}", "dim"))
    lines: list[Text] = []
    if outcome.lapsed is not None:
        ended = outcome.lapsed.isoformat(timespec="seconds")
        lines.append(Text(f"its lease ended at {ended}; the next apply asks whether it is set again", style="yellow"))
    if outcome.status != "waiting":  # then the error says it already
        lines += edit_lines(outcome.edits, policy_of(outcome))
    if outcome.because:
        lines.append(Text(f"because {outcome.because}", style="dim"))
    if outcome.error is not None:
        lines += [
            Text(line, style="magenta" if outcome.status == "waiting" else "red")
            for line in str(outcome.error).splitlines()
        ]
    return Group(head, *(Padding(line, (0, 0, 0, 4)) for line in lines))


def undone_table(closed: Iterable[Obligation]) -> Table:
    """Return what was put back, for how long it had been changed, and how long that was foreseen to be."""
    table = Table("setting", "weakened", "live for", "foreseen", box=None, pad_edge=False)
    for obligation in closed:
        table.add_row(
            Text(obligation.key),
            Text(obligation.weakens or "-"),
            length(live(obligation)),
            length(foreseen(obligation)),
        )
    return table


def exposed(closed: Iterable[Obligation]) -> Text:
    """Return the measured exposure of what was put back; beside it what was foreseen, where something was."""
    weighted = [(weight_of(obligation), obligation) for obligation in closed]
    measured = weighted_minutes((weight, live(obligation)) for weight, obligation in weighted)
    told = [(weight, foreseen(obligation)) for weight, obligation in weighted if foreseen(obligation) is not None]
    words = f"Exposure: {measured:.1f} weighted minutes measured"
    return Text(words + (f", {weighted_minutes(told):.1f} foreseen." if told else "."), style="dim")


def open_table(opened: Iterable[Obligation], now: datetime, back: Mapping[Key, str]) -> Table:
    """Return what is still changed, since when, for how long that was foreseen, until when it may, and what it goes back to."""
    table = Table("setting", "weakens", "open for", "foreseen", "until", "goes back to", box=None, pad_edge=False)
    for obligation in opened:
        age = now - obligation.changed_at if obligation.changed_at else None
        table.add_row(
            Text(obligation.key),
            Text(obligation.weakens or "-"),
            length(age),
            length(foreseen(obligation)),
            _deadline(obligation, now),
            Text(back.get(obligation.key, "")),
        )
    return table


def _deadline(obligation: Obligation, now: datetime) -> Text:
    """Return when a lease ends, as UTC; a lease that ended is no deadline any more but a fault."""
    until = obligation.wanted_until
    if until is None:
        return Text("-")
    late = until <= now
    return Text(f"{until:%Y-%m-%d %H:%M}Z{' (over)' if late else ''}", style="bold red" if late else "")


def length(value: timedelta | None) -> str:
    """Render a length of time: ``3 h 04 min`` or ``12.3 s``."""
    if value is None:
        return "-"
    seconds = round(value.total_seconds(), 1)
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"

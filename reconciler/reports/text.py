"""Render plans, runs and promises for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from reconciler.core.errors import ReconcileError
from reconciler.core.plan import Change
from reconciler.core.ports import Obligation
from reconciler.core.report import Outcome, Report
from reconciler.core.resource import Key
from reconciler.reports.edits import edit_lines, policy_of
from reconciler.reports.json_report import live
from reconciler.reports.undo import show, undo_of

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
        for key, error in plan.errors.items():
            yield Text.assemble(("✗ ", "bold red"), (key, "bold"), " could not be observed")
            yield Padding(_error(error), (0, 0, 0, 4))
        yield self._summary()

    def _summary(self) -> Text:
        plan = self.report.plan
        assert plan is not None
        counts = {symbol: sum(1 for change in plan.changes if change.symbol == symbol) for symbol in "+~-"}
        if plan.quiet:
            return Text(
                f"{self.report.state}: phase {plan.phase}, nothing differs ({len(plan.unchanged)} resources).",
                style="green",
            )
        words = f"{self.report.state}: phase {plan.phase}, {len(plan.changes)} differ (+{counts['+']} ~{counts['~']} -{counts['-']}), {len(plan.unchanged)} as wanted"
        waiting = sum(1 for change in plan.changes if change.gate)
        words += f", {waiting} wait for a person" if waiting else ""
        words += f", {len(plan.errors)} unknown" if plan.errors else ""
        digest = f"\nDigest of these steps, for approvals: {plan.digest}" if waiting and plan.digest else ""
        return Text.assemble((words + ".", "bold"), (digest, "dim"))


def _change(change: Change, report: Report) -> RenderableType:
    colour = COLOURS[change.symbol]
    head = Text.assemble(
        (f"{change.symbol} ", f"bold {colour}"), (change.wanted.title(), colour), (f"  [{change.key}]", "dim")
    )
    lines: list[Text] = []
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
        lines.append(Text.assemble(("weakens: ", "red"), change.wanted.weakens))
    undo = _undo(change, report)
    if undo:
        phases = ", ".join(phase for phase in ("prepare", "migrate", "complete") if phase in change.wanted.during)
        lines.append(Text.assemble(("temporary: ", "yellow"), f"during {phases}; then {undo}"))
    lines += _reasons(change)
    if where := report.where.get(change.key):
        lines.append(Text(f"at {where}", style="dim"))
    return Group(head, *(Padding(line, (0, 0, 0, 4)) for line in lines))


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
        if self.report.closed:
            yield Text("\nPut back:", style="bold")
            yield undone_table(self.report.closed)
        if self.report.open:
            yield Text("\nStill to be put back:", style="bold yellow")
            yield open_table(self.report.open, self.report.ended, self.report.back)
        yield self._summary()

    def _summary(self) -> Text:
        count = {status: sum(1 for outcome in self.report.outcomes if outcome.status == status) for status in MARKS}
        words = ", ".join(f"{number} {status}" for status, number in count.items() if number)
        took = (self.report.ended - self.report.started).total_seconds()
        end = "converged" if self.report.converged and self.report.exit_code == 0 else "not converged"
        style = "bold green" if self.report.exit_code == 0 else "bold red"
        return Text(
            f"\n{self.report.state}: phase {self.report.phase}, {end} in {self.report.rounds} rounds, {took:.1f} s: {words or 'no resources'}.",
            style=style,
        )


def _outcome(outcome: Outcome) -> RenderableType:
    mark, style = MARKS[outcome.status]
    head = Text.assemble((f"{mark} ", style), (outcome.title, style), (f"  [{outcome.key}] {outcome.status}", "dim"))
    lines: list[Text] = []
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
    """Return what was put back, and for how long it had been changed."""
    table = Table("setting", "weakened", "live for", box=None, pad_edge=False)
    for obligation in closed:
        table.add_row(Text(obligation.key), Text(obligation.weakens or "-"), length(live(obligation)))
    return table


def open_table(opened: Iterable[Obligation], now: datetime, back: Mapping[Key, str]) -> Table:
    """Return what is still changed, since when, and what it goes back to."""
    table = Table("setting", "weakens", "open for", "goes back to", box=None, pad_edge=False)
    for obligation in opened:
        age = now - obligation.changed_at if obligation.changed_at else None
        table.add_row(
            Text(obligation.key), Text(obligation.weakens or "-"), length(age), Text(back.get(obligation.key, ""))
        )
    return table


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

"""Render a Report as Markdown for a comment on a pull request; what was read stands in code spans, where nothing is markup."""

from __future__ import annotations

import re
from collections.abc import Sequence

from reconciler.core.report import Report
from reconciler.reports.json_report import live
from reconciler.reports.plain import printable
from reconciler.reports.standing import MARKS, SAYS, Standing, standings
from reconciler.reports.text import length
from reconciler.reports.undo import show

LOUD = ("failed", "unknown", "differs", "waiting", "skipped", "changed")


def render(report: Report) -> str:
    """Return the comment, with a final newline."""
    found = standings(report)
    parts = [_head(report, found), _counts(found), *_alarm(report)]
    for place in dict.fromkeys(standing.place for standing in found if standing.state in LOUD):
        parts.append(_place(place, [one for one in found if one.place == place and one.state in LOUD]))
    parts += [*_undo(report), *_put_back(report)]
    return "\n\n".join(part for part in parts if part) + "\n"


def code(text: str) -> str:
    """Return text as a code span that nothing in it can end."""
    plain = printable(text) or " "
    fence = "`" * (max((len(run) for run in re.findall("`+", plain)), default=0) + 1)
    apart = " " if plain[0] in "` " or plain[-1] in "` " else ""
    return f"{fence}{apart}{plain}{apart}{fence}"


def _head(report: Report, found: Sequence[Standing]) -> str:
    loud = sum(1 for one in found if one.state in ("failed", "unknown", "differs", "waiting"))
    verdict = "everything is as declared" if not loud else f"{loud} of {len(found)} not as declared"
    took = length(report.ended - report.started)
    return (
        f"### {code(report.state)}: {verdict}\n\n"
        f"`reconcile {report.verb}`, phase {report.phase}, {report.started:%Y-%m-%d %H:%M:%S} UTC, {took}, "
        f"run {code(report.run)}, exit code {int(report.exit_code)}"
    )


def _counts(found: Sequence[Standing]) -> str:
    rows = [(MARKS[state], says, sum(1 for one in found if one.state == state)) for state, says in SAYS.items()]
    shown = [f"| {mark} | {says} | {count} |" for mark, says, count in rows if count]
    return "\n".join(["| | resources | |", "|---|---|---:|", *shown]) if shown else ""


def _alarm(report: Report) -> list[str]:
    if not report.closing.alarms:
        return []
    lines = [f"> - {code(alarm.title)} has {'reappeared' if alarm.kind == 'reappeared' else 'changed'}" for alarm in report.closing.alarms]  # fmt: skip
    return ["\n".join(["> [!CAUTION]", "> No longer as it was certified:", *lines])]


def _place(place: str, found: Sequence[Standing]) -> str:
    lines = [line for standing in found for line in _standing(standing)]
    count = f"{len(found)} resource{'s' if len(found) != 1 else ''}"
    # The summary of <details> is HTML, where a code span would not be one: the name stands below it.
    return f"<details open><summary>{count}</summary>\n\n**{code(place or 'everywhere')}**\n\n" + "\n".join(lines) + "\n\n</details>"  # fmt: skip


def _standing(standing: Standing) -> list[str]:
    lines = [f"- {MARKS[standing.state]} **{SAYS[standing.state]}** {code(standing.title)}"]
    lines.append(f"  - {code(standing.key)}{f' at {code(standing.where)}' if standing.where else ''}")
    if standing.because:
        lines.append(f"  - because {code(standing.because)}")
    drift = standing.drift
    if drift is None:
        return lines
    lines += [f"  - {code(one.field)}: {code(show(one.observed))} → {code(show(one.wanted))}" for one in drift.differs]
    lines += [f"  - **weakens** {code(drift.weakens)}"] if drift.weakens else []
    lines += [f"  - {code(line.strip())}" for line in (drift.error or drift.because).splitlines()]
    if drift.since:
        lines.append(f"  - changed at {drift.since:%Y-%m-%d %H:%M:%S} UTC{f' on {code(drift.on)}' if drift.on else ''}")
    lines += [f"  - do: {code(step)}" for step in drift.repair]
    return lines


def _undo(report: Report) -> list[str]:
    if not report.open:
        return []
    lines = ["#### Still to be put back", ""]
    for promise in report.open:
        age = length(report.ended - promise.changed_at) if promise.changed_at else "-"
        until = f", until {promise.wanted_until:%Y-%m-%d %H:%M} UTC" if promise.wanted_until else ""
        back = f", goes back to {code(report.back[promise.key])}" if report.back.get(promise.key) else ""
        weakens = f", weakens {code(promise.weakens)}" if promise.weakens else ""
        lines.append(f"- [ ] {code(promise.key)}: open for {age}{until}{weakens}{back}")
    return ["\n".join(lines)]


def _put_back(report: Report) -> list[str]:
    if not report.closed:
        return []
    lines = [f"- [x] {code(promise.key)}: was live for {length(live(promise))}" for promise in report.closed]
    return ["\n".join(["#### Put back", "", *lines])]

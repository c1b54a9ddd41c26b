"""Tells receivers what began and what is over: kept with the run that found it, sent after it, tried again by later ones."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.cli import output as screen
from reconciler.core.errors import SecretUnavailable
from reconciler.core.notice import INCIDENT, OUTBOX, TALLY, Receiver, Run, compare, due, enqueue, once, put_off

if TYPE_CHECKING:
    from datetime import datetime

    from reconciler.core.ports import Json
    from reconciler.core.report import Report
    from reconciler.edge.secrets import Secrets
    from reconciler.engine.run import Tools

AT_ONCE = 20
"""Messages that one receiver is sent after one run at most."""


def remember(report: Report, receivers: Sequence[Receiver], tools: Tools) -> None:
    """Keep which incidents began and ended with this run, and the messages about them, in one write."""
    from reconciler.reports.incidents import incidents, made, unjudged

    journal, run = tools.journal, Run(report.state, report.run, tools.clock.now())
    facts, messages = compare(incidents(report), journal.facts(INCIDENT), unjudged(report), run)
    if (certificate := made(report)) is not None:
        messages.append(once(certificate, "made", run))
    if not messages:
        return
    queue, lost = enqueue(messages, receivers, journal.facts(OUTBOX), run.at)
    tally = counted(journal.facts(TALLY).get(TALLY, {}), messages, lost)
    journal.note({**facts, **queue, TALLY: tally}, run.at)


def counted(tally: Json, messages: Sequence[Json], lost: int) -> dict[str, int]:
    """Add the drifts that were opened, by class, and the messages that found no room."""
    sums = {str(name): int(count) for name, count in tally.items()}
    for message in messages:
        if message["event"] == "drift" and message["action"] == "opened":
            sums[str(message["class"])] = sums.get(str(message["class"]), 0) + 1
    if lost:
        sums["lost"] = sums.get("lost", 0) + lost
    return sums


def deliver(receivers: Sequence[Receiver], base: Path, tools: Tools, secrets: Secrets) -> None:
    """Send what is due, to all receivers at once; whoever does not answer in time is tried again by a later run."""
    waiting = {name: fact for name, fact in tools.journal.facts(OUTBOX).items() if fact}
    if not waiting:
        return
    from reconciler.edge.webhook import side_by_side

    now = tools.clock.now()
    known = {receiver.id for receiver in receivers}
    facts: dict[str, Json] = {name: {} for name, fact in waiting.items() if fact["to"] not in known}
    visits = [_Visit(receiver, [waiting[name] for name in names], names) for receiver in receivers if (names := due(waiting, receiver, now)[:AT_ONCE])]  # fmt: skip
    side_by_side([lambda visit=visit: visit.make(base, now, secrets) for visit in visits])  # type: ignore[misc]
    lost = 0
    for visit in visits:
        taken, why = visit.taken, visit.why
        facts |= {name: {} for name in visit.names[:taken]}
        if taken == len(visit.names):
            continue
        first = visit.names[taken]
        facts[first] = put_off(waiting[first], now)
        lost += not facts[first]
        last = f"; message {waiting[first]['body']['id']} is given up" if not facts[first] else ""
        screen.stderr(f"a receiver on {visit.receiver.host} was not told: {why}{last}", "magenta", event="notify")
    if lost:
        facts[TALLY] = counted(tools.journal.facts(TALLY).get(TALLY, {}), (), lost)
    tools.journal.note(facts, now)


class _Visit:
    """What one receiver is sent now, one message after the other, and how far that came.

    Attributes:
        taken: So many of them it took.
        why: Why it did not take the next one.
    """

    def __init__(self, receiver: Receiver, messages: Sequence[Mapping[str, object]], names: Sequence[str]) -> None:
        self.receiver = receiver
        self.names = names
        self.taken = 0
        self.why = "no answer in time"
        self._messages = messages

    def make(self, base: Path, now: datetime, secrets: Secrets) -> None:
        from reconciler.edge.webhook import post, signature

        receiver = self.receiver
        try:
            secret = secrets.reveal(receiver.secret)
        except SecretUnavailable as error:
            self.why = f"{error.what} ({error.where})"
            return
        for message in self._messages:
            body = secrets.scrub(json.dumps(message["body"], ensure_ascii=False)).encode()
            why = post(receiver.url, body, signature(secret, now, body), base / receiver.ca if receiver.ca else None)
            if why:
                self.why = why
                return
            self.taken += 1

"""A day on which nothing happens that anybody has to hear of: Group Policy, ADMT at work, controllers that restart.

A watch looks every five minutes, and when something is due. Somebody else's changes and the watch's looks fall where a seed
puts them. With one real change in the middle there is exactly one drift, told once and set right once.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest

from reconciler.core.errors import Unreachable
from reconciler.core.exit_codes import ExitCode
from reconciler.core.report import Report
from reconciler.engine.pace import next_look
from tests.engine.watching import HOUR, KEY, MINUTE, Bench, setting

SECOND = timedelta(seconds=1)
DAY = timedelta(hours=24)
EVERY = 5 * MINUTE
GROUP = "test.setting/h/group"  # its value is the member: 0 for none
POLICY = ("policy0", "policy1", "policy2")
SEEDS = range(12)
Happening = tuple[datetime, str, Callable[[], None]]


@dataclass
class Day:
    """What a watch did and said."""

    bench: Bench
    passes: int = 0
    told: list[tuple[datetime, str, str]] = field(default_factory=list)
    codes: Counter[int] = field(default_factory=Counter)
    seen_full: int = 0
    unanswered: int = 0

    def spend(self, happenings: list[Happening]) -> None:
        """Let everything happen at its time, and the watch look in between."""
        begin = self.bench.clock.at
        waiting = sorted(happenings, key=lambda one: one[0])
        look = begin
        while self.bench.clock.at < begin + DAY:
            if waiting and waiting[0][0] <= look:
                at, _, happen = waiting.pop(0)
                self.bench.clock.at = max(self.bench.clock.at, at)
                happen()
                continue
            self.bench.clock.at = max(self.bench.clock.at, look)
            self._note(self.bench.look())
            now, resources = self.bench.clock.at, self.bench.resources
            look = next_look(now, EVERY, self.bench.journal.obligations(), resources, self.bench.wakes())

    def _note(self, report: Report) -> None:
        self.passes += 1
        self.codes[int(report.exit_code)] += 1
        self.seen_full += self.bench.value("group") != 0
        self.unanswered += report.exit_code == ExitCode.UNREACHABLE
        self.told += [(report.started, drift.key, drift.comes_from) for drift in report.drifts]


def begun() -> Day:
    """Return a day that begins with everything as wanted."""
    resources = [setting(), *(setting(name) for name in POLICY), setting("group", 0, settle="2m")]
    bench = Bench(*resources)
    bench.apply()
    bench.world.writes.clear()
    return Day(bench)


def group_policy(bench: Bench, chance: random.Random) -> list[Happening]:
    """Every 90 minutes and up to 30 more the same values are written again."""
    found: list[Happening] = []
    at, end = bench.clock.at + chance.random() * HOUR, bench.clock.at + DAY
    while at < end:
        found += [(at, "Group Policy", lambda name=name: bench.edit(1, "DC1", name)) for name in POLICY]  # type: ignore[misc]
        at += 90 * MINUTE + chance.random() * 30 * MINUTE
    return found


def admt(bench: Bench, chance: random.Random) -> list[Happening]:
    """Six runs of up to two hours: one account after the other is in the group for some seconds."""
    found: list[Happening] = []
    member = 0
    for hour in range(1, 24, 4):
        at = bench.clock.at + hour * HOUR
        end = at + (0.2 + 1.8 * chance.random()) * HOUR
        while at < end:
            member += 1
            held = chance.uniform(1, 40) * SECOND
            found.append((at, "ADMT", lambda member=member: bench.edit(member, "DC1", "group")))  # type: ignore[misc]
            found.append((at + held, "ADMT", lambda: bench.edit(0, "DC1", "group")))
            at += held + chance.uniform(1, 20) * SECOND
    return found


def restarts(bench: Bench, chance: random.Random) -> list[Happening]:
    """Twice a controller does not answer for up to twelve minutes."""
    found: list[Happening] = []
    for hour in (5, 17):
        at = bench.clock.at + (hour + chance.random()) * HOUR

        def goes() -> None:
            bench.world.broken.update(dict.fromkeys(("a", "group"), Unreachable("no answer")))

        found.append((at, "restart", goes))
        found.append((at + chance.uniform(6, 12) * MINUTE, "restart", bench.world.broken.clear))
    return found


def ordinary(bench: Bench, seed: int) -> list[Happening]:
    chance = random.Random(seed)
    return [*group_policy(bench, chance), *admt(bench, chance), *restarts(bench, chance)]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_day_on_which_nothing_happens_has_no_alarm(
    seed: int, record_testsuite_property: Callable[[str, object], None]
) -> None:
    day = begun()
    happenings = ordinary(day.bench, seed)
    day.spend(happenings)
    record_testsuite_property(
        f"no-op day {seed}",
        f"{day.passes} looks, {len(happenings)} happenings, {day.seen_full} looks found the group full",
    )
    assert (day.told, day.bench.world.writes) == ([], [])
    assert set(day.codes) <= {ExitCode.OK, ExitCode.UNREACHABLE}
    # The day was not so quiet that nothing could have been told.
    assert day.passes >= 24 * 12
    assert day.seen_full > 5
    assert day.unanswered >= 2


@pytest.mark.parametrize("seed", SEEDS)
def test_one_real_change_in_the_middle_is_told_once_and_set_right_once(seed: int) -> None:
    day = begun()
    at = day.bench.clock.at + random.Random(seed).uniform(7, 16) * HOUR
    day.spend([*ordinary(day.bench, seed), (at, "somebody", lambda: day.bench.edit(5, "DC2"))])
    ((told, key, comes_from),) = day.told
    assert (key, comes_from) == (KEY, "corrective")
    assert at <= told <= at + EVERY + MINUTE
    assert day.bench.world.writes == ["set a"]
    assert [(one.key, one.on) for one in day.bench.history() if one.comes_from == "corrective"] == [(KEY, "DC2")]


def test_what_a_crashed_run_left_in_the_group_is_no_part_of_an_ordinary_day() -> None:
    day = begun()
    at = day.bench.clock.at + 22 * HOUR  # the last run is over by then
    day.spend(
        [*ordinary(day.bench, 1), (at + HOUR + 30 * MINUTE, "crash", lambda: day.bench.edit(999, "DC1", "group"))]
    )
    ((_, key, comes_from),) = day.told
    assert (key, comes_from, day.bench.value("group")) == (GROUP, "corrective", 0)

"""A thousand random days of a watch: changes, lines that break, controllers and hosts that restart, and edits of its file.

Whatever comes in between: no drift is lost, none is told twice, and in the end everything that is to be corrected is as wanted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

from reconciler.engine.unsettled import stalls
from tests.soak import SOAK
from tests.watch.declaring import FAULTY, RIGHT, UNSEEN, edited, text_of
from tests.watch.driven import PACE, Driven
from tests.watch.oracle import Belief, Look, follow

SCHEDULES = 20_000 if SOAK else 1_000
PARTS = 20
MINUTE = timedelta(minutes=1)
LONGEST_RETRY = timedelta(seconds=61)
CALM_H = 26
"""Within a day and some more the last correction that was put off is due."""


def befall(driven: Driven, chance: Random, happened: Counter[str]) -> None:
    """Let one thing happen."""
    world = driven.world
    what = chance.choice(("change",) * 5 + ("disconnect", "switch", "restart", "host", "deaf", "edit", "fault"))
    happened[what] += 1
    if what == "change":
        chance.choice(sorted(driven.good.values(), key=lambda spec: spec.name)).disturb(world, chance)
    elif what == "disconnect":
        world.cut()
    elif what == "switch":
        world.switch()
    elif what == "restart":
        at = chance.choice((0, 1))
        world.domain.up[at] = False
        world.cut(at)
        world.disturbed()
        world.time.after(chance.uniform(0.5, 20), lambda: _back(driven, at))
    elif what == "host":
        world.host_up = False
        world.disturbed()
        world.time.after(chance.uniform(1, 40), lambda: _host_back(driven))
    elif what == "deaf":
        world.deaf = chance.randint(1, 6)
        world.disturbed()
    elif what == "edit":
        driven.good = edited(driven.good, chance)
        driven.write(text_of(driven.good), driven.good)
    else:
        driven.write(chance.choice(FAULTY), None)


def _back(driven: Driven, at: int) -> None:
    driven.world.domain.up[at] = True
    driven.world.disturbed()


def _host_back(driven: Driven) -> None:
    driven.world.host_up = True
    driven.world.disturbed()


def calm(driven: Driven, chance: Random) -> None:
    """Let everything come back, and the watch end once nothing is left to be done."""
    world = driven.world
    world.domain.up, world.host_up, world.deaf = [True, True], True, 0
    world.disturbed()
    _mend(driven)
    world.time.after(30, lambda: _end(driven, driven.time.at + timedelta(hours=CALM_H)))


def _mend(driven: Driven) -> None:
    """Write the last good state file again where a faulty one lies there."""
    if driven.path.read_text(encoding="utf-8") != text_of(driven.good):
        driven.write(text_of(driven.good), driven.good)


def _end(driven: Driven, latest: datetime) -> None:
    """End once the last look saw everything as it is, and it is right or nothing more is tried."""
    _mend(driven)  # what was to happen in the middle of the last look happened after the calm began
    stalled, last = stalls(driven.journal_), driven.looks[-1]
    for spec in driven.good.values():
        now = spec.state(driven.world)
        wrong = spec.policy == "correct" and now != RIGHT and spec.key not in stalled
        if (wrong or last.seen[spec.name] != {now}) and driven.time.at < latest:
            driven.time.after(20, lambda: _end(driven, latest))
            return
    driven.ends = driven.time.at


def lived(seed: int, path: Path, happened: Counter[str]) -> Driven:
    """Live through one schedule."""
    chance = Random(seed)
    driven = Driven(path, chance)
    at = 2.0
    for _ in range(chance.randint(6, 14)):
        at += chance.choice((chance.uniform(0, 0.3), chance.uniform(0.2, 2), chance.uniform(1, 25)))
        if chance.random() < 0.3:
            driven.time.after(at, lambda: driven.in_the_middle.append(lambda: befall(driven, chance, happened)))
        else:
            driven.time.after(at, lambda: befall(driven, chance, happened))
    driven.time.after(at + 1, lambda: calm(driven, chance))
    driven.run()
    return driven


def wrongs(driven: Driven) -> list[str]:
    """Return everything that is not as it must be."""
    found = [f"no look came in time after the change at {one}" for one in driven.late]
    found += _untrue(driven.looks)
    found += _gaps(driven.looks)
    found += _repeated(driven.looks)
    news = sum(text in FAULTY and text != before for before, text in pairwise([None, *driven.read_]))
    if len(driven.faults) != news:
        found.append(f"{news} faulty state files were told {len(driven.faults)} times")
    stalled = stalls(driven.journal_)
    for spec in driven.good.values():
        if spec.policy == "correct" and spec.state(driven.world) != RIGHT and spec.key not in stalled:
            found.append(f"{spec.key} is not as wanted in the end: {spec.state(driven.world)}")
    return found


def _untrue(looks: list[Look]) -> list[str]:
    found = []
    for name in sorted({one for look in looks for one in look.seen}):
        beliefs = {Belief()}
        for number, look in enumerate(looks):
            if not (after := follow(beliefs, name, look)):
                key = next((key for key in (*look.said, *look.sighted, *look.open) if key.endswith(f"/{name}")), name)
                told = (look.said.get(key), look.sighted.get(key), look.open.get(key))
                found.append(f"look {number} at {look.begin}: {name} was seen {look.seen.get(name)}, told was {told}; before: {beliefs}")  # fmt: skip
                break
            beliefs = after
    return found


def _gaps(looks: list[Look]) -> list[str]:
    found = []
    for one, other in pairwise(looks):
        blind = not one.disturbed and any(UNSEEN in one.seen[name] for name in one.wanted)
        assert one.end is not None
        if other.begin - one.end > (LONGEST_RETRY if blind else PACE.hosts_every):
            found.append(f"after {one.end} nobody looked before {other.begin}")
    return found


def _repeated(looks: list[Look]) -> list[str]:
    def gist(look: Look) -> object:
        return (list(look.wanted.items()), look.seen, look.after, look.facts)

    return [
        f"{other.begin}: the same was shown again"
        for one, other in pairwise(looks)
        if other.shown and not (one.disturbed or other.disturbed) and gist(one) == gist(other)
        and all(other.seen[name] == {state} for name, state in other.after.items())
    ]  # fmt: skip


@pytest.mark.parametrize("part", range(PARTS))
def test_no_drift_is_lost_and_none_is_told_twice(
    part: int, tmp_path: Path, record_testsuite_property: Callable[[str, object], None]
) -> None:
    happened: Counter[str] = Counter()
    for seed in range(part, SCHEDULES, PARTS):
        driven = lived(seed, tmp_path / "state.yaml", happened)
        assert wrongs(driven) == [], f"schedule {seed}"
        happened["looks"] += len(driven.looks)
        happened.update(driven.told())
    record_testsuite_property(f"schedules {part}", dict(happened))
    # The days were not so quiet that nothing could have been told.
    assert happened["opened"] > SCHEDULES / PARTS
    assert happened["looks"] > 5 * SCHEDULES / PARTS

"""Two hosts that run ADMT at the same time, and crashes anywhere: the same end, and no account ever goes through both.

The lanes of the engine run in threads of which one goes at a time; a seed says which. So every schedule is the same each time.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from threading import Condition, Thread, current_thread

import pytest

from reconciler.core.graph import Graph
from reconciler.core.query import Rows
from reconciler.core.steps import Effect, RunTask
from reconciler.core.values import Phase
from reconciler.engine.converge import converge, plan_only
from reconciler.engine.intents import scope
from reconciler.engine.run import Result, Tools
from reconciler.resources.facts import ACCOUNTS
from reconciler.resources.kinds import revive
from reconciler.resources.leftovers import with_leftovers
from tests.crash.schedules import SimulatedJournal, StoppedClock, without_threads
from tests.crash.simulated import SimulatedWorld, check_promises, items, leftovers, people
from tests.crash.simulated_start import PEOPLE, Tables, start
from tests.crash.test_schedules import Crash, Doom
from tests.declared import graph, lab
from tests.soak import examples

HOSTS = ("source-pdc", "admt", "admt2")
SEEDS = examples(60)
PERIL = 0.15


@cache
def declared() -> Graph:
    """Return the example with a second controller of the target that runs ADMT."""
    document = lab(also_admt_hosts=["admt2"], approvals=["disable-lsa-protection"], canary="off")
    document["migration"]["accounts"][0]["batch"] = 1
    document["hosts"]["admt2"] = {"domain": "target", "address": "tgtdc2.target.lab"}
    return graph(document)


class Turns:
    """Lets one of several threads go at a time, as a seed says."""

    def __init__(self, count: int, chance: random.Random) -> None:
        self._waiting = list(range(count))
        self._chance = chance
        self._changed = Condition()
        self._turn = chance.choice(self._waiting)

    def wait(self, mine: int) -> None:
        """Wait until it is this one's turn."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._turn == mine, 30)

    def pass_on(self, mine: int) -> None:
        """Let somebody go on, perhaps the same one."""
        with self._changed:
            self._turn = self._chance.choice(self._waiting)
            self._changed.notify_all()
        self.wait(mine)

    def leave(self, mine: int) -> None:
        """End; somebody else goes on."""
        with self._changed:
            self._waiting.remove(mine)
            if self._waiting:
                self._turn = self._chance.choice(self._waiting)
            self._changed.notify_all()


class TwoHosts(SimulatedWorld):
    """Does pieces of work at the same time; the end of the program meets each of them where it is.

    Attributes:
        ran: On which hosts ADMT was run for an account, by name.
        most: How many effects were under way at once, at the most.
        peril: How likely the program ends at an effect while both hosts are at work.
    """

    def __init__(self, tables: Tables, chance: random.Random, ran: dict[str, set[str]], peril: float = 0.0) -> None:
        super().__init__(tables, None)
        self.peril = peril
        self.ran, self.most, self.kept = ran, 0, SimulatedJournal()
        self._chance, self._turns, self._gone, self._under_way = chance, None, False, 0
        self._mine: dict[str, int] = {}

    _turns: Turns | None

    def do_together(self, works: Sequence[Callable[[], None]]) -> None:
        self._turns = turns = Turns(len(works), self._chance)
        ended: dict[int, BaseException] = {}

        def lane(number: int, work: Callable[[], None]) -> None:
            turns.wait(number)
            try:
                work()
            except BaseException as error:
                self._gone = True
                ended[number] = error
            finally:
                turns.leave(number)

        threads = [Thread(target=lane, args=one, name=f"lane {one[0]}") for one in enumerate(works)]
        self._mine = {thread.name: number for number, thread in enumerate(threads)}
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        self._turns = None
        for number in sorted(ended):
            raise ended[number]

    def do(self, effect: Effect) -> Rows:
        if self._turns is not None:
            self._under_way += 1
            self.most = max(self.most, self._under_way)
            self._turns.pass_on(self._mine[current_thread().name])
            self._under_way -= 1
            self._gone |= self._chance.random() < self.peril
            if self._gone:  # it was on its way when the program ended: perhaps it arrived
                if self._chance.random() < 0.5:
                    self._done(effect)
                raise Crash
        rows = super().do(effect)
        check_promises(self.tables, self.kept, original())
        return rows

    def _done(self, effect: Effect) -> Rows:
        if isinstance(effect, RunTask):
            path = next(str(one)[3:] for one in effect.arguments if str(one).startswith("/F:"))
            for line in self.tables.files[effect.host, path].split("\n")[1:]:
                self.ran.setdefault(line.split(",")[0], set()).add(effect.host)
        return super()._done(effect)


@cache
def original() -> dict[tuple[str, ...], object]:
    return items(start(HOSTS))


@pytest.fixture(autouse=True)
def fast() -> Iterator[None]:
    with without_threads():
        yield


def started(phase: Phase, world: TwoHosts, journal: SimulatedJournal) -> Result:
    world.kept = journal
    whole = with_leftovers(declared(), phase, journal.facts(ACCOUNTS))
    return converge(scope(whole, phase, journal, revive), Tools(world, journal, StoppedClock(), "run"))


def test_both_hosts_are_at_work_at_once() -> None:
    world = TwoHosts(start(HOSTS), random.Random(1), {})
    ended = started("migrate", world, SimulatedJournal())
    assert {one.key: one.error for one in ended.outcomes if one.error} == {}
    assert set(world.ran) == set(PEOPLE)
    assert {host for hosts in world.ran.values() for host in hosts} == {"admt", "admt2"}
    assert world.most == 2


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_schedule_with_crashes_ends_as_if_nothing_had_happened(seed: int) -> None:
    chance = random.Random(seed)
    ran: dict[str, set[str]] = {}
    world, journal = TwoHosts(start(HOSTS), chance, ran), SimulatedJournal()
    phases: tuple[Phase, Phase] = ("migrate", "complete")
    for phase in phases:
        for _ in range(chance.randint(0, 4 if phase == "migrate" else 2)):
            world, journal = TwoHosts(world.tables.copy(), chance, ran, PERIL), journal.copy()
            Doom(world, journal, chance.randint(1, 640), chance.random() < 0.3)
            try:
                started(phase, world, journal)
            except Crash:
                continue
        world, journal = TwoHosts(world.tables.copy(), chance, ran), journal.copy()
        ended = started(phase, world, journal)
        assert ended.converged
        assert {o.key: o.error for o in ended.outcomes if o.status not in ("changed", "unchanged")} == {}
        again = with_leftovers(declared(), phase, journal.facts(ACCOUNTS))
        assert plan_only(scope(again, phase, journal, revive), Tools(world, journal, StoppedClock(), "r")).quiet
        assert leftovers(world.tables) == []
    assert items(world.tables) == original()
    assert journal.obligations() == []
    assert len(people(world.tables)) == len(PEOPLE)
    assert {name: len(hosts) for name, hosts in ran.items()} == dict.fromkeys(PEOPLE, 1)


def test_a_seed_says_who_goes_first() -> None:
    def orders(seed: int) -> list[str]:
        world, done = TwoHosts(start(HOSTS), random.Random(seed), {}), list[str]()
        world.before = lambda effect: done.append(str(effect))
        started("migrate", world, SimulatedJournal())
        return done

    assert orders(3) == orders(3)
    assert len({tuple(orders(seed)) for seed in range(5)}) > 1

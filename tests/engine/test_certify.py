"""Reading back and watching, judged by what the world says: every controller, our own undoing, and what came after."""

from __future__ import annotations

from datetime import UTC, datetime

from reconciler.core.certificate import Closing
from reconciler.core.errors import Unreachable
from reconciler.core.graph import Graph
from reconciler.core.resource import Declaration, Resource
from reconciler.core.values import Phase
from reconciler.engine.alarm import certified_fact, watch
from reconciler.engine.certify import CERTIFIED, ReadBack, Sources, pending, read_back
from reconciler.engine.converge import converge
from reconciler.engine.intents import Scope, scope
from reconciler.engine.run import Tools
from tests.fake_journal import MemoryJournal
from tests.fake_world import Entry, FakeClock, FakeWorld, Setting, revive

MIGRATE: frozenset[Phase] = frozenset({"migrate"})
FILE = "cutover.certificate.json"
AT = datetime(2026, 12, 1, tzinfo=UTC)
DOWN = Unreachable("no answer", target="dc2.d")


class Bench:
    """A world with two controllers, a journal, and resources that were set for a while."""

    def __init__(self, *resources: Resource, world: FakeWorld | None = None) -> None:
        self.resources = resources
        self.world = world or FakeWorld()
        self.world.dcs["d"] = ("dc1.d", "dc2.d")
        self.journal, self.clock = MemoryJournal(), FakeClock()

    @property
    def sources(self) -> Sources:
        return Sources(self.world, self.journal, self.clock, revive)

    def scope(self, phase: Phase = "complete") -> Scope:
        return scope(Graph([Declaration(r) for r in self.resources]), phase, self.journal, revive)

    def apply(self, phase: Phase) -> None:
        converge(self.scope(phase), Tools(self.world, self.journal, self.clock, "run"))

    def migrate(self) -> None:
        self.apply("migrate")
        self.apply("complete")

    def pending(self, *there: str) -> list[str]:
        return [promise.key for promise in pending(self.scope(), self.journal, there)]

    def read_back(self) -> ReadBack:
        return read_back(pending(self.scope(), self.journal, ()), self.scope(), self.sources)

    def certify(self) -> None:
        found = self.read_back()
        assert found.doubts == ()
        facts = {CERTIFIED + s.promise.key: certified_fact(s, AT.isoformat(), FILE) for s in found.settings}
        self.journal.note(facts, AT)

    def watch(self, phase: Phase = "complete") -> Closing:
        return watch(self.scope(phase), self.sources)


def both() -> Bench:
    return Bench(Entry(name="e", value=1, during=MIGRATE), Setting(name="a", value=1, during=MIGRATE, weakens="open"))


def doubts(found: ReadBack) -> set[tuple[str, str]]:
    assert found.settings == ()
    return {(doubt.key, doubt.where) for doubt in found.doubts}


def test_a_setting_in_a_directory_is_read_on_each_controller_and_one_of_a_host_there() -> None:
    bench = both()
    bench.migrate()
    read = {s.promise.key: [(r.where, r.verdict) for r in s.readings] for s in bench.read_back().settings}
    assert read == {
        "test.entry/d/e": [("dc1.d", "as it was"), ("dc2.d", "as it was")],
        "test.setting/h/a": [("h", "as it was")],
    }


def test_a_controller_that_still_has_what_we_set_withholds_everything() -> None:
    bench = both()
    bench.migrate()
    bench.world.apart["dc2.d", "e"] = 1
    assert doubts(bench.read_back()) == {("test.entry/d/e", "dc2.d")}
    del bench.world.apart["dc2.d", "e"]
    assert bench.read_back().doubts == ()


def test_a_controller_that_does_not_answer_withholds_everything_and_is_named_once() -> None:
    bench = both()
    bench.migrate()
    bench.world.broken["dc2.d"] = DOWN
    assert doubts(bench.read_back()) == {("", "dc2.d")}


def test_controllers_that_are_not_known_withhold_everything() -> None:
    bench = both()
    bench.migrate()
    bench.world.broken["d"] = Unreachable("no DNS", target="d")
    assert doubts(bench.read_back()) == {("", "d")}
    del bench.world.broken["d"]
    bench.world.dcs["d"] = ()
    assert doubts(bench.read_back()) == {("", "d")}


def test_a_host_that_does_not_answer_withholds_everything() -> None:
    bench = both()
    bench.migrate()
    bench.world.broken["a"] = Unreachable("no answer", target="h")
    assert doubts(bench.read_back()) == {("test.setting/h/a", "h")}


def test_what_somebody_set_again_before_the_certificate_withholds_it() -> None:
    bench = both()
    bench.migrate()
    bench.world.values["h", "a"] = {"value": 1}
    assert doubts(bench.read_back()) == {("test.setting/h/a", "h")}


def test_reading_back_changes_nothing() -> None:
    bench = both()
    bench.migrate()
    before, history = list(bench.world.writes), bench.journal.history()
    bench.certify()
    bench.watch()
    assert (bench.world.writes, bench.journal.history()) == (before, history)


def test_what_went_with_our_own_undoing_counts_as_put_back() -> None:
    bench = Bench(
        Setting(name="software", value=1, during=MIGRATE),
        Setting(name="part", value=1, during=MIGRATE, needs=("software",)),
        world=FakeWorld({("h", "part"): {"value": 0}}),
    )
    bench.migrate()
    bench.world.values.clear()  # the part went with its software
    (part,) = (s for s in bench.read_back().settings if s.promise.key.endswith("part"))
    assert [r.verdict for r in part.readings] == ["gone"]


def test_what_is_gone_for_another_reason_withholds() -> None:
    bench = Bench(
        Setting(name="a", value=1, during=MIGRATE),
        Setting(name="b", value=1, during=MIGRATE),
        world=FakeWorld({("h", "a"): {"value": 0}}),
    )
    bench.migrate()
    bench.world.values.clear()
    assert doubts(bench.read_back()) == {("test.setting/h/a", "h")}


def test_what_somebody_changed_and_shall_keep_is_certified_as_kept() -> None:
    bench = Bench(Setting(name="a", value=1, during=MIGRATE, on_conflict="keep"))
    bench.apply("migrate")
    bench.world.values["h", "a"] = {"value": 7}
    bench.apply("complete")
    (found,) = bench.read_back().settings
    assert [(r.verdict, r.observed.managed()) for r in found.readings] == [("kept", ("value",))]


def test_what_is_certified_is_not_pending_until_it_is_set_and_put_back_again() -> None:
    bench = both()
    bench.migrate()
    bench.certify()
    assert bench.pending(FILE) == []
    bench.apply("migrate")
    assert bench.pending(FILE) == []  # owed again
    bench.apply("complete")
    assert sorted(bench.pending(FILE)) == ["test.entry/d/e", "test.setting/h/a"]


def test_a_certificate_that_was_lost_covers_nothing() -> None:
    bench = both()
    bench.migrate()
    bench.certify()
    assert len(bench.pending()) == 2


def test_what_the_state_file_wants_for_good_is_neither_certified_nor_watched() -> None:
    bench = both()
    bench.migrate()
    bench.certify()
    bench.resources = (Entry(name="e", value=1), Setting(name="a", value=1))
    bench.world.values["h", "a"] = {"value": 1}
    assert bench.pending() == []
    assert bench.watch() == Closing()


def test_what_never_differed_is_not_certified() -> None:
    bench = Bench(Setting(name="a", value=1, during=MIGRATE), world=FakeWorld({("h", "a"): {"value": 1}}))
    bench.migrate()
    assert bench.pending() == []


def test_nothing_is_an_alarm_while_it_stays_as_it_was_certified() -> None:
    bench = both()
    bench.migrate()
    bench.world.values["h", "other"] = {"value": 1}
    bench.certify()
    assert bench.watch() == Closing()


def test_what_we_had_set_and_is_there_again_is_an_alarm_with_what_it_weakens() -> None:
    bench = both()
    bench.migrate()
    bench.certify()
    bench.world.values["h", "a"] = {"value": 1}
    (alarm,) = bench.watch().alarms
    assert (alarm.key, alarm.kind, alarm.weakens) == ("test.setting/h/a", "reappeared", "open")
    assert alarm.certified_at == AT.isoformat()


def test_what_is_another_thing_now_is_an_alarm_that_claims_no_weakening() -> None:
    bench = both()
    bench.migrate()
    bench.certify()
    bench.world.values["h", "a"] = {"value": 5}
    (alarm,) = bench.watch().alarms
    assert (alarm.kind, alarm.weakens) == ("changed", "")


def test_fields_that_we_did_not_manage_are_nobodys_alarm() -> None:
    bench = Bench(Setting(name="a", value=1, during=MIGRATE), world=FakeWorld({("h", "a"): {"value": 0, "text": "x"}}))
    bench.migrate()
    bench.certify()
    bench.world.values["h", "a"]["text"] = "y"
    assert bench.watch() == Closing()


def test_an_alarm_is_not_acted_on() -> None:
    bench = both()
    bench.migrate()
    bench.certify()
    bench.world.values["h", "a"] = {"value": 1}
    bench.apply("complete")
    assert bench.world.values["h", "a"] == {"value": 1}
    assert len(bench.watch().alarms) == 1


def test_what_is_wanted_again_by_a_new_migration_is_no_alarm() -> None:
    bench = both()
    bench.migrate()
    bench.certify()
    bench.apply("migrate")
    assert bench.watch("migrate") == Closing()
    assert bench.watch() == Closing()


def test_nothing_is_watched_before_completion() -> None:
    bench = both()
    bench.migrate()
    bench.certify()
    bench.world.values["h", "a"] = {"value": 1}
    assert bench.watch("prepare") == Closing()


def test_what_cannot_be_observed_is_an_error_and_no_alarm() -> None:
    bench = both()
    bench.migrate()
    bench.certify()
    bench.world.broken["a"] = Unreachable("no answer", target="h")
    found = bench.watch()
    assert found.alarms == ()
    assert list(found.unknown) == ["test.setting/h/a"]

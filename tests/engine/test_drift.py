"""Drift with a name: its class, since when and where, what it contradicts, what it would take."""

from __future__ import annotations

from datetime import timedelta

import pytest

from reconciler.core.errors import Unreachable
from reconciler.core.exit_codes import ExitCode
from reconciler.core.report import Report
from reconciler.engine.converge import converge
from reconciler.engine.run import Tools
from tests.engine.watching import KEY, MINUTE, Bench, setting
from tests.fake_world import Reboot, Setting

IGNORED = {"ignore": {"because": "known", "until": "2026-11-30"}}


def brought() -> Bench:
    """A bench on which everything was brought there an hour ago."""
    bench = Bench()
    bench.apply()
    bench.wait(timedelta(hours=1))
    return bench


def test_what_was_never_there_is_intended() -> None:
    bench = Bench()
    (drift,) = bench.drift()
    assert (drift.comes_from, drift.because) == ("intended", "never yet as wanted")
    assert bench.world.asked == 0


def test_what_the_state_file_asks_for_anew_is_intended() -> None:
    bench = brought()
    bench.resources = (setting(value=2),)
    (drift,) = bench.drift()
    assert (drift.comes_from, drift.because) == ("intended", "the state file asks for something else since")


def test_what_somebody_changed_is_external_and_says_all_that_is_known() -> None:
    bench = brought()
    bench.edit(5, on="DC2")
    at = bench.clock.at
    bench.wait(5 * MINUTE)
    (drift,) = bench.drift()
    assert (drift.key, drift.comes_from, drift.where, drift.policy) == (KEY, "external", "state.yaml:7:3", "correct")
    assert [(one.field, one.observed, one.wanted) for one in drift.differs] == [("value", 5, 1)]
    assert (drift.since, drift.on) == (at.replace(microsecond=0), "DC2")
    assert drift.repair == tuple(str(step) for step in setting().steps(setting(value=5).with_facts(boot=0), frozenset({"value"})))  # fmt: skip


def test_who_it_was_is_not_known_where_nothing_tells() -> None:
    bench = brought()
    bench.edit(5)
    (drift,) = bench.drift()
    assert (drift.comes_from, drift.since, drift.on) == ("external", None, "")


def test_our_own_write_is_nobody_elses() -> None:
    bench = brought()
    wrote = next(entry["at"] for entry in bench.journal.history() if entry["event"] == "step")
    bench.edit(5)
    bench.world.changed["a"] = ("DC2", type(bench.clock.at).fromisoformat(str(wrote)))
    assert [(drift.since, drift.on) for drift in bench.drift()] == [(None, "")]


def test_nothing_is_said_of_a_field_that_nothing_tells_about() -> None:
    bench = Bench(setting(text="x"))
    bench.apply()
    bench.wait(timedelta(hours=1))
    bench.edit(5, on="DC2")  # the other field is gone as well, and of that the directory says nothing
    assert [(drift.since, drift.on) for drift in bench.drift()] == [(None, "")]


def test_what_was_right_before_we_came_drifts_too() -> None:
    bench = Bench()
    bench.world.values["h", "a"] = {"value": 1}
    bench.apply()
    bench.wait(MINUTE)
    bench.edit(5, on="DC1")
    (drift,) = bench.drift()
    assert (drift.comes_from, drift.on) == ("external", "DC1")


def test_what_cannot_be_observed_is_unknown() -> None:
    bench = brought()
    bench.world.broken["a"] = Unreachable("no answer")
    (drift,) = bench.drift()
    assert (drift.comes_from, drift.error, drift.differs) == ("unknown", "no answer", ())


def test_what_goes_back_is_intended() -> None:
    (drift,) = brought().drift("complete")
    assert (drift.comes_from, drift.because) == ("intended", "it goes back")


def test_what_went_back_and_is_wanted_again_is_intended() -> None:
    bench = brought()
    bench.apply("complete")
    (drift,) = bench.drift("migrate")
    assert drift.comes_from == "intended"


def test_what_went_back_in_a_run_that_ended_too_early_is_intended_when_it_is_wanted_again() -> None:
    bench = brought()
    converge(bench.scope("complete"), Tools(bench.world, bench.journal, bench.clock, "r"))  # nothing is concluded
    bench.apply("complete")
    assert [drift.comes_from for drift in bench.drift("migrate")] == ["intended"]


def test_what_waits_because_its_lease_ended_is_intended() -> None:
    bench = Bench(setting(lease="8h"))
    bench.apply()
    bench.wait(timedelta(hours=9))
    converge(bench.scope(), Tools(bench.world, bench.journal, bench.clock, "r"))
    assert [drift.because for drift in bench.drift()] == ["its lease ended"]


def test_a_restart_follows_and_is_no_drift_of_its_own() -> None:
    bench = Bench(setting(restart=True), Reboot(after=(KEY,), pending=()))
    bench.apply()
    bench.edit(5)
    assert {drift.key: drift.comes_from for drift in bench.drift()} == {KEY: "external", "test.restart/h": "intended"}


class Renewed(Setting):
    """A setting whose text has to be renewed from time to time."""

    renews = ("text",)


def test_what_time_alone_changes_is_no_drift() -> None:
    bench = Bench(Renewed(name="a", value=1, text="fresh"))
    bench.apply()
    bench.world.values["h", "a"]["text"] = "stale"
    assert [drift.comes_from for drift in bench.drift()] == ["intended"]
    bench.world.values["h", "a"]["value"] = 2
    assert [drift.comes_from for drift in bench.drift()] == ["external"]


def test_looking_writes_nothing() -> None:
    bench = brought()
    bench.edit(5)
    before = (bench.journal.facts(""), bench.journal.history(), bench.history(), list(bench.world.writes))
    bench.drift()
    assert (bench.journal.facts(""), bench.journal.history(), bench.history(), list(bench.world.writes)) == before


def test_an_ignore_does_not_keep_a_deadline_from_being_pushed_forward() -> None:
    bench = Bench(Renewed.model_validate({"name": "a", "value": 1, "text": "fresh", "on_drift": IGNORED}))
    bench.apply()
    bench.world.values["h", "a"]["text"] = "stale"
    bench.look()
    assert bench.world.values["h", "a"]["text"] == "fresh"


@pytest.mark.parametrize(("fields", "code"), [({}, ExitCode.DRIFT), ({"on_drift": IGNORED}, ExitCode.OK)])
def test_what_is_ignored_is_shown_and_counts_for_nothing(fields: dict[str, object], code: ExitCode) -> None:
    bench = Bench(setting(**fields))  # type: ignore[arg-type]
    bench.apply()
    bench.edit(5)
    now, found = bench.clock.now(), bench.drift()
    report = Report("drift", "r", "s", "migrate", now, now, plan=bench.plan(), drifts=found)
    assert report.exit_code == code
    assert [drift.comes_from for drift in found] == ["external"]


def test_an_ignore_does_not_hide_work_that_was_never_done() -> None:
    bench = Bench(setting(on_drift=IGNORED))
    now, found = bench.clock.now(), bench.drift()
    report = Report("drift", "r", "s", "migrate", now, now, plan=bench.plan(), drifts=found)
    assert (report.exit_code, [drift.policy for drift in found]) == (ExitCode.DRIFT, ["correct"])
    assert bench.apply().outcomes[0].status == "changed"

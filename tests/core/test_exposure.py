"""What weakenings weigh, how long work takes, and how long each weakening is foreseen to be live."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Literal

import pytest
from pydantic import ValidationError

from reconciler.core.exposure import REMEMBERED, Exposure, Pace, about, learned, weighted_minutes
from reconciler.core.forecast import LOOKING_S, forecast
from reconciler.core.graph import Graph
from reconciler.core.plan import Change, Intent, Plan, walk_order
from reconciler.core.ports import Obligation
from reconciler.core.query import Command
from reconciler.core.resource import Declaration, Key
from reconciler.core.steps import Effect, ModifyEntry, Restart, RunTask, Step
from reconciler.core.values import Phase
from tests.fake_world import Reboot, Setting

NOW = datetime(2026, 11, 20, 18, tzinfo=UTC)
MIGRATE: frozenset[Phase] = frozenset({"migrate"})
SET: Effect = Command("h", "set")


class Slow(Setting):
    """A setting of which one step takes a minute."""

    typical_s: ClassVar[float] = 60.0
    kind: Literal["test.setting"] = "test.setting"


def slow(name: str, weight: int = 0, **fields: Any) -> Slow:
    about: dict[str, Any] = {"weakens": f"{name} is open", "weight": weight} if weight else {}
    return Slow(name=name, value=1, **{"during": MIGRATE, **about, **fields})


def graph(*resources: Setting) -> Graph:
    return Graph([Declaration(resource) for resource in resources])


def key(name: str) -> Key:
    return f"test.setting/h/{name}"


def change(resource: Setting, direction: Literal["apply", "revert"] = "apply", steps: int = 1) -> Change:
    return Change(resource.key, direction, resource, resource.absent(), (), (Step(SET),) * steps)


def plan_of(found: Graph, *changes: Change, obligations: Mapping[Key, Obligation] | None = None) -> dict[Key, Exposure]:
    exposures = forecast(Plan("migrate", changes), found, obligations or {}, NOW)
    assert len({exposure.key for exposure in exposures}) == len(exposures)
    return {exposure.key: exposure for exposure in exposures}


def opened(resource: Setting, ago: timedelta) -> dict[Key, Obligation]:
    return {resource.key: Obligation(resource.key, {}, {}, (), resource.weakens, NOW - ago, NOW - ago)}


def seconds(exposure: Exposure) -> float:
    assert exposure.live is not None
    return exposure.live.total_seconds()


def step(took_s: float, **fields: Any) -> dict[str, Any]:
    return {"event": "step", "outcome": "done", "key": key("a"), "direction": "apply", "effect": "Command", "took_s": took_s, **fields}  # fmt: skip


# What something weighs.


@pytest.mark.parametrize(
    ("fields", "danger"), [({}, 0), ({"weakens": "x"}, 1), ({"weakens": "x", "weight": 9}, 9), ({"weakens": "x", "weight": 0}, 0)]
)  # fmt: skip
def test_what_weakens_something_weighs_one_unless_it_says_so(fields: dict[str, Any], danger: int) -> None:
    assert Setting(name="a", **fields).danger == danger


def test_weight_is_never_compared_and_is_no_part_of_the_key() -> None:
    light, heavy = (Setting(name="a", value=1, weakens="x", weight=weight) for weight in (1, 100))
    assert light.key == heavy.key
    assert light.managed() == heavy.managed() == ("value",)


@pytest.mark.parametrize("fields", [{"weight": 5}, {"weakens": "x", "weight": -1}, {"weakens": "x", "weight": 101}])
def test_weight_of_nothing_or_out_of_bounds_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Setting(name="a", **fields)


def test_weighted_minutes_are_weight_times_minutes() -> None:
    assert weighted_minutes([(3, timedelta(minutes=2)), (10, timedelta(seconds=30)), (100, None)]) == 11


@pytest.mark.parametrize(
    ("length", "said"),
    [(0, "under a minute"), (59, "under a minute"), (60, "1 min"), (190, "4 min"), (3599, "1 h 00 min"), (12000, "3 h 20 min")],
)  # fmt: skip
def test_foreseen_length_is_said_in_minutes(length: int, said: str) -> None:
    assert about(timedelta(seconds=length)) == said


# How long work takes.


def test_typical_time_counts_until_something_was_measured() -> None:
    assert Pace().seconds(slow("a"), "apply", (Step(SET), Step(SET))) == 120
    assert Pace().seconds(slow("a"), "apply") == 60


def test_change_in_a_directory_is_quick_whatever_else_the_kind_does() -> None:
    quick = Pace().seconds(slow("a"), "apply", (Step(ModifyEntry("d", "CN=x", ())),))
    assert quick < Pace().seconds(slow("a"), "apply", (Step(Restart("h")),)) == 60


def test_what_stands_beside_a_task_is_quick() -> None:
    task = Step(RunTask("h", "run", "admt.exe", (), "c"))
    assert Pace().seconds(slow("a"), "apply", (Step(SET), task, task, Step(SET))) == 126


def test_what_is_under_way_at_once_lasts_as_long_as_the_longest_of_it() -> None:
    lanes = (Step(SET, lane="one"), Step(SET, lane="two"), Step(SET, lane="two"), Step(SET))
    assert Pace().seconds(slow("a"), "apply", lanes) == 180


def test_measured_time_of_a_resource_counts_for_it_and_of_its_kind_for_the_others() -> None:
    pace = learned([step(5.0), step(7.0), step(30.0, key=key("b"))])
    assert pace.seconds(slow("a"), "apply", (Step(SET),)) == 6
    assert pace.seconds(slow("c"), "apply", (Step(SET),)) == 14
    assert pace.seconds(slow("a"), "revert", (Step(SET),)) == 60, "going back was never measured"


def test_sorts_of_steps_are_told_apart() -> None:
    pace = learned([step(200.0, effect="RunTask"), *(step(0.5, effect="ModifyEntry") for _ in range(50))])
    modify = Step(ModifyEntry("d", "CN=x", ()))
    assert pace.seconds(slow("a"), "apply", (modify,) * 4) == 2
    assert pace.seconds(slow("a"), "apply") == 200, "not known yet: as the longest sort"


def test_only_the_latest_steps_count_and_none_that_failed() -> None:
    failed = [step(1.0, outcome="refused"), step(1.0, outcome="unknown"), {"event": "apply", "took_s": 1.0}]
    older = [{name: value for name, value in step(1.0).items() if name != "took_s"}]
    found = learned([step(900.0), *failed, *older, *(step(4.0) for _ in range(REMEMBERED))])
    assert found.seconds(slow("a"), "apply", (Step(SET),)) == 4


# How long a weakening will be live.


def test_weakening_is_live_from_its_start_to_the_end_and_on_the_way_back() -> None:
    a, b, c = slow("a", 5), slow("b"), slow("c", 1)
    found = plan_of(graph(a, b, c), change(a), change(b), change(c))
    assert list(found) == [key("a"), key("c")]
    assert seconds(found[key("a")]) == 180 + LOOKING_S + 60, "a goes back first"
    assert seconds(found[key("c")]) == 60 + LOOKING_S + 120, "then c, and b after what weighs something"


def test_number_of_steps_counts() -> None:
    a, b = slow("a", 5), slow("b")
    assert seconds(plan_of(graph(a, b), change(a), change(b, steps=10))[key("a")]) == 660 + LOOKING_S + 60


def test_time_that_has_passed_already_counts() -> None:
    a, b = slow("a", 5), slow("b")
    promises = opened(a, timedelta(hours=2))
    found = plan_of(graph(a, b), change(b), obligations=promises)
    assert seconds(found[key("a")]) == 7200 + 60 + LOOKING_S + 60
    repaired = plan_of(graph(a, b), change(b), change(a), obligations=promises)
    assert seconds(repaired[key("a")]) == 7200 + 120 + LOOKING_S + 60, "set again: it was live all the time"


def test_what_this_run_puts_back_is_live_until_then() -> None:
    a, b = slow("a", 5), slow("b", 2)
    promises = opened(a, timedelta(hours=1)) | opened(b, timedelta(hours=1))
    found = plan_of(graph(a, b), change(a, "revert"), change(b, "revert"), obligations=promises)
    assert [(one.going_back, seconds(one)) for one in found.values()] == [(True, 3660), (True, 3720)]


def test_what_nothing_puts_back_is_live_for_good() -> None:
    found = plan_of(graph(good := slow("a", 5, during=frozenset({"prepare", "migrate", "complete"}))), change(good))
    assert found[key("a")].live is None


def test_promise_about_what_was_never_changed_is_no_exposure() -> None:
    a = slow("a", 5)
    kept = {a.key: Obligation(a.key, {}, {}, (), a.weakens, NOW)}
    assert plan_of(graph(a), obligations=kept) == {}


# The order of work.


def test_order_of_work_has_what_is_dangerous_last_in_and_first_out() -> None:
    found = graph(slow("door", 50), slow("work"), slow("crack", 1))
    intents = {one: Intent("apply", found[one]) for one in found.declarations}
    assert walk_order(found, intents) == [key("work"), key("crack"), key("door")]
    assert found.order == tuple(walk_order(found, intents))
    back = {one: Intent("revert", intent.wanted) for one, intent in intents.items()}
    assert walk_order(found, back) == [key("door"), key("crack"), key("work")]


def test_what_is_required_through_something_else_comes_first_although_that_is_left_out() -> None:
    found = graph(slow("door", 50), slow("hall", needs=("door",)), slow("room", needs=("hall",)))
    assert found.forward({key("room"), key("door")}) == (key("door"), key("room"))
    assert found.backward({key("room"), key("door")}) == (key("room"), key("door"))


def test_restart_comes_after_what_waits_for_it_and_before_what_needs_it() -> None:
    after = [{"key": key("door")}]
    found = Graph([*graph(slow("door", 50), slow("work")).declarations.values(), Declaration(Reboot.model_validate({"after": after}))])  # fmt: skip
    assert found.order == (key("work"), key("door"), "test.restart/h")


def test_measured_times_change_the_order() -> None:
    found = graph(slow("a", 5), slow("b", 5))
    assert found.order == (key("a"), key("b"))
    assert found.paced(learned([step(1.0), step(300.0, key=key("b"))])).order == (key("b"), key("a"))
    assert found.order == (key("a"), key("b")), "the graph itself is a value"

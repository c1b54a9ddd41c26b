"""What a shell learns: the exit code of every ending, and which one wins where there are several."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import permutations
from typing import Literal

import pytest

from reconciler.core.errors import (
    AuthenticationFailed,
    NeedsPerson,
    ReconcileError,
    Refused,
    Stale,
    UnexpectedAnswer,
    Unreachable,
)
from reconciler.core.exit_codes import SEVERITY, ExitCode, worst
from reconciler.core.plan import Change, Direction, Plan
from reconciler.core.report import Outcome, Report, Status
from reconciler.core.resource import differences
from tests.fake_world import Setting

AT = datetime(2026, 11, 20, 18, tzinfo=UTC)
UNREACHABLE = Unreachable("no answer", target="h")
DENIED = AuthenticationFailed("no", target="h")
REFUSED = Refused("no", target="h")
GATE = NeedsPerson("look")


def change() -> Change:
    wanted = Setting(name="a", value=1)
    return Change(wanted.key, "apply", wanted, wanted.absent(), differences(wanted, wanted.absent()))


def outcome(status: Status, error: ReconcileError | None = None, direction: Direction = "apply") -> Outcome:
    return Outcome("test.setting/h/a", "a", direction, status, error=error)


def apply(*outcomes: Outcome, converged: bool = True) -> ExitCode:
    return Report("apply", "run", "s", "migrate", AT, AT, outcomes=outcomes, converged=converged).exit_code


def look(verb: Literal["plan", "drift"], changes: int = 0, **errors: ReconcileError) -> ExitCode:
    plan = Plan("migrate", changes=(change(),) * changes, errors=errors)
    return Report(verb, "run", "s", "migrate", AT, AT, plan=plan).exit_code


@pytest.mark.parametrize("verb", ["plan", "drift"])
def test_looking_ends_with_0_2_4_or_10(verb: Literal["plan", "drift"]) -> None:
    assert look(verb) == 0
    assert look(verb, changes=1) == 2
    for error in (REFUSED, UnexpectedAnswer("what?"), Stale("moved"), ReconcileError("odd")):
        assert look(verb, a=error) == 4
        assert look(verb, changes=1, a=error) == 4
    for error in (UNREACHABLE, DENIED):
        assert look(verb, a=error) == 10
        assert look(verb, changes=1, a=error, b=REFUSED) == 10


def test_gate_in_a_plan_is_a_change_and_not_yet_waiting() -> None:
    gated = Change(**{**{name: getattr(change(), name) for name in Change.__struct_fields__}, "gate": GATE})
    assert Report("plan", "r", "s", "migrate", AT, AT, plan=Plan("migrate", (gated,))).exit_code == 2


def test_report_without_a_plan_found_nothing() -> None:
    assert Report("drift", "r", "s", "migrate", AT, AT).exit_code == 0


@pytest.mark.parametrize(
    ("ended", "code"),
    [
        (outcome("unchanged"), 0),
        (outcome("changed"), 0),
        (outcome("skipped"), 0),
        (outcome("failed", REFUSED), 4),
        (outcome("failed", ReconcileError("odd")), 4),
        (outcome("failed", Stale("moved")), 4),
        (outcome("failed"), 4),
        (outcome("failed", UNREACHABLE), 10),
        (outcome("failed", DENIED), 10),
        (outcome("waiting", GATE), 7),
        (outcome("unchanged", direction="revert"), 0),
        (outcome("changed", direction="revert"), 0),
        (outcome("failed", REFUSED, "revert"), 9),
        (outcome("failed", UNREACHABLE, "revert"), 9),
        (outcome("waiting", GATE, "revert"), 9),
        (outcome("skipped", direction="revert"), 9),
    ],
    ids=lambda value: f"{value.direction}-{value.status}-{type(value.error).__name__}" if isinstance(value, Outcome) else "",
)  # fmt: skip
def test_ending_of_one_resource_has_its_exit_code(ended: Outcome, code: int) -> None:
    assert apply(outcome("changed"), ended, outcome("unchanged")) == code


def test_nothing_to_do_is_fine() -> None:
    assert apply() == 0


def test_rounds_that_never_end_are_8() -> None:
    assert apply(outcome("changed"), converged=False) == 8


ENDINGS = {
    7: outcome("waiting", GATE),
    4: outcome("failed", REFUSED),
    10: outcome("failed", UNREACHABLE),
    9: outcome("failed", REFUSED, "revert"),
}
PRECEDENCE = [7, 8, 4, 10, 9]
"""From best to worst; an open weakening is the worst that a run can leave behind."""


@pytest.mark.parametrize(("one", "other"), list(permutations(PRECEDENCE, 2)))
def test_worse_of_two_endings_wins_in_either_order(one: int, other: int) -> None:
    outcomes = [ENDINGS[code] for code in (one, other) if code in ENDINGS]
    expected = max(one, other, key=PRECEDENCE.index)
    assert apply(*outcomes, converged=8 not in (one, other)) == expected


def test_every_exit_code_has_its_rank() -> None:
    assert sorted(SEVERITY) == sorted(ExitCode)
    assert [int(code) for code in SEVERITY] == [0, 2, 7, 8, 4, 10, 9, 3, 1]
    assert worst(()) is ExitCode.OK
    assert worst([ExitCode.DRIFT, ExitCode.OK]) is ExitCode.DRIFT
    assert worst(ExitCode) is ExitCode.ERROR


def test_number_of_the_writer_that_stays_on_a_host_is_something_not_put_back() -> None:
    report = Report(
        "apply", "r", "s", "complete", AT, AT, outcomes=(outcome("unchanged"),), fenced={"pdc": "no answer"}
    )
    assert report.exit_code == ExitCode.REVERT_INCOMPLETE

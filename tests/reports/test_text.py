"""What a person reads: symbols, undo, reasons, lengths of time; names from outside are shown as they are."""

from __future__ import annotations

import io
import re
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Literal

import pytest
from msgspec.structs import replace
from rich.console import Console, RenderableType

from reconciler.cli import output
from reconciler.core.conflict import Conflict
from reconciler.core.edit import Edit
from reconciler.core.errors import NeedsPerson, Refused, Unreachable
from reconciler.core.exposure import Exposure
from reconciler.core.plan import Change, Plan
from reconciler.core.ports import Obligation
from reconciler.core.query import Command
from reconciler.core.report import Outcome, Report
from reconciler.core.resource import Need, Resource, differences
from reconciler.core.secret import CredentialPart, SecretRef, Template
from reconciler.core.steps import Step
from reconciler.core.values import Phase
from reconciler.reports.status import render_text
from reconciler.reports.text import ApplyText, PlanText, length, open_table, undone_table
from reconciler.reports.undo import back_of, show, undo_of
from tests.fake_world import Setting

AT = datetime(2026, 11, 20, 18, tzinfo=UTC)
MIGRATE: frozenset[Phase] = frozenset({"migrate"})
MARKUP = "[red]x[/red]"
BROKEN = "a[/b]"


class Titled(Setting):
    """A setting whose title is its name, as most kinds have it."""

    def title(self) -> str:
        return self.name


class Listed(Setting):
    identity: ClassVar[tuple[str, ...]] = ("host", "name")
    kind: Literal["test.setting"] = "test.setting"
    items: tuple[str, ...] = ()


def change(wanted: Resource, observed: Resource, **fields: Any) -> Change:
    steps = fields.pop("steps", (Step(Command("h", "set")),))
    return Change(wanted.key, "apply", wanted, observed, differences(wanted, observed), steps=steps, **fields)


def plan_report(*changes: Change, verb: Literal["plan", "drift"] = "plan", **fields: Any) -> Report:
    plan = Plan("migrate", changes=changes, **fields)
    return Report(verb, "run", "cutover", "migrate", AT, AT, plan=plan, where={c.key: "s.yaml:4:7" for c in changes})


def apply_report(*outcomes: Outcome, **fields: Any) -> Report:
    return Report("apply", "run", "cutover", "migrate", AT, AT + timedelta(seconds=12.34), outcomes=outcomes, rounds=2, **fields)  # fmt: skip


def text(renderable: RenderableType, **console: Any) -> str:
    screen = Console(file=io.StringIO(), width=200, **console)
    screen.print(renderable, highlight=False)
    return screen.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def lines(renderable: RenderableType) -> list[str]:
    return [line.rstrip() for line in text(renderable).splitlines()]


def obligation(key: str = "test.setting/h/a", **fields: Any) -> Obligation:
    base: dict[str, Any] = {
        "declared": {},
        "baseline": {},
        "requires": (),
        "weakens": "",
        "seen_at": AT,
        "changed_at": AT,
    }
    return Obligation(key, **{**base, **fields})


def a(**fields: Any) -> Setting:
    return Titled(name="a", **fields)


# Plans.


def test_change_shows_old_and_new_the_step_the_place_and_the_undo() -> None:
    shown = lines(PlanText(plan_report(change(a(value=1, during=MIGRATE, weakens="all is open"), a(value=0)))))
    assert shown == [
        "~ a  [test.setting/h/a]",
        "    value: 0 -> 1",
        "    do: set",
        "    weakens: all is open (weight 1)",
        "    temporary: during migrate; then value back to 0",
        "    at s.yaml:4:7",
        "cutover: phase migrate, 1 differ (+0 ~1 -0), 0 as wanted.",
    ]


@pytest.mark.parametrize(
    ("wanted", "observed", "symbol", "undo"),
    [
        (a(value=1, during=MIGRATE), a(value=1).absent(), "+", "is removed again"),
        (a(value=1, during=MIGRATE), a(value=0), "~", "value back to 0"),
        (a(ensure="absent", during=MIGRATE), a(value=3, text="old"), "-", "comes back: value 3, text old"),
        (a(value=1), a(value=0), "~", ""),
        (a(value=1, text="t", during=MIGRATE), a(value=0, text="t"), "~", "value back to 0"),
    ],
    ids=["created", "changed", "removed", "permanent", "one of two fields"],
)
def test_symbol_and_undo(wanted: Setting, observed: Setting, symbol: str, undo: str) -> None:
    found = change(wanted, observed)
    assert undo_of(found).startswith(undo) if undo else undo_of(found) == ""
    assert text(PlanText(plan_report(found))).startswith(f"{symbol} a ")


def test_way_back_shows_no_undo_and_no_weakening() -> None:
    found = replace(change(a(value=0, during=MIGRATE, weakens="all is open"), a(value=1)), direction="revert")
    shown = text(PlanText(plan_report(found)))
    assert "temporary" not in shown
    assert "weakens" not in shown


def test_undo_of_a_repaired_drift_is_the_baseline_of_the_journal() -> None:
    """The value was 0 at first, we set it to 1, somebody made it 5: it goes back to 0, not to 5."""
    kept = obligation(declared={"value": 1}, baseline={"value": 0})
    report = replace(
        plan_report(change(a(value=1, during=MIGRATE), a(value=5))), open=(kept,), back={kept.key: "value 0"}
    )
    assert "back to 5" not in text(PlanText(report))


def test_created_thing_shows_its_fields_and_not_that_it_is_absent_itself() -> None:
    shown = lines(PlanText(plan_report(change(a(value=1), a(value=1).absent()))))
    assert "    value: absent -> 1" in shown
    assert not any("ensure" in line for line in shown)


def test_weakening_shows_its_weight_and_for_how_long_it_will_be_live() -> None:
    found = change(a(value=1, during=MIGRATE, weakens="all is open", weight=9), a(value=0))
    live = Exposure(found.key, "all is open", 9, timedelta(minutes=4))
    shown = lines(PlanText(plan_report(found, exposure=(live,))))
    assert "    weakens: all is open (weight 9); live for about 4 min if it is completed right after" in shown
    assert shown[-1] == (
        "Exposure if it is completed right after: 36 weighted minutes (weight x minutes live) of 1 weakening, "
        "the longest for about 4 min."
    )
    good = lines(PlanText(plan_report(found, exposure=(replace(live, live=None),))))
    assert "    weakens: all is open (weight 9); stays for good, nothing puts it back" in good
    assert good[-1].endswith("of 0 weakenings; for good: 1.")


def test_gate_and_later_steps_and_risks_are_said() -> None:
    gated = change(a(value=1), a(value=0), gate=NeedsPerson("run it", do="there"), steps=())
    later = change(Titled(name="b", value=1), Titled(name="b", value=0), pending="the file is not there", steps=())
    risky = change(
        Titled(name="c", value=1), Titled(name="c", value=0), steps=(Step(Command("h", "weaken"), risk="weaken-it"),)
    )
    shown = lines(PlanText(plan_report(gated, later, risky)))
    assert "    waits for a person: run it" in shown
    assert "      do: there" in [line.replace("        ", "      ", 1) for line in shown]
    assert "    do: known later: the file is not there" in shown
    assert "    do: weaken  needs approval `weaken-it`" in shown
    assert shown[-1].endswith("3 differ (+0 ~3 -0), 0 as wanted, 1 wait for a person.")


def test_reasons_that_are_the_same_share_a_line() -> None:
    reasons = (Need("k/1", "it stands on it"), Need("k/2", "it stands on it"), Need("k/3", "other"))
    found = change(a(value=1), a(value=0), reasons=reasons)
    shown = lines(PlanText(plan_report(found)))
    assert "    after k/1, k/2: it stands on it" in shown
    assert "    after k/3: other" in shown
    assert "    once undone k/3: other" in lines(PlanText(plan_report(replace(found, direction="revert"))))


def test_what_could_not_be_observed_is_said_with_the_reason() -> None:
    error = Unreachable("no answer", target="pdc", do="look at the cable")
    shown = lines(PlanText(plan_report(errors={"test.setting/h/a": error}, unchanged=("x",))))
    assert shown[0] == "✗ test.setting/h/a could not be observed"
    assert shown[1:4] == ["    no answer", "      at: pdc", "      do: look at the cable"]
    assert shown[-1] == "cutover: phase migrate, 0 differ (+0 ~0 -0), 1 as wanted, 1 unknown."


def test_nothing_differs_is_one_line() -> None:
    assert lines(PlanText(plan_report(unchanged=("x", "y"), verb="drift"))) == [
        "cutover: phase migrate, nothing differs (2 resources)."
    ]


# Names and values from outside.


@pytest.mark.parametrize("name", [MARKUP, BROKEN, "[bold]", "[link=http://x]y[/link]", ":smile:"])
def test_name_that_looks_like_markup_is_shown_as_it_is_in_a_plan(name: str) -> None:
    found = change(
        Titled(name=name, text=name, weakens=name, during=MIGRATE), Titled(name=name, text="old " + name),
        reasons=(Need(name, name),), gate=NeedsPerson(name, where=name, do=name), steps=(Step(Command("h", name), risk=name),),
    )  # fmt: skip
    shown = text(PlanText(plan_report(found, errors={name: Refused(name)})))
    assert shown.count(name) >= 12


@pytest.mark.parametrize("name", [MARKUP, BROKEN])
def test_name_that_looks_like_markup_is_shown_as_it_is_after_a_run(name: str) -> None:
    ended = Outcome(f"test.setting/h/{name}", name, "apply", "failed", error=Refused(name, target=name), because=name)
    assert text(ApplyText(apply_report(ended))).count(name) == 5


@pytest.mark.parametrize("name", [MARKUP, BROKEN])
def test_name_that_looks_like_markup_is_shown_as_it_is_in_the_tables(name: str) -> None:
    promise = obligation(name, weakens=name)
    assert text(open_table([promise], AT, {name: name})).count(name) == 3
    assert text(undone_table([replace(promise, closed_at=AT)])).count(name) == 2


def test_value_that_was_read_cannot_steer_the_terminal() -> None:
    found = change(a(text="good"), a(text="\x1b]0;owned\x07\x1b[2Jbad"))
    assert "\x1b" not in text(PlanText(plan_report(found)))


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "absent"),
        (0, "0"),
        (True, "True"),
        (b"\0" * 20, "<20 bytes>"),
        ((), "none"),
        (("a", "b"), "a, b"),
        (tuple("abcdef"), "a, b, c, d and 2 more"),
        (frozenset({"b", "a"}), "a, b"),
        ({"x": 1, "y": None}, "x=1, y=absent"),
        (SecretRef(env="KEY"), "<secret env:KEY>"),
        (CredentialPart("admin", "password"), "<password of admin>"),
        (Template(("A=", SecretRef(env="KEY"))), "A=<secret env:KEY>"),
    ],
)
def test_value_in_a_few_words(value: object, shown: str) -> None:
    assert show(value) == shown


def test_secrets_and_bytes_of_a_step_show_as_references() -> None:
    command = Command(
        "h",
        "Set-It",
        (("Password", SecretRef(env="KEY")), ("Bytes", b"\0" * 5), ("Credential", CredentialPart("admin", "password"))),
    )
    shown = text(PlanText(plan_report(change(a(value=1), a(value=0), steps=(Step(command),)))))
    assert "do: Set-It -Password '<secret env:KEY>' -Bytes <5 bytes> -Credential '<password of admin>'" in shown


# Runs.


def test_run_says_how_each_resource_ended_and_leaves_out_what_is_unchanged() -> None:
    shown = lines(
        ApplyText(
            apply_report(
                Outcome("k/a", "first", "apply", "changed"),
                Outcome("k/b", "second", "apply", "unchanged"),
                Outcome("k/c", "third", "apply", "failed", error=Refused("no", target="pdc", do="ask")),
                Outcome("k/d", "fourth", "apply", "skipped", because="k/c is failed"),
                Outcome("k/e", "fifth", "apply", "waiting", error=NeedsPerson("look")),
            )
        )
    )
    assert shown == [
        "✓ first  [k/a] changed",
        "✗ third  [k/c] failed",
        "    no",
        "      at: pdc",
        "      do: ask",
        "· fourth  [k/d] skipped",
        "    because k/c is failed",
        "? fifth  [k/e] waiting",
        "    look",
        "",
        "cutover: phase migrate, not converged in 2 rounds, 12.3 s: 1 unchanged, 1 changed, 1 failed, 1 skipped, 1 waiting.",
    ]


def test_run_that_converged_says_so() -> None:
    shown = lines(ApplyText(apply_report(Outcome("k/a", "first", "apply", "unchanged"))))
    assert shown[-1] == "cutover: phase migrate, converged in 2 rounds, 12.3 s: 1 unchanged."
    assert lines(ApplyText(apply_report()))[-1].endswith(": no resources.")
    assert "not converged" in text(ApplyText(apply_report(converged=False)))


def test_run_says_what_was_put_back_and_what_is_still_open() -> None:
    closed = obligation("k/closed", weakens="a hole", closed_at=AT + timedelta(hours=3, minutes=4))
    still = obligation("k/open", weakens="a door", changed_at=AT)
    shown = lines(ApplyText(apply_report(closed=(closed,), open=(still,), back={"k/open": "value 0"})))
    put_back, open_ = shown.index("Put back:"), shown.index("Still to be put back:")
    assert re.split(r" {2,}", shown[put_back + 2]) == ["k/closed", "a hole", "3 h 04 min", "-"]
    assert re.split(r" {2,}", shown[open_ + 2]) == ["k/open", "a door", "12.3 s", "-", "-", "value 0"]
    assert "Exposure: 184.0 weighted minutes measured." in shown


def test_run_shows_foreseen_beside_measured_time() -> None:
    closed = obligation(
        "k/closed", weakens="a hole", declared={"weight": 10}, closed_at=AT + timedelta(minutes=3), forecast_s=120.0
    )
    still = obligation("k/open", weakens="a door", forecast_s=90.0)
    shown = lines(ApplyText(apply_report(closed=(closed,), open=(still,))))
    put_back, open_ = shown.index("Put back:"), shown.index("Still to be put back:")
    assert re.split(r" {2,}", shown[put_back + 2]) == ["k/closed", "a hole", "3 min 00 s", "2 min 00 s"]
    assert re.split(r" {2,}", shown[open_ + 2]) == ["k/open", "a door", "12.3 s", "1 min 30 s", "-"]
    assert "Exposure: 30.0 weighted minutes measured, 20.0 foreseen." in shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0.0 s"), (12.34, "12.3 s"), (59.9, "59.9 s"), (60, "1 min 00 s"), (61.9, "1 min 01 s"), (3599, "59 min 59 s"),
     (3600, "1 h 00 min"), (11040, "3 h 04 min"), (90000, "25 h 00 min")],
)  # fmt: skip
def test_length_of_time(seconds: float, shown: str) -> None:
    assert length(timedelta(seconds=seconds)) == shown


def test_length_that_is_not_known() -> None:
    assert length(None) == "-"


def test_length_just_below_a_minute_is_not_sixty_seconds() -> None:
    assert length(timedelta(seconds=59.97)) != "60.0 s"


# Promises.


@pytest.mark.parametrize(
    ("declared", "baseline", "back"),
    [
        (a(value=1), a(value=1).absent(), "absent"),
        (a(value=1), a(value=0), "value 0"),
        (a(value=1, text="t"), a(value=None, text="old"), "value absent, text old"),
    ],
)
def test_promise_says_what_it_goes_back_to(declared: Setting, baseline: Setting, back: str) -> None:
    assert back_of(declared, baseline) == back


def test_status_shows_both_tables_or_says_that_nothing_is_owed() -> None:
    nothing = lines(render_text("cutover", "complete", [], [], AT, {}))
    assert nothing == ["cutover: phase complete in the state file", "nothing is to be put back"]
    closed = obligation("k/closed", closed_at=AT + timedelta(seconds=5))
    shown = text(render_text("cutover", "migrate", [obligation("k/open")], [closed], AT, {"k/open": "absent"}))
    assert shown.index("k/open") < shown.index("k/closed")
    assert "5.0 s" in shown


# The screen.


def test_pipe_gets_whole_lines_without_colour_or_trailing_blanks(capsys: pytest.CaptureFixture[str]) -> None:
    long = "x" * 400
    output.stdout(PlanText(plan_report(change(a(text=long, during=MIGRATE), a(text="")))))
    out, err = capsys.readouterr()
    assert err == ""
    assert f"    text:  -> {long}\n" in out
    assert "\x1b" not in out
    assert [line for line in out.split("\n") if line != line.rstrip()] == []
    assert out.endswith(".\n")


def test_terminal_gets_colours_unless_they_are_unwanted(monkeypatch: pytest.MonkeyPatch) -> None:
    renderable = PlanText(plan_report(change(a(value=1), a(value=0))))
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[1;33m~" in text(renderable, force_terminal=True, color_system="standard")
    monkeypatch.setenv("NO_COLOR", "1")
    shown = text(renderable, force_terminal=True, color_system="standard")
    assert not any(f"\x1b[{code}m" in shown or f";{code}m" in shown for code in range(30, 108))


def test_words_go_to_standard_error_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    output.stderr(f"{MARKUP} {BROKEN}", "bold red")
    assert capsys.readouterr() == ("", f"{MARKUP} {BROKEN}\n")


# What somebody else changed.

TOLD = Conflict("value", 0, 1, 5, Edit("value", "v", "DC2", AT, 7, AT), AT)
UNKNOWN = Conflict("value", 0, 1, 5)


def text_of(renderable: RenderableType) -> str:
    console = Console(file=io.StringIO(), width=300)
    console.print(renderable)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize(
    ("edit", "says"),
    [(TOLD, "v was last changed on DC2 at 2026-11-20 18:00:00 UTC (version 7)"), (UNKNOWN, "is not known")],
)
@pytest.mark.parametrize(("policy", "became"), [("restore", "goes back to what it was"), ("keep", "stays as it is")])
def test_a_run_says_what_somebody_else_changed_and_what_became_of_it(
    edit: Conflict, says: str, policy: str, became: str
) -> None:
    wanted = Setting.model_validate({"name": "a", "value": 0, "on_conflict": policy})
    made = (change(wanted, Setting(name="a", value=5)),) if policy == "restore" else ()
    status: Any = "changed" if made else "unchanged"
    shown = text_of(ApplyText(apply_report(Outcome("k", "a title", "revert", status, made, edits=(edit,)))))
    assert f"changed by somebody else: value was 0, we set 1, found 5; {became}" in shown
    assert says in shown


def test_a_question_is_not_said_twice() -> None:
    outcome = Outcome("k", "t", "revert", "waiting", error=NeedsPerson("it was changed"), edits=(TOLD,))
    assert "changed by somebody else:" not in text_of(ApplyText(apply_report(outcome)))


def test_a_plan_shows_what_stays_because_somebody_else_changed_it() -> None:
    observed = Titled(name="kept", value=5)
    plan = plan_report(unchanged=(observed.key,), observed={observed.key: observed}, edits={observed.key: (TOLD,)})
    shown = text_of(PlanText(plan))
    assert "= kept" in shown
    assert "found 5; stays as it is" in shown


def test_a_plan_shows_what_goes_back_although_somebody_else_changed_it() -> None:
    wanted = Titled.model_validate({"name": "a", "value": 0, "on_conflict": "restore"})
    found = change(wanted, Titled(name="a", value=5))
    assert "DC2" in text_of(PlanText(plan_report(found, edits={found.key: (TOLD,)})))

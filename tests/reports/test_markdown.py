"""A comment on a pull request says what a person has to know, and nothing that was read becomes markup."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.certificate import Alarm, Closing
from reconciler.core.plan import Plan
from reconciler.reports.markdown import code, render
from tests.reports.reported import HOSTILE, key, looked, ran, report, with_text


def test_look_is_summed_up_and_what_is_right_is_only_counted() -> None:
    shown = render(looked())
    assert shown.startswith("### `cutover`: 3 of 5 not as declared\n\n`reconcile drift`, phase migrate, ")
    assert "| ✓ | as declared | 1 |" in shown
    assert f"- ≠ **not as declared** `{key('b')}`\n  - `{key('b')}` at `states/a b.yaml:11:3`\n  - `value`: `0` → `1`\n" in shown  # fmt: skip
    assert "  - **weakens** `open`" in shown
    assert f"**as declared** `{key('a')}`" not in shown


def test_undo_list_is_a_list_to_tick_off() -> None:
    assert f"- [ ] `{key('b')}`: open for 10 min 03 s, weakens `open`, goes back to `value 0`" in render(looked())
    assert f"- [x] `{key('a')}`: was live for 10 min 00 s" in render(ran())


def test_alarm_stands_out() -> None:
    alarm = Alarm(key("x"), "x", "reappeared", "", (), "then")
    shown = render(report(plan=Plan("complete"), closing=Closing(alarms=(alarm,))))
    assert "> [!CAUTION]\n> No longer as it was certified:\n> - `x` has reappeared" in shown


def test_nothing_differs_is_said_in_one_line() -> None:
    assert "everything is as declared" in render(report(plan=Plan("migrate", unchanged=(key("a"),))))


def outside_of_code(shown: str) -> str:
    return re.sub(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", "", shown)


def test_hostile_text_is_nowhere_but_in_code_spans() -> None:
    rest = outside_of_code(render(with_text(HOSTILE)))
    assert not [bad for bad in ("<script", "<img", "alert", "](x)", "\u202e", "\x1b") if bad in rest]


@given(st.text(st.characters(codec="utf-8"), min_size=1))
def test_no_text_ends_its_code_span(text: str) -> None:
    assert outside_of_code(code(text)) == ""
    assert "\n" not in code(text)

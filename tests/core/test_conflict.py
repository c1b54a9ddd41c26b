"""Three-way comparison: what is named as original, as ours, and as somebody else's."""

from __future__ import annotations

from datetime import UTC, datetime

from reconciler.core.conflict import Conflict, asked, conflicts
from reconciler.core.edit import Edit
from tests.fake_world import Setting

AT = datetime(2026, 11, 20, 18, tzinfo=UTC)


def test_what_we_removed_was_set_to_nothing_by_us() -> None:
    back, gone, now = Setting(name="a", value=3), Setting(name="a", ensure="absent"), Setting(name="a", value=5)
    assert conflicts(back, gone, now) == (Conflict("value", 3, None, 5),)
    assert conflicts(back, gone, back) == ()


def test_a_question_names_each_change_of_the_directory_once() -> None:
    told = Edit("value", "v", "DC2", AT, 7, AT)
    edits = (Conflict("value", 0, 1, 5, told, AT), Conflict("text", "a", "b", "c", told, AT))
    gate = asked(Setting(name="a"), edits)
    assert gate.do.count("DC2") == 1
    assert "DC2" not in gate.what

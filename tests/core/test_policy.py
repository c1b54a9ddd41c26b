"""What is done about drift, at a moment."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from pydantic import TypeAdapter, ValidationError

from reconciler.core.policy import OnDrift, policy_at, said

ADAPTER: TypeAdapter[OnDrift] = TypeAdapter(OnDrift)
IGNORED = ADAPTER.validate_python({"ignore": {"because": "the auditors look at it", "until": "2026-11-30"}})
LAST = datetime(2026, 11, 30, 23, 59, 59, tzinfo=UTC)
AFTER = datetime(2026, 12, 1, tzinfo=UTC)


def test_an_ignore_ends_with_its_last_day() -> None:
    assert policy_at(IGNORED, LAST) == "ignore"
    assert policy_at(IGNORED, AFTER) == "correct"


def test_what_is_over_is_said() -> None:
    assert said(IGNORED, LAST) == "ignored until 2026-11-30: the auditors look at it"
    assert said(IGNORED, AFTER) == "was ignored until 2026-11-30, which is over: the auditors look at it"
    assert said("report", AFTER) == ""


@pytest.mark.parametrize(
    "wrong", ["ignore", {"ignore": {"because": "x"}}, {"ignore": {"until": "2026-11-30"}}, {"ignore": {"because": "", "until": "2026-11-30"}}, {"ignore": {"because": "x", "until": 20261130}}]
)  # fmt: skip
def test_an_ignore_has_a_reason_and_an_end(wrong: object) -> None:
    with pytest.raises(ValidationError):
        ADAPTER.validate_python(wrong)

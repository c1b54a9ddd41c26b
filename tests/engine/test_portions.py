"""Tests of how far a long piece of work is said to be."""

from __future__ import annotations

from datetime import timedelta

import pytest

from reconciler.core.steps import Portion
from reconciler.engine.portions import how_far


@pytest.mark.parametrize(
    ("portion", "elapsed", "says"),
    [
        (Portion(0, 100, 1000), 10, "100 of 1,000 accounts, 10.0 per second, about 2 min left"),
        (Portion(900, 100, 1000), 100, "1,000 of 1,000 accounts, 10.0 per second"),
        (Portion(0, 100, 1000), 0, "100 of 1,000 accounts"),
    ],
)
def test_rate_and_time_left(portion: Portion, elapsed: float, says: str) -> None:
    assert how_far(portion, timedelta(seconds=elapsed)) == says

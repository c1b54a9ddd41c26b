"""The long versions of what scales, for `make soak`."""

from __future__ import annotations

import os

SOAK = os.environ.get("RECONCILE_SOAK") == "1"
TIMES = int(os.environ.get("RECONCILE_SOAK_TIMES", "50"))


def examples(usual: int) -> int:
    """Return how many examples a property is tried with: many more in a soak."""
    return usual * TIMES if SOAK else usual

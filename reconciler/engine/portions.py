"""How far a long piece of work is, at what rate, and for how much longer."""

from __future__ import annotations

from datetime import timedelta

from reconciler.core.exposure import about
from reconciler.core.steps import Portion


def how_far(portion: Portion, elapsed: timedelta) -> str:
    """Say how far it is after a portion was done.

    Args:
        elapsed: Since the first portion of this piece of work began; it may have begun in the middle.
    """
    done = portion.before + portion.size
    says = f"{done:,} of {portion.whole:,} {portion.of}"
    if elapsed <= timedelta(0):
        return says
    rate = done / elapsed.total_seconds()
    left = portion.whole - done
    says += f", {rate:.1f} per second"
    return f"{says}, about {about(timedelta(seconds=left / rate))} left" if left > 0 and rate > 0 else says

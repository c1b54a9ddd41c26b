"""A lab for one benchmark, built for it and gone after it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.e2e.lab import Lab
from tests.e2e.lab import lab_of_its_own as running


@contextmanager
def lab_of_its_own(network: int, users: int, *more: object) -> Iterator[Lab]:
    """Bring up a lab in 127.0.``network``.0, and leave nothing of it.

    Args:
        more: Further arguments of ``reconcile lab up``.
    """
    with (
        TemporaryDirectory(prefix="rl-bm-states-") as work,
        running(Path(work), f"127.0.{network}.201", f"127.0.{network}.202", users, *map(str, more)) as lab,
    ):
        yield lab

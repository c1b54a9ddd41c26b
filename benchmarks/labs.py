"""A lab for one benchmark, built for it and gone after it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.lab import Lab


@contextmanager
def lab_of_its_own(network: int, users: int, *more: object) -> Iterator[Lab]:
    """Bring up a lab in 127.0.``network``.0, and leave nothing of it.

    Args:
        more: Further arguments of ``reconcile lab up``.
    """
    # The sockets of the lab lie in its directory, and their paths must be short.
    directory, work = (Path(tempfile.mkdtemp(prefix=prefix)) for prefix in ("rl-bm-", "rl-bm-states-"))
    lab = Lab(directory, work, f"127.0.{network}.201", f"127.0.{network}.202")
    try:
        lab.up(users, *map(str, more))
        yield lab
    finally:
        lab.down()
        for path in (directory, work):
            shutil.rmtree(path, ignore_errors=True)

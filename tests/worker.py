"""Which worker of a parallel run this is, so that no two of them listen on the same address."""

from __future__ import annotations

import os

PLACE = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
"""0 where tests do not run in parallel."""


def address(network: int, host: int) -> str:
    """Return a loopback address of this worker alone; ``host`` is 1 to 19."""
    return f"127.0.{network}.{20 * PLACE + host}"

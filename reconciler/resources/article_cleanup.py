"""What ``migration.cleanup`` removes for good once the migration is complete, as resources. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from reconciler.core.values import Phase
from reconciler.resources.migration import MigrationBlock

COMPLETE: frozenset[Phase] = frozenset({"complete"})


def cleanups(block: MigrationBlock) -> Iterator[tuple[str, dict[str, Any]]]:
    """Return the kind and the fields of each resource.

    Nothing requires these, and they require nothing: what goes back goes back first, and does not wait for an approval.
    """
    if "sid_history" in block.cleanup:
        yield (
            "ad.sid_history_removal",
            {"source": block.source, "target": block.target, "host": block.admt_host, "during": COMPLETE},
        )

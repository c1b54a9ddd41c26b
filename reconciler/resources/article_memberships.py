"""The memberships of the ``migration:`` block as one resource, which comes last. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from reconciler.core.resource import Need
from reconciler.core.values import Dn, Phase
from reconciler.resources.migration import MigrationBlock

NAME = "migrated groups"
MIGRATING: frozenset[Phase] = frozenset({"migrate"})


def memberships(block: MigrationBlock, head: str) -> dict[str, Any] | None:
    """Return the fields of the resource; None where no groups are migrated, or their members are left alone.

    All groups of the source are looked through: whether one was migrated is told by its SID, whichever population it came with.

    Args:
        head: DN of the source domain.
    """
    if not block.memberships or not any(one.of == "groups" or one.groups for one in block.accounts):
        return None
    return {"source": block.source, "name": NAME, "base": Dn(head), "target": block.target, "during": MIGRATING}


def last(populations: Iterable[Need]) -> list[Need]:
    """Return the populations as what only comes first: one with a few accounts that failed leaves no other without its groups."""
    return [Need(need.key, "members are put into groups when both were migrated", must=False) for need in populations]

"""The throw-away account of the ``migration:`` block: where it goes, and with what options. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from reconciler.core.resource import Need
from reconciler.core.values import Dn, Phase
from reconciler.resources.article_accounts import Population
from reconciler.resources.migration import CanaryBlock, MigrationBlock
from reconciler.resources.misfit import Found

ORIGIN: Found = ("migration", "canary")
MIGRATING: frozenset[Phase] = frozenset({"migrate"})


def canary_of(block: MigrationBlock, populations: Sequence[Population], source_head: str, pdc: str) -> dict[str, Any]:
    """Return the fields of the resource beside what all of a migration share; nothing where there is none.

    It takes the way of the first users: those of an earlier wave before those of a later one. Groups and computers cannot log on.

    Args:
        source_head: DN of the source domain.
        pdc: Host that is its PDC emulator.
    """
    users = [one for one in populations if one.selection.of == "users"]
    canary = block.canary
    if not isinstance(canary, CanaryBlock) or not users:
        return {}
    first = next((one for one in users if one.wave.phase == "migrate"), users[0])
    passwords = block.passwords
    hosts = (block.admt_host, pdc, *([passwords.export_server] if passwords else []))
    return {
        "source": block.source,
        "target": block.target,
        "base": canary.in_ or _container(first.selection.base, source_head),
        "into": canary.into or first.block.into,
        "host": block.admt_host,
        "credential": block.operator.credential,
        "export_server": passwords.export_server if passwords else None,
        "booted": tuple(dict.fromkeys(hosts)),
        "sid_history": block.sid_history,
        "passwords": passwords is not None,
        "groups": first.block.groups,
        "leave_out": first.block.leave_out,
        "during": MIGRATING if any(one.wave.phase == "migrate" for one in users) else frozenset(),
    }


def containers(block: MigrationBlock, populations: Sequence[Population]) -> tuple[Dn, ...]:
    """Return the container of the target that only the throw-away account needs, where there is one."""
    into = block.canary.into if isinstance(block.canary, CanaryBlock) else None
    return (into,) if into is not None and any(one.selection.of == "users" for one in populations) else ()


def before(needs: Iterable[Need | None], canary: Need) -> list[Need]:
    """Return what real accounts need: everything that the throw-away one needs, and that it came through."""
    because = "real accounts are untouched until the throw-away one came through"
    return [*(need for need in needs if need), Need(canary.key, because)]


def _container(base: Dn, head: str) -> Dn:
    """Return where an account can be made: in the container of a population, or where accounts are made that nobody places."""
    return Dn(f"CN=Users,{head}") if base == Dn(head) else base

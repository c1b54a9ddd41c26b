"""What each resource shall become now: the state file, the phase and the open promises, put together."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec import Struct
from msgspec.structs import replace

from reconciler.core.exposure import learned
from reconciler.core.graph import Graph
from reconciler.core.plan import Intent, intend, with_orphans
from reconciler.core.ports import Journal, Json, Obligation
from reconciler.core.resource import Key, Resource
from reconciler.core.values import Phase

LEARNED_FROM = 2000
"""How many of the latest steps tell how long steps take."""
OURS = "ours/"
"""Prefix of the facts that say what was read back after our last change, by key; empty while it never took."""

Revive = Callable[[Json], Resource]
"""Turn a resource that was written to the journal back into one."""


class Scope(Struct, frozen=True):
    """The graph with everything that is still owed, and what each resource shall become.

    Attributes:
        revive: Reads what the journal holds.
    """

    graph: Graph
    phase: Phase
    intents: Mapping[Key, Intent]
    obligations: Mapping[Key, Obligation]
    revive: Revive

    def only(self, intents: Mapping[Key, Intent]) -> Scope:
        """Return the same, in which nothing else is wanted."""
        return replace(self, intents=intents)


def scope(graph: Graph, phase: Phase, journal: Journal, revive: Revive) -> Scope:
    """Join the declared graph with the open promises of the journal."""
    obligations = {obligation.key: obligation for obligation in journal.obligations()}
    landed = {key: revive(fact) for key, fact in journal.facts(OURS).items() if fact}
    orphans = [
        (revive(obligation.declared), obligation.requires)
        for key, obligation in obligations.items()
        if key not in graph.declarations and obligation.changed_at is not None
    ]
    whole = with_orphans(graph, orphans).paced(learned(journal.steps(LEARNED_FROM)))
    intents = {
        key: intent
        for key, declaration in whole.declarations.items()
        if (intent := _intent(declaration.resource, phase, obligations.get(key), landed.get(OURS + key), revive))
        is not None
    }
    return Scope(whole, phase, intents, obligations, revive)


def untouched(scope: Scope) -> list[Key]:
    """Return promises about settings that we never changed and that are no longer wanted: nothing is owed."""
    return [
        key
        for key, obligation in scope.obligations.items()
        if obligation.changed_at is None and key not in scope.intents
    ]


def _intent(
    resource: Resource, phase: Phase, obligation: Obligation | None, ours: Resource | None, revive: Revive
) -> Intent | None:
    if obligation is None or obligation.changed_at is None:
        return intend(resource, phase, None, None, None)  # what we never changed is not ours to put back
    return intend(resource, phase, obligation, revive(obligation.baseline), ours)


def freeze(resource: Resource, *, declared: bool) -> Json:
    """Write a resource as JSON; a declared one keeps only what its author wrote, so that managed fields stay managed."""
    return {**resource.model_dump(mode="json", exclude_unset=declared, exclude={"after"}), "kind": resource.kind}

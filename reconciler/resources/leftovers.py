"""What earlier runs may have left behind, and only the journal knows of. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from reconciler.core.graph import Graph
from reconciler.core.ports import Json
from reconciler.core.resource import Declaration, Key
from reconciler.core.values import Phase
from reconciler.resources.ad_accounts import Accounts
from reconciler.resources.ad_canary import Canary
from reconciler.resources.admt_leftovers import Leftovers
from reconciler.resources.canary_record import left_in


def with_leftovers(graph: Graph, phase: Phase, facts: Mapping[Key, Json]) -> Graph:
    """Add what the journal says that runs of ADMT and canaries may have left, where nothing is migrated that would tidy it up.

    Args:
        facts: The journal's about accounts.
    """
    resources = [declaration.resource for declaration in graph.declarations.values()]
    tidied = {
        (host, one.source)
        for one in resources
        if isinstance(one, Accounts) and phase in one.during
        for host in one.hosts
    }
    left = {(str(fact["host"]), key.split("/")[1]) for key, fact in facts.items() if "host" in fact} - tidied
    more = [Declaration(Leftovers(host=host, domain=domain)) for host, domain in sorted(left)]
    tried = {one.key for one in resources if isinstance(one, Canary) and phase in one.during}
    birds = [Canary(source=source, name=name, target=target, proves=False) for source, name, target in left_in(facts)]
    # One that is declared for another phase gives way to one that only clears up.
    more += [Declaration(bird) for bird in birds if bird.key not in tried]
    kept = [found for key, found in graph.declarations.items() if key not in {one.resource.key for one in more}]
    return Graph([*kept, *more]) if more else graph

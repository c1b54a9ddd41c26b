"""Which questions go together: those to a host in one message, those to a domain over as few connections as serve them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from reconciler.core.query import Command, Query, Search
from reconciler.edge.ldap_together import put_together

FEW = 5
"""So many short questions, one after the other, take about as many turns as to open another connection: TCP, TLS, bind, root DSE."""

Unit = list[int]
"""Places of the queries that are asked as one."""


def turns(queries: Sequence[Query]) -> list[list[Unit]]:
    """Return what can be asked at the same time; the units of each turn follow each other, on one connection if they can.

    A long search has a turn of its own, so that the directory works on all of them at once; short ones go before it.

    Raises:
        TypeError: A Recall; that is the journal's to answer.
    """
    hosts: dict[str, Unit] = {}
    short: dict[tuple[str, str], list[Unit]] = {}
    long: dict[tuple[str, str], list[Unit]] = {}
    together = {unit[0]: unit for unit in put_together(queries)}
    rest = {place for unit in together.values() for place in unit[1:]}
    for place, query in enumerate(queries):
        if isinstance(query, Command):
            hosts.setdefault(query.host, []).append(place)
        elif not isinstance(query, Search):
            raise TypeError(f"the world cannot answer {type(query).__name__}")
        elif place not in rest:
            units = short if _is_short(query) and place not in together else long
            units.setdefault((query.domain, query.controller), []).append(together.get(place, [place]))
    lines = [_turns(short.get(line, []), long.get(line, [])) for line in dict.fromkeys((*long, *short))]
    # By turns, so that no domain waits for everything that another is asked.
    return [turn for beside in zip_longest([[unit] for unit in hosts.values()], *lines) for turn in beside if turn is not None]  # fmt: skip


def _turns(short: list[Unit], long: list[Unit]) -> list[list[Unit]]:
    """Return the turns of one domain."""
    few = [short[start : start + FEW] for start in range(0, len(short), FEW)]
    found = [[*before, unit] for before, unit in zip_longest(few[: len(long)], long, fillvalue=())]
    return found + few[len(long) :]


def _is_short(search: Search) -> bool:
    """Whether it can find only a few objects: one, or what a forest has a few of."""
    return search.scope == "base" or search.base.startswith("config:")

"""Which questions go together: those to a host in one message, those to a domain over as few connections as serve them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from reconciler.core.query import Command, Query, Search
from reconciler.edge.ldap_together import put_together

FEW = 5
"""So many short questions, one after the other, take about as many turns as to open another connection: TCP, TLS, bind, root DSE."""
AHEAD = 10
"""So many units of searches that are put together are worth a connection: a thousand names."""

Unit = list[int]
"""Places of the queries that are asked as one."""
_Line = tuple[str, str]  # a domain, and the only controller that is asked, if any


def turns(queries: Sequence[Query]) -> list[list[Unit]]:
    """Return what can be asked at the same time; the units of each turn follow each other, on one connection if they can.

    A long search has a turn of its own, so that the directory works on all of them at once; short ones go before it. Searches that
    are put together are last in their turn, and nothing but short ones before them.

    Raises:
        TypeError: A Recall; that is the journal's to answer.
    """
    hosts: dict[str, Unit] = {}
    short: dict[_Line, list[Unit]] = {}
    long: dict[_Line, list[Unit]] = {}
    alike: dict[_Line, list[Unit]] = {}
    together = {unit[0]: unit for unit in put_together(queries)}
    rest = {place for unit in together.values() for place in unit[1:]}
    for place, query in enumerate(queries):
        if isinstance(query, Command):
            hosts.setdefault(query.host, []).append(place)
        elif not isinstance(query, Search):
            raise TypeError(f"the world cannot answer {type(query).__name__}")
        elif place not in rest:
            units = alike if place in together else short if _is_short(query) else long
            units.setdefault((query.domain, query.controller), []).append(together.get(place, [place]))
    lines = [
        _turns(short.get(line, []), [*_parts(alike.get(line, []), AHEAD), *_parts(long.get(line, []), 1)])
        for line in dict.fromkeys((*alike, *long, *short))
    ]
    # By turns, so that no domain waits for everything that another is asked.
    return [turn for beside in zip_longest([[unit] for unit in hosts.values()], *lines) for turn in beside if turn is not None]  # fmt: skip


def _turns(short: list[Unit], long: list[list[Unit]]) -> list[list[Unit]]:
    """Return the turns of one domain."""
    few = _parts(short, FEW)
    found = [[*before, *units] for before, units in zip_longest(few[: len(long)], long, fillvalue=())]
    return found + few[len(long) :]


def _parts(units: list[Unit], most: int) -> list[list[Unit]]:
    return [units[start : start + most] for start in range(0, len(units), most)]


def _is_short(search: Search) -> bool:
    """Whether it can find only a few objects: one, or what a forest has a few of."""
    return search.scope == "base" or search.base.startswith("config:")

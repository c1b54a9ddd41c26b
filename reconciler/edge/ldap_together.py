"""Searches that differ only in the name or the SID that they look for, asked as one: a state file with a thousand groups has a thousand.

The law: each gets the rows that it would get alone. Where it is not certain whose a row is, all of them are asked alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec.structs import replace

from reconciler.core.query import Query, Rows, Search
from reconciler.core.table import Table

MOST = 100
"""So many in one filter."""
# What a directory takes for equal beyond ASCII is its own matter; a name of other letters is looked for alone.
_FOR_ONE = re.compile(r"\((sAMAccountName|objectSid)=((?:[A-Za-z0-9 ._$-]|\\[0-9a-f]{2})+)\)")
_ESCAPED = re.compile(rb"\\([0-9a-f]{2})")


def put_together(queries: Sequence[Query]) -> list[list[int]]:
    """Return the places of the queries that can be asked as one, at least two each; no place is in two of them."""
    alike: dict[Search, dict[bytes, int]] = {}
    for place, query in enumerate(queries):
        found = _FOR_ONE.fullmatch(query.where) if isinstance(query, Search) and not query.controller else None
        if found is not None and isinstance(query, Search) and (key := _looked_for(query)) is not None:
            alike.setdefault(replace(query, where=found[1]), {}).setdefault(key, place)
    parts = [
        list(places.values())[start : start + MOST]
        for places in alike.values()
        for start in range(0, len(places), MOST)
    ]
    return [part for part in parts if len(part) > 1]


def one_for_all(searches: Sequence[Search]) -> Search:
    """Return the search that finds what any of these finds."""
    first, attribute = searches[0], _attribute(searches[0])
    asked = attribute.lower() in map(str.lower, first.attributes)
    attributes = first.attributes if asked else (*first.attributes, attribute)
    # No two objects of a domain have the same name or SID, so that there are not more than are looked for.
    return replace(first, where=f"(|{''.join(one.where for one in searches)})", attributes=attributes, few=True)


def taken_apart(searches: Sequence[Search], rows: Rows) -> list[Table] | None:
    """Return the rows of each; None where some row is not certainly that of one of them."""
    attribute = _attribute(searches[0])
    places: dict[bytes, list[int]] = {key: [] for one in searches if (key := _looked_for(one)) is not None}
    table = Table.of(rows)
    for place, row in enumerate(table):
        key = _key(attribute, row.get(attribute.lower()))
        if key is None or key not in places:
            return None
        places[key].append(place)
    asked = attribute.lower() in map(str.lower, searches[0].attributes)
    shown = table if asked else table.without(attribute.lower())
    return [shown.only(found) for found in places.values()]


def _attribute(search: Search) -> str:
    return search.where[1:].partition("=")[0]


def _looked_for(search: Search) -> bytes | None:
    value = search.where[1:-1].partition("=")[2].encode()
    return _key(_attribute(search), (_ESCAPED.sub(lambda found: bytes.fromhex(found[1].decode()), value),))


def _key(attribute: str, values: object) -> bytes | None:
    """Return what is the same of two values that match; None where that is not certain."""
    if not isinstance(values, tuple) or len(values) != 1 or not isinstance(values[0], bytes):
        return None
    value = values[0]
    if attribute == "objectSid":
        return value
    return b" ".join(value.lower().split()) if value.isascii() else None

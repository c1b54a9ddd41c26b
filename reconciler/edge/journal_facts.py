"""The facts of a journal, decoded once: a pass asks several times for those about a hundred thousand accounts.

The law: what is answered is what the file holds. Nothing is answered from here after anybody else wrote to it.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable, Mapping
from itertools import islice
from typing import Any

import apsw

from reconciler.core.facts import Facts
from reconciler.core.ports import Json

_BELOW = "SELECT key, value FROM facts WHERE key >= ?1 AND key < ?1 || char(0x10FFFF) ORDER BY key"
"""A range of the primary key: whoever asks for one fact does not pay for those about a hundred thousand accounts."""

_AT_ONCE = 1000
_COUNT_AT, _COUNT_SIZE = 24, 4


class FactCache:
    """Collections of facts, by what their keys begin with. Not safe for several threads: the journal lets one in at a time.

    It may outlive a connection (``follow``): a watch opens its journal for every look.
    """

    def __init__(self) -> None:
        self._as_of: object = None  # changes whenever another connection has written
        self._known: dict[str, dict[str, Json]] = {}
        self._given: dict[str, Facts] = {}  # what was given out as it is; it is copied before it changes
        self._changed: dict[str, set[str]] = {}
        self._out_of_order: set[str] = set()
        self._mark: Hashable = None  # which file was left, and how

    def follow(self, connection: apsw.Connection, file: Hashable) -> bool:
        """Go on with another connection; return whether nobody has written to the file since ``rest``. Otherwise forget everything.

        Args:
            file: What tells it from every other file.
        """
        mark = (file, _changes(connection))
        same = mark == self._mark
        if not same:
            self.forget()
        self._mark, self._as_of = None, connection.pragma("data_version")
        return same

    def rest(self, connection: apsw.Connection, file: Hashable) -> None:
        """Take note of how the file is, before its connection is closed."""
        if connection.pragma("data_version") == self._as_of:
            self._mark = (file, _changes(connection))

    def below(self, connection: apsw.Connection, prefix: str) -> Mapping[str, Json]:
        """Return facts whose key starts with ``prefix``, in the order of their keys. Only a ``prefix/`` is kept."""
        if not prefix.endswith("/"):
            return _read(connection, prefix)
        if (now := connection.pragma("data_version")) != self._as_of:
            self.forget()
            self._as_of = now
        if prefix not in self._known:
            self._known[prefix] = self._narrowed(prefix) or _read(connection, prefix)
        return self._give(prefix)

    def took(self, written: Mapping[str, str]) -> None:
        """Take facts (JSON) that were just committed through this same connection."""
        for prefix, known in self._known.items():
            news = {key: value for key, value in written.items() if key.startswith(prefix)}
            if not news:
                continue
            if not news.keys() <= known.keys():
                self._out_of_order.add(prefix)
            if prefix in self._given and not self._changed.get(prefix):
                known = self._known[prefix] = dict(known)
            self._changed.setdefault(prefix, set()).update(news)
            known.update(_decoded(news.items()))

    def _give(self, prefix: str) -> Facts:
        """Return a collection as it is now; the same one where nothing has changed since it was last given."""
        given, changed = self._given.get(prefix), self._changed.get(prefix)
        if given is None or changed:
            known = self._in_order(prefix)
            given = self._given[prefix] = Facts(known) if given is None else given.became(known, changed or ())
            self._changed[prefix] = set()
        return given

    def forget(self) -> None:
        """Read everything anew next time."""
        for one in (self._known, self._given, self._changed, self._out_of_order):
            one.clear()

    def _narrowed(self, prefix: str) -> dict[str, Json]:
        """Return the part of a wider collection that is known, so that nothing is decoded and kept twice."""
        wider = next((name for name in self._known if prefix.startswith(name)), None)
        whole = self._in_order(wider) if wider is not None else {}
        return {key: fact for key, fact in whole.items() if key.startswith(prefix)}

    def _in_order(self, prefix: str) -> dict[str, Json]:
        if prefix in self._out_of_order:
            self._known[prefix] = dict(sorted(self._known[prefix].items()))
            self._out_of_order.discard(prefix)
        return self._known[prefix]


def _changes(connection: apsw.Connection) -> bytes:
    """Return the count of changes in the header of the file, which every transaction raises while the journal mode is not WAL.

    Source: SQLite's description of its file format, 1.3.7.
    """
    found: bytes = connection.read("main", 0, _COUNT_AT, _COUNT_SIZE)[1]
    return found


def _read(connection: apsw.Connection, prefix: str) -> dict[str, Json]:
    return _decoded(connection.execute(_BELOW, (prefix,)))


def _decoded(facts: Iterable[tuple[Any, Any]]) -> dict[str, Json]:
    """Read facts (key and JSON) many at a time: that takes half as long, and they share the names of their fields."""
    rest, found = iter(facts), dict[str, Json]()
    while some := list(islice(rest, _AT_ONCE)):
        values = json.loads(f"[{','.join(value for _, value in some)}]")
        found.update(zip((key for key, _ in some), values, strict=True))
    return found

"""Two controllers of one domain, each with a count of its own, and everything that can befall them. No mocks."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from reconciler.core.errors import ReconcileError, Refused, Unreachable
from reconciler.core.query import Query, Row, Rows, Search
from reconciler.core.steps import AddEntry, Effect
from tests.crash.simulated_directory import compiled
from tests.one_by_one import one_by_one

HEAD = "DC=d,DC=lab"
_SINCE = re.compile(r"\(uSNChanged>=(\d+)\)")
LINKS = "member"


@dataclass(frozen=True)
class Thing:
    """One object; its DN follows from its parent's, its members are other objects."""

    guid: bytes
    rdn: str
    parent: bytes
    values: tuple[tuple[str, str], ...] = ()
    members: frozenset[bytes] = frozenset()
    created: int = 0
    changed: int = 0
    named: int = 0
    deleted: bool = False


HEAD_GUID, BIN_GUID, CONFIG_GUID = (bytes([number]) * 16 for number in (1, 2, 3))
FIRST = (
    Thing(HEAD_GUID, HEAD, b"", (("objectclass", "domainDNS"),)),
    Thing(BIN_GUID, "CN=Deleted Objects", HEAD_GUID, (("objectclass", "container"),), deleted=True),
    Thing(CONFIG_GUID, "CN=Configuration", HEAD_GUID, (("objectclass", "configuration"),)),
)


@dataclass
class Controller:
    """One copy of the domain."""

    name: str
    things: dict[bytes, Thing] = field(default_factory=lambda: {one.guid: one for one in FIRST})
    usn: int = 10
    invocation: int = 1

    def put(self, thing: Thing, *, new: bool = False, named: bool = False) -> None:
        """Write an object, and count."""
        self.usn += 1
        old = self.things.get(thing.guid, thing)
        created = self.usn if new else old.created
        self.things[thing.guid] = replace(
            thing, created=created, changed=self.usn, named=self.usn if named or new else old.named
        )

    def dn(self, thing: Thing) -> str:
        above = self.things.get(thing.parent)
        return thing.rdn if above is None else f"{thing.rdn},{self.dn(above)}"

    def attributes(self, thing: Thing) -> dict[str, tuple[bytes, ...]]:
        found: dict[str, tuple[bytes, ...]] = {name: (value.encode(),) for name, value in thing.values}
        living = [self.things[guid] for guid in sorted(thing.members) if not self.things[guid].deleted]
        if living:
            found[LINKS] = tuple(self.dn(one).encode() for one in living)
        stamps = struct.pack("<IIQ16sqq", 0x90001, 1, 0, b"\0" * 16, thing.named, thing.named)
        found |= {
            "objectguid": (thing.guid,),
            "usncreated": (str(thing.created).encode(),),
            "replpropertymetadata": (struct.pack("<IIII", 1, 0, 1, 0) + stamps,),
        }
        return found | ({"isdeleted": (b"TRUE",)} if thing.deleted else {})


@dataclass
class CountingDomain:
    """The domain as a program sees it: one controller at a time.

    Attributes:
        before_answer: Called before each answer with its number.
        bin_is_visible: Whether our rights let us see what was deleted.
        asked: Every search that was answered, and how many rows it gave.
    """

    controllers_: list[Controller] = field(default_factory=lambda: [Controller("a"), Controller("b", usn=5000)])
    chosen: int = 0
    turn: int = 1
    broken: int = 0
    bin_is_visible: bool = True
    before_answer: Callable[[int], None] = lambda number: None
    asked: list[tuple[Search, int]] = field(default_factory=list)

    @property
    def here(self) -> Controller:
        return self.controllers_[self.chosen]

    def serving(self, domain: str) -> tuple[str, int]:
        return self.here.name, self.turn

    def choose(self, number: int) -> None:
        self.chosen, self.turn = number, self.turn + 1

    def replicate(self) -> None:
        """Bring what one controller has to the other, which counts it as its own changes."""
        source, sink = self.here, self.controllers_[1 - self.chosen]
        for thing in source.things.values():
            there = sink.things.get(thing.guid)
            fields = ("rdn", "parent", "values", "members", "deleted")
            if there is None:
                sink.put(thing, new=True)
            elif any(getattr(there, name) != getattr(thing, name) for name in fields):
                moved = (there.rdn, there.parent) != (thing.rdn, thing.parent)
                sink.put(thing, named=moved)

    def restore(self) -> None:
        """Put the controller back to its beginning, as a restored backup would: it counts anew under another id."""
        fresh = Controller(self.here.name, invocation=self.here.invocation + 1)
        self.controllers_[self.chosen] = fresh
        self.turn += 1

    def ask(self, query: Query) -> Rows:
        assert isinstance(query, Search)
        self.before_answer(len(self.asked))
        if self.broken > 0:
            self.broken -= 1
            raise Unreachable("nothing answers", target="d")
        rows = self._answer(query)
        self.asked.append((query, len(rows)))
        return rows

    def ask_each(self, queries: Sequence[Query]) -> Iterator[tuple[int, Rows | ReconcileError]]:
        return enumerate(one_by_one(self.ask, queries))

    def at_once(self, jobs: Sequence[Callable[[], Any]]) -> list[Any]:
        return [job() for job in jobs]

    def controllers(self, domain: str) -> tuple[str, ...]:
        return tuple(one.name for one in self.controllers_)

    def do(self, effect: Effect) -> Rows:
        assert isinstance(effect, AddEntry)
        values = tuple((name.lower(), str(given[0])) for name, given in effect.attributes)
        self.here.put(Thing(effect.dn.encode().ljust(16)[:16], effect.dn, HEAD_GUID, values), new=True)
        return ()

    def _answer(self, query: Search) -> Rows:
        here = self.here
        settings = f"CN=NTDS Settings,CN={here.name}"
        if query.base == "rootdse":
            found: Row = {"dn": "", "highestcommittedusn": (str(here.usn).encode(),), "dsservicename": (settings.encode(),),
                     "defaultnamingcontext": (HEAD.encode(),)}  # fmt: skip
            return (found,)
        if query.base == settings:
            return ({"dn": settings, "invocationid": (bytes([here.invocation]) * 16,)},)
        return self._search(query)

    def _search(self, query: Search) -> Rows:
        here, base = self.here, _base(query)
        inside = {here.dn(one): one for one in here.things.values() if self._shown(one, query)}
        if base not in inside:
            if query.absent_ok:
                return ()
            raise Refused("no such object", target="d", where=base, code="noSuchObject")
        since = _SINCE.fullmatch(query.where)
        accepts = (
            (lambda one: one.changed >= int(since[1]))
            if since
            else (lambda one: compiled(query.where)(here.attributes(one)))
        )
        return tuple(_row(dn, here.attributes(one), query) for dn, one in inside.items() if _within(dn, base, query.scope) and accepts(one))  # fmt: skip

    def _shown(self, thing: Thing, query: Search) -> bool:
        return not thing.deleted or (query.deleted and self.bin_is_visible)


def _row(dn: str, attributes: dict[str, tuple[bytes, ...]], query: Search) -> Row:
    return {
        "dn": dn,
        **{name.lower(): attributes[name.lower()] for name in query.attributes if name.lower() in attributes},
    }


def _base(query: Search) -> str:
    if query.base.startswith("config:"):
        return f"{query.base.removeprefix('config:')}CN=Configuration,{HEAD}"
    return query.base or HEAD


def _within(dn: str, base: str, scope: str) -> bool:
    if dn == base:
        return scope != "one"
    if scope == "base" or not dn.endswith("," + base):
        return False
    if f"CN=Configuration,{HEAD}" in dn and "CN=Configuration" not in base:
        return False  # another naming context
    return scope == "subtree" or "," not in dn[: -len(base) - 1]

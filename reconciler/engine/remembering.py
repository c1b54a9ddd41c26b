"""A world that remembers what a directory answered, and asks again only about what has moved there since.

The law: what it answers is what the directory would answer. Every doubt means that everything is asked again: a question
too many costs a little, a change that is missed costs what this program is for.

A controller counts every change that it takes (``highestCommittedUSN``) and writes the number on the object
(``uSNChanged``). The counts of two controllers have nothing to do with each other, and one that was restored from a backup
counts under another ``invocationId``.

Source: MS-ADTS 3.1.1.1.9 and 3.1.1.3.2.12 (highestCommittedUSN), MS-ADA3 uSNChanged, MS-ADTS 3.1.1.5.5 (tombstones).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from reconciler.core.errors import ReconcileError, WorldError
from reconciler.core.ports import AsksTogether, World
from reconciler.core.query import Query, Row, Rows, Search
from reconciler.core.steps import Effect
from reconciler.core.values import escape_filter
from reconciler.engine.movement import GUID, Standing, moved, standing_of

MOST_MOVED = 100
"""More objects than this are not picked out one by one."""

# Attributes whose values change only by a write to the object itself: no back links, no names of other objects (a rename
# there changes them here), nothing that is computed when it is read.
_OWN = frozenset(
    [
        "objectclass",
        "objectsid",
        "objectguid",
        "samaccountname",
        "userprincipalname",
        "pwdlastset",
        "iscriticalsystemobject",
        "sidhistory",
        "useraccountcontrol",
        "samaccounttype",
        "grouptype",
        "accountexpires",
        "primarygroupid",
        "admincount",
        "description",
        "displayname",
        "mail",
        "proxyaddresses",
        "serviceprincipalname",
        "givenname",
        "sn",
        "info",
        "cn",
        "name",
        "employeeid",
        "employeenumber",
        "department",
        "company",
        "title",
        "extensionattribute1",
        "extensionattribute2",
        "extensionattribute3",
        "extensionattribute4",
        "extensionattribute5",
    ]
)
# What changes only together with the count of the controller, if not by a write to this object.
_COUNTED = _OWN | frozenset(
    [
        "member",
        "gplink",
        "flags",
        "trustpartner",
        "flatname",
        "securityidentifier",
        "trustdirection",
        "trusttype",
        "trustattributes",
        "ncname",
        "netbiosname",
        "dnsroot",
        "fsmoroleowner",
        "dnshostname",
        "ldapdisplayname",
        "schemaidguid",
        "rightsguid",
        "invocationid",
        "msds-hasmasterncs",
        "hasmasterncs",
        "msds-hasfullreplicancs",
        "msds-hasdomainncs",
    ]
)
_TERM = re.compile(r"\(([A-Za-z][A-Za-z0-9-]*)(?::1\.2\.840\.113556\.1\.4\.80[34]:)?(?:=|>=|<=|~=)")
_OPENING = re.compile(r"\((?![&|!])")


class Steady(World, AsksTogether, Protocol):
    """A world that says which controller it asks."""

    def serving(self, domain: str) -> tuple[str, int]:
        """Return the controller that answers and how often one was chosen: between two equal values it was the same."""
        ...


@dataclass(frozen=True, slots=True)
class _Answer:
    """Rows with the GUID of each; without them where they cannot be replaced one by one."""

    rows: Rows
    guids: tuple[bytes, ...] | None


@dataclass(slots=True)
class _Domain:
    """What is remembered of a domain: answers as they were when its controller stood here."""

    standing: Standing
    answers: dict[Search, _Answer] = field(default_factory=dict)


class Memory:
    """What was answered by the last look; outlives the world that is wrapped around it."""

    def __init__(self) -> None:
        self.domains: dict[str, _Domain] = {}

    def forget(self) -> None:
        """Trust nothing of it any more."""
        self.domains.clear()


@dataclass(frozen=True, slots=True)
class _Look:
    """What one look at one domain needs: what is known, what is patched, what is asked anew."""

    standing: Standing | None
    turn: tuple[str, int]
    known: Mapping[Search, _Answer] = field(default_factory=dict)
    patches: Mapping[Search, tuple[_Answer, Search]] = field(default_factory=dict)
    gone: frozenset[bytes] = frozenset()

    def question(self, search: Search) -> Search | None:
        """Return what to ask for this search; None for nothing."""
        if search in self.known:
            return None
        if search in self.patches:
            return self.patches[search][1]
        return with_guid(search) if self.standing is not None and patchable(search) else search


class RememberingWorld:
    """Wraps a world for the looks of a watch.

    Only what is asked together is answered from memory: reading back after a change asks one thing alone, and is never
    answered so. After any effect nothing is remembered, because what a host does may change a directory.
    """

    def __init__(self, world: Steady, memory: Memory) -> None:
        self.world = world
        self._memory = memory

    def ask(self, query: Query) -> Rows:
        """Ask, always."""
        return self.world.ask(query)

    def controllers(self, domain: str) -> tuple[str, ...]:
        """Return the controllers of a domain, as ``core.ports.World`` says."""
        return self.world.controllers(domain)

    def do(self, effect: Effect) -> Rows:
        """Carry out an effect, and remember nothing from before it."""
        self._memory.forget()
        try:
            return self.world.do(effect)
        finally:
            self._memory.forget()

    def ask_all(self, queries: Sequence[Query]) -> list[Rows | ReconcileError]:
        """Answer as ``core.ports.AsksTogether`` says, from memory where nothing has moved."""
        searches = [query for query in queries if isinstance(query, Search) and counted(query)]
        by_domain: dict[str, list[Search]] = {}
        for search in searches:
            by_domain.setdefault(search.domain, []).append(search)
        looks = {domain: self._begin(domain, wanted) for domain, wanted in by_domain.items()}
        questions = {query: self._question(looks, query) for query in dict.fromkeys(queries)}
        asked = list(dict.fromkeys(question for question in questions.values() if question is not None))
        answered = dict(zip(asked, self.world.ask_all(asked), strict=True))
        found: dict[Query, Rows | ReconcileError] = {}
        for query, question in questions.items():
            if not (isinstance(query, Search) and counted(query)) and question is not None:
                found[query] = answered[question]
        for domain, wanted in by_domain.items():
            found |= self._end(domain, wanted, looks[domain], answered)
        return [found[query] for query in queries]

    def _question(self, looks: Mapping[str, _Look], query: Query) -> Query | None:
        if isinstance(query, Search) and counted(query):
            return looks[query.domain].question(query)
        return query

    def _begin(self, domain: str, wanted: Iterable[Search]) -> _Look:
        """See where the controller stands, and what has to be asked because of that."""
        before = self._memory.domains.get(domain)
        try:
            standing, turn = self._standing(domain)
            if standing is None:
                self._memory.domains.pop(domain, None)
                return _Look(None, turn)
            if before is None or not before.standing.leads_to(standing):
                return _Look(standing, turn)
            if before.standing.usn == standing.usn:
                return _Look(standing, turn, known=dict(before.answers))
            found = moved(self.world.ask, domain, before.standing)
        except WorldError:
            self._memory.domains.pop(domain, None)  # whoever is asked next says what is wrong
            return _Look(None, self.world.serving(domain))
        if found is None or len(found) > MOST_MOVED:
            return _Look(standing, turn)
        return _patched(_Look(standing, turn, gone=found), before, wanted)

    def _standing(self, domain: str) -> tuple[Standing | None, tuple[str, int]]:
        """Return where the controller stands, and which it was; None where they change too fast to tell."""
        for _ in range(3):
            before = self.world.serving(domain)
            standing = standing_of(self.world.ask, domain)
            if before == self.world.serving(domain):
                return standing, before
        return None, before

    def _end(
        self, domain: str, wanted: Sequence[Search], look: _Look, answered: Mapping[Query, Rows | ReconcileError]
    ) -> dict[Query, Rows | ReconcileError]:
        """Put the answers together, and remember them where one and the same controller gave them all."""
        if look.standing is None or self.world.serving(domain) != look.turn:
            self._memory.domains.pop(domain, None)
            if look.standing is None:
                return {search: answered[search] for search in wanted}
            return dict(zip(wanted, self.world.ask_all(wanted), strict=True))
        whole: dict[Search, _Answer | ReconcileError] = {search: _whole(search, look, answered) for search in wanted}
        if any(isinstance(answer, ReconcileError) for answer in whole.values()):
            self._memory.domains.pop(domain, None)
        else:
            kept = look.known if look.known else {}
            fresh = {search: answer for search, answer in whole.items() if isinstance(answer, _Answer)}
            self._memory.domains[domain] = _Domain(look.standing, {**kept, **fresh})
        return {search: one.rows if isinstance(one, _Answer) else one for search, one in whole.items()}


def _patched(look: _Look, before: _Domain, wanted: Iterable[Search]) -> _Look:
    patches: dict[Search, tuple[_Answer, Search]] = {}
    known: dict[Search, _Answer] = {}
    for search in wanted:
        answer = before.answers.get(search)
        if answer is None or answer.guids is None:
            continue
        if look.gone:
            patches[search] = (answer, _about(search, look.gone))
        else:
            known[search] = answer
    return replace(look, patches=patches, known=known)


def _whole(search: Search, look: _Look, answered: Mapping[Query, Rows | ReconcileError]) -> _Answer | ReconcileError:
    question = look.question(search)
    if question is None:
        return look.known[search]
    rows = answered[question]
    if isinstance(rows, ReconcileError):
        return rows
    if question == search and not patchable(search):
        return _Answer(rows, None)
    fresh = _with_guids(search, rows)
    if search not in look.patches or fresh.guids is None:
        return fresh
    old = look.patches[search][0]
    assert old.guids is not None
    kept = [(guid, row) for guid, row in zip(old.guids, old.rows, strict=True) if guid not in look.gone]
    kept += zip(fresh.guids, fresh.rows, strict=True)
    return _Answer(tuple(row for _, row in kept), tuple(guid for guid, _ in kept))


def _with_guids(search: Search, rows: Rows) -> _Answer:
    """Take the GUIDs out of the rows where they were not asked for."""
    asked = GUID in (name.lower() for name in search.attributes)
    guids = [_guid(row) for row in rows]
    plain = rows if asked else tuple({name: value for name, value in row.items() if name != GUID} for row in rows)
    return _Answer(plain, None if None in guids else tuple(guid for guid in guids if guid is not None))


def _guid(row: Row) -> bytes | None:
    values = row.get(GUID)
    return values[0] if isinstance(values, tuple) and len(values) == 1 and isinstance(values[0], bytes) else None


def with_guid(search: Search) -> Search:
    """Return the search, asking for GUIDs as well."""
    if GUID in (name.lower() for name in search.attributes):
        return search
    return replace(search, attributes=(*search.attributes, "objectGUID"))


def _about(search: Search, guids: Iterable[bytes]) -> Search:
    """Return the search about these objects alone: the directory itself says which of them it still finds."""
    these = "".join(f"(objectGUID={escape_filter(guid)})" for guid in sorted(guids))
    return replace(with_guid(search), where=f"(&{search.where}(|{these}))")


def counted(search: Search) -> bool:
    """Whether the answer stays the same for as long as the controller counts no change.

    Not so: what a controller says of itself, security descriptors (inherited parts arrive later, uncounted), and anything that
    is not known.
    """
    names = {name.lower() for name in search.attributes} | (_named(search.where) or {"?"})
    return bool(
        not search.controller
        and not search.deleted
        and not search.sd_flags
        and search.base.lower() != "rootdse"
        and names - {"objectcategory"} <= _COUNTED
    )


def patchable(search: Search) -> bool:
    """Whether each row depends on its own object alone."""
    names = {name.lower() for name in search.attributes} | (_named(search.where) or {"?"})
    return not search.base.lower().startswith("config:") and names - {"objectcategory"} <= _OWN and counted(search)


def _named(where: str) -> set[str] | None:
    """Return the attributes that a filter names, None where it cannot be told."""
    names = _TERM.findall(where)
    return {name.lower() for name in names} if len(names) == len(_OPENING.findall(where)) else None

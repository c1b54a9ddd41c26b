"""A world that remembers what a directory answered, and asks again only about what has moved there since.

The law: what it answers is what the directory would answer. Every doubt means that everything is asked again: a question
too many costs a little, a change that is missed costs what this program is for.

A controller counts every change that it takes (``highestCommittedUSN``) and writes the number on the object
(``uSNChanged``). The counts of two controllers have nothing to do with each other, and one that was restored from a backup
counts under another ``invocationId``.

Source: MS-ADTS 3.1.1.1.9 and 3.1.1.3.2.12 (highestCommittedUSN), MS-ADA3 uSNChanged, MS-ADTS 3.1.1.5.5 (tombstones).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from msgspec import Struct, field
from msgspec.structs import replace

from reconciler.core.errors import ReconcileError, WorldError
from reconciler.core.looks import LastLook
from reconciler.core.ports import AsksTogether, DoesTogether, ModifiesTogether, World
from reconciler.core.query import Query, Rows, Search
from reconciler.core.steps import AddEntry, DeleteEntry, Effect, ModifyEntry
from reconciler.core.table import Table
from reconciler.engine.counted import about, any_of, asks_guid, counted, names_others, patchable, with_guid
from reconciler.engine.movement import GUID, Standing, moved, standing_of

MOST_MOVED = 100
"""More objects than this are not picked out one by one."""
_AT_ONCE = 100  # searches in one filter


class Steady(World, AsksTogether, Protocol):
    """A world that says which controller it asks."""

    def serving(self, domain: str) -> tuple[str, int]:
        """Return the controller that answers and how often one was chosen: between two equal values it was the same."""
        ...

    def at_once(self, jobs: Sequence[Callable[[], Any]]) -> list[Any]:
        """Return what some jobs return that ask this world, each in a thread of its own where it bears that."""
        ...


class _Answer(Struct, frozen=True):
    """Rows as they are given out; and the same with the GUID of each, None where they cannot be replaced one by one."""

    rows: Rows
    known: Table | None


class _Domain(Struct):
    """What is remembered of a domain: answers as they were when its controller stood here."""

    standing: Standing
    answers: dict[Search, _Answer] = field(default_factory=dict)


class Memory:
    """What was answered by the last look, and what was made of that; outlives the world that is wrapped around it."""

    def __init__(self) -> None:
        self.domains: dict[str, _Domain] = {}
        self.looks = LastLook()

    def forget(self) -> None:
        """Trust nothing of it any more."""
        self.domains.clear()
        self.looks.forget()


class _Look(Struct, frozen=True):
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
    answered so. A write to a directory is counted there as anybody's is; after what a host did nothing is remembered: it may have
    done anything to the controllers, the count included.
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
        """Carry out an effect; what is remembered stays only where the effect is one that the controller counts."""
        if isinstance(effect, AddEntry | ModifyEntry | DeleteEntry):
            return self.world.do(effect)
        self._memory.forget()
        try:
            return self.world.do(effect)
        finally:
            self._memory.forget()

    def modify_together(self, changes: Sequence[ModifyEntry]) -> list[ReconcileError | None]:
        """Carry out changes of one domain, at once where the world can."""
        if isinstance(self.world, ModifiesTogether):
            return self.world.modify_together(changes)
        return [self._error(change) for change in changes]

    def _error(self, change: ModifyEntry) -> ReconcileError | None:
        try:
            self.world.do(change)
        except ReconcileError as error:
            return error
        return None

    def do_together(self, works: Sequence[Callable[[], None]]) -> None:
        """Do several pieces of work, at the same time where the world can; each effect in them still goes through ``do``."""
        if isinstance(self.world, DoesTogether):
            self.world.do_together(works)
            return
        for work in works:
            work()

    def ask_each(self, queries: Sequence[Query]) -> Iterator[tuple[int, Rows | ReconcileError]]:
        """Answer as ``core.ports.AsksTogether`` says, from memory where nothing has moved."""
        others: dict[Query, None] = {}
        by_domain: dict[str, list[Search]] = {}
        for query in dict.fromkeys(queries):
            if isinstance(query, Search) and counted(query):
                by_domain.setdefault(query.domain, []).append(query)
            else:
                others[query] = None
        jobs = [partial(self._look, domain, wanted) for domain, wanted in by_domain.items()]
        found: dict[Query, Rows | ReconcileError] = {}
        for answers in self.world.at_once([partial(self._ask, list(others)), *jobs]):
            found |= answers
        return ((place, found[query]) for place, query in enumerate(queries))

    def _ask(self, queries: Sequence[Query]) -> dict[Query, Rows | ReconcileError]:
        return {queries[place]: answer for place, answer in self.world.ask_each(queries)}

    def _look(self, domain: str, wanted: Sequence[Search]) -> dict[Query, Rows | ReconcileError]:
        """Answer the searches of one domain."""
        look = self._begin(domain, wanted)
        questions = dict.fromkeys(question for search in wanted if (question := look.question(search)) is not None)
        return self._end(domain, wanted, look, self._ask(list(questions)))

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
            if found is None or len(found.guids) > MOST_MOVED:
                return _Look(standing, turn)
            kept = [search for search in wanted if not (found.deletions and names_others(search))]
            return self._settled(_patched(_Look(standing, turn, gone=found.guids), before, kept))
        except WorldError:
            self._memory.domains.pop(domain, None)  # whoever is asked next says what is wrong
            return _Look(None, self.world.serving(domain))

    def _settled(self, look: _Look) -> _Look:
        """Ask at once about many searches that none of what moved concerns: mostly nothing of it does."""
        alike: dict[tuple[str, str, str, bool], list[Search]] = {}
        for search in look.patches:
            alike.setdefault((search.domain, search.base, search.scope, search.absent_ok), []).append(search)
        known, patches = dict(look.known), dict(look.patches)
        for searches in alike.values():
            for start in range(0, len(searches), _AT_ONCE):
                some = searches[start : start + _AT_ONCE]
                if len(some) > 1 and not self.world.ask(any_of(some, look.gone)):
                    known |= {search: _left(search, patches.pop(search)[0].known, look.gone) for search in some}
        return replace(look, known=known, patches=patches)

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
        if look.standing is None:
            self._memory.domains.pop(domain, None)
            return {search: answered[search] for search in wanted}
        another = self.world.serving(domain) != look.turn
        whole: dict[Search, _Answer | ReconcileError] = {}
        for search in wanted:
            one = _whole(search, look, answered)
            if another or one is None:
                self._memory.domains.pop(domain, None)
                return self._ask(wanted)
            whole[search] = one
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
        if answer is None or answer.known is None:
            continue
        if look.gone:
            patches[search] = (answer, about(search, look.gone))
        else:
            known[search] = answer
    return replace(look, patches=patches, known=known)


def _whole(
    search: Search, look: _Look, answered: Mapping[Query, Rows | ReconcileError]
) -> _Answer | ReconcileError | None:
    """Return the whole answer; None where what moved came back so that it cannot be put in its place."""
    question = look.question(search)
    if question is None:
        return look.known[search]
    rows = answered[question]
    if isinstance(rows, ReconcileError):
        return rows
    if question == search and not patchable(search):
        return _Answer(rows, None)
    fresh = Table.of(rows)
    identified = _identified(fresh)
    if search in look.patches:
        old = look.patches[search][0].known
        if old is None or not identified:
            return None
        fresh = old.replaced(GUID, look.gone, fresh)
    return _answer(search, fresh, fresh if identified else None)


def _answer(search: Search, rows: Table, known: Table | None) -> _Answer:
    """Return an answer; GUIDs are taken out again where they were not asked for."""
    return _Answer(rows if asks_guid(search) else rows.without(GUID), known)


def _left(search: Search, known: Table | None, gone: frozenset[bytes]) -> _Answer:
    """Return an answer without some objects."""
    assert known is not None
    rest = known.replaced(GUID, gone, Table.of(()))
    return _answer(search, rest, rest)


def _identified(rows: Table) -> bool:
    """Whether each row has one GUID, by which ``Table.replaced`` finds it."""
    return all(isinstance(held, bytes) and len(held) == 16 for held in rows.column(GUID))

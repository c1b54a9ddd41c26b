"""A world that remembers answers as one that asks everything anew, whatever happens in between."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.core.errors import ReconcileError, Unreachable
from reconciler.core.query import Command, Query, Rows, Search
from reconciler.core.steps import AddEntry, Effect
from reconciler.engine.counted import counted, patchable
from reconciler.engine.movement import name_written_at
from reconciler.engine.remembering import Memory, RememberingWorld
from tests.engine.counting_directory import BIN_GUID, CONFIG_GUID, HEAD, HEAD_GUID, CountingDomain, Thing
from tests.one_by_one import answers_of

USERS = "(&(objectClass=user)(!(objectClass=computer)))"
NAMES = ("objectClass", "sAMAccountName", "description")
QUERIES = (
    Search("d", "", USERS, NAMES, "subtree"),
    Search("d", "", "(sAMAccountName=*)", (*NAMES, "objectGUID"), "subtree"),
    Search("d", f"OU=o1,{HEAD}", USERS, NAMES, "subtree"),
    Search("d", f"OU=o1,{HEAD}", "(objectClass=*)", NAMES, "one"),
    Search("d", f"OU=o2,{HEAD}", attributes=("description",)),
    Search("d", f"OU=o2,{HEAD}", USERS, NAMES, "subtree", absent_ok=False),
    Search("d", "", "(sAMAccountName=n4)", ("objectClass", "member"), "subtree"),
    Search("d", "", "(member=*)", ("sAMAccountName",), "subtree"),
    Search("d", "config:", "(objectClass=*)", ("description",), "subtree"),
    Search("d", "rootdse", attributes=("highestCommittedUSN",)),
    Search("d", "", "(objectClass=user)", ("memberOf",), "subtree"),
)
NUMBERS = st.integers(0, 7)
KINDS = st.sampled_from(["user", "user", "group", "organizationalUnit", "computer"])
OPERATIONS = st.one_of(
    st.tuples(st.just("add"), NUMBERS, NUMBERS, KINDS),
    st.tuples(st.just("modify"), NUMBERS, NUMBERS),
    st.tuples(st.just("move"), NUMBERS, NUMBERS, NUMBERS),
    st.tuples(st.just("delete"), NUMBERS),
    st.tuples(st.just("revive"), NUMBERS),
    st.tuples(st.just("member"), NUMBERS, NUMBERS),
    st.tuples(st.just("configure"), NUMBERS),
    st.tuples(st.just("choose"), st.integers(0, 1)),
    st.tuples(st.just("replicate")),
    st.tuples(st.just("restore")),
    st.tuples(st.just("break"), st.integers(1, 6)),
    st.tuples(st.just("blind"), st.booleans()),
    st.tuples(st.just("look")),
    st.tuples(st.just("look")),
)


def guid(number: int) -> bytes:
    return bytes([16 + number]) * 16


def container(world: CountingDomain, number: int) -> bytes:
    """Return where something may lie: an organisational unit, or even a user; the head where that one is not there."""
    found = world.here.things.get(guid(number))
    return HEAD_GUID if found is None or found.deleted else found.guid


def below(world: CountingDomain, one: bytes, other: bytes) -> bool:
    """Whether the one is the other or lies below it."""
    while one in world.here.things:
        if one == other:
            return True
        one = world.here.things[one].parent
    return False


def happen(world: CountingDomain, what: tuple[Any, ...]) -> None:
    """Let one thing befall the domain; what cannot be does not happen."""
    here, name = world.here, what[0]
    thing = here.things.get(guid(what[1])) if len(what) > 1 and not isinstance(what[1], bool) else None
    living = thing is not None and not thing.deleted
    if name == "add" and thing is None:
        prefix, word = ("OU=o", "organizationalUnit") if what[3] == "organizationalUnit" else ("CN=n", what[3])
        values = (
            (("objectclass", word), ("samaccountname", f"n{what[1]}")) if prefix == "CN=n" else (("objectclass", word),)
        )
        here.put(Thing(guid(what[1]), f"{prefix}{what[1]}", container(world, what[2]), values), new=True)
    elif name == "modify" and thing and living:
        kept = dict(thing.values) | {"description": f"d{what[2]}"}
        here.put(replace(thing, values=tuple(sorted(kept.items()))))
    elif name == "move" and thing and living and not below(world, into := container(world, what[2]), thing.guid):
        here.put(replace(thing, rdn=f"{thing.rdn[:4]}{what[3]}x{what[1]}", parent=into), named=True)
    elif name == "delete" and thing and living and not any(o.parent == thing.guid for o in here.things.values()):
        here.put(replace(thing, deleted=True, parent=BIN_GUID, rdn=f"{thing.rdn}\\0ADEL"), named=True)
    elif name == "revive" and thing and thing.deleted:
        here.put(replace(thing, deleted=False, parent=HEAD_GUID, rdn=thing.rdn.removesuffix("\\0ADEL")), named=True)
    elif name == "member" and thing and living and guid(what[2]) in here.things:
        here.put(replace(thing, members=thing.members ^ {guid(what[2])}))
    elif name == "configure":
        here.put(replace(here.things[CONFIG_GUID], values=(("description", f"c{what[1]}"),)))
    elif name == "choose":
        world.choose(what[1])
    elif name == "replicate":
        world.replicate()
    elif name == "restore":
        world.restore()
    elif name == "break":
        world.broken = what[1]
    elif name == "blind":
        world.bin_is_visible = not what[1]


def comparable(answer: Rows | ReconcileError) -> object:
    if isinstance(answer, ReconcileError):
        return type(answer)
    return sorted(sorted((name, str(value)) for name, value in row.items()) for row in answer)


def check(world: CountingDomain, remembering: RememberingWorld) -> None:
    found = [comparable(one) for one in answers_of(remembering, QUERIES)]
    world.broken, world.before_answer = 0, lambda number: None
    if not any(one is Unreachable for one in found):
        assert found == [comparable(one) for one in answers_of(world, QUERIES)]


def built() -> CountingDomain:
    world = CountingDomain()
    for what in (
        ("add", 1, 9, "organizationalUnit"),
        ("add", 2, 9, "organizationalUnit"),
        ("add", 3, 1, "user"),
        ("add", 4, 3, "user"),
    ):
        happen(world, what)
    world.replicate()
    return world


@settings(max_examples=1500, deadline=None)
@given(st.lists(OPERATIONS, max_size=30))
def test_answers_are_always_those_of_a_world_without_memory(happened: list[tuple[Any, ...]]) -> None:
    world = built()
    remembering = RememberingWorld(world, Memory())
    check(world, remembering)
    for what in happened:
        if what[0] == "look":
            check(world, remembering)
        else:
            happen(world, what)
    check(world, remembering)


@settings(max_examples=500, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 25), OPERATIONS), max_size=6),
    st.lists(OPERATIONS, max_size=10),
    st.lists(OPERATIONS, max_size=3),
)
def test_what_happens_in_the_middle_of_a_look_is_seen_by_the_next(
    during: list[tuple[int, tuple[Any, ...]]], before: list[tuple[Any, ...]], after: list[tuple[Any, ...]]
) -> None:
    world = built()
    remembering = RememberingWorld(world, Memory())
    check(world, remembering)
    for what in before:
        happen(world, what)
    start = len(world.asked)

    def befall(number: int) -> None:
        for at, what in during:
            if at == number - start:
                during.remove((at, what))
                happen(world, what)

    world.before_answer = befall
    answers_of(remembering, QUERIES)
    world.broken, world.before_answer = 0, lambda number: None
    for what in after:
        happen(world, what)
    check(world, remembering)


@pytest.mark.parametrize("at", range(16))
def test_a_controller_that_answered_in_between_is_not_taken_for_the_one_before_and_after(at: int) -> None:
    world = built()
    happen(world, ("modify", 3, 1))  # the other controller does not know yet
    remembering = RememberingWorld(world, Memory())
    start = len(world.asked)
    world.before_answer = lambda number: world.choose(1) if number == start + at else None
    answers_of(remembering, QUERIES)
    world.before_answer = lambda number: None
    world.choose(0)
    check(world, remembering)


def asked_by(
    world: CountingDomain, remembering: RememberingWorld, queries: Sequence[Search]
) -> list[tuple[Search, int]]:
    world.asked.clear()
    answers_of(remembering, queries)
    return list(world.asked)


def test_where_nothing_moved_nothing_is_asked_but_that() -> None:
    world = built()
    remembering = RememberingWorld(world, Memory())
    answers_of(remembering, QUERIES[:9])
    asked = asked_by(world, remembering, QUERIES[:9])
    assert [query.base for query, _ in asked] == ["rootdse", "CN=NTDS Settings,CN=a", f"CN=Deleted Objects,{HEAD}"]


def test_a_member_that_was_deleted_vanishes_from_what_is_remembered() -> None:
    world = built()
    remembering = RememberingWorld(world, Memory())
    happen(world, ("add", 5, 9, "user"))
    happen(world, ("member", 4, 5))
    check(world, remembering)
    happen(world, ("modify", 3, 1))
    check(world, remembering)
    happen(world, ("delete", 5))  # of the group itself the directory counts nothing
    check(world, remembering)


def test_a_look_costs_what_changed_and_not_what_there_is() -> None:
    world = built()
    for number in range(3000):
        values = (("objectclass", "user"), ("samaccountname", f"many{number}"))
        world.here.put(Thing(b"m" + number.to_bytes(15), f"CN=many{number}", HEAD_GUID, values), new=True)
    remembering = RememberingWorld(world, Memory())
    whole = sum(rows for _, rows in asked_by(world, remembering, QUERIES[:2]))
    for number in range(10):
        thing = world.here.things[b"m" + number.to_bytes(15)]
        world.here.put(replace(thing, values=(*thing.values, ("description", "new"))))
    changed = sum(rows for _, rows in asked_by(world, remembering, QUERIES[:2]))
    assert whole > 6000
    assert changed < 50


class Shy(CountingDomain):
    """Gives no GUID of what is asked for by its GUID."""

    def ask(self, query: Query) -> Rows:
        rows = super().ask(query)
        if isinstance(query, Search) and "(objectGUID=" in query.where:
            return tuple({name: value for name, value in row.items() if name != "objectguid"} for row in rows)
        return rows


def test_what_moved_and_cannot_be_identified_is_not_taken_for_all_there_is() -> None:
    world = Shy()
    for number in range(3):
        happen(world, ("add", number, 9, "user"))
    remembering = RememberingWorld(world, Memory())
    answers_of(remembering, QUERIES[:1])
    happen(world, ("modify", 1, 5))
    check(world, remembering)
    assert len(asked_by(world, remembering, QUERIES[:1])) > 0
    check(world, remembering)


def test_our_own_write_is_counted_as_anybodys_is() -> None:
    world = built()
    remembering = RememberingWorld(world, Memory())
    asked_by(world, remembering, QUERIES[:2])
    remembering.do(AddEntry("d", f"CN=made,{HEAD}", (("objectClass", ("user",)), ("sAMAccountName", ("made",)))))
    asked = [query.where for query, _ in asked_by(world, remembering, QUERIES[:2])]
    assert all("objectGUID=" in where or "uSNChanged" in where for where in asked if where != "(objectClass=*)")
    check(world, remembering)


class Hosted(CountingDomain):
    """Has a host that does something."""

    def do(self, effect: Effect) -> Rows:
        assert isinstance(effect, Command)
        return ()


def test_after_what_a_host_did_everything_is_asked_again() -> None:
    world = Hosted()
    remembering = RememberingWorld(world, Memory())
    first = len(asked_by(world, remembering, QUERIES[:2]))
    assert len(asked_by(world, remembering, QUERIES[:2])) < first
    remembering.do(Command("h", "Restart-Service"))
    assert len(asked_by(world, remembering, QUERIES[:2])) == first


def test_one_thing_alone_is_always_asked() -> None:
    world = built()
    remembering = RememberingWorld(world, Memory())
    for _ in range(2):
        world.asked.clear()
        remembering.ask(QUERIES[0])
        assert [query for query, _ in world.asked] == [QUERIES[0]]


@pytest.mark.parametrize(
    "search",
    [
        Search("d", "rootdse", attributes=("currentTime",)),
        Search("d", "", attributes=("nTSecurityDescriptor",), sd_flags=4),
        Search("d", "", attributes=("objectSid",), controller="dc1"),
        Search("d", "", attributes=("tokenGroups",)),
        Search("d", "", "(memberOf=CN=a)", ("objectSid",), "subtree"),
        Search("d", "", "(member:1.2.840.113556.1.4.1941:=CN=a)", ("objectSid",), "subtree"),
        Search("d", "", "(:dn:2.4.6.8:=x)", ("objectSid",), "subtree"),
    ],
)
def test_what_the_count_does_not_tell_is_never_remembered(search: Search) -> None:
    assert not counted(search) and not patchable(search)


@pytest.mark.parametrize(
    "search",
    [
        Search("d", "", "(gPLink=*)", ("gPLink",), "subtree"),
        Search("d", "config:CN=Sites,", "(objectClass=server)", ("dNSHostName",), "subtree"),
    ],
)
def test_what_hangs_on_other_objects_is_asked_whole(search: Search) -> None:
    assert counted(search) and not patchable(search)


@pytest.mark.parametrize("metadata", [b"", b"\1\0\0\0", b"\2" + b"\0" * 80, b"\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"])
def test_metadata_that_cannot_be_read_counts_as_a_rename(metadata: bytes) -> None:
    assert name_written_at(metadata) == 2**63


@pytest.mark.parametrize("together", [True, False])
def test_pieces_of_work_are_done_as_the_world_can_do_them(together: bool) -> None:
    class Together(CountingDomain):
        def do_together(self, works: Sequence[Callable[[], None]]) -> None:
            done.append("together")
            for work in works:
                work()

    done: list[str] = []
    remembering = RememberingWorld(Together() if together else CountingDomain(), Memory())
    remembering.do_together([lambda: done.append("one"), lambda: done.append("two")])
    assert done == [*(["together"] if together else []), "one", "two"]

"""A population that is read again is what it would be if all of it were read anew, whatever moved since."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from reconciler.core.facts import FactRows, Facts
from reconciler.core.query import Row, Rows
from reconciler.core.table import Table
from reconciler.resources import account_book
from reconciler.resources.account_matching import match
from reconciler.resources.account_standing import Stand
from reconciler.resources.ad_accounts import Accounts
from reconciler.resources.several import Several
from tests.resources.directory import TARGET_DN, entry, head, rid
from tests.resources.test_ad_accounts import MOVED, PDC, STAFF, USER, WANTED

NAMES = ("ann", "Ann", "x-ann", "bob", "a-name-of-twenty-more")
ELSEWHERE = f"OU=Elsewhere,{TARGET_DN}"
NUMBERS = tuple(range(1101, 1106))
EARLIER = {"of": "users", "base": STAFF, "filter": "(a=b)"}
DECLARED: dict[str, dict[str, Any]] = {
    "plain": {},
    "prefix": {"on_name_conflict": "prefix", "rename": {"prefix": "x-"}},
    "merge": {"on_name_conflict": "merge", "attributes": ["description"]},
    "skip": {"on_name_conflict": "skip", "rename": {"upn_suffix": "target.lab"}},
    "key": {"match_by": "employeeID", "on_name_conflict": "merge"},
    "listed": {"listed": [{"name": "ann", "sam": "bob"}, {"name": NAMES[-1], "sam": "ann"}, {"name": "bob"}]},
    "expiring": {"source_afterwards": 30, "excluded": {"names": ["bob"]}},
    "second": {"earlier": [EARLIER]},
}


@dataclass
class Side:
    """Rows of a search that move, as a watch's memory gives them."""

    rows: Table = field(default_factory=lambda: Table.of(()))
    there: dict[int, Row] = field(default_factory=dict)

    def move(self, put: Mapping[int, Row | None]) -> None:
        fresh = []
        for number, row in put.items():
            self.there.pop(number, None)
            if row is not None:
                self.there[number] = row
                fresh.append({**row, "objectguid": (guid(number),)})
        self.rows = self.rows.replaced("objectguid", [guid(number) for number in put], Table.of(tuple(fresh)))

    def seen(self) -> Rows:
        return self.rows.without("objectguid")

    def anew(self) -> Rows:
        return tuple(self.there.values())


def guid(number: int) -> bytes:
    return number.to_bytes(16, "big")


def user(side: str, number: int, name: str, where: str, *, cn: str = "", **more: Any) -> Row:
    sam = name.replace(",", "_") if side == "target" else name
    escaped = (cn or name).replace(",", "\\,")
    return entry(
        f"CN={escaped},{where}", objectClass=USER, sAMAccountName=sam, objectSid=rid(side, number), **more
    )  # fmt: skip


OLD = st.builds(
    lambda name, cn, password, control, key, text: lambda n: user(
        "source", 500 if n == 1105 and control else n, name, STAFF, cn=cn, pwdLastSet=password, userAccountControl=control, employeeID=key, description=text
    ),
    st.sampled_from(NAMES), st.sampled_from(NAMES[:3]), st.integers(0, 3), st.sampled_from([0, 2, 512]), st.sampled_from(["", "1", "2"]), st.sampled_from(["", "here"]),
)  # fmt: skip
NEW = st.builds(
    lambda name, cn, where, past, password, key, kind: lambda n: user(
        "target", n + 1000, name, where, cn=cn, sIDHistory=tuple(rid("source", one) for one in past), pwdLastSet=password, employeeID=key, description=kind
    ),
    st.sampled_from(NAMES), st.sampled_from(NAMES[:3]), st.sampled_from([MOVED, ELSEWHERE]), st.lists(st.sampled_from(NUMBERS), max_size=2, unique=True),
    st.integers(0, 3), st.sampled_from(["", "1", "2"]), st.sampled_from(["", "here"]),
)  # fmt: skip
FACT = st.fixed_dictionaries(
    {"password": st.sampled_from(["copied", "random", "attempted", "nonsense"]), "source_set": st.integers(0, 3)},
    optional={"target_sid": st.sampled_from(NUMBERS).map(lambda n: str(rid("target", n + 1000))), "failed": st.just("no"), "batch": st.integers(0, 2)},
)  # fmt: skip
STEP = st.tuples(
    st.dictionaries(st.sampled_from(NUMBERS), st.none() | OLD, max_size=3),
    st.dictionaries(st.sampled_from(NUMBERS), st.none() | NEW, max_size=3),
    st.dictionaries(st.sampled_from(NUMBERS), FACT, max_size=2),
    st.dictionaries(st.sampled_from(NUMBERS), st.none() | OLD, max_size=1),
)


def moving(put: Mapping[int, Any]) -> dict[int, Row | None]:
    return {number: make(number) if make is not None else None for number, make in put.items()}


@pytest.mark.parametrize("what", DECLARED)
@given(steps=st.lists(STEP, min_size=2, max_size=8))
@settings(max_examples=150, deadline=None)
def test_what_is_read_again_is_what_would_be_read_anew(what: str, steps: list[Any]) -> None:
    wanted = Accounts.model_validate({**WANTED.model_dump(exclude_unset=True), "kind": "ad.accounts", **DECLARED[what]})
    source, target, before, kept = Side(), Side(), Side(), Facts({})
    observed: Accounts | None = None
    old: list[Rows] = []
    for mine, theirs, facts, taken in steps:
        source.move(moving(mine))
        target.move(moving(theirs))
        before.move(moving(taken))
        news = {f"account/source/{rid('source', number)}": fact for number, fact in facts.items()}
        kept = kept.became(dict(sorted({**kept, **news}.items())), news) if news else kept

        def answers(own: Rows, everybody: Rows, earlier: Rows, known: Rows) -> list[Rows]:
            servers = (entry(PDC, dNSHostName="srcdc1.source.lab"),)
            return [
                own, *([earlier] if wanted.earlier else []), everybody, (entry(MOVED),),
                head("source", fSMORoleOwner=f"CN=NTDS Settings,{PDC}"), servers, known, (),
            ]  # fmt: skip

        now = answers(source.seen(), target.seen(), before.seen(), FactRows(kept))
        observed = wanted.parse(*now) if observed is None else wanted.reread(observed, old, *now)
        old = now
        anew = wanted.parse(*answers(source.anew(), target.anew(), before.anew(), tuple(FactRows(kept))))
        assert observed.model_dump() == anew.model_dump()
        found, expected = observed.facts["found"], anew.facts["found"]
        event(f"followed: {found.book is not None}")
        for name in ("stands", "unfinished", "unfit", "not_found"):
            assert getattr(found, name) == getattr(expected, name), name
        assert wanted.verdicts(observed) == wanted.verdicts(anew)
        assert wanted.remembers(observed) == wanted.remembers(anew)


SERVERS = (entry(PDC, dNSHostName="srcdc1.source.lab"),)
NO_FACTS = FactRows({})


def people(count: int, side: str) -> Table:
    where = STAFF if side == "source" else MOVED
    rows = ({**user(side, 1100 + n, f"user{n}", where, pwdLastSet=1), "objectguid": (guid(n),)} for n in range(count))
    return Table.of(tuple(rows))


def without(rows: Table, number: int, *instead: Row) -> Table:
    fresh = tuple({**row, "objectguid": (guid(number),)} for row in instead)
    return rows.replaced("objectguid", [guid(number)], Table.of(fresh))


def all_answers(own: Table, everybody: Table) -> list[Rows]:
    owner = head("source", fSMORoleOwner=f"CN=NTDS Settings,{PDC}")
    return [own.without("objectguid"), everybody.without("objectguid"), (entry(MOVED),), owner, SERVERS, NO_FACTS, ()]


def names(observed: Accounts) -> set[str]:
    return {one.pair.source.sam for one in observed.facts["found"].stands}


def test_of_many_only_those_are_formed_anew_that_something_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    formed: list[int] = []

    def counting(some: list[Any], *rest: Any) -> Any:
        formed.append(len(some))
        return match(some, *rest)

    monkeypatch.setattr(account_book, "match", counting)
    own, everybody = people(2000, "source"), people(2000, "target")
    old = all_answers(own, everybody)
    observed = WANTED.parse(*old)
    assert WANTED.reread(observed, old, *old).facts["found"] is observed.facts["found"]
    for password in (2, 3):
        own = without(own, 7, user("source", 1107, "user7", STAFF, pwdLastSet=password))
        now = all_answers(own, everybody)
        observed, old = WANTED.reread(observed, old, *now), now
        (seven,) = (one for one in observed.facts["found"].stands if one.pair.source.sam == "user7")
        assert seven.pair.source.pwd_last_set == password
    assert formed == [1, 1]


def test_two_looks_that_go_on_from_the_same_one_do_not_mix() -> None:
    own, everybody = people(3, "source"), people(3, "target")
    first = all_answers(own, everybody)
    begun = WANTED.parse(*first)
    for number, rest in ((0, {"user1", "user2"}), (1, {"user0", "user2"}), (2, {"user0", "user1"})):
        assert names(WANTED.reread(begun, first, *all_answers(without(own, number), everybody))) == rest


@given(st.lists(st.tuples(st.booleans(), st.sampled_from("ab"), st.integers(0, 3).map(lambda n: bytes([n])))))
def test_an_index_of_several_is_a_dictionary_of_sets(steps: list[tuple[bool, str, bytes]]) -> None:
    index: Several[str, bytes] = Several()
    model: dict[str, set[bytes]] = {}
    for adds, key, value in steps:
        (index.add if adds else index.drop)(key, value)
        (model.setdefault(key, set()).add if adds else model.setdefault(key, set()).discard)(value)
        for name in "ab":
            found = tuple(sorted(model.get(name, ())))
            assert index.of(name) == found
            assert index.first(name) == (found[0] if found else None)
            assert (name in index) == bool(found)


@given(
    st.lists(st.tuples(st.sampled_from("abcdefgh"), st.binary(max_size=1))),
    st.lists(st.tuples(st.sampled_from("abcdefgh"), st.binary(max_size=1))),
)
def test_many_taken_up_at_once_are_those_taken_up_one_by_one(
    first: list[tuple[str, bytes]], then: list[tuple[str, bytes]]
) -> None:
    at_once: Several[str, bytes] = Several()
    one_by_one: Several[str, bytes] = Several()
    for some in (first, then):
        at_once.add_all([key for key, _ in some], [value for _, value in some])
        for key, value in some:
            one_by_one.add(key, value)
    assert {key: at_once.of(key) for key in at_once} == {key: one_by_one.of(key) for key in one_by_one}


@settings(max_examples=300)
@given(st.builds(Stand, *(st.just(None) for _ in range(2)), *(st.booleans() for _ in range(4)), st.sampled_from([(), ("cn",)]), st.sampled_from([(), ("mail",)]), st.booleans(), st.sampled_from(["", "disabled"])), st.booleans(), st.sampled_from(["", "why"]), st.sampled_from(["", "why"]))  # fmt: skip
def test_complete_is_usable_and_as_declared(one: Stand, there: bool, conflict: str, skipped: str) -> None:
    source = WANTED.parse(*all_answers(people(1, "source"), people(1, "target"))).facts["found"].stands[0].pair
    one = one._replace(
        pair=source._replace(target=source.target if there else None, conflict=conflict, skipped=skipped)
    )
    assert one.complete == (one.usable and not (one.names or one.attributes or one.source))

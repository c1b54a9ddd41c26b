"""What is done to many accounts at once is what would be done to each: the short ways lead to where the long ones do."""

from __future__ import annotations

from typing import Any
from unittest import mock

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from reconciler.core.values import Dn
from reconciler.resources.account_matching import Pair, Rules, Target, match
from reconciler.resources.account_names import KINDS, Names, Naming, listed_by_name, unfit
from reconciler.resources.account_records import CONTROLLER, READ_ONLY_CONTROLLER, TRUST_ACCOUNT, Account
from reconciler.resources.account_runs import UNKNOWN, Known
from reconciler.resources.account_standing import Terms, stand
from reconciler.resources.population import Listed, Placement, Rename
from reconciler.resources.several import Several

INTO, OTHER = Dn("OU=Moved,DC=t"), Dn("OU=Other,DC=t")
NAMINGS = {
    "plain": Naming(INTO),
    "prefix": Naming(INTO, rename=Rename(prefix="x-")),
    "suffix": Naming(INTO, rename=Rename(upn_suffix="t.lab")),
    "placed": Naming(INTO, (Placement(below=Dn("OU=a,DC=s"), into=OTHER),)),
    "listed": Naming(INTO, listed=listed_by_name([Listed(name="ann", sam="bob"), Listed(name="Bob", rdn="CN=Robert")])),
}
NAMES = ("ann", "Ann", "bob", "x-ann", "a,b", "a.", "a\n", "a.\n", "ä")
NUMBERS = st.integers(1101, 1105)


def sid(domain: str, number: int) -> bytes:
    return f"{domain:8}".encode() + number.to_bytes(4, "little")


SOURCES = st.builds(
    lambda number, name, below, text: Account(
        f"CN={name},OU={below},DC=s".encode(), sid("s", number), name, values=((text,),)
    ),
    NUMBERS, st.sampled_from(NAMES), st.sampled_from("ab"), st.sampled_from([b"", b"1"]),
)  # fmt: skip
TARGETS = st.builds(
    lambda number, name, into, past, text, kind: Account(
        f"CN={name},{into}".encode(), sid("t", number), name, history=tuple(sid("s", one) for one in past), kind=kind, values=((text,),)
    ),
    NUMBERS, st.sampled_from(NAMES), st.sampled_from([INTO, OTHER]), st.lists(NUMBERS, max_size=2, unique=True), st.sampled_from([b"", b"1"]),
    st.sampled_from(["user", "group"]),
)  # fmt: skip


def different(accounts: list[Account]) -> list[Account]:
    return list({one.sid: one for one in accounts}.values())


@pytest.mark.parametrize("how", NAMINGS)
@given(st.lists(SOURCES))
def test_many_are_called_as_each_is_called(how: str, accounts: list[Account]) -> None:
    naming = NAMINGS[how]
    found = naming.of_all(accounts)
    assert found == [naming.of(one) for one in accounts]
    assert all(type(one) is Names for one in found)
    assert [one.keep_rdn_of(account) for one, account in zip(found, accounts, strict=True)] == [
        one.rdn == account.rdn for one, account in zip(found, accounts, strict=True)
    ]


@pytest.mark.parametrize("how", NAMINGS)
@given(st.lists(SOURCES).map(different), st.lists(TARGETS, max_size=6).map(different), st.sampled_from([None, 0]))
def test_many_are_matched_as_each_is_matched(
    how: str, sources: list[Account], targets: list[Account], key_at: int | None
) -> None:
    rules = Rules("users", NAMINGS[how], "merge", "employeeID" if key_at is not None else "sAMAccountName", key_at)
    there = Target.of(targets, key_at)
    at_once = match(sources, there, rules)
    with mock.patch.object(Several, "only", lambda _, keys: [None] * len(keys)):
        one_by_one = match(sources, there, rules)
    event(f"with the old SID: {any(one.has_history for one in at_once)}")
    assert at_once == one_by_one
    assert all(type(one) is Pair for one in at_once)


@given(SOURCES, TARGETS, st.booleans(), st.builds(Terms, *(st.booleans() for _ in range(3)), st.just((("description", 0),)), st.booleans(), st.sampled_from(["leave", "disable", 30])))  # fmt: skip
def test_of_whom_nothing_is_known_all_of_it_is_missing(
    source: Account, target: Account, has_history: bool, terms: Terms
) -> None:
    pair = Pair(source, NAMINGS["suffix"].of(source), target, has_history)
    nothing: Any = Known()
    assert nothing is not UNKNOWN
    assert stand(pair, UNKNOWN, terms) == stand(pair, nothing, terms)._replace(known=UNKNOWN)


@given(
    st.sampled_from(sorted(KINDS)),
    st.sampled_from(["user", "group", "computer", "service", "other"]),
    st.sampled_from([0, 512, TRUST_ACCOUNT, CONTROLLER, READ_ONLY_CONTROLLER]),
    st.sampled_from([500, 999, 1000]),
    st.booleans(),
    st.sampled_from(["ann", "S$$$"]),
)
def test_an_account_can_be_migrated_where_nothing_speaks_against_it(
    of: Any, kind: Any, control: int, number: int, critical: bool, sam: str
) -> None:
    account = Account(b"CN=x", sid("s", number), sam, kind=kind, control=control, critical=critical)
    audits = of == "groups" and sam.endswith("$$$")
    against = kind != KINDS[of] or control > 512 or number < 1000 or critical or audits
    assert bool(unfit(account, of)) == against


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.binary(max_size=1))), st.lists(st.sampled_from("abcdef")))
def test_the_only_value_of_each_key(some: list[tuple[str, bytes]], keys: list[str]) -> None:
    index: Several[str, bytes] = Several()
    index.add_all([key for key, _ in some], [value for _, value in some])
    assert index.only(keys) == [index.first(key) if len(index.of(key)) == 1 else None for key in keys]

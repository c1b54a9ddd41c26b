"""Searches that are asked as one give what each would give alone, or are asked alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.query import Command, Query, Row, Rows, Search
from reconciler.core.values import escape_filter
from reconciler.edge.ldap_together import MOST, one_for_all, put_together, taken_apart

NAMES = ("ann", "Ann", "bob", "o b", "o  b", "o(b", "é", "e")


def named(name: str, *attributes: str) -> Search:
    return Search("d", "", f"(sAMAccountName={escape_filter(name)})", attributes or ("objectSid",), "subtree")


def row(name: str, number: int) -> Row:
    return {"dn": f"CN={number}", "samaccountname": (name.encode(),), "objectsid": (bytes([number]),)}


def matches(one: str, other: str) -> bool:
    """Whether a directory takes two names for equal: whatever it does beyond ASCII, here it knows no accents."""
    return " ".join(one.replace("é", "e").casefold().split()) == " ".join(other.replace("é", "e").casefold().split())


def answer(search: Search, there: list[str], *looked_for: str) -> Rows:
    asked = {name.lower() for name in search.attributes} | {"dn"}
    return tuple(
        {name: value for name, value in row(one, number).items() if name in asked}
        for number, one in enumerate(there)
        if any(matches(one, name) for name in looked_for)
    )


@given(
    there=st.lists(st.sampled_from(NAMES), max_size=6),
    wanted=st.lists(st.sampled_from(NAMES), max_size=6, unique=True),
    names_too=st.booleans(),
)
def test_each_gets_what_it_would_get_alone(there: list[str], wanted: list[str], *, names_too: bool) -> None:
    attributes = ("objectSid", "sAMAccountName") if names_too else ("objectSid",)
    searches = [named(name, *attributes) for name in wanted]
    places = put_together(searches)
    assert len({place for part in places for place in part}) == sum(map(len, places))
    for part in places:
        some = [searches[place] for place in part]
        assert one_for_all(some).few and not any(search.few for search in some)
        looked_for = [wanted[place] for place in part]
        apart = taken_apart(some, answer(one_for_all(some), there, *looked_for))
        if apart is not None:
            assert apart == [answer(search, there, name) for search, name in zip(some, looked_for, strict=True)]


def test_a_row_that_nobody_certainly_looked_for_sends_all_of_them_alone() -> None:
    searches = [named("e"), named("bob")]
    assert taken_apart(searches, ({"dn": "x", "samaccountname": ("é".encode(),)},)) is None
    assert taken_apart(searches, ({"dn": "x"},)) is None


def test_sids_are_compared_byte_by_byte() -> None:
    sids = [bytes([1, number]) for number in (0, 40, 92, 255)]
    searches = [Search("d", "", f"(objectSid={escape_filter(sid)})", ("cn",), "subtree") for sid in sids]
    assert put_together(searches) == [[0, 1, 2, 3]]
    rows: Rows = tuple({"dn": f"CN={number}", "objectsid": (sid,)} for number, sid in enumerate(sids[:3]))
    apart: list[Rows] = list(taken_apart(searches, rows) or ())
    assert apart == [({"dn": "CN=0"},), ({"dn": "CN=1"},), ({"dn": "CN=2"},), ()]


def test_only_what_is_alike_goes_together_and_not_too_much() -> None:
    first, other = named("ann"), named("bob", "member")
    queries: list[Query] = [first, other, Command("h", "Get-Date"), Search("d", "", "(sAMAccountName=a*)", ("objectSid",), "subtree")]  # fmt: skip
    assert put_together(queries) == []
    assert put_together([first, named("ANN")]) == [], "which of the two a row answers cannot be told"
    assert (
        put_together([first, Search("d", "", "(sAMAccountName=bob)", ("objectSid",), "subtree", controller="dc1")])
        == []
    )
    many = [named(f"n{number}") for number in range(2 * MOST + 1)]
    assert [len(part) for part in put_together(many)] == [MOST, MOST]

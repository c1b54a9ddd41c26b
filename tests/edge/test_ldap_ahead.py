"""Searches that are under way at once: each gets the rows that it would get alone, in whatever order the answers come and however mixed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from itertools import cycle
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ldap3.core.exceptions import LDAPException, LDAPSocketReceiveError
from ldap3.protocol.rfc4511 import LDAPMessage
from msgspec.structs import replace
from pyasn1.codec.ber import decoder  # type: ignore[import-untyped]

from reconciler.core.query import Search
from reconciler.core.table import Table
from reconciler.edge.ldap_ahead import UNDER_WAY
from reconciler.edge.ldap_search import search, search_ahead
from tests.edge.ldap_peer import Attributes, Scripted, connected, done, entry, long_form, modified, notice, reference
from tests.edge.test_ldap_search import HEAD, answering

Found = list[tuple[str, Attributes]]
VALUES = st.lists(st.binary(max_size=140) | st.binary(min_size=250, max_size=260), max_size=3)
HAS = st.dictionaries(st.sampled_from(["cn", "member", "userCertificate;binary"]), VALUES, max_size=3)
ENTRIES = st.lists(st.tuples(st.sampled_from(["CN=a", "CN=é", f"CN={'x' * 140}"]), HAS), max_size=4)


def wanted(count: int) -> list[Search]:
    return [
        Search("d", HEAD, f"(sAMAccountName=name{number})", ("cn",), "subtree", few=True) for number in range(count)
    ]


def ahead(connection: Any, count: int) -> Iterator[tuple[int, Table]]:
    with closing(search_ahead(connection, wanted(count), [HEAD] * count)) as found:
        yield from found


class Mixing(Scripted):
    """Sends a message of one of the answers that it owes, then one of another: whichever is next in ``order``."""

    def __init__(self, answers: Sequence[Sequence[Callable[[int], bytes]]], order: Sequence[int], size: int) -> None:
        super().__init__([], [size])
        self._parts = iter(answers)
        self._owed: list[list[bytes]] = []
        self._order = cycle(order)
        self.most = 0

    def sendall(self, data: bytes) -> None:
        while data:
            message, data = decoder.decode(data, asn1Spec=LDAPMessage())
            self.asked.append(message)
            self._owed.append([part(int(message["messageID"])) for part in next(self._parts)])
        self.most = max(self.most, len(self._owed))

    def recv(self, most: int) -> bytes:
        while len(self._waiting) < self._sizes[0] and self._owed:
            one = self._owed[next(self._order) % len(self._owed)]
            self._waiting += one.pop(0)
            if not one:
                self._owed.remove(one)
        return super().recv(most)


def parts(found: Found) -> list[Callable[[int], bytes]]:
    return [*(partial(entry, dn=dn, attributes=has) for dn, has in found), reference, done]


def in_long_form(part: Callable[[int], bytes], number: int) -> bytes:
    return long_form(part(number))


@settings(max_examples=100, deadline=None)
@given(
    found=st.lists(ENTRIES, min_size=1, max_size=8),
    order=st.lists(st.integers(0, 7), min_size=1, max_size=12),
    size=st.integers(1, 3000),
    windows=st.booleans(),
)
def test_each_gets_the_rows_that_it_gets_alone(found: list[Found], order: list[int], size: int, windows: bool) -> None:
    answers = [parts(one) for one in found]
    if windows:
        answers = [[partial(in_long_form, part) for part in one] for one in answers]
    line = Mixing(answers, order, size)
    connection = connected(line)
    came = list(ahead(connection, len(found)))
    assert sorted(place for place, _ in came) == list(range(len(found)))
    alone = [search(connected(Scripted([answering(one)])), wanted(1)[0], HEAD) for one in found]
    assert {place: list(map(dict, rows)) for place, rows in came} == {
        place: list(map(dict, rows)) for place, rows in enumerate(alone)
    }
    assert line.unread == b"" and not connection.closed
    assert line.most == min(UNDER_WAY, len(found)), "no more are sent than the other side can answer without being read"
    assert [str(one["protocolOp"]["searchRequest"]["filter"]["equalityMatch"]["assertionValue"]) for one in line.asked] == [
        f"name{number}" for number in range(len(found))
    ]  # fmt: skip


def test_an_answer_is_there_before_the_others_have_come() -> None:
    line = Mixing([parts([(f"CN={number}", {"cn": [b"x"]})]) for number in range(6)], [0], 1)
    taken = ahead(connected(line), 6)
    assert next(taken)[0] == 0
    assert len(line.asked) == UNDER_WAY + 1, "and another was sent in its place"
    assert [place for place, _ in taken] == [1, 2, 3, 4, 5]


def test_who_stops_leaves_no_half_answer_to_anybody() -> None:
    connection = connected(Mixing([parts([("CN=x", {"cn": [b"x"]})])] * 3, [0], 1))
    taken = ahead(connection, 3)
    next(taken)
    taken.close()  # type: ignore[attr-defined]
    assert connection.closed


def test_one_that_is_refused_is_left_out_and_the_others_are_answered() -> None:
    answers = [parts([("CN=x", {"cn": [b"x"]})]), [lambda number: done(number, 11)], parts([])]
    connection = connected(Mixing(answers, [0], 5000))
    assert [(place, len(rows)) for place, rows in ahead(connection, 3)] == [(0, 1), (2, 0)]
    assert not connection.closed


def test_the_rest_of_what_comes_in_part_is_asked_for_when_nothing_else_is_under_way() -> None:
    first: Found = [("CN=g", {"member": [], "member;range=0-1": [b"a", b"b"]})]
    last: Found = [("CN=g", {"member;range=2-*": [b"c"]})]
    connection = connected(Mixing([parts(first), parts([("CN=h", {"cn": [b"h"]})]), parts(last)], [0], 5000))
    found = list(ahead(connection, 2))
    assert [place for place, _ in found] == [1, 0]
    assert found[1][1] == ({"dn": "CN=g", "member": (b"a", b"b", b"c")},)


def test_nothing_is_asked_where_there_is_nothing_to_ask() -> None:
    line = Mixing([], [0], 1)
    assert list(ahead(connected(line), 0)) == [] and not line.asked


@pytest.mark.parametrize(
    "wrong",
    [
        lambda number: done(number + 7),
        lambda number: modified(number),
        lambda number: notice(),
        lambda number: b"\x02\x01\x05",
        lambda number: entry(number, "CN=x", {"cn": [b"x"]}).replace(b"cn", b"dn") + done(number),
        lambda number: b"",
    ],
    ids=["another's", "another operation", "the notice", "no message", "no entry", "the end"],
)
def test_what_is_no_answer_breaks_the_connection_after_those_that_are(wrong: Callable[[int], bytes]) -> None:
    connection = connected(Mixing([parts([("CN=x", {"cn": [b"x"]})]), [wrong]], [0], 1))
    found = ahead(connection, 2)
    assert next(found)[0] == 0
    with pytest.raises(LDAPException):
        next(found)
    assert connection.closed


def test_what_nobody_asked_for_ends_the_connection_but_not_the_answers() -> None:
    connection = connected(Mixing([[lambda number: done(number) + notice()]], [0], 5000))
    assert len(list(ahead(connection, 1))) == 1
    assert connection.closed


@settings(max_examples=100, deadline=None)
@given(st.binary(min_size=1, max_size=60))
def test_garbage_raises(garbage: bytes) -> None:
    connection = connected(Mixing([[lambda number: garbage]], [0], 5000))
    with pytest.raises(LDAPException):
        list(ahead(connection, 1))
    assert connection.closed


def test_a_rest_that_does_not_follow_is_an_error() -> None:
    first: Found = [("CN=g", {"member;range=0-1": [b"a", b"b"]})]
    connection = connected(Mixing([parts(first), parts([])], [0], 5000))
    with pytest.raises(LDAPSocketReceiveError, match="0 entries"):
        list(ahead(connection, 1))


def test_a_base_that_is_not_there_is_left_to_who_asks_alone() -> None:
    query = replace(wanted(1)[0], absent_ok=True)
    connection = connected(Mixing([[lambda number: done(number, 32)]], [0], 5000))
    assert list(search_ahead(connection, [query], [HEAD])) == []

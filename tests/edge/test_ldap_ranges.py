"""Attributes that come in part: fetched to their end, or an error; never shorter than they are, and never for ever."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from ldap3.core.exceptions import LDAPSocketReceiveError
from msgspec.structs import replace

from reconciler.edge.ldap_search import search
from tests.edge.ldap_peer import Attributes, Scripted, connected
from tests.edge.test_ldap_search import HEAD, USERS, answering

SHOW_DELETED = "1.2.840.113556.1.4.417"
FIRST: list[tuple[str, Attributes]] = [("CN=g", {"member": [], "member;range=0-1": [b"a", b"b"]})]


def test_an_attribute_that_comes_in_part_is_fetched_whole() -> None:
    def part(name: str, *values: bytes) -> Callable[[int], bytes]:
        return answering([("CN=g", {"member": [], name: values} if name.endswith("1") else {name: values})])

    line = Scripted(
        [part("member;range=0-1", b"a", b"b"), part("Member;Range=2-3", b"c", b"d"), part("member;range=4-*", b"e")]
    )
    connection = connected(line)
    assert search(connection, USERS, HEAD) == ({"dn": "CN=g", "member": (b"a", b"b", b"c", b"d", b"e")},)
    asked = [str(message["protocolOp"]["searchRequest"]["attributes"][0]) for message in line.asked]
    assert asked == ["sAMAccountName", "member;range=2-*", "member;range=4-*"]
    assert int(line.asked[1]["protocolOp"]["searchRequest"]["scope"]) == 0
    assert not line.asked[1]["controls"].hasValue()


def test_a_part_that_was_not_asked_for_is_an_error() -> None:
    parts = [answering([("CN=g", {"member;range=0-1": [b"a", b"b"]})])] * 2
    with pytest.raises(LDAPSocketReceiveError, match="where 2 was asked for"):
        search(connected(Scripted(parts)), USERS, HEAD)


@pytest.mark.parametrize(
    ("rest", "said"),
    [
        ([], "0 entries"),
        ([("CN=g", {})], "nothing"),
        ([("CN=g", {"member": [b"c"]})], "nothing"),
        ([("CN=g", {"member;range=2-1": []})], "from 2 to 1"),
        ([("CN=g", {"member;range=2-*": [b"c"]}), ("CN=h", {"member": [b"x"]})], "2 entries"),
    ],
    ids=["no entry", "no values", "not the part", "no progress", "another entry"],
)
def test_a_rest_that_does_not_follow_is_an_error(rest: list[tuple[str, Attributes]], said: str) -> None:
    connection = connected(Scripted([answering(FIRST), answering(rest)]))
    with pytest.raises(LDAPSocketReceiveError, match=said):
        search(connection, USERS, HEAD)


def test_a_first_part_that_does_not_begin_at_the_beginning_is_an_error() -> None:
    connection = connected(Scripted([answering([("CN=g", {"member;range=5-*": [b"f"]})])]))
    with pytest.raises(LDAPSocketReceiveError, match="from 5 where 0"):
        search(connection, USERS, HEAD)


@pytest.mark.parametrize("name", ["member;binary;range=0-1", "member;range=0-1;binary", "member;Range=x"])
def test_a_part_that_is_not_understood_is_not_taken_for_another_attribute(name: str) -> None:
    connection = connected(Scripted([answering([("CN=g", {name: [b"a", b"b"]})])]))
    with pytest.raises(LDAPSocketReceiveError, match="range"):
        search(connection, USERS, HEAD)


def test_the_rest_of_a_deleted_object_is_found_as_the_object_was() -> None:
    line = Scripted([answering(FIRST), answering([("CN=g", {"member;range=2-*": [b"c"]})])])
    search(connected(line), replace(USERS, deleted=True), HEAD)
    assert [str(one["controlType"]) for one in line.asked[1]["controls"]] == [SHOW_DELETED]

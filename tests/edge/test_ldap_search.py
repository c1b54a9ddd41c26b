"""Searches read from the wire: the same rows as ldap3 reads, whatever the pieces; and never a wrong row, never half an answer left."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any

import ldap3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ldap3.core.exceptions import LDAPException, LDAPSessionTerminatedByServerError, LDAPSocketReceiveError
from ldap3.protocol.rfc4511 import LDAPMessage
from ldap3.utils.asn1 import decode_message_fast
from pyasn1.codec.ber import decoder  # type: ignore[import-untyped]

from reconciler.core.errors import Refused
from reconciler.core.query import Search
from reconciler.core.table import Table
from reconciler.edge.ldap_alike import Alike
from reconciler.edge.ldap_ber import Columns, Malformed, message_end, packed, values
from reconciler.edge.ldap_pages import pages, written
from reconciler.edge.ldap_search import search
from tests.edge.ldap_peer import Attributes, Peer, Scripted, connected, done, entry, long_form, notice, reference

HEAD = "DC=d,DC=lab"
USERS = Search("d", HEAD, "(objectClass=user)", ("sAMAccountName", "member"), "subtree")
NAMES = st.sampled_from(["cn", "CN", "objectClass", "member", "userCertificate;binary", "description", "x" * 126])
VALUES = st.binary(max_size=140) | st.binary(min_size=250, max_size=260)
ATTRIBUTES = st.dictionaries(NAMES, st.lists(VALUES, max_size=4), max_size=5).filter(
    lambda found: len({name.lower() for name in found}) == len(found)
)
DNS = st.text(min_size=1, max_size=150).filter(lambda text: text.isprintable())
ENTRIES = st.lists(st.tuples(DNS, ATTRIBUTES), max_size=6)


def answering(found: list[tuple[str, Attributes]], more: bytes = b"") -> Callable[[int], bytes]:
    """Answer with these entries, a reference between them, and a cookie where there is more."""

    def answer(number: int) -> bytes:
        return b"".join(entry(number, dn, attributes) + reference(number) for dn, attributes in found) + done(
            number, cookie=more
        )

    return answer


def as_ldap3_reads(message: bytes) -> dict[str, object]:
    connection = connected(None)
    found = connection.strategy.decode_response_fast(decode_message_fast(message))
    return {"dn": found["dn"]} | {name.lower(): tuple(values or ()) for name, values in found["raw_attributes"].items()}


@settings(max_examples=150, deadline=None)
@given(st.lists(ENTRIES, min_size=1, max_size=4), st.lists(st.integers(1, 5000), min_size=1, max_size=5), st.booleans())
def test_rows_are_those_that_ldap3_reads_whatever_the_pieces(
    found: list[list[tuple[str, Attributes]]], sizes: list[int], windows: bool
) -> None:
    more = [b"cookie%d" % number for number in range(1, len(found))] + [b""]
    plain = [answering(one, cookie) for one, cookie in zip(found, more, strict=True)]
    answers = [lambda number, one=one: long_form(one(number)) for one in plain] if windows else plain
    line = Scripted(answers, sizes)
    connection = connected(line)
    table = search(connection, USERS, HEAD)
    expected = [as_ldap3_reads(entry(1, dn, attributes)) for one in found for dn, attributes in one]
    assert table == expected
    assert [dict(row) for row in table] == expected
    assert line.unread == b"" and not connection.closed
    cookies = [bytes(message["controls"][0]["controlValue"]) for message in line.asked]
    assert len(cookies) == len(found)
    assert all(value.endswith(cookie) for value, cookie in zip(cookies[1:], more, strict=False))


@settings(max_examples=150, deadline=None)
@given(DNS, ATTRIBUTES, st.data())
def test_a_changed_byte_raises_or_is_read_as_a_strict_decoder_reads_it(
    dn: str, attributes: Attributes, data: st.DataObject
) -> None:
    whole = bytearray(entry(5, dn, attributes))
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(0, min(len(whole), 400) - 1))] = data.draw(st.integers(0, 255))
    line = Scripted([lambda number: bytes(whole) + done(number)])
    connection = connected(line)
    connection.server.next_message_id = lambda: 5
    try:
        table = search(connection, USERS, HEAD)
    except (LDAPException, Refused):
        return
    assert len(table) <= 1
    for row in table:
        found, _ = decoder.decode(bytes(whole), asn1Spec=LDAPMessage())
        strict = found["protocolOp"]["searchResEntry"]
        assert row["dn"] == bytes(strict["object"]).decode()
        values = [value for one in strict["attributes"] for value in map(bytes, one["vals"])]
        assert sorted(values) == sorted(value for name in row if name != "dn" for value in row[name])  # type: ignore[attr-defined]


@settings(max_examples=100, deadline=None)
@given(ENTRIES, st.data())
def test_an_answer_that_ends_early_raises(found: list[tuple[str, Attributes]], data: st.DataObject) -> None:
    length = len(answering(found)(7))
    cut = data.draw(st.integers(0, length - 1))
    connection = connected(Scripted([lambda number: answering(found)(7)[:cut]]))
    connection.server.next_message_id = lambda: 7
    with pytest.raises(LDAPSessionTerminatedByServerError):
        search(connection, USERS, HEAD)
    assert connection.closed


@settings(max_examples=150, deadline=None)
@given(st.binary(min_size=1, max_size=60))
def test_garbage_raises(garbage: bytes) -> None:
    connection = connected(Scripted([lambda number: garbage]))
    with pytest.raises(LDAPException):
        search(connection, USERS, HEAD)
    assert connection.closed


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x30\x80\x02\x01\x05\x65\x07\x0a\x01\x00\x04\x00\x04\x00\x00\x00",
        b"\x30\x85\x00\x00\x00\x00\x0c\x02",
        b"\x30\x84\x7f\xff\xff\xff\x02",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
    ],
    ids=["indefinite", "overlong", "absurd", "another protocol"],
)
def test_what_is_no_ldap_is_named_and_not_waited_for(garbage: bytes) -> None:
    peer = Peer([lambda number: garbage])
    connection = connected(peer.mine)
    try:
        with pytest.raises(LDAPSocketReceiveError, match="no answer to a search"):
            search(connection, USERS, HEAD)
        assert connection.closed
    finally:
        peer.close()


def test_the_next_page_is_asked_for_before_one_is_given() -> None:
    row: list[tuple[str, Attributes]] = [("CN=a", {"cn": [b"a"]})]
    line = Scripted([answering(row, b"1"), answering(row, b"2"), answering(row)])
    connection = connected(line)
    asked = []
    for page in pages(connection, written(connection, HEAD, "(cn=*)", ldap3.SUBTREE, ("cn",), None), Alike(Columns())):
        asked.append(len(line.asked))
        assert len(page.entries) == 1
    assert asked == [2, 3, 3]


def test_who_stops_early_leaves_no_half_answer_behind() -> None:
    row: list[tuple[str, Attributes]] = [("CN=a", {"cn": [b"a"]})]
    line = Scripted([answering(row, b"1"), answering(row, b"2")])
    connection = connected(line)
    with closing(
        pages(connection, written(connection, HEAD, "(cn=*)", ldap3.SUBTREE, ("cn",), None), Alike(Columns()))
    ) as answer:
        next(answer)
    assert connection.closed and line.closed and connection.socket is None
    with pytest.raises(LDAPException):
        search(connection, USERS, HEAD)


def test_ldap3_goes_on_where_a_search_ended() -> None:
    row: list[tuple[str, Attributes]] = [("CN=a", {"cn": [b"a"]})]
    peer = Peer([answering(row), answering(row, b"1"), answering(row), answering(row), answering(row)])
    connection = connected(peer.mine)
    try:
        for _ in range(2):
            connection.search(HEAD, "(cn=*)", attributes=["cn"])
            assert [one["dn"] for one in connection.response if one["type"] == "searchResEntry"] == ["CN=a"]
            assert [dict(one) for one in search(connection, USERS, HEAD)] == [{"dn": "CN=a", "cn": (b"a",)}] * (
                3 - len(peer.asked) // 2
            )
        numbers = [int(message["messageID"]) for message in peer.asked]
        assert numbers == sorted(set(numbers))
    finally:
        peer.close()


@pytest.mark.parametrize(("code", "name"), [(1, "operationsError"), (4, "sizeLimitExceeded"), (50, "insufficientAccessRights"), (10, "referral"), (32, "noSuchObject"), (99, "result 99")])  # fmt: skip
@pytest.mark.parametrize("at", [0, 1])
def test_a_refusal_is_named_and_the_connection_stays(code: int, name: str, at: int) -> None:
    row: list[tuple[str, Attributes]] = [("CN=a", {"cn": [b"a"]})]
    refusing = [answering(row, b"1")] * at + [lambda number: done(number, code, text="because\0")]
    connection = connected(Scripted([*refusing, answering(row)]))
    asked = Search("d", HEAD, "(cn=*)", ("cn",), "subtree", absent_ok=False)
    with pytest.raises(Refused) as refused:
        search(connection, asked, HEAD)
    assert refused.value.code == name and "because" in str(refused.value)
    assert not connection.closed
    assert len(search(connection, asked, HEAD)) == 1


def test_a_base_that_is_not_there_gives_no_rows_where_that_is_allowed() -> None:
    connection = connected(Scripted([lambda number: done(number, 32)]))
    assert search(connection, USERS, HEAD) == ()
    assert not connection.closed


def test_a_malformed_filter_is_refused_unsent() -> None:
    line = Scripted([])
    with pytest.raises(Refused) as refused:
        search(connected(line), Search("d", HEAD, "(cn=", ("cn",), "subtree"), HEAD)
    assert refused.value.code == "malformed" and line.asked == []


def test_a_notice_of_disconnection_ends_the_connection() -> None:
    connection = connected(Scripted([lambda number: entry(number, "CN=a", {}) + notice()]))
    with pytest.raises(LDAPSessionTerminatedByServerError):
        search(connection, USERS, HEAD)
    assert connection.closed


def test_a_notice_behind_a_whole_answer_takes_nothing_from_it() -> None:
    connection = connected(Scripted([lambda number: entry(number, "CN=a", {}) + done(number) + notice()]))
    assert search(connection, USERS, HEAD) == ({"dn": "CN=a"},)
    assert connection.closed


def test_an_answer_to_another_question_is_not_taken() -> None:
    connection = connected(Scripted([lambda number: entry(number - 1, "CN=a", {}) + done(number)]))
    with pytest.raises(LDAPSocketReceiveError, match="not asked"):
        search(connection, USERS, HEAD)
    assert connection.closed


def test_a_negative_message_number_is_not_taken_for_ours() -> None:
    def answer(number: int) -> bytes:
        found = bytearray(entry(number, "CN=a", {}))
        assert found[2:6] == b"\x02\x02\x00\xff"
        found[1:6] = bytes((found[1] - 1, 0x02, 0x01, 0xFF))  # -1, which is not 255
        return bytes(found) + done(number)

    connection = connected(Scripted([answer]))
    connection.server.next_message_id = lambda: 255
    with pytest.raises(LDAPSocketReceiveError, match="message -1"):
        search(connection, USERS, HEAD)
    assert connection.closed


@pytest.mark.parametrize("name", ["", "dn", "DN"])
def test_a_name_that_no_attribute_can_have_is_an_error(name: str) -> None:
    connection = connected(Scripted([answering([("CN=a", {name: [b"a"]})])]))
    with pytest.raises(LDAPSocketReceiveError, match="name of an attribute"):
        search(connection, USERS, HEAD)


def test_an_attribute_that_comes_twice_is_an_error() -> None:
    connection = connected(Scripted([answering([("CN=a", {"cn": [b"a"], "CN": [b"b"]})])]))
    with pytest.raises(LDAPSocketReceiveError, match="comes twice"):
        search(connection, USERS, HEAD)


def test_a_row_that_cannot_be_read_closes_the_connection_on_the_last_page_too() -> None:
    def answer(number: int) -> bytes:
        return entry(number, "CN=~", {}).replace(b"~", b"\xff") + done(number)

    connection = connected(Scripted([answer]))
    with pytest.raises(LDAPSocketReceiveError, match="cannot be read"):
        search(connection, USERS, HEAD)
    assert connection.closed


@pytest.mark.parametrize(
    "answer", [lambda number: b"", lambda number: entry(number, "CN=a", {})[:9], lambda number: None]
)
def test_silence_and_a_closed_line_are_a_lost_connection(answer: Callable[[int], bytes | None]) -> None:
    peer = Peer([answer])
    peer.mine.settimeout(0.05)
    connection = connected(peer.mine)
    try:
        with pytest.raises(LDAPException):
            search(connection, USERS, HEAD)
        assert connection.closed
    finally:
        peer.close()


def test_request_and_controls_are_those_of_ldap3() -> None:
    query = Search("d", HEAD, "(cn=a*)", ("cn", "nTSecurityDescriptor"), "one", sd_flags=4, deleted=True)
    line = Scripted([answering([]), answering([])])
    connection = connected(line)
    search(connection, query, HEAD)
    from ldap3.protocol.microsoft import security_descriptor_control, show_deleted_control

    controls = [*security_descriptor_control(criticality=True, sdflags=4), show_deleted_control(criticality=True)]
    connection.search(
        HEAD,
        query.where,
        ldap3.LEVEL,
        dereference_aliases=ldap3.DEREF_NEVER,
        attributes=list(query.attributes),
        controls=controls,
        paged_size=1000,
    )
    ours, theirs = line.asked
    assert ours["protocolOp"] == theirs["protocolOp"]
    assert list(map(control, ours["controls"])) == list(map(control, theirs["controls"]))


def test_what_finds_few_is_asked_for_in_one_piece_and_a_limit_is_an_error() -> None:
    few = Search("d", HEAD, "(sAMAccountName=a)", ("cn",), "subtree", few=True)
    line = Scripted([answering([("CN=a", {"cn": [b"a"]})]), lambda number: done(number, 4)])
    assert len(search(connected(line), few, HEAD)) == 1
    with pytest.raises(Refused) as caught:
        search(connected(line), few, HEAD)
    assert caught.value.code == "sizeLimitExceeded"
    assert not any(message["controls"].hasValue() for message in line.asked)


def control(found: Any) -> tuple[str, bool, bytes]:
    return (
        str(found["controlType"]),
        bool(found["criticality"]),
        bytes(found["controlValue"]) if found["controlValue"].hasValue() else b"",
    )


@given(st.binary(max_size=12))
def test_where_a_message_ends_is_found_as_ldap3_finds_it(data: bytes) -> None:
    try:
        end = message_end(data, 0, len(data))
    except Malformed:
        return
    if end and len(data) > 2:
        assert end == connected(None).strategy.compute_ldap_message_size(data)


def test_what_repeats_is_kept_once() -> None:
    columns = Columns()
    rows = [
        columns.entry(entry(1, f"CN={number}", {"objectClass": [b"top", b"user"]})[5:], 0, number)
        for number in range(2)
    ]
    assert rows[0][1] is rows[1][1]
    assert Table(columns.places, rows) == tuple(
        {"dn": f"CN={number}", "objectclass": (b"top", b"user")} for number in range(2)
    )


@given(st.lists(VALUES, max_size=5))
def test_values_are_read_as_they_were_packed(found: list[bytes]) -> None:
    assert values(b"".join(packed(4, value) for value in found)) == tuple(found)


@pytest.mark.parametrize("length", range(100, 300))
def test_a_value_is_read_whichever_way_its_length_is_written(length: int) -> None:
    assert values(b"\x04\x84" + length.to_bytes(4, "big") + bytes(length)) == (bytes(length),)


@pytest.mark.parametrize(
    "body", [b"\x04", b"\x04\x02a", b"\x05\x00", b"\x04\x80ab", b"\x04\x85\0\0\0\0\1a", b"\x04\x01ab"]
)
def test_what_is_no_set_of_values_raises(body: bytes) -> None:
    with pytest.raises(Malformed):
        values(body)

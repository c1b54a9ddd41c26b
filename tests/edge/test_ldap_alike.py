"""Entries that are found by an expression are those that walking them finds, whatever is in them; what is none is refused alike."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import ldap3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ldap3.core.exceptions import LDAPException

from reconciler.core.errors import Refused
from reconciler.core.query import Row, Search
from reconciler.core.table import Entry
from reconciler.edge import ldap_search, ldap_shape, ldap_wire
from reconciler.edge.ldap_alike import Alike
from reconciler.edge.ldap_ber import Columns
from reconciler.edge.ldap_pages import Page, pages, written
from reconciler.edge.ldap_search import search
from tests.edge.ldap_peer import Attributes, Peer, Scripted, connected, done, entry, long_form, reference

HEAD = "DC=d,DC=lab"
USERS = Search("d", HEAD, "(objectClass=user)", ("sAMAccountName", "member"), "subtree")


def account(number: int, **more: list[bytes]) -> tuple[str, Attributes]:
    attributes: Attributes = {
        "objectClass": [b"top", b"person", b"user"],
        "sAMAccountName": [b"user%d" % number],
        "objectSid": [bytes(24) + number.to_bytes(4, "little")],
        "userAccountControl": [b"512"],
    }
    return f"CN=User {number},OU=Staff,{HEAD}", attributes | more  # type: ignore[operator]


ALIKE = [account(number) for number in range(300)]
OTHERS = st.one_of(
    st.builds(account, st.integers(0, 10**9)),
    st.builds(lambda number, value: account(number, sIDHistory=value), st.integers(0, 99), st.lists(st.binary(max_size=40), max_size=3)),
    st.builds(lambda number, value: account(number, sAMAccountName=[value]), st.integers(0, 99), st.binary(max_size=200)),
    st.builds(lambda number, value: account(number, objectClass=value), st.integers(0, 99), st.lists(st.binary(max_size=140), max_size=9)),
    st.builds(lambda text: (text, account(1)[1]), st.text(min_size=1, max_size=260).filter(str.isprintable)),
)  # fmt: skip


@cache
def alike(number: int) -> bytes:
    """Encode the three hundred; it takes longer than all else here."""
    return b"".join(entry(number, *one) for one in ALIKE)


def page(found: list[tuple[str, Attributes]], more: bytes = b"") -> Callable[[int], bytes]:
    def answer(number: int) -> bytes:
        known = found[-len(ALIKE) :] == ALIKE
        others = found[: -len(ALIKE)] if known else found
        whole = b"".join(entry(number, *one) for one in others) + (alike(number) if known else b"")
        return whole + done(number, cookie=more)

    return answer


def windows_writes(answer: Callable[[int], bytes]) -> Callable[[int], bytes]:
    return lambda number: long_form(answer(number))


def read(answers: list[Callable[[int], bytes]], sizes: list[int]) -> list[Row] | type[Exception]:
    connection = connected(Scripted(answers, sizes))
    connection.server.next_message_id = iter(range(5, 99)).__next__
    try:
        return [dict(row) for row in search(connection, USERS, HEAD)]
    except Refused as error:
        return type(error)
    except LDAPException as error:
        assert connection.closed
        return type(error)


class Walks(Alike):
    """Knows no shapes."""

    def _learn(self, buffer: bytes, starts: object) -> None: ...


def walked(answers: list[Callable[[int], bytes]], sizes: list[int]) -> list[Row] | type[Exception]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ldap_search, "Alike", Walks)
        return read(answers, sizes)


@settings(max_examples=40, deadline=None)
@given(st.lists(OTHERS, min_size=1, max_size=40), st.integers(1, 5000), st.booleans())
def test_rows_are_those_that_walking_finds(found: list[tuple[str, Attributes]], size: int, windows: bool) -> None:
    plain = [page(ALIKE, b"1"), page(found, b"2"), page([*found, *ALIKE])]
    answers = [windows_writes(one) for one in plain] if windows else plain
    rows = read(answers, [size])
    assert isinstance(rows, list) and len(rows) == 600 + 2 * len(found)
    assert rows == walked(answers, [1 << 20])


@settings(max_examples=200, deadline=None)
@given(st.lists(OTHERS, max_size=3), st.booleans(), st.data())
def test_changed_bytes_are_taken_for_what_walking_takes_them_for(
    others: list[tuple[str, Attributes]], windows: bool, data: st.DataObject
) -> None:
    plain = page([*ALIKE[:3], *others, *ALIKE[3:6]])
    whole = bytearray(long_form(plain(6)) if windows else plain(6))
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    first = page(ALIKE, b"1")
    answers = [windows_writes(first) if windows else first, lambda number: bytes(whole)]
    assert read(answers, [1 << 20]) == walked(answers, [1 << 20])


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 400), st.integers(0, 255))
def test_a_changed_length_is_refused_or_read_alike(at: int, value: int) -> None:
    """Of one entry alone, so that most of what changes is a tag, a length or a name."""
    whole = bytearray(page(ALIKE[7:8])(6))
    whole[at % len(whole)] = value
    answers = [page(ALIKE, b"1"), lambda number: bytes(whole)]
    assert read(answers, [1 << 20]) == walked(answers, [1 << 20])


def pages_of(answers: list[Callable[[int], bytes]], alike: Alike) -> Iterator[Page]:
    connection = connected(Scripted(answers))
    yield from pages(connection, written(connection, HEAD, "(cn=*)", ldap3.SUBTREE, ("cn",), None), alike)


class Counting(Columns):
    """Counts the entries that are walked."""

    walked: int = 0

    def entry(self, buffer: bytes, start: int, row: int) -> Entry:
        self.walked += 1
        return super().entry(buffer, start, row)


def looked_at(answers: list[Callable[[int], bytes]]) -> tuple[list[int], list[int]]:
    """Return how many entries of each page were matched, and how many were walked."""
    columns = Counting()
    alike = Alike(columns)
    matched, others = [], []
    for one in pages_of(answers, alike):
        columns.walked = 0
        alike.entries(one.buffer, one.entries, 0)
        matched.append(len(one.entries) - columns.walked)
        others.append(columns.walked)
    return matched, others


@pytest.mark.parametrize("written", [lambda answer: answer, windows_writes])
def test_what_looks_like_others_is_not_walked(written: Callable[[Any], Any]) -> None:
    """Or the expressions would be there for nothing."""
    two = [account(n, sIDHistory=[b"x" * 28]) if n % 2 else account(n) for n in range(400)]
    answers = [page(two, b"1"), page(two, b"2"), page([*two[:9], account(5, description=[b"new"])])]
    matched, others = looked_at(list(map(written, answers)))
    assert matched == [200, 400, 9]
    assert others == [200, 0, 1]


def test_lengths_that_the_sample_did_not_have_are_learnt() -> None:
    longer = [(f"CN={'x' * 150} {n},{HEAD}", account(n)[1]) for n in range(400)]
    matched, _ = looked_at([page(ALIKE, b"1"), page(longer, b"2"), page(longer)])
    assert matched == [100, 0, 400]


@pytest.mark.parametrize(("usual", "longer"), [([b"x" * 9], [b"x" * 9] * 20), ([b"x" * 110], [b"x" * 126])])
def test_lengths_that_take_a_byte_more_than_those_of_the_sample_are_matched(
    usual: list[bytes], longer: list[bytes]
) -> None:
    some = [account(n, info=usual if n % 2 or len(longer) == 1 else [*usual, b"y" * 8]) for n in range(400)]
    matched, _ = looked_at([page(some, b"1"), page([account(n, info=longer) for n in range(99)])])
    assert matched == [200, 99]


@pytest.mark.parametrize("name", ["userCertificate;binary", "member;range=0-1", "ä"])
def test_what_is_spelled_unusually_is_walked(name: str) -> None:
    unusual = [(f"CN={n},{HEAD}", {"cn": [b"%d" % n], name: [b"v"]}) for n in range(300)]
    matched, others = looked_at([page(unusual, b"1"), page(unusual)])  # type: ignore[arg-type]
    assert matched == [0, 0]
    assert others == [300, 300]


def test_a_value_that_many_have_is_kept_once() -> None:
    columns = Columns()
    alike = Alike(columns)
    answers = [page(ALIKE, b"1"), page(ALIKE, b"2"), page(ALIKE)]
    found = [alike.entries(one.buffer, one.entries, 0) for one in pages_of(answers, alike)]
    for name in ("useraccountcontrol", "objectclass"):
        assert len({id(one[columns.places[name]]) for one in (*found[1], *found[2])}) == 1
    assert len({one[columns.places["objectsid"]] for one in found[2]}) == 300


def test_two_long_answers_come_at_the_same_time_and_neither_waits_for_the_other() -> None:
    """The second page of one comes only when the other was read to its end."""
    finished = threading.Event()

    def late(number: int) -> bytes:
        assert finished.wait(20)
        return page(ALIKE)(number)

    slow, fast = Peer([page(ALIKE, b"1"), late]), Peer([page(ALIKE, b"1"), page(ALIKE, b"2"), page(ALIKE)])
    rows: list[int] = []
    waiting = threading.Thread(target=lambda: rows.append(len(search(connected(slow.mine), USERS, HEAD))))
    try:
        waiting.start()
        rows.append(len(search(connected(fast.mine), USERS, HEAD)))
        finished.set()
        waiting.join(20)
        assert rows == [900, 600]
        assert not ldap_wire._TURN.locked()
        assert [one.mine.gettimeout() for one in (slow, fast)] == [None, None]
    finally:
        slow.close()
        fast.close()


def test_silence_in_the_middle_of_a_long_answer_is_a_lost_connection() -> None:
    peer = Peer([page(ALIKE, b"1"), lambda number: b""])
    connection = connected(peer.mine)
    connection.receive_timeout = 0.1
    try:
        with pytest.raises(LDAPException, match="nothing came for"):
            search(connection, USERS, HEAD)
        assert connection.closed
        assert not ldap_wire._TURN.locked()
    finally:
        peer.close()


def test_who_stops_in_the_middle_of_a_long_answer_gives_the_turn_back() -> None:
    connection = connected(Scripted([page(ALIKE, b"1"), page(ALIKE, b"2"), page(ALIKE)]))
    reading = pages(connection, written(connection, HEAD, "(cn=*)", ldap3.SUBTREE, ("cn",), None), Alike(Columns()))
    assert isinstance(next(reading), Page)
    assert ldap_wire._TURN.locked()
    reading.close()
    assert not ldap_wire._TURN.locked()
    assert connection.closed


def test_references_between_entries_are_left_out() -> None:
    def mixed(number: int) -> bytes:
        return b"".join(entry(number, *one) + reference(number) for one in ALIKE[:5]) + done(number)

    rows = read([page(ALIKE, b"1"), mixed], [100])
    assert isinstance(rows, list) and len(rows) == 305


def test_the_most_that_is_kept_is_kept() -> None:
    """Values of an attribute with several are kept by their bodies, and forgotten before there are too many."""
    groups = [(f"CN=G{n},{HEAD}", {"member": [b"a%d" % n, b"b"]}) for n in range(300)]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ldap_shape, "_MOST_KEPT", 10)
        rows = read([page(groups, b"1"), page(groups, b"2"), page(groups)], [1 << 20])  # type: ignore[arg-type]
    assert rows == walked([page(groups, b"1"), page(groups, b"2"), page(groups)], [1 << 20])  # type: ignore[arg-type]

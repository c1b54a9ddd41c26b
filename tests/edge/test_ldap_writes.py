"""Modifications sent at once: the same bytes as ldap3 sends, each with its own answer, and none left half read."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ldap3.core.exceptions import LDAPException, LDAPSessionTerminatedByServerError, LDAPSocketReceiveError
from ldap3.operation.modify import modify_operation
from ldap3.protocol.rfc4511 import LDAPMessage, MessageID, ProtocolOp
from ldap3.utils.asn1 import encode

from reconciler.core.steps import AttributeChange, ModifyEntry
from reconciler.edge import ldap_ber as ber
from reconciler.edge.directory import grouped
from reconciler.edge.ldap_ber import Result
from reconciler.edge.ldap_writes import modification, modify_all
from tests.edge.ldap_peer import Scripted, connected, done, long_form, modified, notice

VALUES = st.binary(max_size=140) | st.binary(min_size=250, max_size=260) | st.text(max_size=60)
CHANGES = st.builds(
    AttributeChange,
    st.sampled_from(["description", "member", "userCertificate;binary"]),
    st.sampled_from(["add", "delete"]),
    st.lists(VALUES, max_size=4).map(tuple),
) | st.just(AttributeChange("pwdLastSet", "replace", ("-1",)))
EFFECTS = st.builds(
    ModifyEntry,
    st.just("d"),
    st.text("abcäß€", min_size=1, max_size=200).map(lambda name: f"CN={name},DC=d,DC=lab"),
    st.lists(CHANGES, min_size=1, max_size=4, unique_by=lambda change: change.attribute).map(tuple),
)
OK = Result(0, "", b"")


def changes(count: int) -> list[ModifyEntry]:
    return [
        ModifyEntry("d", f"CN=u{number},DC=d,DC=lab", (AttributeChange("description", "add", ("x",)),))
        for number in range(count)
    ]


@settings(max_examples=200, deadline=None)
@given(EFFECTS)
def test_bytes_are_those_that_ldap3_sends(effect: ModifyEntry) -> None:
    message = LDAPMessage()
    message["messageID"] = MessageID(7)
    request = modify_operation(effect.dn, grouped(effect.changes), auto_encode=False)
    message["protocolOp"] = ProtocolOp().setComponentByName("modifyRequest", request)
    assert encode(message) == ber.packed(ber.SEQUENCE, ber.packed_number(7) + modification(effect))


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 30), st.lists(st.integers(1, 300), min_size=1, max_size=5), st.integers(), st.booleans())
def test_each_gets_its_own_answer_whatever_the_order_and_the_pieces(
    count: int, sizes: list[int], seed: int, windows: bool
) -> None:
    """All answers come once the last request is there, in any order."""
    numbers: list[int] = []

    def answer(number: int) -> bytes:
        numbers.append(number)
        if len(numbers) < count:
            return b""
        shuffled = list(enumerate(numbers))
        random.Random(seed).shuffle(shuffled)
        said = [modified(one, place % 3, f"to {place}") for place, one in shuffled]
        return b"".join(map(long_form, said) if windows else said)

    line = Scripted([answer] * count, sizes)
    connection = connected(line)
    found = modify_all(connection, changes(count))
    assert found == [Result(place % 3, f"to {place}", b"") for place in range(count)]
    assert [str(message["protocolOp"]["modifyRequest"]["object"]) for message in line.asked] == [
        one.dn for one in changes(count)
    ]
    assert not connection.closed


def ending(*said: Callable[[int], bytes]) -> Iterable[Callable[[int], bytes]]:
    return [*said, *[lambda number: b""] * 9]


@pytest.mark.parametrize(
    ("answers", "error"),
    [
        (ending(modified), LDAPSessionTerminatedByServerError),  # the line ends after the first answer
        (ending(modified, lambda number: notice()), LDAPSessionTerminatedByServerError),
        (ending(modified, lambda number: b"junk"), LDAPSocketReceiveError),
        (ending(modified, lambda number: modified(number + 77)), LDAPSocketReceiveError),
        (ending(modified, lambda number: modified(number - 1)), LDAPSocketReceiveError),  # a second time
        (ending(modified, done), LDAPSocketReceiveError),
    ],
)
def test_what_was_answered_before_the_line_broke_is_known_and_nothing_else(
    answers: Iterable[Callable[[int], bytes]], error: type[LDAPException]
) -> None:
    connection = connected(Scripted(answers))
    first, *others = modify_all(connection, changes(3))
    assert first == OK
    assert [type(one) for one in others] == [error, error]
    assert connection.closed


def test_a_connection_with_something_left_to_read_is_closed() -> None:
    connection = connected(Scripted([lambda number: modified(number) + notice()]))
    assert modify_all(connection, changes(1)) == [OK]
    assert connection.closed


def test_nothing_is_sent_over_a_closed_connection() -> None:
    line = Scripted([modified])
    connection = connected(line)
    connection.listening = False
    with pytest.raises(LDAPException):
        modify_all(connection, changes(1))
    assert line.asked == []


def test_a_line_that_breaks_while_sending_leaves_every_fate_unknown() -> None:
    class Broken(Scripted):
        def sendall(self, data: bytes) -> None:
            raise OSError("broken pipe")

    connection = connected(Broken([]))
    found = modify_all(connection, changes(2))
    assert [str(one) for one in found] == ["error sending data: broken pipe"] * 2
    assert connection.closed

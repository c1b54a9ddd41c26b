"""Tests of reading rows: what cannot be read as asked for raises."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.errors import UnexpectedAnswer
from reconciler.core.query import Rows
from reconciler.core.values import Guid, Sid
from reconciler.resources import rows

SID = Sid("S-1-5-32-544")
GUID = Guid("bf967aba-0de6-11d0-a285-00aa003049e2")
READERS = (
    rows.text,
    rows.number,
    rows.flag,
    rows.raw,
    rows.sid,
    rows.guid,
    rows.texts,
    rows.sids,
    rows.text_or_none,
    rows.number_or_none,
)


@pytest.mark.parametrize(
    ("read", "value", "expected"),
    [
        (rows.text, (b"J\xc3\xbcrgen",), "Jürgen"),
        (rows.text, "plain", "plain"),
        (rows.number, (b"-2147483644",), -2147483644),
        (rows.number, 7, 7),
        (rows.number, "0x10", 16),
        (rows.flag, (b"TRUE",), True),
        (rows.flag, False, False),
        (rows.sid, (SID.to_bytes(),), SID),
        (rows.sid, "S-1-5-32-544", SID),
        (rows.guid, (GUID.to_bytes(),), GUID),
        (rows.guid, "{BF967ABA-0de6-11d0-a285-00aa003049e2}", GUID),
        (rows.texts, (b"a", b"b"), ("a", "b")),
        (rows.raw, (b"\x00",), b"\x00"),
    ],
)
def test_values_of_directories_and_hosts(read: Callable[..., object], value: object, expected: object) -> None:
    assert read({"Name": value}, "name") == expected


@pytest.mark.parametrize(
    ("read", "value"),
    [
        (rows.text, ()),
        (rows.text, None),
        (rows.text, (b"a", b"b")),
        (rows.text, (b"\xff",)),
        (rows.text, {}),
        (rows.number, True),
        (rows.number, "seven"),
        (rows.flag, "yes"),
        (rows.raw, "text"),
        (rows.sid, (b"\x01",)),
        (rows.guid, (b"\x01",)),
    ],
)
def test_anything_else_is_unexpected(read: Callable[..., object], value: object) -> None:
    with pytest.raises(UnexpectedAnswer):
        read({"name": value}, "name")


@given(
    st.sampled_from(READERS),
    st.dictionaries(
        st.just("name"), st.binary() | st.text() | st.integers() | st.booleans() | st.none() | st.tuples(st.binary())
    ),
)
def test_readers_read_or_say_that_they_cannot(read: Callable[..., Any], row: dict[str, object]) -> None:
    try:
        read(row, "name")
    except UnexpectedAnswer as error:
        assert "'name'" in str(error)


def test_exactly_one_row() -> None:
    assert rows.one(({"a": 1},), "it", "there") == {"a": 1}
    assert rows.at_most_one((), "it", "there") is None
    wrong: tuple[Rows, ...] = ((), ({}, {}))
    for answer in wrong:
        with pytest.raises(UnexpectedAnswer, match="exactly one"):
            rows.one(answer, "it", "there")

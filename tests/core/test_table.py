"""A table is to its readers what plain rows are, in a tenth of the memory."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.errors import UnexpectedAnswer
from reconciler.core.query import Row
from reconciler.core.table import Table, packed_value, records, values

NAMES = st.sampled_from(["cn", "member", "objectguid", "description"])
VALUES = st.binary(max_size=20) | st.integers(120, 300).map(bytes)
ROWS = st.lists(
    st.tuples(st.text(max_size=9), st.dictionaries(NAMES, st.lists(VALUES, max_size=3).map(tuple))).map(
        lambda found: {"dn": found[0], **found[1]}
    ),
    max_size=6,
).map(tuple)


@given(ROWS)
def test_a_table_equals_the_plain_rows_of_its_content(rows: tuple[Row, ...]) -> None:
    table = Table.of(rows)
    assert table == rows and rows == table and table == list(rows) and table == Table.of(rows)
    assert tuple(dict(row) for row in table) == rows
    assert [table[at] for at in range(len(table))] == list(rows)
    assert table[1:3] == rows[1:3]
    assert [len(row) for row in table] == [len(row) for row in rows]
    assert table != (*rows, {"dn": "more"})
    assert all({**row} == plain and row.get("absent") is None for row, plain in zip(table, rows, strict=True))


@given(ROWS, ROWS)
def test_tables_differ_where_their_rows_do(one: tuple[Row, ...], other: tuple[Row, ...]) -> None:
    assert (Table.of(one) == Table.of(other)) is (one == other)


@given(ROWS)
def test_an_attribute_can_be_left_out(rows: tuple[Row, ...]) -> None:
    expected = tuple({name: value for name, value in row.items() if name != "member"} for row in rows)
    assert Table.of(rows).without("member") == expected


@given(ROWS, ROWS, st.sets(VALUES))
def test_replacing_drops_those_and_appends_the_fresh(
    rows: tuple[Row, ...], fresh: tuple[Row, ...], gone: set[bytes]
) -> None:
    kept = tuple(row for row in rows if row.get("cn") not in {(value,) for value in gone})
    assert Table.of(rows).replaced("cn", gone, Table.of(fresh)) == kept + fresh
    hidden = Table.of(rows).without("member")
    assert (
        hidden.replaced("cn", gone, Table.of(fresh))
        == tuple(hidden[at] for at, row in enumerate(rows) if row in kept) + fresh
    )


@given(st.lists(VALUES, max_size=5))
def test_values_are_read_as_they_were_packed(found: list[bytes]) -> None:
    assert values(b"".join(map(packed_value, found))) == tuple(found)


@pytest.mark.parametrize(
    "body", [b"\x04", b"\x04\x02a", b"\x05\x00", b"\x04\x80ab", b"\x04\x85\0\0\0\0\1a", b"\x04\x01ab"]
)
def test_what_is_no_set_of_values_raises(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"value|length"):
        values(body)


@given(VALUES, VALUES, VALUES)
def test_records_give_values_without_a_row(name: bytes, one: bytes, two: bytes) -> None:
    rows: tuple[Row, ...] = ({"dn": "ü", "cn": (name,), "member": (one, two)}, {"dn": "b", "cn": ()}, {"dn": "c"})
    expected = [("ü".encode(), name, (one, two)), (b"b", None, ()), (b"c", None, ())]
    assert list(records(rows, ("cn",), ("member",))) == expected


@pytest.mark.parametrize("length", range(100, 300))
def test_records_take_one_value_of_any_length_for_one(length: int) -> None:
    body = b"\x04\x84" + length.to_bytes(4, "big") + bytes(length)  # the longest way to write a length
    assert list(Table({"cn": 1}, [(b"a", body)]).records(("cn",))) == [(b"a", bytes(length))]
    short: tuple[Row, ...] = ({"dn": "a", "cn": (bytes(length),)},)
    assert list(records(short, ("cn",))) == [(b"a", bytes(length))]


def test_records_name_the_row_that_has_two_values_where_one_is_expected() -> None:
    rows: tuple[Row, ...] = ({"dn": "CN=a", "cn": (b"1",)}, {"dn": "CN=b", "cn": (b"1", b"2")})
    with pytest.raises(UnexpectedAnswer) as error:
        list(records(rows, ("cn",)))
    assert error.value.where == "CN=b"

"""A table is to its readers what plain rows are, in a tenth of the memory."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.errors import UnexpectedAnswer
from reconciler.core.query import Row
from reconciler.core.table import Table, held_of, records, values_of

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
def test_what_is_held_are_the_values(found: list[bytes]) -> None:
    assert values_of(held_of(found)) == tuple(found)
    assert values_of(None) == ()


@given(VALUES, VALUES, VALUES)
def test_records_give_values_without_a_row(name: bytes, one: bytes, two: bytes) -> None:
    rows: tuple[Row, ...] = ({"dn": "ü", "cn": (name,), "member": (one, two)}, {"dn": "b", "cn": ()}, {"dn": "c"})
    expected = [("ü".encode(), name, (one, two)), (b"b", None, ()), (b"c", None, ())]
    assert list(records(rows, ("cn",), ("member",))) == expected


def test_records_name_the_row_that_has_two_values_where_one_is_expected() -> None:
    rows: tuple[Row, ...] = ({"dn": "CN=a", "cn": (b"1",)}, {"dn": "CN=b", "cn": (b"1", b"2")})
    with pytest.raises(UnexpectedAnswer) as error:
        list(records(rows, ("cn",)))
    assert error.value.where == "CN=b"

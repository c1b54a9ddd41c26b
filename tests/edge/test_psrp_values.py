"""Values to hosts and back."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pypsrp.complex_objects import GenericComplexObject
from pypsrp.serializer import Serializer, TaggedValue

from reconciler.edge.psrp_values import plain, to_host, to_rows


def thing(types: tuple[str, ...] = (), text: str | None = None, sets: tuple[Any, ...] = (), **properties: Any) -> Any:
    made = GenericComplexObject()
    made.types, made.to_string, made.property_sets = list(types), text, list(sets)
    made.extended_properties = properties
    return made


def test_integers_get_the_width_they_need() -> None:
    assert to_host(2**31 - 1) == 2**31 - 1
    wide = to_host(2**31)
    assert isinstance(wide, TaggedValue) and wide.tag == "I64"
    widest = to_host(2**64 - 1)
    assert isinstance(widest, TaggedValue) and widest.tag == "U64"
    with pytest.raises(ValueError, match="64 bits"):
        to_host(2**64)


def test_what_cannot_be_sent_is_refused() -> None:
    with pytest.raises(TypeError):
        to_host(object())
    with pytest.raises(TypeError):
        to_host(None)


scalars = (
    st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1)
    | st.booleans()
    | st.binary(min_size=1)
    | st.integers(-(2**63), 2**64 - 1)
)
# pypsrp sends lists inside lists in order, but does not read them: no command here has one.
lists = st.lists(scalars, max_size=3)
values = scalars | lists | st.dictionaries(st.text("abc", min_size=1), scalars | lists, max_size=3)


@given(values)
def test_values_come_back_as_they_went(value: Any) -> None:
    serializer = Serializer()
    sent = serializer.serialize(to_host(value))
    assert sent is not None
    assert plain(serializer.deserialize(sent)) == value


def test_enum_is_its_text() -> None:
    state = thing(("Some.State", "System.Enum", "System.ValueType"), "Running", (4,))
    assert to_rows([thing(State=state)]) == ({"State": "Running"},)


def test_line_with_notes_is_just_the_line() -> None:
    assert to_rows([thing(sets=("text",), PSPath="C:\\x"), 7]) == ({"value": "text"}, {"value": 7})


def test_nested_objects_lists_and_guids_are_plain() -> None:
    guid = UUID("0CCE9235-69AE-11D9-BED3-505054503030")
    row = to_rows([thing(A=thing(B=[1, guid]), C=None, D=b"\0", E=thing(text="only text"))])
    assert row == ({"A": {"B": [1, str(guid)]}, "C": None, "D": b"\0", "E": "only text"},)


def test_object_that_holds_itself_ends() -> None:
    loop = thing(text="loop")
    loop.extended_properties["Self"] = loop
    assert "loop" in str(to_rows([loop]))

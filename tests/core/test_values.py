"""Directory values: whatever their spelling, equal things are equal, and nothing is lost on the way."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from reconciler.core.values import Dn, Guid, Sid, escape_filter, escape_rdn, split_unescaped, unescape

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20)
NAMES = TEXTS.filter(lambda text: text == text.strip())
TYPES = st.sampled_from(["CN", "OU", "DC", "cn", "ou"])
SIDS = st.builds(
    lambda authority, subs: Sid("-".join(["S-1", str(authority), *map(str, subs)])),
    st.integers(0, 2**48 - 1),
    st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=15),
)


def dn(pairs: list[tuple[str, str]]) -> Dn:
    return Dn(",".join(f"{name}={escape_rdn(value)}" for name, value in pairs))


@given(NAMES)
@example("Müller, Jürgen")
@example("#1")
@example('a"b<c>d;e=f+g\\h')
@example("a\nb")
def test_escaped_value_comes_back(value: str) -> None:
    assert unescape(escape_rdn(value)) == value
    assert Dn(f"CN={escape_rdn(value)},DC=lab").name == value


@given(st.lists(st.tuples(TYPES, NAMES), min_size=1, max_size=5))
def test_dn_keeps_its_parts(pairs: list[tuple[str, str]]) -> None:
    assert dn(pairs).rdns() == tuple((name.upper(), value) for name, value in pairs)


@given(st.lists(st.tuples(TYPES, NAMES), min_size=1, max_size=4))
def test_dn_is_equal_whatever_its_spelling(pairs: list[tuple[str, str]]) -> None:
    one = dn(pairs)
    hexed = ",".join(
        f" {name.lower()} = " + "".join(f"\\{byte:02x}" for byte in value.encode()) for name, value in pairs
    )
    assert one == hexed
    assert hash(one) == hash(Dn(hexed))
    assert one == Dn(one.canonical())
    assert Dn(one.canonical()).canonical() == one.canonical()


def test_dn_compares_without_case_and_differs_by_value() -> None:
    assert Dn("CN=Jürgen,DC=lab") == Dn("cn=JÜRGEN, dc=LAB") == "Cn=jürgen,dC=lab"
    assert Dn("CN=a,DC=lab") != Dn("CN=b,DC=lab")
    assert Dn("CN=a,DC=lab") != "not a dn"
    assert Dn("CN=a,DC=lab") != 5


def test_dn_knows_what_is_above_it() -> None:
    one = Dn(r"CN=a\,b,OU=Staff,DC=lab")
    assert one.parent == "ou=staff,dc=lab"
    assert one.is_below("OU=STAFF,DC=lab") and one.is_below(one) and one.is_below("dc=lab")
    assert not one.is_below("OU=aff,DC=lab")
    assert not Dn("DC=lab").is_below(one)


@pytest.mark.parametrize("text", ["", "a", "CN=", "=a", "CN=a,", ",CN=a", "CN=a,,DC=b", "CN= ,DC=b"])
def test_what_is_no_dn_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a distinguished name"):
        Dn(text)


@given(st.text("ab\\,", max_size=20))
def test_splitting_loses_nothing(text: str) -> None:
    assert ",".join(split_unescaped(text, ",")) == text


@given(SIDS)
def test_sid_survives_its_binary_form(sid: Sid) -> None:
    assert Sid.from_bytes(sid.to_bytes()) == sid == sid.lower()
    assert hash(Sid(sid.lower())) == hash(sid)
    assert len(sid.to_bytes()) == 8 + 4 * (sid.count("-") - 2)


@given(st.binary(max_size=40))
def test_bytes_are_a_sid_or_refused(raw: bytes) -> None:
    try:
        sid = Sid.from_bytes(raw)
    except ValueError:
        return
    assert sid.to_bytes() == raw


def test_sid_of_the_domain() -> None:
    assert Sid("S-1-5-21-1-2-3-512").domain == "S-1-5-21-1-2-3"


@pytest.mark.parametrize(
    "text", ["", "S-1", "S-1-", "S-2-5-32", "S-1-5-", "S-1-5-x", " S-1-5-32", "S-1-5-32\n", "S-1-5--1"]
)
def test_what_is_no_sid_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a SID"):
        Sid(text)


@given(st.uuids())
def test_guid_survives_its_binary_form_and_any_spelling(value: uuid.UUID) -> None:
    guid = Guid(str(value))
    assert guid == f"{{{str(value).upper()}}}"
    assert Guid.from_bytes(guid.to_bytes()) == guid
    assert guid.to_bytes() == value.bytes_le


def test_values_of_different_kinds_are_never_equal() -> None:
    assert Sid("S-1-5-32-544") != Guid("0cce9235-69ae-11d9-bed3-505054503030")
    assert len({Sid("S-1-5-32"), Sid("s-1-5-32")}) == 1


class _Model(BaseModel):
    dn: Dn
    sid: Sid


def test_models_validate_and_write_them_as_text() -> None:
    made = _Model.model_validate({"dn": "CN=a,DC=lab", "sid": "s-1-5-32-544"})
    assert made.model_dump(mode="json") == {"dn": "CN=a,DC=lab", "sid": "S-1-5-32-544"}
    assert made == _Model.model_validate({"dn": "cn=A,dc=LAB", "sid": "S-1-5-32-544"})
    with pytest.raises(ValidationError):
        _Model.model_validate({"dn": "a", "sid": "S-1-5-32-544"})


@given(st.text(max_size=20))
def test_filter_value_holds_nothing_that_a_filter_reads(value: str) -> None:
    escaped = escape_filter(value)
    assert not set(escaped) & set("*()\0")
    assert escape_filter(value.encode("utf-8", "surrogatepass")).count("\\") == len(
        value.encode("utf-8", "surrogatepass")
    )


@pytest.mark.parametrize("value", ["a ", " ", "a\\ "])
def test_spaces_at_the_end_come_back(value: str) -> None:
    assert Dn(f"CN={escape_rdn(value)},DC=lab").name == value


def test_sid_with_leading_zeros_is_equal_or_refused() -> None:
    assert Sid("S-1-05-032") == Sid("S-1-5-32")


def test_sid_that_has_no_binary_form_is_refused() -> None:
    with pytest.raises(ValueError, match="not a SID"):
        Sid("S-1-5-4294967296")

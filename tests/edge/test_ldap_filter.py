"""Filters and searches written down by ourselves are byte for byte those that ldap3 writes; what is not plain is left to it."""

from __future__ import annotations

import ldap3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ldap3.core.exceptions import LDAPInvalidFilterError
from ldap3.protocol.microsoft import security_descriptor_control, show_deleted_control

from reconciler.core.values import escape_filter
from reconciler.edge import ldap_filter
from reconciler.edge import ldap_pages as pages
from tests.edge.ldap_peer import connected

NAMES = st.sampled_from(["cn", "sAMAccountName", "objectGUID", "uSNChanged", "x-y"])
VALUES = st.text(min_size=1, max_size=20).map(escape_filter) | st.binary(min_size=1, max_size=20).map(escape_filter)
ITEMS = st.builds(
    lambda name, how, value: f"({name}{how}{value})", NAMES, st.sampled_from(["=", ">=", "<="]), VALUES
) | st.builds(lambda name: f"({name}=*)", NAMES)
FILTERS = st.recursive(
    ITEMS,
    lambda inner: st.builds(lambda of, parts: f"({of}{''.join(parts)})", st.sampled_from("&|"), st.lists(inner, min_size=1, max_size=5))
    | inner.map(lambda one: f"(!{one})"),
    max_leaves=20,
)  # fmt: skip
BASES = st.sampled_from(
    ["", "DC=d,DC=lab", "CN=Müller\\, Jürgen,OU=Ä,DC=d,DC=lab", "<SID=S-1-5-21-1-2-3>", "CN=" + "x" * 200]
)


def as_ldap3_writes(base: str, where: str, scope: str, attributes: list[str]) -> bytes:
    return pages._operation_by_ldap3(connected(None), base, where, scope, attributes)


@settings(max_examples=400, deadline=None)
@given(
    BASES, FILTERS, st.sampled_from([ldap3.BASE, ldap3.LEVEL, ldap3.SUBTREE]), st.lists(NAMES, max_size=4, unique=True)
)
def test_search_is_written_as_ldap3_writes_it(base: str, where: str, scope: str, attributes: list[str]) -> None:
    found = ldap_filter.written(where)
    spelled = as_ldap3_writes(base, where, scope, attributes)
    # Blanks around a value are left to ldap3.
    assert found is None or pages._operation(base, found, scope, attributes) == spelled
    assert found is not None or any(f"={blank}" in where or f"{blank})" in where for blank in BLANKS)


BLANKS = [chr(code) for code in range(0x3001) if chr(code).isspace()]


@settings(max_examples=1000, deadline=None)
@given(st.text("()&|!=*<>~:\\ab0 ,;é", max_size=30).map(lambda text: f"({text})"))
def test_whatever_is_written_here_is_what_ldap3_would_have_written(where: str) -> None:
    found = ldap_filter.written(where)
    if found is not None:
        assert pages._operation("", found, ldap3.BASE, []) == as_ldap3_writes("", where, ldap3.BASE, [])


@pytest.mark.parametrize(
    "where",
    [
        "(cn=a*b)", "(cn=*a)", "(cn~=a)", "(member:1.2.840.113556.1.4.1941:=CN=a)", "(:dn:2.4.6.8:=x)", "(cn;lang-de=a)",
        "cn=a", "(cn=a", "(cn=a))", "(cn=a)(cn=b)", "((cn=a))", "(&)", "(|)", "(!)", "(!(cn=a)(cn=b))", "(cn=)", "(cn= a)",
        "(cn=a )", "( cn=a)", "(& (cn=a))", r"(cn=\2)", "(cn=\0)", "", "()", "(cn>=*)",
    ],
)  # fmt: skip
def test_what_is_not_plain_is_left_to_ldap3(where: str) -> None:
    assert ldap_filter.written(where) is None


def test_a_malformed_filter_is_still_refused() -> None:
    with pytest.raises(LDAPInvalidFilterError):
        pages.written(connected(None), "", "(cn=a", ldap3.SUBTREE, [], None)


def test_controls_follow_the_operation() -> None:
    controls = [*security_descriptor_control(sdflags=4), show_deleted_control(criticality=True)]
    request = pages.written(connected(None), "", "(cn=a)", ldap3.BASE, [], controls)
    assert request.message(1, b"").endswith(request.controls)
    assert request.controls.count(b"1.2.840.113556.1.4.801") == request.controls.count(b"1.2.840.113556.1.4.417") == 1

"""What LDAP results mean."""

from __future__ import annotations

import ldap3
import pytest

from reconciler.core.errors import Refused, Stale, Unreachable
from reconciler.core.steps import AddEntry, AttributeChange, ModifyEntry
from reconciler.edge.directory import grouped
from reconciler.edge.ldap_errors import is_stale, logon_problem, write_refused
from reconciler.edge.ldap_search import NamingContexts

ADD, DELETE = AttributeChange("member", "add", ("CN=a",)), AttributeChange("member", "delete", ("CN=a",))
SWAP = (AttributeChange("scope", "delete", ("1",)), AttributeChange("scope", "add", ("2",)))
REPLACE = (AttributeChange("pwdLastSet", "replace", ("-1",)),)


@pytest.mark.parametrize(
    ("changes", "code", "stale"),
    [
        (SWAP, 16, True),
        (SWAP, 20, True),
        (SWAP, 50, False),
        (SWAP, 53, False),
        ((ADD,), 68, True),
        ((ADD,), 20, True),
        ((ADD,), 53, False),
        ((DELETE,), 53, True),
        ((DELETE,), 16, True),
        (REPLACE, 16, False),
        (REPLACE, 68, False),
    ],
)
def test_moved_value_is_stale_and_nothing_else_is(changes: tuple[AttributeChange, ...], code: int, stale: bool) -> None:
    assert is_stale(changes, code) is stale


@pytest.mark.parametrize(
    ("code", "name", "kind"),
    [(68, "entryAlreadyExists", Refused), (50, "insufficientAccessRights", Refused), (51, "busy", Unreachable)],
)
def test_refused_write_carries_the_result_name(code: int, name: str, kind: type[Exception]) -> None:
    effect = AddEntry("source", "CN=a,DC=source,DC=lab", ())
    error = write_refused(effect, {"result": code, "description": name, "message": "why\0"})
    assert type(error) is kind and name in error.what and "\0" not in error.what
    assert getattr(error, "code", name) == name
    assert error.target == "source"


def test_stale_modify_is_stale() -> None:
    effect = ModifyEntry("source", "CN=a", SWAP)
    assert isinstance(write_refused(effect, {"result": 16, "description": "noSuchAttribute", "message": ""}), Stale)


def test_logon_problem_is_said_in_words() -> None:
    assert logon_problem("AcceptSecurityContext error, data 52e, v4563") == "the username or the password is wrong"
    assert logon_problem("data 9999") == ""
    assert logon_problem("") == ""


def test_base_forms() -> None:
    contexts = NamingContexts("DC=source,DC=lab", "CN=Configuration,DC=source,DC=lab")
    assert contexts.base_of("") == "DC=source,DC=lab"
    assert contexts.base_of("rootdse") == ""
    assert contexts.base_of("config:") == "CN=Configuration,DC=source,DC=lab"
    assert contexts.base_of("config:CN=Extended-Rights,") == "CN=Extended-Rights,CN=Configuration,DC=source,DC=lab"
    assert contexts.base_of("OU=Staff,DC=source,DC=lab") == "OU=Staff,DC=source,DC=lab"


def test_changes_are_grouped_by_attribute_without_case() -> None:
    changes = (*SWAP, AttributeChange("SCOPE", "add", (b"\xff",)), AttributeChange("other", "delete"))
    assert grouped(changes) == {
        "scope": [(ldap3.MODIFY_DELETE, [b"1"]), (ldap3.MODIFY_ADD, [b"2"]), (ldap3.MODIFY_ADD, [b"\xff"])],
        "other": [(ldap3.MODIFY_DELETE, [])],
    }


def test_principal_that_samba_cannot_make_is_not_stale() -> None:
    add = (AttributeChange("member", "add", ("<SID=S-1-5-11>",)),)
    assert not is_stale(add, 68, "Entry CN=S-1-5-11,CN=ForeignSecurityPrincipals,DC=source,DC=lab already exists")
    assert is_stale(add, 68, "00000562: UpdErr: DSID-031A11E2, problem 6005 (ENTRY_EXISTS), data 0")

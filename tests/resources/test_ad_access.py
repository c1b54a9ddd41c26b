"""Tests of rights on directory objects: which ACEs are missing, and that going back takes exactly the new ones."""

from __future__ import annotations

import struct

import pytest

from reconciler.core.errors import NeedsPerson, UnexpectedAnswer
from reconciler.core.query import Row, Rows
from reconciler.core.resource import restored
from reconciler.core.steps import ModifyEntry, Step
from reconciler.core.values import Guid, Sid
from reconciler.resources.ad_access import Access
from reconciler.resources.security_descriptor import Ace, Descriptor
from tests.resources.directory import TARGET_DN, crossrefs, entry, fields, head, rid, settle

USER = Guid("bf967aba-0de6-11d0-a285-00aa003049e2")
RESET = Guid("00299570-246d-11d0-a768-00aa006e0529")
OU = f"OU=Migrated,{TARGET_DN}"
MIGRATOR = rid("target", 1105)
CREATE = Ace(MIGRATOR, 0x1, 0x2, USER)
RESET_BELOW = Ace(MIGRATOR, 0x100, 0x0A, RESET, USER)
OTHER = Ace(Sid("S-1-5-32-544"), 0xF01FF, 0x2)
INHERITED = Ace(Sid("S-1-5-32-554"), 0x20094, 0x12)

WANTED = Access.model_validate(
    {
        "domain": "target",
        "object": OU,
        "trustee": "TARGET\\migrator",
        "grants": [
            {"right": "create-child", "of": "user", "applies": "both"},
            {"right": "control", "of": "Reset Password", "applies": "descendants", "class": "user"},
        ],
    }
)


def dacl(*aces: Ace) -> bytes:
    content = b"".join(ace.to_bytes() for ace in aces)
    header = struct.pack("<BBHIIII", 1, 0, 0x8404, 0, 0, 0, 20)
    return header + struct.pack("<BBHHH", 4, 0, 8 + len(content), len(aces), 0) + content


def answers(*aces: Ace, schema: tuple[Row, ...] | None = None) -> tuple[Rows, ...]:
    config = f"CN=Configuration,{TARGET_DN}"
    classes = entry(
        f"CN=User,CN=Schema,{config}",
        lDAPDisplayName="user",
        schemaIDGUID=USER.to_bytes(),
        objectClass=("top", "classSchema"),
    )
    right = entry(
        f"CN=User-Force-Change-Password,CN=Extended-Rights,{config}",
        cn="User-Force-Change-Password",
        displayName="Reset Password",
        rightsGuid=str(RESET),
    )
    return (
        (entry(OU, nTSecurityDescriptor=dacl(*aces)),),
        (entry(f"CN=migrator,CN=Users,{TARGET_DN}", objectSid=MIGRATOR),),
        head("target"),
        crossrefs("target"),
        (classes,) if schema is None else schema,
        (right,),
    )


def written(steps: tuple[Step, ...]) -> bytes:
    (step,) = steps
    assert isinstance(step.effect, ModifyEntry)
    assert (step.effect.dn, step.effect.sd_flags) == (OU, 4)
    value = step.effect.changes[0].values[0]
    assert isinstance(value, bytes)
    return value


def test_missing_rights_become_aces_before_the_inherited_ones() -> None:
    differs, steps = settle(WANTED, *answers(OTHER, INHERITED))
    missing, nothing = fields(differs)["missing"]
    assert (
        str(missing) == "(control Reset Password on descendants of class user, create-child user on it and descendants)"
    )
    assert nothing == ()
    assert Descriptor.from_bytes(written(steps)).aces == tuple(
        ace.to_bytes() for ace in (OTHER, RESET_BELOW, CREATE, INHERITED)
    )
    assert str(CREATE) in str(steps[0])


def test_rights_that_are_there_are_left_alone() -> None:
    assert settle(WANTED, *answers(CREATE, OTHER, RESET_BELOW, INHERITED)) == ((), ())


def test_a_wider_mask_of_the_same_scope_counts() -> None:
    both = Ace(MIGRATOR, 0x3, 0x2, USER)
    assert settle(WANTED, *answers(both, RESET_BELOW)) == ((), ())


@pytest.mark.parametrize(
    "other",
    [
        Ace(MIGRATOR, 0x1, 0x12, USER),  # inherited
        Ace(MIGRATOR, 0x1, 0x0, USER),  # not on what lies below
        Ace(MIGRATOR, 0x1, 0x2, RESET),  # of another class
        Ace(rid("target", 1106), 0x1, 0x2, USER),  # somebody else
    ],
)
def test_something_like_it_does_not_count(other: Ace) -> None:
    differs, _ = settle(WANTED, *answers(other, RESET_BELOW))
    assert str(fields(differs)["missing"][0]) == "(create-child user on it and descendants,)"


def test_going_back_removes_only_what_was_missing_before() -> None:
    before = WANTED.parse(*answers(CREATE, OTHER, INHERITED))
    changed = written(settle(WANTED, *answers(CREATE, OTHER, INHERITED))[1])
    back = restored(WANTED, Access.model_validate(before.model_dump(mode="json")))
    now = (entry(OU, nTSecurityDescriptor=changed), *answers()[0][1:])
    assert written(settle(back, now, *answers()[1:])[1]) == dacl(CREATE, OTHER, INHERITED)
    assert settle(back, *answers(CREATE, OTHER, INHERITED)) == ((), ())


def test_what_somebody_widened_meanwhile_is_not_narrowed() -> None:
    back = restored(WANTED, WANTED.parse(*answers(OTHER)))
    with pytest.raises(NeedsPerson, match="cannot be changed safely"):
        settle(back, *answers(Ace(MIGRATOR, 0x3, 0x2, USER), RESET_BELOW))


def test_an_unknown_name_is_named() -> None:
    with pytest.raises(UnexpectedAnswer, match=r"the directory knows no (class|create-child) user"):
        WANTED.parse(*answers(schema=()))


def test_an_object_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(UnexpectedAnswer, match="does not exist"):
        WANTED.parse((), *answers()[1:])


def test_a_hidden_security_descriptor_is_not_an_empty_one() -> None:
    with pytest.raises(UnexpectedAnswer, match="cannot be read"):
        WANTED.parse((entry(OU),), *answers()[1:])


def test_absent_means_that_none_of_the_rights_is_there() -> None:
    gone = Access.model_validate({**WANTED.model_dump(exclude={"missing"}), "ensure": "absent"})
    assert settle(gone, *answers(OTHER)) == ((), ())
    assert written(settle(gone, *answers(CREATE, OTHER))[1]) == dacl(OTHER)

"""Tests of single ACEs in binary security descriptors; winacl, which shares no code with ours, is the other reader."""

from __future__ import annotations

import struct
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from winacl.dtyp.security_descriptor import SECURITY_DESCRIPTOR

from reconciler.core.values import Guid, Sid
from reconciler.resources.security_descriptor import INHERITED, Ace, Descriptor, NotEditable
from tests.soak import examples

USER = Guid("bf967aba-0de6-11d0-a285-00aa003049e2")
RESET = Guid("00299570-246d-11d0-a768-00aa006e0529")

sids = st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=6).map(
    lambda subs: Sid("-".join(["S-1-5", *map(str, subs)]))
)
guids = st.none() | st.binary(min_size=16, max_size=16).map(Guid.from_bytes)
aces = st.builds(Ace, sids, st.integers(0, 2**32 - 1), st.sampled_from([0, 2, 10]), guids, guids)
# Anything with a plausible header may stand in a list: deny, audit, callback and unknown types.
foreign = st.tuples(st.integers(0, 20), st.integers(0, 0x0F), st.binary(min_size=1, max_size=8)).map(
    lambda t: _raw(t[0], t[1], t[2] * 4)
)


def _raw(kind: int, flags: int, body: bytes) -> bytes:
    return struct.pack("<BBH", kind, flags, 4 + len(body)) + body


def descriptor(
    explicit: list[bytes],
    inherited: tuple[bytes, ...] = (),
    *,
    slack: bytes = b"",
    owner: bytes = b"",
    owner_last: bool = False,
) -> bytes:
    content = b"".join((*explicit, *inherited))
    acl = (
        struct.pack("<BBHHH", 4, 0, 8 + len(content) + len(slack), len(explicit) + len(inherited), 0) + content + slack
    )
    dacl_at = 20 if owner_last or not owner else 20 + len(owner)
    owner_at = 0 if not owner else 20 + len(acl) if owner_last else 20
    return struct.pack("<BBHIIII", 1, 0, 0x8004, owner_at, 0, 0, dacl_at) + (acl + owner if owner_last else owner + acl)


@settings(max_examples=examples(60))
@given(
    st.lists(foreign, max_size=4),
    st.lists(aces, max_size=4),
    st.lists(aces, min_size=1, max_size=4),
    st.sampled_from([b"", bytes(4)]),
    st.booleans(),
    st.booleans(),
)
def test_adding_and_removing_gives_the_same_bytes(
    others: list[bytes], inherited: list[Ace], new: list[Ace], slack: bytes, owned: bool, owner_last: bool
) -> None:
    below = [
        Ace(ace.sid, ace.mask, ace.flags | INHERITED, ace.object_type, ace.inherited_type).to_bytes()
        for ace in inherited
    ]
    owner = Sid("S-1-5-32-544").to_bytes() if owned else b""
    before = descriptor(others, tuple(below), slack=slack, owner=owner, owner_last=owner_last)
    added = Descriptor.from_bytes(before).adding(*new)
    again = Descriptor.from_bytes(added.to_bytes())
    assert again.removing(*new).to_bytes() == before
    assert set(new) <= set(again.allows())


@given(aces)
def test_an_ace_reads_back(ace: Ace) -> None:
    assert Ace.from_bytes(ace.to_bytes()) == ace


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    with suppress(NotEditable):
        assert Descriptor.from_bytes(content).to_bytes() == content


def test_winacl_reads_what_was_written() -> None:
    ace = Ace(Sid("S-1-5-21-4-5-6-1105"), 0x100, 0x0A, RESET, USER)
    inherited = Ace(Sid("S-1-5-32-544"), 0xF01FF, 0x12).to_bytes()
    content = Descriptor.from_bytes(descriptor([], (inherited,))).adding(ace).to_bytes()
    read = SECURITY_DESCRIPTOR.from_bytes(content)
    assert read.to_bytes() == content
    first = read.Dacl.aces[0]
    assert (str(first.Sid), int(first.Mask), str(first.ObjectType).lower(), str(first.InheritedObjectType).lower()) == (
        ace.sid,
        0x100,
        str(RESET),
        str(USER),
    )


def test_new_aces_stand_between_explicit_and_inherited() -> None:
    deny = _raw(1, 0, struct.pack("<I", 0x100) + Sid("S-1-1-0").to_bytes())
    inherited = Ace(Sid("S-1-5-32-544"), 0xF01FF, 0x12).to_bytes()
    ace = Ace(Sid("S-1-5-21-4-5-6-1105"), 0x3, 0x2, USER)
    assert Descriptor.from_bytes(descriptor([deny], (inherited,))).adding(ace).aces == (deny, ace.to_bytes(), inherited)


def test_a_list_in_another_order_is_not_touched() -> None:
    deny = _raw(1, 0, struct.pack("<I", 0x100) + Sid("S-1-1-0").to_bytes())
    inherited = Ace(Sid("S-1-5-32-544"), 0xF01FF, 0x12).to_bytes()
    with pytest.raises(NotEditable, match="canonical"):
        Descriptor.from_bytes(descriptor([inherited, deny])).adding(Ace(Sid("S-1-1-0"), 1))


def test_no_dacl_is_not_an_empty_one() -> None:
    with pytest.raises(NotEditable, match="full access"):
        Descriptor.from_bytes(struct.pack("<BBHIIII", 1, 0, 0x8000, 0, 0, 0, 0))


def test_removing_what_is_not_there_is_refused() -> None:
    with pytest.raises(NotEditable, match="does not hold"):
        Descriptor.from_bytes(descriptor([])).removing(Ace(Sid("S-1-1-0"), 1))

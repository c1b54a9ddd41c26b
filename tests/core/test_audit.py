"""The audit log as data: what a record says, and that no change to a chain goes unseen."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from io import BytesIO
from pathlib import PurePath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.audit import NoAudit, Origin, Record, account_of
from reconciler.core.audit_chain import START, Fault, Head, opened, seal, verify
from reconciler.core.canonical import digest_of
from reconciler.core.plan import Change
from reconciler.core.query import Command
from reconciler.core.resource import Resource, differences
from reconciler.core.secret import CredentialPart, Generated, SecretRef, Template
from reconciler.core.steps import AddEntry, CopyFile, Effect, LogOn, RunTask, Step
from reconciler.core.targets import Credential, Domain, Host, Targets
from tests.fake_world import Setting

T0 = datetime(2026, 11, 20, 18, 0, tzinfo=UTC)
ORIGIN = Origin("run1", "d" * 64, T0, "Administrator@SOURCE.LAB")
SECRET = SecretRef(file=PurePath("secrets/key"))


def change(wanted: Resource, observed: Resource) -> Change:
    return Change(wanted.key, "apply", wanted, observed, differences(wanted, observed))


def chain_of(count: int) -> tuple[list[bytes], list[Head]]:
    """Return the lines of a log, and the head after each, that of the empty log first."""
    lines, heads = [], [Head(0, START, "")]
    for number in range(count):
        line, head = seal(
            {"at": T0.isoformat(), "key": f"test/{number}", "value": number, "text": "ü\n\x00"}, heads[-1]
        )
        lines.append(line)
        heads.append(head)
    return lines, heads


LINES, HEADS = chain_of(7)


def faults_of(lines: list[bytes], head: Head | None = HEADS[-1], *kept: Head) -> list[str]:
    return [str(fault) for fault in verify(lines, head, kept)]


# What a record says.


def test_record_says_what_was_and_what_shall_be() -> None:
    wanted, observed = Setting(name="a", value=1, text="same"), Setting(name="a", value=0, text="same")
    step = Step(Command("h", "set", arguments=("a", 1)), says="set a")
    (record,) = Record.about(change(wanted, observed), (step, "sending", ORIGIN))
    assert record.fields() == {
        "event": "sending", "key": "test.setting/h/a", "direction": "apply", "step": "set a",
        "before": {"ensure": "present", "value": 0}, "wanted": {"ensure": "present", "value": 1}, "after": None,
        "run": "run1", "plan": "d" * 64, "account": "Administrator@SOURCE.LAB", "at": T0.isoformat(),
    }  # fmt: skip


def test_absent_is_neither_null_nor_zero() -> None:
    wanted = Setting(name="a", value=1)
    (record,) = Record.about(change(wanted, wanted.absent()), (Step(Command("h", "set")), "sending", ORIGIN))
    assert (record.before, record.wanted) == ({"ensure": "absent"}, {"ensure": "present", "value": 1})


def test_of_what_goes_away_everything_that_was_read_is_kept() -> None:
    observed = Setting(name="a", value=3, text="t")
    gone = Setting(name="a", ensure="absent")
    (record,) = Record.about(change(gone, observed), (Step(Command("h", "remove")), "sending", ORIGIN))
    assert (record.before, record.wanted) == (
        {"ensure": "present", "value": 3, "text": "t"},
        {"ensure": "absent"},
    )


def test_reading_says_what_was_found_in_place_of_what_was_wanted() -> None:
    wanted, observed = Setting(name="a", value=1), Setting(name="a", value=0)
    about = change(wanted, observed)
    assert Record.of_reading(observed, about, ORIGIN).after == {"ensure": "present", "value": 0}
    assert Record.of_reading(wanted.absent(), about, ORIGIN).after == {"ensure": "absent"}


def test_time_is_written_in_utc_and_a_naive_one_refused() -> None:
    wanted = Setting(name="a", value=1)
    about = change(wanted, wanted.absent())
    elsewhere = Origin("r", "p", T0.astimezone(timezone(timedelta(hours=5))), "a")
    assert Record.of_reading(wanted, about, elsewhere).fields()["at"] == T0.isoformat()
    with pytest.raises(ValueError, match="time zone"):
        Record.of_reading(wanted, about, Origin("r", "p", T0.replace(tzinfo=None), "a")).fields()


class Holder(Setting):
    """A setting whose compared field is anything, a reference to a secret too."""

    held: Any = None


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (SECRET, "<secret file:secrets/key>"),
        (Template(("/key:", SECRET)), "/key:<secret file:secrets/key>"),
        ({"p": (CredentialPart("op", "password"),)}, {"p": ["<password of op>"]}),
        (Credential(username="u", password=SECRET), {"username": "u", "password": "<secret file:secrets/key>"}),
        (frozenset({"b", "a"}), ["a", "b"]),
    ],
)
def test_values_become_json_and_secrets_their_references(value: object, shown: object) -> None:
    wanted, observed = Holder(name="a", held=value), Holder(name="a", held=None)
    (record,) = Record.about(change(wanted, observed), (Step(Command("h", "set")), "sending", ORIGIN))
    assert json.loads(seal(record.fields(), HEADS[0])[0])["wanted"] == {"ensure": "present", "held": shown}


def test_long_collection_is_kept_in_short_and_bound_by_its_digest() -> None:
    names = [f"user{number}" for number in range(2000)]
    wanted, observed = Holder(name="a", held=()), Holder(name="a", held=tuple(names))
    (record,) = Record.about(change(wanted, observed), (Step(Command("h", "set")), "sending", ORIGIN))
    assert record.before["held"] == {"count": 2000, "sha256": digest_of(names), "first": names[:10]}


def test_account_is_that_of_the_logon_which_changes_the_world() -> None:
    targets = Targets(
        credentials={n: Credential(username=f"{n}@X", password=SECRET) for n in ("domain", "host", "task")},
        domains={"source": Domain(dns="source.lab", netbios="SOURCE", credential="domain")},
        hosts={
            "own": Host(domain="source", address="a.source.lab", credential="host"),
            "plain": Host(domain="source", address="b.source.lab"),
        },
    )
    effects: dict[str, Sequence[Effect]] = {
        "domain@X": [AddEntry("source", "CN=a", ()), Command("plain", "get"), CopyFile("own", "a", "plain", "b")],
        "host@X": [Command("own", "get")],
        "task@X": [RunTask("own", "t", "admt.exe", (), "task")],
        "bird": [LogOn("source", "bird", Generated("bird"))],
        "": [Command("nowhere", "get"), RunTask("own", "t", "admt.exe", (), "nobody")],
    }
    for account, sent in effects.items():
        assert [account_of(targets, effect) for effect in sent] == [account] * len(sent)


def test_no_audit_keeps_nothing() -> None:
    wanted = Setting(name="a", value=1)
    NoAudit().append(Record.of_reading(wanted, change(wanted, wanted.absent()), ORIGIN))


# The chain.


@pytest.mark.parametrize("count", range(8))
def test_untouched_log_has_no_fault(count: int) -> None:
    assert verify(LINES[:count], HEADS[count], HEADS[: count + 1]) == []


def test_the_same_record_is_always_the_same_bytes() -> None:
    line, head = seal({"b": 1, "a": "ü", "at": "t"}, Head(4, "f" * 64, ""))
    assert head.count == 5
    assert line.startswith(b'{"a":"\\u00fc","at":"t","b":1,"hash":"' + head.hash.encode())
    assert digest_of({k: v for k, v in opened(line).items() if k != "hash"}) == head.hash


@given(st.data())
def test_any_flipped_byte_is_found(data: st.DataObject) -> None:
    content = bytearray(b"".join(LINES))
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    number = 1 + b"".join(LINES)[:place].count(b"\n")
    faults = verify(BytesIO(content), HEADS[-1])
    assert faults
    assert faults[0].number == number or (number + 1 == faults[0].number and content[place] == ord("\n"))


@given(st.integers(0, 6), st.integers(1, 6))
def test_dropped_records_are_named(first: int, count: int) -> None:
    kept = LINES[:first] + LINES[first + count :]
    last = min(first + count, len(LINES))
    numbers = f"record {first + 1}: missing" if last == first + 1 else f"records {first + 1} to {last}: missing"
    assert any(fault.startswith(numbers) for fault in faults_of(kept)), faults_of(kept)


@given(st.integers(0, 6), st.integers(0, 6))
def test_swapped_records_are_found(one: int, other: int) -> None:
    lines = list(LINES)
    lines[one], lines[other] = lines[other], lines[one]
    assert bool(verify(lines, HEADS[-1])) == (one != other)


@given(st.permutations(range(7)))
def test_any_other_order_is_found(order: list[int]) -> None:
    assert bool(verify([LINES[place] for place in order], HEADS[-1])) == (order != sorted(order))


@given(st.integers(0, 6), st.integers(0, 7))
def test_duplicated_record_is_found(which: int, place: int) -> None:
    lines = [*LINES[:place], LINES[which], *LINES[place:]]
    assert any(fault.number == which + 1 for fault in verify(lines, HEADS[-1]))


@given(st.integers(0, len(b"".join(LINES)) - 1))
def test_truncated_log_is_found(length: int) -> None:
    content = b"".join(LINES)[:length]
    first = 1 + content.count(b"\n")
    faults = verify(BytesIO(content), HEADS[-1])
    assert faults[0].number == first


@given(st.integers(0, 6), st.integers(0, 6))
def test_log_and_head_set_back_together_are_found_by_a_head_kept_elsewhere(count: int, known: int) -> None:
    faults = faults_of(LINES[:count], HEADS[count], HEADS[known])
    assert bool(faults) == (known > count)


def test_rewritten_tail_is_found_by_the_head_and_by_one_kept_elsewhere() -> None:
    other, head = seal({"at": "t", "key": "forged"}, HEADS[6])
    assert faults_of([*LINES[:6], other]) == ["record 7: is not the one that the signed head names"]
    assert faults_of([*LINES[:6], other], head, HEADS[7]) == [
        "record 7: is not the one that the head that was kept elsewhere names"
    ]


def test_record_that_nobody_signed_is_found() -> None:
    assert faults_of(LINES, HEADS[5]) == ["records 6 to 7: beyond the signed head: nobody signed it"]


def test_replaced_record_with_a_right_hash_of_its_own_breaks_the_chain() -> None:
    forged, _ = seal({"at": "t", "key": "forged"}, HEADS[2])
    found = verify([*LINES[:2], forged, *LINES[3:]], HEADS[-1])
    assert [(fault.number, "does not follow" in fault.what) for fault in found] == [(4, True)]


def test_every_fault_is_named() -> None:
    lines = [LINES[0], b"\xff\xfe\n", LINES[2], LINES[4], LINES[3], LINES[6]]
    assert faults_of(lines) == [
        "record 2: cannot be read",
        "record 4: is out of order: it stands after record 5",
        "record 6: missing",
    ]


def test_log_without_head_is_not_intact() -> None:
    assert [fault.number for fault in verify(LINES, None)] == [0]


@pytest.mark.parametrize(
    "line",
    [
        b"", b"\n", b"[]\n", b"null\n", b"{}\n", b"[" * 100_000 + b"\n", b'{"v":NaN}\n', b'{"v":1e999}\n',
        b'{"v":' + b"9" * 5000 + b"}\n", LINES[0].replace(b":", b": ", 1), LINES[0][:-1] + b"\r\n",
        LINES[0].replace(b'"number":1', b'"number":true'), LINES[0].replace(b'"number":1', b'"number":1.0'),
        LINES[0].replace(b'"v":1', b'"v":2'), LINES[0].decode("ascii").encode("utf-16"),
    ],
)  # fmt: skip
def test_what_is_not_a_record_is_a_fault_and_no_crash(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        opened(line)
    assert verify([line], Head(1, START, ""))[0].number == 1


def test_forged_number_far_away_costs_nothing() -> None:
    line, _ = seal({"at": "t"}, Head(10**15, START, ""))
    assert faults_of([line])[0] == f"records 1 to {10**15}: missing"


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(json_values)
def test_whatever_is_written_is_read_back_intact(value: Any) -> None:
    line, head = seal({"at": "t", "before": value}, HEADS[0])
    assert opened(line)["before"] == value
    assert verify([line], head) == []


def test_fault_about_the_head_says_so() -> None:
    assert str(Fault(0, "was altered")) == "head: was altered"

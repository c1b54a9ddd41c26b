"""Every error says what happened, where, and what to do; its class says whose fault it is."""

from __future__ import annotations

import pytest

from reconciler.core.errors import (
    AuthenticationFailed,
    DesiredStateError,
    JournalError,
    NeedsPerson,
    NotYet,
    Problem,
    ReconcileError,
    Refused,
    SecretUnavailable,
    Stale,
    UnexpectedAnswer,
    Unreachable,
    UnsafePlan,
    WorldError,
)
from reconciler.core.steps import Note


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ReconcileError("it broke"), "it broke"),
        (ReconcileError("it broke", where="f:1:2"), "it broke\n  at: f:1:2"),
        (ReconcileError("it broke", do="mend it"), "it broke\n  do: mend it"),
        (ReconcileError("it broke", where="f:1:2", do="mend it\nor not"), "it broke\n  at: f:1:2\n  do: mend it\n      or not"),
        (Unreachable("no answer", target="pdc"), "no answer\n  at: pdc"),
        (Unreachable("no answer", target="pdc", where="CN=x"), "no answer\n  at: CN=x"),
    ],
)  # fmt: skip
def test_error_reads_what_where_and_what_to_do(error: ReconcileError, text: str) -> None:
    assert str(error) == text


def test_problem_reads_like_an_error() -> None:
    assert str(Problem("a", "f:1:2", "b")) == str(ReconcileError("a", where="f:1:2", do="b"))


@pytest.mark.parametrize(("count", "words"), [(1, "1 error"), (2, "2 errors"), (0, "0 errors")])
def test_wrong_state_file_shows_every_problem_and_counts_them(count: int, words: str) -> None:
    error = DesiredStateError(tuple(Problem(f"p{n}", f"f:{n}:1") for n in range(count)))
    assert error.what == f"the state file has {words}"
    assert str(error).splitlines() == [line for n in range(count) for line in (f"p{n}", f"  at: f:{n}:1")]


@pytest.mark.parametrize("kind", [Unreachable, AuthenticationFailed, Refused, Stale, UnexpectedAnswer])
def test_what_the_world_did_names_its_target(kind: type[WorldError]) -> None:
    error = kind("no", target="pdc")
    assert isinstance(error, WorldError)
    assert (error.target, error.where) == ("pdc", "pdc")


@pytest.mark.parametrize("kind", [DesiredStateError, UnsafePlan, JournalError, SecretUnavailable, NeedsPerson, NotYet])
def test_what_the_world_did_not_do_is_not_blamed_on_it(kind: type[ReconcileError]) -> None:
    assert issubclass(kind, ReconcileError)
    assert not issubclass(kind, WorldError)


def test_failed_compare_and_set_is_a_refusal_and_an_unreadable_answer_is_not() -> None:
    assert issubclass(Stale, Refused)
    assert not issubclass(UnexpectedAnswer, Refused)


def test_lost_reply_is_told_from_a_write_that_never_left() -> None:
    assert Unreachable("no").sent is False
    assert Unreachable("no", sent=True).sent is True


def test_refusal_keeps_the_code_of_the_target() -> None:
    assert Refused("no", code="insufficientAccessRights").code == "insufficientAccessRights"


def test_gate_claims_nothing_by_default() -> None:
    gate = NeedsPerson("look")
    assert (gate.approval, gate.notes, gate.on_our_behalf) == ("", (), False)
    note = Note("k", {"a": 1})
    assert NeedsPerson("look", approval="x", notes=(note,), on_our_behalf=True).notes == (note,)

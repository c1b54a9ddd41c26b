"""Tests of the removal of SID history: only what we added, by value, on the account that it was added to, with an approval."""

from __future__ import annotations

import uuid
from typing import Any

from reconciler.core.query import Command, Row, Rows
from reconciler.core.values import Sid
from reconciler.resources.ad_sid_history_removal import GONE, SidHistoryRemoval
from tests.resources.directory import TARGET_DN, entry, fields, rid, settle

WANTED = SidHistoryRemoval.model_validate({"source": "source", "target": "target", "host": "dc"})
GUID = uuid.UUID("00112233-4455-6677-8899-aabbccddeeff")


def holder(name: str, number: int, *history: Sid, guid: uuid.UUID = GUID) -> Row:
    return entry(
        f"CN={name},OU=Migrated,{TARGET_DN}", objectSid=rid("target", number), objectGUID=guid.bytes_le, sAMAccountName=name, sIDHistory=history
    )  # fmt: skip


def fact(number: int, target: int, **more: Any) -> Row:
    value = {"password": "copied", "target_sid": str(rid("target", target)), **more}
    return {"key": f"account/source/{rid('source', number)}", "value": value}


def left(holders: Rows, facts: Rows) -> tuple[tuple[str, ...], tuple[str, ...]]:
    observed = WANTED.parse(holders, facts)
    return observed.left, observed.remarks(observed)


OURS = fact(1104, 2000, history=True)
ANN = holder("ann", 2000, rid("source", 1104))


def test_what_we_added_is_removed_by_value_with_an_approval() -> None:
    differs, (step,) = settle(WANTED, (ANN,), (OURS,))
    assert fields(differs) == {"left": ((f"ann: {rid('source', 1104)}",), ())}
    assert step.effect == Command(
        "dc", "Set-ADObject", (("Identity", str(GUID)), ("Remove", {"sIDHistory": str(rid("source", 1104))})), absent=GONE
    )  # fmt: skip
    assert str(step.effect) == f"Set-ADObject -Identity {GUID} -Remove @{{sIDHistory={rid('source', 1104)}}}"
    assert step.risk == "remove-sid-history"
    assert "cannot be undone" in str(step)
    assert step.apart


def test_it_is_gone_when_nobody_has_it() -> None:
    assert settle(WANTED, (), (OURS,)) == ((), ())
    assert not WANTED.restores


def test_what_was_there_before_or_came_from_somebody_else_stays() -> None:
    stays = "1 old SID stays: the journal does not say that a run of this migration added them"
    assert left((ANN,), (fact(1104, 2000),)) == ((), (stays,))  # our run found it there
    other = holder("eve", 2001, rid("source", 1177))
    both = left((ANN, other), (OURS,))
    assert both == ((f"ann: {rid('source', 1104)}",), (stays,))


def test_an_account_that_is_another_one_now_keeps_what_it_has() -> None:
    successor = holder("ann", 2005, rid("source", 1104))
    assert left((successor,), (OURS,))[0] == ()


def test_a_run_whose_end_nobody_saw_proves_no_account() -> None:
    began = {"key": f"account/source/{rid('source', 1104)}", "value": {"password": "attempted", "history": True}}
    assert left((ANN,), (began,))[0] == ()


def test_sids_of_other_domains_are_nothing_to_us() -> None:
    merged = holder("ann", 2000, Sid("S-1-5-21-9-9-9-1104"), rid("source", 1104))
    assert left((merged,), (OURS,)) == ((f"ann: {rid('source', 1104)}",), ())


def test_facts_about_files_are_no_accounts() -> None:
    file: Row = {"key": "account/source/file C:\\x.csv", "value": {"host": "admt", "path": "C:\\x.csv"}}
    assert left((ANN,), (file, OURS))[0] == (f"ann: {rid('source', 1104)}",)


def test_each_of_several_values_is_a_step_of_its_own() -> None:
    merged = holder("ann", 2000, rid("source", 1104), rid("source", 1105))
    _, steps = settle(WANTED, (merged,), (OURS, fact(1105, 2000, history=True)))
    assert [step.portion and (step.portion.before, step.portion.whole) for step in steps] == [(0, 2), (1, 2)]

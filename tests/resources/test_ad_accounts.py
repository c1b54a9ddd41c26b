"""Tests of the population of accounts: who lacks what, which runs of ADMT that means, and what their logs prove."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.core.errors import NeedsPerson
from reconciler.core.query import Row, Rows
from reconciler.core.resource import differences
from reconciler.core.steps import ModifyEntry, RunTask, Step
from reconciler.resources.ad_accounts import Accounts
from tests.resources.directory import SOURCE_DN, TARGET_DN, entry, fields, head, rid, settle

STAFF, MOVED = f"OU=Staff,{SOURCE_DN}", f"OU=Migrated,{TARGET_DN}"
USER = ("top", "person", "organizationalPerson", "user")
PDC = f"CN=SRCDC1,CN=Servers,CN=Default,CN=Sites,CN=Configuration,{SOURCE_DN}"
LOG = (
    "2026-01-01 10:00:00 CN=ann - Created",
    "2026-01-01 10:00:00 CN=bob - Created",
    "2026-01-01 10:00:09 Operation completed.",
)
WANTED = Accounts.model_validate(
    {
        "source": "source", "source_dns": "source.lab", "base": STAFF, "target": "target", "target_dns": "target.lab",
        "into": MOVED, "host": "admt", "credential": "operator", "export_server": "source-pdc",
    }
)  # fmt: skip


def source(name: str, number: int, **more: Any) -> Row:
    return entry(
        f"CN={name},{STAFF}",
        objectClass=USER,
        sAMAccountName=name,
        objectSid=rid("source", number),
        pwdLastSet=1,
        **more,
    )


def target(
    name: str,
    number: int,
    *,
    history: int = 0,
    where: str = MOVED,
    pwd_last_set: int = 1,
    classes: tuple[str, ...] = USER,
) -> Row:
    past = (rid("source", history),) if history else ()
    return entry(
        f"CN={name},{where}",
        objectClass=classes,
        sAMAccountName=name,
        objectSid=rid("target", number),
        sIDHistory=past,
        pwdLastSet=pwd_last_set,
    )


def fact(number: int, password: str, **more: Any) -> Row:
    return {"key": f"account/source/{rid('source', number)}", "value": {"password": password, **more}}


def answers(sources: Rows, targets: Rows, facts: Rows = (), *, into: bool = True) -> tuple[Rows, ...]:
    servers = (entry(PDC, dNSHostName="srcdc1.source.lab"),)
    return (
        sources,
        targets,
        (entry(MOVED),) if into else (),
        head("source", fSMORoleOwner=f"CN=NTDS Settings,{PDC}"),
        servers,
        facts,
        tuple(one for one in facts if str(one["key"]).startswith("account/source/file ")),
    )


def lacks(*given: Rows) -> dict[str, object]:
    return {name: observed for name, (observed, _) in fields(settle(WANTED, *answers(*given))[0]).items()}


def runs(steps: tuple[Step, ...]) -> list[Step]:
    return [step for step in steps if isinstance(step.effect, RunTask)]


ANN, BOB = source("ann", 1104), source("bob", 1105)


def test_everybody_is_missing_at_first() -> None:
    differs, steps = settle(WANTED, *answers((ANN, BOB), ()))
    assert fields(differs) == {"missing": (("ann", "bob"), ())}
    (run,) = runs(steps)
    assert "/PS:srcdc1.source.lab" in str(run.effect)
    assert "/CO:IGNORE" in str(run.effect)
    assert [note.value["password"] for note in run.notes] == ["attempted", "attempted"]


def test_finished_accounts_are_left_alone() -> None:
    done = answers(
        (ANN,), (target("ann", 2000, history=1104),), (fact(1104, "copied", target_sid=str(rid("target", 2000))),)
    )
    assert settle(WANTED, *done) == ((), ())


@pytest.mark.parametrize(
    ("found", "facts", "expected"),
    [
        (target("ann", 2000, history=1104), (fact(1104, "random"),), {"without_password": ("ann",)}),
        (target("ann", 2000, history=1104), (fact(1104, "attempted"),), {"without_password": ("ann",)}),
        (target("ann", 2000), (fact(1104, "copied"),), {"without_history": ("ann",)}),
        (target("ann", 2000), (fact(1104, "attempted"),), {"without_history": ("ann",), "without_password": ("ann",)}),
        (
            target("ann", 2000, history=1104, pwd_last_set=0),
            (fact(1104, "copied"),),
            {"must_change_password": ("ann",)},
        ),
        # once proven, a demand to change the password is the owner's own
        (
            target("ann", 2000, history=1104, pwd_last_set=0),
            (fact(1104, "copied", target_sid=str(rid("target", 2000))),),
            {},
        ),
        # an account that was made anew under the same name is another one
        (
            target("ann", 2001, history=1104),
            (fact(1104, "copied", target_sid=str(rid("target", 2000))),),
            {"without_password": ("ann",)},
        ),
        # renamed and moved: the history decides
        (target("x", 2000, history=1104, where=f"OU=Elsewhere,{TARGET_DN}"), (fact(1104, "copied"),), {}),
    ],
)
def test_what_an_account_lacks(found: Row, facts: Rows, expected: dict[str, object]) -> None:
    assert lacks((ANN,), (found,), facts) == expected


def test_a_random_password_is_copied_again_without_touching_the_rest() -> None:
    _, steps = settle(WANTED, *answers((ANN,), (target("ann", 2000, history=1104),), (fact(1104, "random"),)))
    (run,) = runs(steps)
    assert run.risk == ""
    assert all(option in str(run.effect) for option in ("/PO:COPY", "/CO:MERGE", "/UX:*"))


def test_a_password_that_somebody_else_may_have_set_needs_an_approval() -> None:
    foreign = answers((ANN,), (target("ann", 2000, history=1104),))
    _, steps = settle(WANTED, *foreign)
    assert [step.risk for step in runs(steps)] == ["complete-existing-accounts"]
    _, first = settle(WANTED, *answers((ANN, BOB), (target("ann", 2000, history=1104),)))
    assert {step.risk for step in first} == {""}  # bob goes first


def test_history_is_added_without_touching_the_password() -> None:
    _, steps = settle(WANTED, *answers((ANN,), (target("ann", 2000),), (fact(1104, "copied"),)))
    (run,) = runs(steps)
    assert "/PO:COMPLEX+NOTEXISTING" in str(run.effect)
    assert "/PS:" not in str(run.effect)
    (note,) = run.notes  # what is known of the password stays, and whose SID it is that comes is known from now on
    assert note.value == {"password": "copied", "history": True}


@pytest.mark.parametrize(
    ("found", "facts", "added"),
    [
        ((), (), True),
        ((target("ann", 2000, history=1104),), (fact(1104, "random"),), False),  # somebody else had added it
        ((target("ann", 2000, history=1104),), (fact(1104, "random", history=True),), True),
    ],
)
def test_a_run_notes_whose_sid_it_brings(found: Rows, facts: Rows, added: bool) -> None:
    _, steps = settle(WANTED, *answers((ANN,), found, facts))
    (run,) = runs(steps)
    assert [note.value.get("history", False) for note in run.notes] == [added]
    learned = WANTED.learns(run, tuple({"line": line} for line in LOG))
    assert learned[f"account/source/{rid('source', 1104)}"].get("history", False) == added


def test_a_copied_password_may_be_kept() -> None:
    _, (step,) = settle(
        WANTED, *answers((ANN,), (target("ann", 2000, history=1104, pwd_last_set=0),), (fact(1104, "copied"),))
    )
    assert isinstance(step.effect, ModifyEntry)
    assert str(step.effect) == f"modify CN=ann,{MOVED}: replace pwdLastSet: -1"


@pytest.mark.parametrize(
    "taken",
    [
        target("ann", 2000, where=f"OU=Elsewhere,{TARGET_DN}"),
        target("ann", 2000, classes=("top", "group")),
        target("ann", 2000, classes=(*USER, "computer")),
        target("ann", 2000, history=1199),
    ],
)
def test_a_taken_name_holds_up_only_its_own_account(taken: Row) -> None:
    differs, steps = settle(WANTED, *answers((ANN, BOB), (taken,)))
    assert fields(differs)["missing"] == (("ann", "bob"), ())
    assert "migrate 1 account with SID history and password: bob" in [str(step) for step in steps]
    with pytest.raises(NeedsPerson, match=r"1 accounts of OU=Staff.* cannot be migrated") as caught:
        settle(WANTED, *answers((ANN,), (taken,)))
    assert "ann: CN=ann" in caught.value.do


def test_names_are_compared_as_admt_writes_them() -> None:
    odd = entry(
        f"CN=odd,{STAFF}", objectClass=USER, sAMAccountName="o+dd.", objectSid=rid("source", 1106), pwdLastSet=1
    )
    assert lacks((odd,), (target("o_dd_", 2000),), (fact(1106, "copied"),)) == {"without_history": ("o+dd.",)}
    twin = entry(
        f"CN=twin,{STAFF}", objectClass=USER, sAMAccountName="o_dd_", objectSid=rid("source", 1107), pwdLastSet=1
    )
    with pytest.raises(NeedsPerson) as caught:
        settle(WANTED, *answers((odd, twin), (target("o_dd_", 2000, history=1107),), (fact(1107, "copied"),)))
    assert "called o_dd_ as well" in caught.value.do


def test_built_in_accounts_are_never_taken() -> None:
    observed = WANTED.parse(
        *answers((source("Administrator", 500), source("svc", 1110, isCriticalSystemObject="TRUE")), ())
    )
    assert differences(WANTED, observed) == ()
    left_out = {one.name: one.why for one in WANTED.verdicts(observed) if one.standing == "excluded"}
    assert left_out == {"Administrator": "built-in account", "svc": "built-in account"}


def test_a_missing_container_is_a_gate() -> None:
    with pytest.raises(NeedsPerson, match="does not exist"):
        settle(WANTED, *answers((ANN,), (), into=False))


def test_accounts_go_in_batches() -> None:
    many = tuple(source(f"user{number}", number) for number in range(2000, 2005))
    _, steps = settle(WANTED.model_copy(update={"batch": 2}), *answers(many, ()))
    assert [len(run.notes) for run in runs(steps)] == [2, 2, 1]
    names = {run.effect.name for run in runs(steps) if isinstance(run.effect, RunTask)}
    assert len(names) == 1, "one run at a time: after a crash the next waits for the one that still runs"


def _rows(*lines: str) -> Rows:
    return ({"exit_code": 0}, *({"line": line} for line in lines))


def test_a_log_proves_what_was_copied() -> None:
    (run,) = runs(settle(WANTED, *answers((ANN, BOB), ()))[1])
    facts = WANTED.learns(
        run, _rows(*LOG, "2026-01-01 10:00:05 WRN1:7557 Failed to copy the password for bob. Access is denied.")
    )
    assert facts[f"account/source/{rid('source', 1104)}"] == {
        "password": "copied",
        "sam": "ann",
        "at": "2026-01-01 10:00:05",
        "source_set": 1,
        "history": True,
        "creates": True,
    }
    assert facts[f"account/source/{rid('source', 1105)}"]["password"] == "random"
    assert "7557" in facts[f"error/{WANTED.key}"]["text"]


def test_a_clean_log_clears_the_last_error() -> None:
    (run,) = runs(settle(WANTED, *answers((ANN, BOB), ()))[1])
    assert WANTED.learns(run, _rows(*LOG))[f"error/{WANTED.key}"] == {"text": ""}


def test_no_log_proves_nothing() -> None:
    (run,) = runs(settle(WANTED, *answers((ANN,), ()))[1])
    facts = WANTED.learns(run, ({"exit_code": 1},))
    assert facts[f"account/source/{rid('source', 1104)}"]["password"] == "attempted"
    assert "no log" in facts[f"error/{WANTED.key}"]["text"]


def test_a_missing_key_is_left_for_the_import() -> None:
    (run,) = runs(settle(WANTED, *answers((ANN,), ()))[1])
    text = "Unable to establish a session. They do not have the same encryption key for the source domain SOURCE."
    facts = WANTED.learns(run, _rows(f"2026-01-01 10:00:00 ERR2:7557 {text}"))
    assert facts["pes.mismatch/admt/source"] == {"message": text, "at": "2026-01-01 10:00:00"}


def test_what_was_proven_is_bound_to_the_account() -> None:
    observed = WANTED.parse(*answers((ANN,), (target("ann", 2000, history=1104),), (fact(1104, "copied"),)))
    (value,) = WANTED.remembers(observed).values()
    assert value == {"password": "copied", "target_sid": str(rid("target", 2000)), "target_dn": f"CN=ann,{MOVED}"}


def test_without_passwords_nothing_is_copied() -> None:
    plain = WANTED.model_copy(update={"passwords": False})
    (run,) = runs(settle(plain, *answers((ANN,), ()))[1])
    assert "/PO:COMPLEX" in str(run.effect)
    assert [note.value["password"] for note in run.notes] == ["generated"]


@pytest.mark.parametrize("change", [{"filter": "objectClass=user"}, {"filter": "(a=b"}, {"into": TARGET_DN}])
def test_what_cannot_be_meant_is_refused(change: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"parentheses|container"):
        Accounts.model_validate({**WANTED.model_dump(exclude_unset=True), **change})

"""Tests of the throw-away account: what there is no proof of, what one try sends, what its answers mean, and how it is cleared up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import ValidationError

from reconciler.core.errors import NeedsPerson, Refused
from reconciler.core.query import Command, Row, Rows
from reconciler.core.resource import differences
from reconciler.core.secret import Generated
from reconciler.core.steps import AddEntry, DeleteEntry, LogOn, RunTask, Step
from reconciler.resources.ad_canary import Canary
from reconciler.resources.canary_name import is_canary, name_of
from reconciler.resources.canary_record import left_in
from tests.resources.directory import SOURCE_DN, TARGET_DN, entry, fields, head, rid, settle

STAFF, MOVED = f"OU=Staff,{SOURCE_DN}", f"OU=Migrated,{TARGET_DN}"
PDC = f"CN=SRCDC1,CN=Servers,CN=Default,CN=Sites,CN=Configuration,{SOURCE_DN}"
USER = ("top", "person", "organizationalPerson", "user")
FACT = "account/source/canary/all"
GIVEN: dict[str, Any] = {
    "source": "source", "source_dns": "source.lab", "base": STAFF, "target": "target", "target_dns": "target.lab",
    "into": MOVED, "host": "admt", "credential": "operator", "export_server": "source-pdc", "booted": ("admt", "source-pdc"),
}  # fmt: skip
WANTED = Canary.model_validate(GIVEN)
FIRST = name_of("source.lab", "target.lab", 1)
BOOTS = ("2026-01-01T10:00:00+00:00", "2026-01-01T11:00:00+00:00")
LOG = (f"2026-01-01 10:00:00 CN={FIRST} - Created", "2026-01-01 10:00:09 Operation completed.")
NOT_COPIED = f"WRN1:7557 Failed to copy the password for {FIRST}. Unable to copy password. Access is denied."


def answers(
    old: Rows = (), new: Rows = (), facts: Mapping[str, Any] | None = None, *, keys: Rows = (), boots: tuple[str, str] = BOOTS,
    into: bool = True, more: Rows = (),
) -> tuple[Rows, ...]:  # fmt: skip
    known: Rows = ({"key": FACT, "value": facts},) if facts else ()
    return (
        old,
        new,
        known,
        more,
        (entry(STAFF),),
        (entry(MOVED),) if into else (),
        head("source", fSMORoleOwner=f"CN=NTDS Settings,{PDC}"),
        (entry(PDC, dNSHostName="srcdc1.source.lab"),),
        keys,
        *(({"LastBootUpTime": time},) for time in boots),
    )


def old(name: str = FIRST, number: int = 1104) -> Row:
    return entry(f"CN={name},{STAFF}", objectClass=USER, sAMAccountName=name, objectSid=rid("source", number))


def new(name: str = FIRST, number: int = 2104, history: int = 1104) -> Row:
    past = (rid("source", history),) if history else ()
    return entry(f"CN={name},{MOVED}", objectClass=USER, sAMAccountName=name, objectSid=rid("target", number), sIDHistory=past)  # fmt: skip


def trying(wanted: Canary = WANTED) -> tuple[Step, ...]:
    return settle(wanted, *answers())[1]


def proven(wanted: Canary = WANTED, **changed: Any) -> dict[str, Any]:
    """Return the fact as one try that came through leaves it."""
    run = trying(wanted)
    through = wanted.learns(run[-1], ({"way": "kerberos", "code": "", "message": ""},))[FACT]
    (note,) = settle(wanted, *answers((old(),), (new(),), through))[1][0].notes
    return {**note.value, **changed}


def of(steps: tuple[Step, ...], sort: type[Any]) -> list[Step]:
    return [step for step in steps if isinstance(step.effect, sort)]


def test_at_first_nothing_is_proven_and_one_try_shows_every_step() -> None:
    differs, steps = settle(WANTED, *answers())
    assert fields(differs) == {"unproven": (("never tried",), ())}
    kinds = [type(step.effect).__name__ for step in steps]
    assert kinds == ["AddEntry", "Command", "RunTask", "Command", "Command", "ModifyEntry", "LogOn"]
    assert all(step.notes[0].value["standing"] == "begun" for step in steps)
    (run,) = of(steps, RunTask)
    assert all(option in str(run.effect) for option in ("/PO:COPY", "/PS:srcdc1.source.lab", "/MSS:YES", "/CO:IGNORE"))


def test_its_password_is_a_reference_wherever_it_stands() -> None:
    steps = trying()
    made, logon = of(steps, AddEntry)[0].effect, of(steps, LogOn)[0].effect
    assert isinstance(made, AddEntry)
    assert isinstance(logon, LogOn)
    assert dict(made.attributes)["unicodePwd"] == (Generated(FIRST),)
    assert logon.password == Generated(FIRST)
    assert str(logon) == f"log on to target as {FIRST} with <secret generated:{FIRST}>"


def test_a_proof_counts_until_what_it_rests_on_is_another() -> None:
    assert settle(WANTED, *answers(facts=proven())) == ((), ())
    later = "2026-01-02T10:00:00+00:00"
    key: Rows = ({"key": "pes.key/admt/source", "value": {"sha256": "1"}},)
    for wanted, given, why in (
        (WANTED, answers(facts=proven(), boots=(later, BOOTS[1])), "admt was started again since"),
        (WANTED, answers(facts=proven(), keys=key), "the encryption key is another since"),
        (WANTED.model_copy(update={"host": "other"}), answers(facts=proven()), "the ADMT host is another since"),
        (WANTED.model_copy(update={"asked": "run7"}), answers(facts=proven()), "somebody asked for it"),
    ):
        assert fields(settle(wanted, *given)[0]) == {"unproven": ((why,), ())}
    other: Rows = ({"key": "pes.key/admt/elsewhere", "value": {"sha256": "1"}},)
    assert settle(WANTED, *answers(facts=proven(), keys=other)) == ((), ())


def test_a_boot_time_that_the_clock_moved_a_little_is_the_same_boot() -> None:
    assert settle(WANTED, *answers(facts=proven(), boots=("2026-01-01T10:00:00.900000+00:00", BOOTS[1]))) == ((), ())


def test_every_try_has_a_name_of_its_own() -> None:
    again = settle(WANTED, *answers(facts=proven(standing="failed")))[1]
    assert name_of("source.lab", "target.lab", 2) in str(again[0])
    names = {name_of("source.lab", "target.lab", number) for number in range(200)}
    assert len(names) == 200
    assert all(is_canary(name) and len(name) <= 20 for name in names)


@pytest.mark.parametrize(
    "name", ["rc-canary-", "rc-canary-12345", "rc-canary-1234567", "rc-canary-birds0", "xrc-canary-123456"]
)
def test_what_only_looks_alike_is_somebodys_own(name: str) -> None:
    assert not is_canary(name)
    assert fields(settle(WANTED, *answers((old(name),), (new(name),)))[0]) == {"unproven": (("never tried",), ())}


def test_what_is_left_goes_first_target_before_source() -> None:
    file: Row = {"key": "account/source/file C:\\x.csv", "value": {"left_by": WANTED.key, "host": "admt", "path": "C:\\x.csv"}}  # fmt: skip
    differs, steps = settle(WANTED, *answers((old(),), (new(),), proven(standing="begun"), more=(file,)))
    assert fields(differs)["left_behind"] == ((f"CN={FIRST},{MOVED}", f"CN={FIRST},{STAFF}", "C:\\x.csv"), ())
    assert [type(step.effect).__name__ for step in steps] == ["Command", "DeleteEntry", "DeleteEntry"]
    assert [step.effect.domain for step in steps if isinstance(step.effect, DeleteEntry)] == ["target", "source"]
    assert steps[0].notes == (), "nothing is known of a try that broke off"


@pytest.mark.parametrize(
    ("found", "standing", "why"),
    [
        (((old(),), (new(),)), "proven", ""),
        (((old(),), (new(history=0),)), "failed", "lacks the SID history"),
        (((old(),), (new(history=1105),)), "failed", "lacks the SID history"),
        (((old(),), ()), "failed", "the target has no"),
        (((), (new(),)), "failed", "from the source meanwhile"),
    ],
)
def test_before_it_is_removed_both_sides_are_looked_at(found: tuple[Rows, Rows], standing: str, why: str) -> None:
    (note,) = settle(WANTED, *answers(*found, proven(standing="through")))[1][0].notes
    assert note.value["standing"] == standing
    assert why in note.value["why"]


@pytest.mark.parametrize(
    ("lines", "why", "do"),
    [
        (LOG, "", ""),
        ((), "ADMT wrote no log", "look at ADMT's log"),
        (LOG[1:], "does not speak of", "look at ADMT's log"),
        ((LOG[0], NOT_COPIED), "7557", "RestrictAnonymous and the Pre-Windows 2000 group"),
        (("ERR2:9802 Unable to establish a session with the password export server. Access is denied.",), "session", "AllowPasswordExport"),
        (("ERR2:9800 It is off (Error code = 8552).",), "8552", "auditing of account management is off in the source"),
        ((LOG[0], f"ERR2:9812 {FIRST}: Access is denied."), "did not finish", "the operator lacks rights"),
    ],
)  # fmt: skip
def test_what_admt_says_decides_whether_anybody_need_log_on(lines: tuple[str, ...], why: str, do: str) -> None:
    (run,) = of(trying(), RunTask)
    rows: Rows = ({"exit_code": 0}, *({"line": line} for line in lines))
    learned = WANTED.learns(run, rows)
    assert WANTED.in_vain(run, rows) == bool(why)
    assert (learned[FACT]["standing"] == "failed") if why else FACT not in learned
    assert not why or (why in learned[FACT]["why"] and do in learned[FACT]["do"])


def test_a_key_that_differs_is_known_to_the_import_of_keys() -> None:
    (run,) = of(trying(), RunTask)
    line = "ERR2:9802 The source and the target server \\\\X do not have the same encryption key for the source domain SOURCE."
    learned = WANTED.learns(run, ({"exit_code": 1}, {"line": line}))
    assert set(learned) == {FACT, "pes.mismatch/admt/source"}


@pytest.mark.parametrize(
    ("code", "do"),
    [
        ("KDC_ERR_C_PRINCIPAL_UNKNOWN", "does not know the account"),
        ("KDC_ERR_PREAUTH_FAILED", "is not that of the source"),
        ("KDC_ERR_KEY_EXPIRED", "changed first"),
        ("KDC_ERR_CLIENT_REVOKED", "disabled, locked or expired"),
        ("KDC_ERR_POLICY", "policy of the target"),
        ("KDC_ERR_ETYPE_NOSUPP", "RC4"),
        ("KRB_AP_ERR_SKEW", "clocks"),
        ("unreachable", "port 88"),
        ("52e", "is not that of the source"),
        ("773", "changed first"),
        ("Kerberos error 7", ""),
    ],
)
def test_a_logon_that_fails_is_told_by_its_error(code: str, do: str) -> None:
    logon = trying()[-1]
    fact = WANTED.learns(logon, ({"way": "kerberos", "code": code, "message": "no"},))[FACT]
    assert (fact["standing"], do in fact["do"], bool(fact["do"])) == ("failed", True, bool(do))
    assert f"cannot log on to target by Kerberos: {code} no" in fact["why"]


def test_a_step_that_fails_is_kept_and_what_cannot_be_removed_is_not_taken_for_it() -> None:
    made = trying()[0]
    error = Refused("no", do="ask", code="insufficientAccessRights")
    fact = WANTED.fails(made, error)[FACT]
    assert (fact["standing"], fact["do"]) == ("failed", "ask")
    (removal, _) = settle(WANTED, *answers((old(),), (new(),), proven(standing="through")))[1]
    assert WANTED.fails(removal, error) == {}


def test_a_try_that_failed_ends_the_work_once_it_is_cleared_up() -> None:
    fact = proven(standing="failed", why="because", do="mend it")
    left, clean = (WANTED.parse(*answers(found, (), fact)) for found in ((old(),), ()))
    assert WANTED.ended(left) is None
    ended = WANTED.ended(clean)
    assert ended is not None
    assert (ended.what, ended.do) == ("the canary did not come through: because", "mend it")


def test_a_failure_is_told_once_and_what_is_left_of_an_earlier_run_is_followed_by_another_try() -> None:
    first = settle(WANTED, *answers((old(),), (), proven(standing="failed", told=False)))[1][0].notes[0].value
    assert (first["standing"], first["told"]) == ("failed", True)
    later = settle(WANTED, *answers((old(),), (), first))[1][0].notes[0].value
    assert later["standing"] == "begun"
    assert WANTED.ended(WANTED.parse(*answers(facts=later))) is None


def test_the_run_of_admt_is_told_from_one_that_a_dead_program_left() -> None:
    (run,) = of(trying(), RunTask)
    assert isinstance(run.effect, RunTask)
    assert run.effect.about == FIRST


def test_without_passwords_nobody_logs_on() -> None:
    wanted = Canary.model_validate({**GIVEN, "passwords": False, "export_server": None})
    steps = trying(wanted)
    assert not of(steps, LogOn)
    assert [step.notes[0].value["standing"] for step in steps] == ["begun", "begun", "begun", "through"]


def test_containers_have_to_exist() -> None:
    with pytest.raises(NeedsPerson, match="OU=Migrated"):
        settle(WANTED, *answers(into=False))


def test_outside_of_the_phase_it_only_clears_up() -> None:
    tidy = Canary(source="source", target="target", proves=False)
    assert len(tidy.queries()) == 4
    assert settle(tidy, (), (), (), ()) == ((), ())
    differs, steps = settle(tidy, (old(),), (new(),), ({"key": FACT, "value": proven(standing="through")},), ())
    assert set(fields(differs)) == {"left_behind"}
    assert [type(step.effect).__name__ for step in steps] == ["DeleteEntry", "DeleteEntry"]
    file: Row = {"key": "account/source/file C:\\x.csv", "value": {"left_by": WANTED.key, "host": "admt", "path": "C:\\x.csv"}}  # fmt: skip
    (removal,) = settle(tidy, (), (), (), (file,))[1]
    assert isinstance(removal.effect, Command)
    assert removal.effect.host == "admt"
    with pytest.raises(ValidationError, match="to prove something it needs"):
        Canary(source="source", target="target")


def test_what_may_be_left_is_known_until_it_was_seen_to_be_gone() -> None:
    fact = proven()
    assert list(left_in({FACT: fact, "account/source/S-1-5-21-1": {"password": "copied"}})) == [
        ("source", "all", "target")
    ]
    seen = WANTED.remembers(WANTED.parse(*answers(facts=fact)))
    assert list(left_in(seen)) == []
    assert differences(WANTED, WANTED.parse(*answers(facts=dict(seen[FACT])))) == ()


def test_a_bind_in_place_of_kerberos_is_said() -> None:
    assert WANTED.remarks(WANTED.parse(*answers(facts=proven()))) == ()
    (remark,) = WANTED.remarks(WANTED.parse(*answers(facts=proven(way="ldap"))))
    assert "reconcile[kerberos]" in remark

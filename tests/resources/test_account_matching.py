"""Tests of populations: who is meant, who is who, what they are called, and how each one stands in the end."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.errors import NeedsPerson
from reconciler.core.query import Row, Rows
from reconciler.core.steps import ModifyEntry, RunTask
from reconciler.core.values import Dn, escape_rdn
from reconciler.core.verdicts import Verdict
from reconciler.resources.account_names import Naming, listed_by_name, sanitised
from reconciler.resources.account_records import Account, below
from reconciler.resources.ad_accounts import Accounts
from reconciler.resources.population import Listed, Placement
from tests.resources.directory import SOURCE_DN, TARGET_DN, entry, rid, settle
from tests.resources.test_ad_accounts import MOVED, STAFF, USER, WANTED, answers, fact, source, target

ELSEWHERE = f"OU=Elsewhere,{TARGET_DN}"


def wanted(**more: Any) -> Accounts:
    return Accounts.model_validate({**WANTED.model_dump(exclude_unset=True), "kind": "ad.accounts", **more})


def asked(what: Accounts, sources: Rows, targets: Rows, facts: Rows = (), *, before: tuple[Rows, ...] = ()) -> tuple[Rows, ...]:  # fmt: skip
    """Return the answers to the queries of a population; ``before`` are those about earlier ones and gates."""
    own, *rest = answers(sources, targets, facts)
    containers = len(what._naming().containers)
    return (own, *before, rest[0], *[(entry(MOVED),)] * containers, *rest[2:])


def verdicts(what: Accounts, *given: Any, **more: Any) -> dict[str, Verdict]:
    return {one.name: one for one in what.verdicts(what.parse(*asked(what, *given, **more)))}


def done(number: int, at: int = 2000, **more: Any) -> Row:
    return fact(number, "copied", target_sid=str(rid("target", at)), **more)


def test_each_account_ends_with_one_verdict() -> None:
    people = (source("ann", 1104), source("bob", 1105), source("cid", 1106), source("dan", 1107), source("root", 500))
    there = (target("ann", 2000, history=1104), target("bob", 2001, history=1105), target("dan", 2003, where=ELSEWHERE))
    found = verdicts(WANTED, people, there, (done(1104), fact(1105, "random", failed="ADMT says: no")))
    assert {name: (one.standing, one.why) for name, one in found.items()} == {
        "ann": ("password copied", ""),
        "bob": ("password random", "ADMT says: no"),
        "cid": ("waiting", "no account in the target"),
        "dan": ("failed", f"CN=dan,{ELSEWHERE} has its name"),
        "root": ("excluded", "built-in account"),
    }


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"userAccountControl": 0x800 | 0x200}, "account of a trust"),
        ({"userAccountControl": 0x2000}, "domain controller"),
        ({"isCriticalSystemObject": "TRUE"}, "built-in account"),
    ],
)
def test_what_is_no_account_to_migrate_is_left_out_by_name(more: dict[str, Any], why: str) -> None:
    (one,) = verdicts(WANTED, (source("x", 1104, **more),), ()).values()
    assert (one.standing, one.why) == ("excluded", why)


def test_an_earlier_population_has_the_account() -> None:
    what = wanted(earlier=(WANTED.selection.model_copy(update={"listed": wanted(listed=[{"name": "ANN"}]).listed}),))
    people = (source("ann", 1104), source("bob", 1105))
    assert set(verdicts(what, people, (), before=(people,))) == {"bob"}


def test_a_list_is_exact_and_says_what_it_did_not_find() -> None:
    what = wanted(listed=[{"name": "Ann", "sam": "anna", "upn": "a@t", "rdn": "CN=Anna"}, {"name": "gone"}])
    found = verdicts(what, (source("ann", 1104), source("bob", 1105)), ())
    assert {name: one.standing for name, one in found.items()} == {"ann": "waiting", "gone": "failed"}
    _, steps = settle(what, *asked(what, (source("ann", 1104),), ()))
    assert "SourceName,TargetRDN,TargetSAM,TargetUPN,ann,CN=Anna,anna,a@t" in str(steps[0].effect)


@pytest.mark.parametrize("rdn", ["CN=Monster\\, Cookie", "CN=Monster, Cookie"])
def test_a_name_of_a_list_is_taken_as_it_is_said(rdn: str) -> None:
    """Whether it can be one is for ADMT to say; never is a part of it taken for the whole."""
    naming = Naming(Dn(MOVED), listed=listed_by_name([Listed(name="ann", rdn=rdn)]))
    assert naming.of(Account(f"CN=ann,{STAFF}".encode(), b"1234", "ann")).rdn == rdn


def test_exceptions_by_name_and_place_are_left_out() -> None:
    what = wanted(excluded={"names": ["ANN"], "below": [f"OU=Temp,{STAFF}"]})
    inside = entry(f"CN=tim,OU=Temp,{STAFF}", objectClass=USER, sAMAccountName="tim", objectSid=rid("source", 1106))
    assert set(verdicts(what, (source("ann", 1104), source("bob", 1105), inside), ())) == {"bob"}


def test_what_a_directory_can_leave_out_is_asked_of_it() -> None:
    what = wanted(members_of=["CN=In (x),DC=a"], excluded={"filter": "(title=x)", "members_of": ["CN=Out,DC=a"]})
    where = what.queries()[0].where  # type: ignore[union-attr]
    chain = "memberOf:1.2.840.113556.1.4.1941:"
    assert f"(|({chain}=CN=In \\28x\\29,DC=a))" in where
    assert f"(!({chain}=CN=Out,DC=a))(!(title=x))" in where


def test_history_and_key_that_disagree_name_both() -> None:
    there = (target("ann", 2000, history=1104, where=ELSEWHERE), target("bob", 2001))
    renamed = entry(f"CN=bob,{STAFF}", objectClass=USER, sAMAccountName="bob", objectSid=rid("source", 1104))
    (one,) = verdicts(WANTED, (renamed,), there).values()
    assert one.standing == "failed"
    assert f"CN=ann,{ELSEWHERE}" in one.why
    assert f"CN=bob,{MOVED}" in one.why


def test_a_declared_key_counts_everywhere_and_must_be_certain() -> None:
    what = wanted(match_by="employeeID")
    ann = source("ann", 1104, employeeID="7")
    one = {**target("x", 2000, where=ELSEWHERE), "employeeid": (b"7",)}
    two = {**target("y", 2001, where=ELSEWHERE), "employeeid": (b"7",)}
    assert verdicts(what, (ann,), (one,))["ann"].target == f"CN=x,{ELSEWHERE}"
    assert "2 accounts have its employeeID" in verdicts(what, (ann,), (one, two))["ann"].why
    both = verdicts(what, (ann, source("amy", 1105, employeeID="7")), (one,))
    assert {name: found.standing for name, found in both.items()} == {"ann": "failed", "amy": "failed"}


@pytest.mark.parametrize(
    ("policy", "standing", "new_name"),
    [("fail", "failed", ""), ("skip", "excluded", ""), ("merge", "waiting", ""), ("prefix", "waiting", "old-ann")],
)
def test_a_name_that_somebody_else_has(policy: str, standing: str, new_name: str) -> None:
    what = wanted(on_name_conflict=policy, rename={"prefix": "old-"})
    given = ((source("ann", 1104),), (target("ann", 2000, where=ELSEWHERE),))
    assert verdicts(what, *given)["ann"].standing == standing
    if policy == "skip":
        assert settle(what, *asked(what, *given)) == ((), ())
    if new_name:
        _, steps = settle(what, *asked(what, *given))
        assert f"ann,CN=ann,{new_name}," in str(steps[0].effect)


def test_a_prefixed_account_is_found_again() -> None:
    what = wanted(on_name_conflict="prefix", rename={"prefix": "old-"}, sid_history=False)
    there = (target("ann", 2000, where=ELSEWHERE), target("old-ann", 2001))
    assert verdicts(what, (source("ann", 1104),), there, (done(1104, 2001),))["ann"].standing == "password copied"


def test_names_that_are_too_long_are_refused() -> None:
    assert "21 characters" in verdicts(WANTED, (source("a" * 21, 1104),), ())["a" * 21].why


def test_two_that_would_have_one_dn_are_told_apart() -> None:
    other = entry(f"CN=ann,OU=B,{STAFF}", objectClass=USER, sAMAccountName="ann2", objectSid=rid("source", 1105))
    _, steps = settle(WANTED, *asked(WANTED, (source("ann", 1104), other), ()))
    assert "ann,CN=ann,ann,,'ann2,CN=ann (ann2),ann2,'" in str(steps[0].effect)


def test_places_by_rule_the_longest_counts() -> None:
    rules = (Placement(below=Dn("OU=a,DC=s"), into=Dn("OU=1,DC=t")), Placement(below=Dn("OU=b,OU=a,DC=s"), into=Dn("OU=2,DC=t")))  # fmt: skip
    naming = Naming(Dn("OU=0,DC=t"), rules)
    places = [
        naming.of(Account(f"CN=x,{dn}".encode(), b"1234", "x")).into
        for dn in ("DC=s", "OU=a,DC=s", "OU=c,OU=b,OU=a,DC=s")
    ]
    assert places == ["OU=0,DC=t", "OU=1,DC=t", "OU=2,DC=t"]


@pytest.mark.parametrize(
    ("recorded", "source_set", "target_set", "stale"),
    [(5, 5, 9, False), (5, 10, 9, True), (5, 10, 11, False), (0, 10, 9, False)],
)
def test_a_password_is_stale_only_where_the_source_has_the_last_word(
    recorded: int, source_set: int, target_set: int, stale: bool
) -> None:
    ann = {**source("ann", 1104), "pwdlastset": (str(source_set).encode(),)}
    there = target("ann", 2000, history=1104, pwd_last_set=target_set)
    differs, steps = settle(WANTED, *asked(WANTED, (ann,), (there,), (done(1104, source_set=recorded),)))
    assert [one.field for one in differs] == (["stale_password"] if stale else [])
    if stale:
        (run,) = [step for step in steps if isinstance(step.effect, RunTask)]
        assert all(option in str(run.effect) for option in ("/PO:COPY", "/CO:MERGE", "/DOT:ENABLETARGET"))
        assert run.notes[0].value["source_set"] == source_set


def test_what_admt_does_silently_is_set_right() -> None:
    what = wanted(rename={"upn_suffix": "target.lab"}, attributes=["mail", "proxyAddresses"])
    ann = source("ann", 1104, userPrincipalName="ann@source.lab", mail="a@x", proxyAddresses=("smtp:1", "smtp:2"))
    there = {**target("ann", 2000, history=1104), "userprincipalname": (b"ann@wrong",), "proxyaddresses": (b"smtp:2", b"smtp:3")}  # fmt: skip
    differs, steps = settle(what, *asked(what, (ann,), (there,), (done(1104),)))
    assert {one.field: one.observed for one in differs} == {
        "misnamed": ("ann: userPrincipalName",),
        "unlike_source": ("ann: mail", "ann: proxyAddresses"),
    }
    (step,) = steps
    assert isinstance(step.effect, ModifyEntry)
    assert [str(change) for change in step.effect.changes] == [
        "delete userPrincipalName: <9 bytes>", "add userPrincipalName: <14 bytes>", "add mail: <3 bytes>",
        "delete proxyAddresses: <6 bytes>", "add proxyAddresses: <6 bytes>",
    ]  # fmt: skip


@pytest.mark.parametrize("able", [True, False])
def test_a_source_account_is_disabled_only_once_the_other_is_of_use(able: bool) -> None:
    what = wanted(source_afterwards="disable")
    ann = source("ann", 1104, userAccountControl=512)
    given = asked(what, (ann,), (target("ann", 2000, history=1104),), (done(1104) if able else fact(1104, "random"),))
    _, steps = settle(what, *given)
    writes = [step.effect for step in steps if isinstance(step.effect, ModifyEntry)]
    assert [(write.domain, str(write)) for write in writes] == (
        [("source", f"modify CN=ann,{STAFF}: delete userAccountControl: <3 bytes>; add userAccountControl: <3 bytes>")]
        if able
        else []
    )


def test_a_source_account_expires_by_a_run_that_keeps_the_password() -> None:
    what = wanted(source_afterwards=30)
    given = asked(what, (source("ann", 1104),), (target("ann", 2000, history=1104),), (done(1104),))
    (run,) = [step for step in settle(what, *given)[1] if isinstance(step.effect, RunTask)]
    assert all(option in str(run.effect) for option in ("/SEP:30", "/PO:COMPLEX+NOTEXISTING", "/CO:MERGE"))


def test_more_than_its_size_is_a_mistake() -> None:
    what = wanted(most=1)
    with pytest.raises(NeedsPerson, match="2 accounts, and 1 are the most"):
        settle(what, *asked(what, (source("ann", 1104), source("bob", 1105)), ()))


@pytest.mark.parametrize(("percent", "open_"), [(50, True), (51, False)])
def test_a_gate_waits_for_the_wave_before(percent: float, open_: bool) -> None:
    first = (source("ann", 1104), source("bob", 1105))
    what = wanted(base=f"OU=Rest,{SOURCE_DN}", gates=[{**WANTED.selection.model_dump(), "percent": percent, "wave": "one"}])  # fmt: skip
    given = asked(what, (source("cid", 1106),), (target("ann", 2000, history=1104),), (done(1104),), before=(first,))
    if open_:
        assert settle(what, *given)[1]
    else:
        with pytest.raises(NeedsPerson, match=r"50.0 % of wave 'one' can log on \(1 of 2\), and 51 % have to: not bob"):
            settle(what, *given)


def test_who_cannot_log_on_in_the_source_is_not_waited_for() -> None:
    off = (source("ann", 1104, userAccountControl=0x202),)
    what = wanted(base=f"OU=Rest,{SOURCE_DN}", gates=[{**WANTED.selection.model_dump(), "percent": 100, "wave": "one"}])
    assert settle(what, *asked(what, (source("cid", 1106),), (), before=(off,)))[1]


def test_groups_and_computers_have_verbs_of_their_own() -> None:
    group = entry(f"CN=g,{STAFF}", objectClass=("top", "group"), sAMAccountName="g", objectSid=rid("source", 1200))
    what = wanted(of="groups", passwords=False)
    run = next(step for step in settle(what, *asked(what, (group,), ()))[1] if isinstance(step.effect, RunTask))
    assert str(run.effect).partition("admt.exe ")[2].startswith("group /SD:source.lab /TD:target.lab /TO:Migrated /F:")
    assert "/PO" not in str(run.effect)
    machine = entry(
        f"CN=pc,{STAFF}", objectClass=(*USER, "computer"), sAMAccountName="PC$", objectSid=rid("source", 1300)
    )
    what = wanted(of="computers", passwords=False, sid_history=False)
    run = next(step for step in settle(what, *asked(what, (machine,), ()))[1] if isinstance(step.effect, RunTask))
    assert "admt.exe computer /SD:" in str(run.effect)
    assert "/MSS" not in str(run.effect)


# Runs that break.


def sizes(what: Accounts, people: Rows, there: Rows, facts: Rows) -> list[int]:
    steps = settle(what, *asked(what, people, there, facts))[1]
    return [len(step.notes) for step in steps if isinstance(step.effect, RunTask)]


def test_accounts_that_a_run_did_not_come_to_are_tried_in_smaller_runs() -> None:
    people = tuple(source(f"u{n}", 1100 + n) for n in range(8))
    tried = tuple(fact(1100 + n, "attempted", batch=4) for n in range(4))
    what = wanted(batch=4)
    assert sizes(what, people, (), tried) == [2, 2, 4]
    alone = (fact(1100, "attempted", batch=1), *tried[1:])
    assert sizes(what, people, (), alone) == [2, 1, 4], "what failed alone comes when nothing else is left"
    assert sizes(what, people[:1], (), alone[:1]) == [1]


def test_a_log_that_reached_nobody_and_says_why_blames_nobody() -> None:
    people = (source("ann", 1104), source("bob", 1105))
    run = next(s for s in settle(WANTED, *asked(WANTED, people, ()))[1] if isinstance(s.effect, RunTask))
    said = WANTED.learns(run, ({"line": "ERR2:7422 Unable to establish a session with the password export server."},))
    assert [said[note.key].get("batch") for note in run.notes] == [None, None]
    created = {"line": "2026-01-01 10:00:00 CN=ann - Created"}
    broke = WANTED.learns(run, (created, {"line": "ERR2:9803 The migration was interrupted."}))
    assert [broke[note.key].get("batch") for note in run.notes] == [2, 2], (
        "it came to the first, and perhaps not to its end"
    )
    ended = WANTED.learns(run, (created, {"line": "2026-01-01 10:00:00 Operation completed."}))
    assert [ended[note.key].get("batch") for note in run.notes] == [None, 2]


@pytest.mark.parametrize("sort", ["users", "groups"])
def test_an_account_that_a_run_of_ours_made_only_in_part_is_made_to_the_end(sort: str) -> None:
    """ADMT makes an account disabled, and a program or a host that dies leaves it so."""
    what = wanted(of=sort, passwords=sort == "users")
    classes = USER if sort == "users" else ("top", "group")
    ann = source("ann", 1104, userAccountControl=512)
    there = target("ann", 2000, history=1104, classes=classes)
    in_part = {**there, "useraccountcontrol": (b"514",)}
    ann = {**ann, "objectclass": tuple(name.encode() for name in classes)}
    made = fact(1104, "attempted" if sort == "users" else "generated", creates=True)
    given = asked(what, (ann,), (in_part,), (made,))
    found = what.parse(*given)
    (run,) = (step for step in settle(what, *given)[1] if isinstance(step.effect, RunTask))
    assert found.missing == ("ann",)
    assert "/CO:MERGE" in str(run.effect)
    assert [note.value["creates"] for note in run.notes] == [True], "also if this run dies as well"
    if sort == "users":
        assert all(option in str(run.effect) for option in ("/DOT:TARGETSAMEASSOURCE", "/PO:COPY"))
    for same in (there, {**in_part, "objectsid": there["objectsid"]}):
        proven = fact(1104, "copied", creates=True, target_sid=str(rid("target", 2000)))
        assert what.parse(*asked(what, (ann,), (same,), (proven,))).missing == (), "disabled since by its owner"


def test_an_account_that_was_there_before_us_stays_disabled() -> None:
    there = {**target("ann", 2000, history=1104), "useraccountcontrol": (b"514",)}
    steps = settle(
        WANTED, *asked(WANTED, (source("ann", 1104, userAccountControl=512),), (there,), (fact(1104, "attempted"),))
    )[1]
    (run,) = (step for step in steps if isinstance(step.effect, RunTask))
    assert "/DOT:DISABLETARGET" in str(run.effect)
    assert "creates" not in run.notes[0].value


@given(st.sets(st.integers(0, 39), max_size=4), st.integers(1, 16))
def test_any_accounts_that_break_runs_end_up_alone_and_all_others_go_on(culprits: set[int], batch: int) -> None:
    """ADMT goes through a list in its order, and breaks off at a culprit."""
    what = wanted(batch=batch, passwords=False, sid_history=False)
    people = {1100 + n: source(f"u{n:02}", 1100 + n) for n in range(40)}
    facts: dict[str, Any] = {}
    there: dict[int, Row] = {}
    bad = {str(rid("source", 1100 + n)) for n in culprits}
    for _ in range(what.passes):
        rows = tuple({"key": key, "value": value} for key, value in facts.items())
        observed = what.parse(*asked(what, tuple(people.values()), tuple(there.values()), rows))
        if not observed.missing:
            break
        for step in what.steps(observed, frozenset({"missing"})):
            if not isinstance(step.effect, RunTask):
                continue
            facts |= {note.key: note.value for note in step.notes}
            log = []
            for note in step.notes:
                sid = note.key.rpartition("/")[2]
                if sid in bad:
                    break
                number = int(sid.rpartition("-")[2])
                there[number] = target(note.value["sam"], number, where=MOVED)
                log.append({"line": f"2026-01-01 10:00:00 CN={note.value['sam']} - Created"})
            else:
                log.append({"line": "2026-01-01 10:00:00 Operation completed."})
            facts |= what.learns(step, tuple(log))
    stuck = {one.name for one in what.verdicts(observed) if one.standing != "migrated"}
    assert stuck == {f"u{n:02}" for n in culprits}


# Names.


@given(
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=12).filter(str.strip)
)
def test_whether_a_dn_lies_below_another_is_as_a_parsed_dn_says(name: str) -> None:
    place = f"OU={escape_rdn(name)},DC=x"
    inside, beside = f"CN=a,{place}", f"CN=a,OU={escape_rdn('z' + name)},DC=x"
    assert below(place)(inside) == Dn(inside).is_below(place)
    assert below(place)(beside) == Dn(beside).is_below(place)


def test_a_trailing_dot_is_replaced_too() -> None:
    assert sanitised("a/b.") == "a_b_"


def test_what_is_proven_of_one_account_does_not_wait_for_the_others() -> None:
    there = (target("ann", 2000, history=1104), target("bob", 2001, history=1105))
    facts = (fact(1104, "copied"), fact(1105, "random"))
    observed = WANTED.parse(*asked(WANTED, (source("ann", 1104), source("bob", 1105)), there, facts))
    assert list(WANTED.proven(observed)) == [f"account/source/{rid('source', 1104)}"]

"""Somebody else changes a right that we gave: the question says on which controller and when, as far as the directory tells."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import by_hand
from tests.e2e.lab import Lab
from tests.e2e.security import RESET_PASSWORD

pytestmark = pytest.mark.lab

RIGHTS = f"ad.access/target/{by_hand.MIGRATED}/TARGET\\migrator"
MIGRATOR = "CN=migrator,CN=Users,DC=target,DC=lab"
MEMBER = "ad.group_member/target/S-1-5-32-554/TARGET\\migrator"

MEMBERSHIP = """\
  - {kind: ad.group_member, domain: target, group: S-1-5-32-554, member: 'TARGET\\migrator', during: [migrate], on_conflict: POLICY}
"""

State = Callable[[str, str], Path]


@pytest.fixture(scope="module")
def state(lab: Lab) -> State:
    """Instead of the whole migration, one object's rights and one membership, both for a while."""

    def write(phase: str, policy: str) -> Path:
        path = lab.state(phase)
        text = path.read_text(encoding="utf-8")
        resources = by_hand.rights(f"on_conflict: {policy}") + MEMBERSHIP.replace("POLICY", policy)
        path.write_text(text[: text.index("migration:\n")] + resources, encoding="utf-8")
        return path

    return write


@pytest.fixture(scope="module")
def edited(lab: Lab, state: State) -> tuple[datetime, datetime]:
    """Rights given, and one of them taken away by somebody else. Returns the time before and after."""
    done = lab.apply(state("migrate", "ask"))
    assert (done.code, done.outcomes("changed")) == (0, {RIGHTS, MEMBER}), done
    lab.target.wait_for_another_time()
    before = lab.target.now()
    by_hand.take_away_a_right(lab, by_hand.MIGRATED, RESET_PASSWORD)
    return before, lab.target.now()


def told(document: dict[str, Any]) -> Any:
    (outcome,) = (outcome for outcome in document["outcomes"] if outcome["key"] == RIGHTS)
    return outcome, outcome["edits"]


def check(edit: dict[str, Any], edited: tuple[datetime, datetime]) -> None:
    assert (edit["field"], edit["attribute"], edit["on"]) == ("missing", "nTSecurityDescriptor", "TGTDC1")
    assert edited[0] <= datetime.fromisoformat(edit["at"]) <= edited[1]
    assert datetime.fromisoformat(edit["ours_at"]) < datetime.fromisoformat(edit["at"])
    assert edit["version"] > 1


def test_drift_tells_before_anything_is_done(lab: Lab, state: State, edited: tuple[datetime, datetime]) -> None:
    (edit,) = lab.drift(state("complete", "restore")).document["edits"]
    assert edit["key"] == RIGHTS
    check(edit, edited)
    shown = lab.reconcile("plan", state("complete", "restore")).out
    assert "changed by somebody else: missing" in " ".join(shown.split())
    assert "TGTDC1" in shown


def test_the_question_names_the_controller_and_the_time(
    lab: Lab, state: State, edited: tuple[datetime, datetime]
) -> None:
    ran = lab.apply(state("complete", "ask"))
    assert ran.outcomes("waiting") == {RIGHTS}
    outcome, (edit,) = told(ran.document)
    check(edit, edited)
    at = datetime.fromisoformat(edit["at"])
    assert f"nTSecurityDescriptor was last changed on TGTDC1 at {at:%Y-%m-%d %H:%M:%S} UTC" in outcome["error"]["do"]


def test_the_report_of_the_way_back_keeps_it(lab: Lab, state: State, edited: tuple[datetime, datetime]) -> None:
    ran = lab.apply(state("complete", "restore"))
    assert ran.code == 0, str(ran)
    outcome, (edit,) = told(ran.document)
    assert outcome["status"] == "changed"
    check(edit, edited)


def test_of_members_samba_tells_nothing_and_nobody_is_blamed(lab: Lab, state: State) -> None:
    """Only Windows has metadata of linked values. Nothing is said then, and the question is the same."""
    group = by_hand.PRE_WINDOWS_2000
    leave, join = (partial(lab.target.change, group, action, "member", MIGRATOR) for action in ("delete", "add"))
    join()
    assert lab.apply(state("migrate", "ask")).code == 0
    leave()
    assert MEMBER in lab.apply(state("migrate", "ask")).outcomes("changed")
    leave()
    ran = lab.apply(state("complete", "ask"))
    assert ran.outcomes("waiting") == {MEMBER}
    (outcome,) = (outcome for outcome in ran.document["outcomes"] if outcome["key"] == MEMBER)
    assert [(edit["field"], edit["on"], edit["at"]) for edit in outcome["edits"]] == [("ensure", None, None)]
    assert "the directory tells" not in outcome["error"]["do"]

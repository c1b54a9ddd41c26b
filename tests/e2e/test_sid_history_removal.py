"""Old SIDs are removed when everything is complete: only with an approval, and only those that we added."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.lab import EVERYBODY, FEW, ONLY_FEW, Lab, Ran

pytestmark = pytest.mark.lab

KEY = "ad.sid_history_removal/source/target"
CLEANUP = ("sid_history: true", "sid_history: true\n  cleanup: [sid_history]")
APPROVED = ("operator:", "approvals: [remove-sid-history]\n  operator:")


@pytest.fixture(scope="module")
def waiting(migrated: Lab) -> Ran:
    """Complete, with the removal declared and not approved."""
    migrated.condition = "in use"
    return migrated.apply(migrated.state("complete", (EVERYBODY, ONLY_FEW), CLEANUP))


@pytest.fixture(scope="module")
def approved(migrated: Lab, waiting: Ran) -> Path:
    return migrated.state("complete", (EVERYBODY, ONLY_FEW), CLEANUP, APPROVED)


def histories(lab: Lab) -> set[str]:
    """Return who has a SID history."""
    found = lab.target.search(lab.target.base_dn, "(sIDHistory=*)", "sAMAccountName")
    return {entry["sAMAccountName"][0].decode() for entry in found}


def test_everything_goes_back_and_the_removal_waits(migrated: Lab, waiting: Ran) -> None:
    assert waiting.outcomes("waiting", "failed", "skipped") == {KEY}, waiting
    assert "cannot be undone" in waiting.error(KEY)
    assert waiting.document["open"] == []
    assert histories(migrated) == set(FEW)


def test_with_an_approval_ours_are_removed(migrated: Lab, approved: Path) -> None:
    ran = migrated.apply(approved)
    assert ran.code == 0, str(ran)
    assert ran.outcomes("changed") == {KEY}
    assert histories(migrated) == set()


def test_a_second_apply_writes_nothing(migrated: Lab, approved: Path) -> None:
    before = migrated.target.usn()
    assert migrated.apply(approved).code == 0
    assert migrated.target.usn() == before

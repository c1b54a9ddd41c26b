"""Each precondition taken away behind the program's back: drift names exactly that, apply repairs it or says why not.

The tests share one migrated lab. That a repair was complete is proven by the next drift, which names its own and nothing
else; the last test looks once more.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.e2e import by_hand
from tests.e2e.lab import EVERYBODY, FEW, ONLY_FEW, Lab
from tests.e2e.security import MIGRATE_SID_HISTORY, RESET_PASSWORD

pytestmark = pytest.mark.lab

LSA = r"HKLM:\SYSTEM\CurrentControlSet\Control\Lsa"
TRUST = "ad.trust/source/target"
AUDIT_GROUP = "ad.group/source/SOURCE$$$"
ADMT = "win.software/admt/Active Directory Migration Tool"
PES = "win.software/source-pdc/*Password Migration DLL*"
SERVICE = "win.service/source-pdc/PesSvc"
TCPIP = rf"win.registry/source-pdc/{LSA}/TcpipClientSupport"
EXPORT = rf"win.registry/source-pdc/{LSA}/AllowPasswordExport"
PROTECTION = rf"win.registry/source-pdc/{LSA}/RunAsPPL"
ANONYMOUS = rf"win.registry/admt/{LSA}/RestrictAnonymous"
RESTART = "win.restart/source-pdc"
AUDIT_SOURCE, AUDIT_TARGET = (f"win.audit_policy/{host}/account-management" for host in ("source-pdc", "admt"))
KEY, KEY_COPY = "pes.key/admt/source", r"win.file/source-pdc/C:\PES\source.pes"
OLD_GROUP = "ad.group_member/target/S-1-5-32-554/"
RIGHTS, DOMAIN_RIGHTS = (f"ad.access/target/{place}/TARGET\\migrator" for place in ("OU=Migrated,DC=target,DC=lab", ""))
ACCOUNTS = "ad.accounts/source/OU=Staff,DC=source,DC=lab"
APPROVED = ("  admt_host: admt", "  approvals: [disable-lsa-protection]\n  admt_host: admt")

TakeAway = Callable[[Lab], None]

REPAIRED: dict[str, tuple[TakeAway, set[str]]] = {
    "trust quarantined again": (by_hand.quarantine_the_trust, {TRUST}),
    "ADMT uninstalled": (by_hand.uninstall_admt, {ADMT}),
    "audit group deleted": (by_hand.delete_the_audit_group, {AUDIT_GROUP}),
    "somebody in the audit group": (by_hand.put_somebody_into_the_audit_group, {AUDIT_GROUP}),
    # A value that counts only after a restart brings the restart with it.
    "TcpipClientSupport removed": (by_hand.remove_tcpip_client_support, {TCPIP, RESTART}),
    "TcpipClientSupport as text": (by_hand.make_tcpip_client_support_a_text, {TCPIP, RESTART}),
    "audit changed in the source": (by_hand.audit_less_in_the_source, {AUDIT_SOURCE}),
    "audit changed in the target": (by_hand.audit_less_in_the_target, {AUDIT_TARGET}),
    "key file gone from the PES host": (by_hand.delete_the_key_file_on_the_pes_host, {KEY_COPY}),
    # Its service goes with it.
    "PES uninstalled": (by_hand.uninstall_pes, {PES, SERVICE, RESTART}),
    "password export forbidden": (by_hand.forbid_password_export, {EXPORT, RESTART}),
    "PES stopped": (by_hand.stop_pes, {SERVICE}),
    "PES starts automatically": (by_hand.start_pes_automatically, {SERVICE}),
    "PES runs as somebody else": (by_hand.run_pes_as_network_service, {SERVICE}),
    "anonymous restricted": (by_hand.restrict_anonymous, {ANONYMOUS}),
    "Everyone gone": (by_hand.take_everyone_out_of_the_old_group, {OLD_GROUP + "S-1-1-0"}),
    "Anonymous Logon gone": (by_hand.take_anonymous_out_of_the_old_group, {OLD_GROUP + "S-1-5-7"}),
    "operator not in the source": (
        by_hand.take_the_operator_out_of_the_source,
        {"ad.group_member/source/S-1-5-32-544/TARGET\\migrator"},
    ),
    "operator not on the ADMT host": (
        by_hand.take_the_operator_out_of_the_admt_host,
        {"win.local_group_member/admt/S-1-5-32-544/TARGET\\migrator"},
    ),
    "operator may not reset passwords": (
        partial(by_hand.take_away_a_right, dn=by_hand.MIGRATED, right=RESET_PASSWORD),
        {RIGHTS},
    ),
    "operator may not migrate SID history": (
        partial(by_hand.take_away_a_right, dn="DC=target,DC=lab", right=MIGRATE_SID_HISTORY),
        {DOMAIN_RIGHTS},
    ),
    "migrated account deleted": (by_hand.delete_a_migrated_account, {ACCOUNTS}),
    "SID history deleted": (by_hand.delete_the_history_of_an_account, {ACCOUNTS}),
}


@pytest.fixture
def state(migrated: Lab) -> Path:
    """The state to which the lab was brought."""
    return migrated.state("migrate", (EVERYBODY, ONLY_FEW))


@pytest.fixture
def approved(migrated: Lab) -> Path:
    """The same, with leave to turn LSA protection off."""
    return migrated.state("migrate", (EVERYBODY, ONLY_FEW), APPROVED, name="approved")


@pytest.mark.parametrize(("take_away", "keys"), REPAIRED.values(), ids=REPAIRED.keys())
def test_what_was_taken_away_is_named_and_repaired(
    migrated: Lab, state: Path, take_away: TakeAway, keys: set[str]
) -> None:
    take_away(migrated)
    drift = migrated.drift(state)
    assert (drift.code, drift.keys) == (2, keys)
    applied = migrated.apply(state)
    assert applied.code == 0, applied
    assert keys <= applied.outcomes("changed")


def test_the_accounts_are_whole_after_all_repairs(migrated: Lab) -> None:
    assert migrated.not_migrated(*FEW) == {}


def test_a_trust_that_only_one_side_knows_waits_for_a_person(migrated: Lab, state: Path) -> None:
    by_hand.delete_the_targets_side_of_the_trust(migrated)
    drift = migrated.drift(state)
    assert (drift.code, drift.keys) == (2, {TRUST})
    applied = migrated.apply(state)
    assert applied.code == 7, applied
    assert "known only in source" in applied.error(TRUST)
    by_hand.remove_what_is_left_of_the_trust(migrated)
    assert migrated.apply(state).code == 0


def test_an_audit_group_of_the_wrong_scope_is_not_converted(migrated: Lab, state: Path) -> None:
    by_hand.make_the_audit_group_global(migrated)
    before = migrated.source.search(by_hand.AUDIT_GROUP, "(objectClass=*)", "objectSid", "groupType", "whenChanged")
    drift = migrated.drift(state)
    assert (drift.code, drift.keys) == (2, {AUDIT_GROUP})
    applied = migrated.apply(state)
    assert applied.code in (4, 7), applied
    assert "scope is global, wanted is domain-local" in applied.error(AUDIT_GROUP)
    after = migrated.source.search(by_hand.AUDIT_GROUP, "(objectClass=*)", "objectSid", "groupType", "whenChanged")
    assert after == before
    by_hand.delete_the_audit_group(migrated)
    assert migrated.apply(state).code == 0


def test_a_group_policy_that_overrules_auditing_is_named_and_not_fought(migrated: Lab, state: Path) -> None:
    by_hand.audit_less_by_group_policy(migrated)
    drift = migrated.drift(state)
    assert (drift.code, drift.keys) == (2, {AUDIT_TARGET})
    applied = migrated.apply(state)
    assert applied.code == 7, applied
    assert by_hand.CONTROLLERS_POLICY.lower() in applied.error(AUDIT_TARGET).lower()
    with migrated.windows("target") as windows:
        assert windows.exists(rf"{by_hand.AUDIT_FOLDER}\audit.csv")
    by_hand.withdraw_the_group_policy(migrated)
    assert migrated.apply(state).code == 0


def test_a_lost_key_is_not_made_again_silently(migrated: Lab, state: Path) -> None:
    by_hand.delete_the_key_file_on_the_admt_host(migrated)
    drift = migrated.drift(state)
    # What the PES host should hold cannot be compared any more.
    assert (drift.code, drift.keys) == (2, {KEY, KEY_COPY})
    applied = migrated.apply(state)
    assert applied.code == 7, applied
    assert "recreate-pes-key" in applied.error(KEY)
    by_hand.bring_the_key_file_back_to_the_admt_host(migrated)
    assert migrated.drift(state).code == 0


def test_a_key_that_pes_does_not_know_is_replaced_when_a_password_is_to_be_copied(migrated: Lab, state: Path) -> None:
    by_hand.make_another_key(migrated)
    by_hand.delete_a_migrated_account(migrated)
    applied = migrated.apply(state)
    if applied.code != 0:
        by_hand.import_the_key(migrated)
        migrated.apply(state)
    assert applied.code == 0, applied
    assert migrated.not_migrated(*FEW) == {}


def test_lsa_protection_is_never_turned_off_without_approval(migrated: Lab, state: Path, approved: Path) -> None:
    by_hand.turn_lsa_protection_on(migrated)
    drift = migrated.drift(state)
    assert (drift.code, drift.keys) == (2, {PROTECTION, RESTART})
    applied = migrated.apply(state)
    assert applied.code == 7, applied
    assert "disable-lsa-protection" in applied.error(PROTECTION)
    with migrated.windows("source") as windows:
        assert windows.value("RunAsPPL") == ("REG_DWORD", "0x1")
    assert migrated.apply(approved).code == 0
    with migrated.windows("source") as windows:
        assert windows.value("RunAsPPL") is None


def test_why_lsa_protection_is_in_the_way_is_explained(migrated: Lab, state: Path) -> None:
    by_hand.turn_lsa_protection_on(migrated)
    applied = migrated.apply(state)
    by_hand.turn_lsa_protection_off(migrated)
    assert "LSA protection keeps the password filter from loading" in applied.error(PROTECTION)


def test_nothing_differs_in_the_end(migrated: Lab, state: Path) -> None:
    drift = migrated.drift(state)
    assert (drift.code, drift.keys) == (0, set())
    assert migrated.not_migrated(*FEW) == {}

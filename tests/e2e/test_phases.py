"""What is dangerous is there in phase migrate only, also when the phase goes back to prepare."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.e2e.by_hand import KEY_FILE, PRE_WINDOWS_2000
from tests.e2e.lab import EVERYBODY, FEW, ONLY_FEW, Lab

pytestmark = pytest.mark.lab

EVERYONE, ANONYMOUS = b"CN=Everyone,", b"CN=Anonymous Logon,"


@dataclass(frozen=True)
class Exposure:
    """What lets passwords out."""

    allow_password_export: tuple[str, str] | None
    restrict_anonymous: tuple[str, str] | None
    everyone: bool
    anonymous: bool
    pes: tuple[str, str] | None


# The service is there as long as PES is installed, and is stopped.
CLOSED = Exposure(None, ("REG_DWORD", "0x1"), False, False, ("Stopped", "Manual"))
OPEN = Exposure(("REG_DWORD", "0x1"), ("REG_DWORD", "0x0"), True, True, ("Running", "Manual"))


def exposure(lab: Lab) -> Exposure:
    """Look."""
    with lab.windows("source") as windows:
        export = windows.value("AllowPasswordExport")
        services = [one.adapted_properties for one in windows.run("Get-CimInstance", ClassName="Win32_Service")]
    with lab.windows("target") as windows:
        anonymous = windows.value("RestrictAnonymous")
    members = lab.target.search(PRE_WINDOWS_2000, "(objectClass=*)", "member")[0].get("member", [])
    found = [(str(one["State"]), str(one["StartMode"])) for one in services if one["Name"] == "PesSvc"]
    return Exposure(
        export, anonymous, any(one.startswith(EVERYONE) for one in members), any(one.startswith(ANONYMOUS) for one in members), next(iter(found), None)
    )  # fmt: skip


def test_going_back_to_prepare_closes_what_is_dangerous_and_migrate_opens_it_again(migrated: Lab) -> None:
    prepare, migrate = (migrated.state(phase, (EVERYBODY, ONLY_FEW), name=phase) for phase in ("prepare", "migrate"))
    assert exposure(migrated) == OPEN

    back = migrated.apply(prepare)
    assert back.code == 0, back
    assert exposure(migrated) == CLOSED
    with migrated.windows("source") as windows:
        assert windows.exists(KEY_FILE)  # what migrate will need again stays
    assert migrated.not_migrated(*FEW) == {}
    drift = migrated.drift(prepare)
    assert (drift.code, drift.keys) == (0, set())

    again = migrated.apply(migrate)
    assert again.code == 0, again
    assert exposure(migrated) == OPEN

"""What is dangerous is there in phase migrate only: not before, and not after going back to prepare."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.e2e.by_hand import KEY_FILE, PRE_WINDOWS_2000
from tests.e2e.lab import EVERYBODY, FEW, ONLY_FEW, Lab

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("e2e-1")]

EVERYONE, ANONYMOUS = b"CN=Everyone,", b"CN=Anonymous Logon,"


@dataclass(frozen=True)
class Exposure:
    """What lets passwords out."""

    allow_password_export: tuple[str, str] | None
    restrict_anonymous: tuple[str, str] | None
    everyone: bool
    anonymous: bool
    pes: tuple[str, str] | None


CLOSED = Exposure(None, ("REG_DWORD", "0x1"), False, False, None)
# The service is there once PES is installed, and stays stopped.
PREPARED = Exposure(None, ("REG_DWORD", "0x1"), False, False, ("Stopped", "Manual"))
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


def test_the_exposure_follows_the_phase(lab: Lab) -> None:
    few = (EVERYBODY, ONLY_FEW)
    assert exposure(lab) == CLOSED

    prepared = lab.apply(lab.state("prepare", few))
    assert prepared.code == 0, prepared
    assert exposure(lab) == PREPARED
    assert lab.target.search("OU=Migrated,DC=target,DC=lab", "(objectClass=user)", "1.1") == []
    drift = lab.drift(lab.state("prepare", few))
    assert (drift.code, drift.keys) == (0, set())

    migrated = lab.apply(lab.state("migrate", few))
    assert migrated.code == 0, migrated
    assert exposure(lab) == OPEN
    assert lab.not_migrated(*FEW) == {}

    back = lab.apply(lab.state("prepare", few))
    assert back.code == 0, back
    assert exposure(lab) == PREPARED
    with lab.windows("source") as windows:
        assert windows.exists(KEY_FILE)  # what migrate will need again stays
    assert lab.not_migrated(*FEW) == {}
    drift = lab.drift(lab.state("prepare", few))
    assert (drift.code, drift.keys) == (0, set())

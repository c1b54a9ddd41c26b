"""Set-ADObject on a simulated controller: SIDs leave sIDHistory one by one, for those who may write it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from winacl.dtyp.security_descriptor import SECURITY_DESCRIPTOR

from reconciler.lab.windows.access import may_write
from reconciler.lab.windows.accounts import sid_bytes, sid_text
from reconciler.lab.windows.contract import Logon
from reconciler.lab.winrm.errors import Terminated
from tests.lab.test_machine import ADMIN, NOBODY, Lab, in_lab

DN = "CN=Alice,OU=Migrated,DC=source,DC=lab"
OLD, OLDER, OTHER = "S-1-5-21-9-9-9-1001", "S-1-5-21-8-8-8-1001", "S-1-5-21-7-7-7-1001"
ENDS = ",Microsoft.ActiveDirectory.Management.Commands.SetADObject"
SID_HISTORY, GENERAL, OTHER_GUID = (
    "17eb4278-d167-11d0-b002-0000f80367c1",
    "59ba2f42-79a2-11d0-9020-00c04fc2d3cf",
    "bf967953-0de6-11d0-a285-00aa003049e2",
)


def put(lab: Lab, sddl: str = "D:(A;;WP;;;S-1-5-32-544)") -> None:
    history = [sid_bytes(OLD), sid_bytes(OLDER)]
    descriptor = SECURITY_DESCRIPTOR.from_sddl(sddl).to_bytes()
    lab.source.directory.put(DN, objectClass=[b"user"], sIDHistory=history, nTSecurityDescriptor=[descriptor])  # type: ignore[attr-defined]


def history(lab: Lab) -> list[str]:
    return [sid_text(value) for value in lab.source.directory.rows[DN.lower()].all("sIDHistory")]  # type: ignore[attr-defined]


async def refused(lab: Lab, logon: Logon = ADMIN, **given: Any) -> str:
    with pytest.raises(Terminated) as caught:
        await lab.call("Set-ADObject", logon=logon, **{"Identity": DN, **given})
    assert history(lab) == [OLD, OLDER]
    return caught.value.failure.error_id


def test_single_values_leave_and_the_others_stay(tmp_path: Path) -> None:
    async def work(lab: Lab) -> None:
        put(lab)
        await lab.call("Set-ADObject", Identity=DN, Remove={"sIDHistory": OLD}, what_if=True)
        assert history(lab) == [OLD, OLDER]
        await lab.call("Set-ADObject", Identity=DN, Remove={"sidhistory": OLD}, Server="srcdc1.source.lab")
        assert history(lab) == [OLDER]
        await lab.call("Set-ADObject", Identity=DN, Remove={"sIDHistory": [OLDER]}, Server="source.lab")
        assert history(lab) == []

    in_lab(tmp_path, work)


def test_clear_takes_all_of_them(tmp_path: Path) -> None:
    async def work(lab: Lab) -> None:
        put(lab)
        await lab.call("Set-ADObject", Identity=DN, Clear=["sIDHistory"])
        assert history(lab) == []

    in_lab(tmp_path, work)


def test_each_refusal_has_its_error_id_and_changes_nothing(tmp_path: Path) -> None:
    async def work(lab: Lab) -> None:
        put(lab)
        one = {"sIDHistory": OLD}
        not_found = "ActiveDirectoryCmdlet:Microsoft.ActiveDirectory.Management.ADIdentityNotFoundException"
        assert await refused(lab, Identity=f"CN=Nobody,{DN}", Remove=one) == not_found + ENDS
        assert await refused(lab, Remove={"sIDHistory": [OLD, OTHER]}) == "ActiveDirectoryServer:8202" + ENDS
        assert await refused(lab, Remove=one, Server="tgtdc1.target.lab") == "ActiveDirectoryServer:0" + ENDS
        assert await refused(lab, Add={"sIDHistory": OTHER}) == "ActiveDirectoryServer:5" + ENDS
        assert await refused(lab, Replace={"sIDHistory": OTHER}) == "ActiveDirectoryServer:5" + ENDS
        assert (
            await refused(lab, Remove={"sIDHistory": "alice"})
            == "ActiveDirectoryCmdlet:System.ArgumentException" + ENDS
        )
        assert await refused(lab, Remove={"description": "x"}) == "SimulatorAttributeNotSupported" + ENDS
        assert await refused(lab, NOBODY, Remove=one) == "ActiveDirectoryServer:8344" + ENDS

    in_lab(tmp_path, work)


@pytest.mark.parametrize(
    ("sddl", "may"),
    [
        (f"D:(OA;;WP;{SID_HISTORY};;S-1-5-32-544)", True),
        (f"D:(OA;;WP;{GENERAL};;S-1-5-32-544)", True),
        (f"D:(OA;;WP;{OTHER_GUID};;S-1-5-32-544)", False),
        (f"D:(OD;;WP;{SID_HISTORY};;S-1-5-32-544)(A;;WP;;;S-1-5-32-544)", False),
        ("D:(A;;GA;;;S-1-5-32-544)", True),
        ("D:(A;;RP;;;S-1-5-32-544)", False),
        ("D:(A;CIIO;WP;;;S-1-5-32-544)", False),
        ("D:(A;;WP;;;S-1-5-32-545)", False),
    ],
)
def test_first_entry_about_the_attribute_decides(sddl: str, may: bool) -> None:
    descriptor = SECURITY_DESCRIPTOR.from_sddl(sddl).to_bytes()
    assert may_write(descriptor, frozenset({"S-1-5-32-544"}), frozenset({SID_HISTORY, GENERAL})) is may

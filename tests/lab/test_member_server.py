"""A member server of the target: what it has of its own, what only a controller has, and what ADMT does on it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from reconciler.lab.admt.database import Database, key_for
from reconciler.lab.admt.install import install
from reconciler.lab.admt.log import CURRENT, read_log
from reconciler.lab.windows.accounts import find_account
from reconciler.lab.windows.cim import instances
from reconciler.lab.windows.contract import Logon
from reconciler.lab.windows.localgroups import AlreadyMember, add_member, find_group, members_of, remove_member
from reconciler.lab.windows.logons import LogonRefused, batch_logon, network_logon
from reconciler.lab.windows.machine import Machine, ProgramNotFound, write_disk
from reconciler.lab.windows.pristine import pristine
from tests.lab.admt_lab import (
    ADMINISTRATORS,
    KEY_FILE,
    KEY_PASSWORD,
    MIGRATED,
    OPERATOR,
    TARGET,
    Lab,
    bare_lab,
    on_loop,
    ready_lab,
)

FQDN = "tgtadmt2.target.lab"
NAME = r"TARGET\migrator"
RUN = ("/SD:source.lab", "/TD:TARGET", "/TO:Migrated", "/PO:COPY", r"/PS:\\srcdc1", "/MSS:NO")


@dataclass
class Member:
    """The server and the lab in which it stands."""

    machine: Machine
    lab: Lab

    async def admt(self, *arguments: str, logon: Logon | None = None) -> int:
        return await self.lab.call(self.machine, "admt", *arguments, logon=logon)

    def log(self) -> str:
        return read_log(self.machine.files.read(CURRENT))


async def joined(lab: Lab, directory: Path) -> Member:
    """Start a member server beside both controllers."""
    path = directory / "member.json"
    write_disk(path, pristine(TARGET, awkward=False, member=FQDN))
    machine = Machine.load(path, TARGET, lab.target_directory, fqdn=FQDN, address="127.0.90.3")
    install(machine)
    controllers = {lab.source.fqdn: lab.source, lab.target.fqdn: lab.target}
    machine.peers, machine.connect = dict(controllers), lab.connect
    for one in controllers.values():
        one.peers = {**one.peers, FQDN: machine}
    await machine.boot()
    lab.target_directory.tokens[f"CN=migrator,CN=Users,{TARGET.base_dn}"] = frozenset({OPERATOR, ADMINISTRATORS})
    return Member(machine, lab)


@on_loop
async def test_it_has_nothing_of_a_controller(tmp_path: Path) -> None:
    member = (await joined(await bare_lab(tmp_path), tmp_path)).machine
    assert (member.name, member.address, member.is_controller) == ("TGTADMT2", "127.0.90.3", False)
    assert [member.services.get(name) for name in ("NTDS", "Kdc", "DNS")] == [None, None, None]
    assert all(service.running for service in member.services if service.start_mode == "Automatic")
    assert len(instances(member, "Win32_ComputerSystem", "DomainRole = 3")) == 1
    assert member.files.item(r"C:\Windows\NTDS") is None
    assert member.files.item(r"C:\Windows\SYSVOL") is None
    assert "set-adobject" not in member.cmdlets
    with pytest.raises(ProgramNotFound):
        member.find_program("netdom.exe")


@on_loop
async def test_administrators_of_the_domain_controllers_are_not_its_own(tmp_path: Path) -> None:
    member = (await joined(await bare_lab(tmp_path), tmp_path)).machine
    assert not (await network_logon(member, NAME)).is_administrator, "BUILTIN groups of a controller end there"
    with pytest.raises(LogonRefused):
        await batch_logon(member, NAME, "right")
    group = await find_group(member, sid=ADMINISTRATORS)
    await add_member(member, group, await find_account(member, NAME))
    assert (await batch_logon(member, NAME, "right")).is_administrator


@on_loop
async def test_domain_administrators_get_on(tmp_path: Path) -> None:
    member = (await joined(await bare_lab(tmp_path), tmp_path)).machine
    admins = frozenset({OPERATOR, f"{TARGET.sid}-512"})
    member.authority.directory.tokens[f"CN=migrator,CN=Users,{TARGET.base_dn}"] = admins  # type: ignore[union-attr]
    assert (await network_logon(member, NAME)).is_administrator


@on_loop
async def test_its_groups_are_on_its_disk_and_no_controller_knows_them(tmp_path: Path) -> None:
    lab = await bare_lab(tmp_path)
    member = (await joined(lab, tmp_path)).machine
    before = dict(lab.target_directory.entries)
    group = await find_group(member, "administrators")
    names = [one.name for one in await members_of(member, group)]
    assert names[0] == r"TGTADMT2\Administrator"
    await add_member(member, group, await find_account(member, NAME))
    with pytest.raises(AlreadyMember):
        await add_member(member, await find_group(member, "Administrators"), await find_account(member, NAME))
    member.save()
    again = Machine.load(member.path, TARGET, lab.target_directory, fqdn=FQDN)
    again.peers = member.peers
    assert NAME in [one.name for one in await members_of(again, await find_group(again, sid=ADMINISTRATORS))]
    await remove_member(again, await find_group(again, sid=ADMINISTRATORS), OPERATOR)
    assert [one.name for one in await members_of(again, await find_group(again, sid=ADMINISTRATORS))] == names
    assert lab.target_directory.entries == before


@on_loop
async def test_without_a_controller_nobody_of_the_domain_gets_on(tmp_path: Path) -> None:
    lab = await bare_lab(tmp_path)
    member = (await joined(lab, tmp_path)).machine
    await network_logon(member, NAME)
    await lab.target.shut_down()
    with pytest.raises(LogonRefused) as refused:
        await network_logon(member, NAME)
    assert refused.value.code == 1311
    await lab.target.boot()
    await network_logon(member, NAME)


@on_loop
async def test_admt_migrates_no_sids_on_it(tmp_path: Path) -> None:
    member = await joined(await ready_lab(tmp_path), tmp_path)
    assert await member.lab.call(member.machine, r"C:\Install\admtsetup32.exe", "/quiet") == 0
    assert await member.admt("user", "/N", "alice", *RUN[:-1], "/MSS:YES") == 1
    assert "(Error code = 8558)" in member.log()
    assert f"cn=alice example,{MIGRATED}".lower() not in member.lab.target_directory.entries


@on_loop
async def test_it_names_no_controller_that_admt_could_write_to(tmp_path: Path) -> None:
    member = await joined(await ready_lab(tmp_path), tmp_path)
    assert await member.lab.call(member.machine, r"C:\Install\admtsetup32.exe", "/quiet") == 0
    assert await member.admt("user", "/N", "alice", *RUN[:-1], "/PO:COMPLEX", "/MSS:NO", f"/TDC:{FQDN}") == 1
    assert (
        await member.admt("user", "/N", "alice", "/PO:COMPLEX", *RUN[:3], f"/TDC:{TARGET.controller}", "/MSS:NO") == 0
    )


@on_loop
async def test_admt_on_it_needs_the_key_itself_and_remembers_by_itself(tmp_path: Path) -> None:
    lab = await ready_lab(tmp_path)
    member = await joined(lab, tmp_path)
    assert await lab.call(member.machine, r"C:\Install\admtsetup32.exe", "/quiet") == 0
    assert await member.admt("user", "/N", "alice", *RUN) == 1
    assert r"\\TGTADMT2 does not have an encryption key" in member.log()
    member.machine.files.write(KEY_FILE, lab.source.files.read(KEY_FILE), parents=True)
    imported = ("/option:import", "/sd:source.lab", f"/keyfile:{KEY_FILE}", f"/keypassword:{KEY_PASSWORD}")
    assert await member.admt("key", *imported) == 0
    assert key_for(member.machine, "SOURCE") == key_for(lab.target, "SOURCE")
    assert await member.admt("user", "/N", "alice", *RUN) == 0, lab.output
    assert f"cn=alice example,{MIGRATED}".lower() in lab.target_directory.entries
    assert "Password copied" in member.log()
    alice = f"{lab.source_directory.facts.sid}-1001"
    assert Database(member.machine).find("SOURCE", alice) is not None
    assert Database(lab.target).find("SOURCE", alice) is None

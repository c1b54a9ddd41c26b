"""The simulated Windows host, driven directly: no Samba, no WinRM, one directory in memory per domain."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, NoReturn

import pytest

from reconciler.lab.windows.accounts import sid_bytes, sid_text
from reconciler.lab.windows.audit import AUDIT_CSV, AUDIT_CSV_HEADER
from reconciler.lab.windows.contract import Attributes, Change, DomainFacts, Entry, Logon
from reconciler.lab.windows.logons import LogonRefused, batch_logon, network_logon, system_logon
from reconciler.lab.windows.machine import Machine, ProgramNotFound, RunningProgram, write_disk
from reconciler.lab.windows.pristine import pristine
from reconciler.lab.windows.registry import LSA
from reconciler.lab.windows.services import Service
from reconciler.lab.windows.task_xml import parse_task, split_arguments
from reconciler.lab.winrm.binder import bind, class_name
from reconciler.lab.winrm.errors import Failure, Terminated

START = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
LSA_PATH = "HKLM:\\SYSTEM\\CurrentControlSet\\Control\\Lsa"
USERS_AUDIT = "{0CCE9235-69AE-11D9-BED3-505054503030}"
ADMIN = Logon(r"SOURCE\Administrator", frozenset({"S-1-5-21-1-1-1-500", "S-1-5-32-544"}), "network")
NOBODY = Logon(r"SOURCE\nobody", frozenset({"S-1-5-21-1-1-1-1999"}), "network")


class FakeDirectory:
    """Objects by lower-case DN; knows the filters that the hosts use."""

    def __init__(self, facts: DomainFacts) -> None:
        self.facts = facts
        self.rows: dict[str, Entry] = {}
        self.passwords: dict[str, str] = {}
        self.other: FakeDirectory | None = None
        self.put(facts.base_dn, objectClass=[b"domain"], objectGUID=[bytes(range(16))])
        self.principal(f"CN=Administrators,CN=Builtin,{facts.base_dn}", "Administrators", "S-1-5-32-544", group=True)
        self.principal(f"CN=Administrator,CN=Users,{facts.base_dn}", "Administrator", f"{facts.sid}-500")
        self.put_member("S-1-5-32-544", f"CN=Administrator,CN=Users,{facts.base_dn}")
        self.passwords["administrator"] = "right"

    def put(self, dn: str, **attributes: list[bytes]) -> None:
        self.rows[dn.lower()] = Entry(dn, attributes)

    def principal(self, dn: str, name: str, sid: str, *, group: bool = False) -> None:
        kind = {"objectClass": [b"top", b"group" if group else b"user"], "objectSid": [sid_bytes(sid)]}
        more = {"groupType": [b"-2147483643"]} if group else {}
        self.put(dn, **kind, **more, sAMAccountName=[name.encode()])

    def put_member(self, group_sid: str, dn: str) -> None:
        group = next(row for row in self.rows.values() if row.all("objectSid") == [sid_bytes(group_sid)])
        self.put(group.dn, **{**dict(group.attributes), "member": [*group.all("member"), dn.encode()]})  # type: ignore[arg-type]

    async def search(
        self, base: str, scope: Literal["base", "one", "sub"], where: str, attributes: Sequence[str]
    ) -> list[Entry]:
        terms = re.findall(r"\(([a-zA-Z]+)=([^()]*)\)", where)
        found = [row for lower, row in self.rows.items() if _in_scope(lower, base.lower(), scope)]
        return [row for row in found if all(_meets(row, name, value) for name, value in terms)]

    async def add(self, dn: str, attributes: Attributes) -> None:
        raise NotImplementedError

    async def delete(self, dn: str) -> None:
        raise NotImplementedError

    async def modify(self, dn: str, changes: Sequence[Change]) -> None:
        row = self.rows[dn.lower()]
        for change in changes:
            values = row.all(change.attribute)
            for value in change.values:
                values = [*values, self._resolved(value)] if change.operation == "add" else _without(values, value)
            self.put(dn, **{**dict(row.attributes), change.attribute: values})  # type: ignore[arg-type]

    def _resolved(self, value: bytes) -> bytes:
        text = value.decode()
        if not text.startswith("<SID="):
            return value
        sid = text[5:-1]
        dn = f"CN={sid},CN=ForeignSecurityPrincipals,{self.facts.base_dn}"
        self.put(dn, objectClass=[b"foreignSecurityPrincipal"], objectSid=[sid_bytes(sid)])
        return dn.encode()

    async def token_sids(self, account_dn: str) -> frozenset[str]:
        own = sid_text(self.rows[account_dn.lower()].all("objectSid")[0])
        return frozenset({own, *self._groups_of(account_dn)})

    async def foreign_token_sids(self, sids: frozenset[str]) -> frozenset[str]:
        dns = [
            row.dn for row in self.rows.values() if row.all("objectSid") and sid_text(row.all("objectSid")[0]) in sids
        ]
        return sids.union(*(self._groups_of(dn) for dn in dns))

    def _groups_of(self, dn: str) -> set[str]:
        groups = [row for row in self.rows.values() if dn.encode() in row.all("member")]
        return {sid_text(group.all("objectSid")[0]) for group in groups}

    async def check_password(self, sam_account_name: str, password: str) -> bool:
        return self.passwords.get(sam_account_name.lower()) == password

    async def create_trust(self, direction: int, attributes: int, secret: tuple[bytes, bytes]) -> None:
        assert self.other is not None
        partner = self.other.facts
        self.put(
            f"CN={partner.dns},CN=System,{self.facts.base_dn}",
            objectClass=[b"trustedDomain"],
            trustPartner=[partner.dns.encode()],
            flatName=[partner.netbios.encode()],
            trustDirection=[str(direction).encode()],
            trustAttributes=[str(attributes).encode()],
        )

    async def set_trust(self, partner_dns: str, *, attributes: int | None = None, direction: int | None = None) -> None:
        row = self.rows[f"CN={partner_dns},CN=System,{self.facts.base_dn}".lower()]
        self.put(row.dn, **{**dict(row.attributes), "trustAttributes": [str(attributes).encode()]})  # type: ignore[arg-type]

    async def delete_trust(self, partner_dns: str) -> None:
        del self.rows[f"CN={partner_dns},CN=System,{self.facts.base_dn}".lower()]

    async def add_sid_history(self, dn: str, sid: str) -> None:
        raise NotImplementedError

    async def remove_sid_history(self, dn: str, sids: Sequence[str]) -> None:
        await self.modify(dn, [Change("sIDHistory", "delete", tuple(map(sid_bytes, sids)))])

    async def forget_members(self, dn: str) -> None:
        raise NotImplementedError

    async def write_password(self, dn: str, nt_hash: bytes, supplemental: bytes | None, *, must_change: bool) -> None:
        raise NotImplementedError

    async def random_password(self, dn: str, *, must_change: bool) -> None:
        raise NotImplementedError


def _in_scope(lower: str, base: str, scope: str) -> bool:
    if scope == "base":
        return lower == base
    below = lower.endswith("," + base)
    return below and "," not in lower[: -len(base) - 1] if scope == "one" else below or lower == base


def _meets(row: Entry, name: str, value: str) -> bool:
    wanted = re.sub(rb"\\([0-9a-f]{2})", lambda found: bytes([int(found[1], 16)]), value.encode())
    values = row.all(name) or ([b"any"] if name == "objectClass" else [])
    return bool(values) if value == "*" else wanted.lower() in [one.lower() for one in values]


def _without(values: list[bytes], value: bytes) -> list[bytes]:
    return [one for one in values if one != value]


@dataclass
class FakeCall:
    """One cmdlet call; keeps what it put out."""

    machine: Any
    logon: Logon
    class_of: str
    arguments: Mapping[str, Any]
    pipeline_input: Sequence[Any] = ()
    what_if: bool = False
    out: list[Any] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

    def output(self, value: Any) -> None:
        self.out.append(value)

    def warning(self, text: str) -> None:
        del text

    def verbose(self, text: str) -> None:
        del text

    def error(self, exception: str, message: str, error_id: str, category: str, target: object = None) -> None:
        self.failures.append(Failure(exception, message, f"{error_id},{self.class_of}", category, target))

    def throw(self, exception: str, message: str, error_id: str, category: str, target: object = None) -> NoReturn:
        raise Terminated(Failure(exception, message, f"{error_id},{self.class_of}", category, target))


class Clock:
    """Time that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


@dataclass
class Lab:
    """Two machines that know each other."""

    source: Machine
    target: Machine
    clock: Clock

    async def call(self, command: str, logon: Logon = ADMIN, on: Machine | None = None, **given: Any) -> FakeCall:
        machine = on or self.source
        cmdlet = machine.cmdlets[command.lower()]
        pipeline = given.pop("pipeline", None)
        what_if = given.pop("what_if", False)
        arguments = bind(cmdlet, list(given.items()), pipeline).arguments
        call = FakeCall(machine, logon, class_name(cmdlet), arguments, pipeline or (), what_if)
        await cmdlet.run(call)
        return call

    async def fails(self, command: str, **given: Any) -> str:
        call = await self.call(command, **given)
        assert len(call.failures) == 1, call
        return call.failures[0].error_id

    async def program(self, line: str, logon: Logon = ADMIN, on: Machine | None = None) -> tuple[int, list[str]]:
        lines: list[str] = []
        name, *arguments = split_arguments(line)
        code = await (on or self.source).run_program(name, arguments, logon, lines.append, lines.append)
        return code, lines


def facts_of(role: Literal["source", "target"], number: int) -> DomainFacts:
    base = f"DC={role},DC=lab"
    host = f"{role[:3].replace('tar', 'tgt').replace('sou', 'src')}dc1.{role}.lab"
    return DomainFacts(
        role, f"{role}.lab", role.upper(), f"S-1-5-21-{number}-{number}-{number}", base, host, "127.0.0.9"
    )


def make_lab(directory: Path, *, awkward: bool = False) -> Lab:
    clock = Clock()
    machines = []
    stores = [FakeDirectory(facts_of("source", 1)), FakeDirectory(facts_of("target", 2))]
    for store, other in zip(stores, reversed(stores), strict=True):
        store.other = other
        path = directory / f"{store.facts.role}.json"
        if not path.exists():
            write_disk(path, pristine(store.facts, awkward, clock))
        machine = Machine.load(path, store.facts, store)
        machine.clock = clock
        machines.append(machine)
    source, target = machines
    source.peers, target.peers = {target.fqdn: target}, {source.fqdn: source}
    return Lab(source, target, clock)


def in_lab(directory: Path, work: Any, **options: Any) -> None:
    """Boot a lab, run ``work(lab)``, and switch it off."""

    async def whole() -> None:
        lab = make_lab(directory, **options)
        await lab.source.boot()
        await lab.target.boot()
        try:
            await work(lab)
        finally:
            await lab.source.shut_down()
            await lab.target.shut_down()

    asyncio.run(whole())


async def until(met: Any) -> None:
    """Let everything else run until something is true."""
    async with asyncio.timeout(5):
        while not met():
            await asyncio.sleep(0)


def task_xml(command: str, arguments: str = "", trigger: str = "", user: str = "") -> str:
    return (
        '<?xml version="1.0" encoding="UTF-16"?>'
        '<Task version="1.2" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">'
        f"<Triggers>{trigger}</Triggers>"
        f'<Principals><Principal id="A"><UserId>{user}</UserId><LogonType>Password</LogonType>'
        "<RunLevel>HighestAvailable</RunLevel></Principal></Principals>"
        f"<Actions><Exec><Command>{command}</Command><Arguments>{arguments}</Arguments></Exec></Actions></Task>"
    )


# -- registry


def test_absent_value_is_an_error_and_not_zero(tmp_path: Path) -> None:
    async def work(lab: Lab) -> None:
        wanted = "System.Management.Automation.PSArgumentException,Microsoft.PowerShell.Commands.GetItemPropertyCommand"
        assert await lab.fails("Get-ItemProperty", Path=LSA_PATH, Name="AllowPasswordExport") == wanted
        missing = await lab.fails("Get-ItemProperty", Path="HKLM:\\SOFTWARE\\Nothing")
        assert missing == "PathNotFound,Microsoft.PowerShell.Commands.GetItemPropertyCommand"

    in_lab(tmp_path, work)


def test_awkward_host_has_the_value_as_zero(tmp_path: Path) -> None:
    async def work(lab: Lab) -> None:
        call = await lab.call("Get-ItemProperty", Path=LSA_PATH, Name="AllowPasswordExport")
        assert call.out[0]["AllowPasswordExport"] == 0
        assert call.out[0]["PSPath"].startswith("Microsoft.PowerShell.Core\\Registry::HKEY_LOCAL_MACHINE\\SYSTEM")
        assert lab.source.audit.get(USERS_AUDIT) == 1

    in_lab(tmp_path, work, awkward=True)


def test_set_item_property_keeps_the_kind_that_is_there(tmp_path: Path) -> None:
    async def work(lab: Lab) -> None:
        await lab.call("Set-ItemProperty", Path=LSA_PATH, Name="TcpipClientSupport", Value="1")
        assert lab.source.registry.dword(LSA, "TcpipClientSupport") is None  # REG_SZ "1" does not count
        await lab.call("Set-ItemProperty", Path=LSA_PATH, Name="TcpipClientSupport", Value=1, Type="DWord")
        await lab.call("Set-ItemProperty", Path=LSA_PATH, Name="tcpipclientsupport", Value="0")
        assert lab.source.registry.dword(LSA, "TcpipClientSupport") == 0

    in_lab(tmp_path, work)


def test_new_item_property_refuses_what_is_there_and_what_if_writes_nothing(tmp_path: Path) -> None:
    async def work(lab: Lab) -> None:
        given: dict[str, Any] = {"Path": LSA_PATH, "Name": "RestrictAnonymous", "Value": 0, "PropertyType": "DWord"}
        error = await lab.fails("New-ItemProperty", **given)
        assert error == "System.IO.IOException,Microsoft.PowerShell.Commands.NewItemPropertyCommand"
        await lab.call("Set-ItemProperty", Path=LSA_PATH, Name="RestrictAnonymous", Value=0, what_if=True)
        assert lab.source.registry.dword(LSA, "RestrictAnonymous") == 1
        await lab.call("New-ItemProperty", **given, Force=True)
        assert lab.source.registry.dword(LSA, "RestrictAnonymous") == 0

    in_lab(tmp_path, work)


def test_who_is_no_administrator_changes_nothing_below_hklm(tmp_path: Path) -> None:
    async def work(lab: Lab) -> None:
        call = await lab.call("Set-ItemProperty", NOBODY, Path=LSA_PATH, Name="X", Value=1)
        assert call.failures[0].exception == "System.Security.SecurityException"
        assert lab.source.registry.get(LSA, "X") is None
        denied = await lab.call("Start-Service", NOBODY, Name="RemoteRegistry")
        assert denied.failures[0].error_id == "CouldNotStartService,Microsoft.PowerShell.Commands.StartServiceCommand"
        code, _ = await lab.program(f"auditpol /set /subcategory:{USERS_AUDIT} /failure:enable", NOBODY)
        assert code == 0x522

    in_lab(tmp_path, work)


def test_uninstall_keys_are_found_by_wildcard(tmp_path: Path) -> None:
    async def work(lab: Lab) -> None:
        path = "HKLM:\\SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\Uninstall\\*"
        call = await lab.call("Get-ItemProperty", Path=path)
        assert [one["DisplayVersion"] for one in call.out] == ["10.0.40219"]

    in_lab(tmp_path, work)


def test_reg_query_shows_one_value_as_reg_exe_does(tmp_path: Path) -> None:
    async def work(lab: Lab) -> None:
        key = "HKLM\\SYSTEM\\CurrentControlSet\\Control\\Lsa"
        code, lines = await lab.program(f"reg query {key} /v RestrictAnonymous")
        assert code == 0
        full = key.replace("HKLM", "HKEY_LOCAL_MACHINE")
        assert lines == ["", full, "    RestrictAnonymous    REG_DWORD    0x1", ""]
        assert (await lab.program(f"reg query {key} /v Nothing"))[0] == 1

    in_lab(tmp_path, work)


# -- disk and power


def test_boot_decides_which_values_count(tmp_path: Path) -> None:
    async def work(lab: Lab) -> None:
        lab.source.registry.set(LSA, "AllowPasswordExport", "DWord", 1)
        assert lab.source.booted_dword("AllowPasswordExport") is None
        lab.clock.now += timedelta(minutes=1)
        lab.source.restart("test", 0.0)
        await until(lambda: lab.source.up and lab.source.boot_time == lab.clock.now)
        assert lab.source.booted_dword("allowpasswordexport") == 1

    in_lab(tmp_path, work)


def test_what_a_cmdlet_wrote_survives_a_crash(tmp_path: Path) -> None:
    async def crash() -> None:
        lab = make_lab(tmp_path)
        await lab.source.boot()
        await lab.call("Set-Content", Path="C:\\Windows\\Temp\\a.pes", Value=b"\x00\xff", Encoding="Byte")
        lab.source.services.add(Service("PesSvc", "Password Export Server Service", "x", "Manual"))
        await lab.call("Start-Service", Name="PesSvc")

    asyncio.run(crash())  # nothing was shut down
    assert (tmp_path / "source.json").stat().st_mode & 0o777 == 0o600
    again = make_lab(tmp_path).source
    assert again.files.read("c:\\windows\\TEMP\\A.PES") == b"\x00\xff"
    service = again.services.get("pessvc")
    assert service is not None
    assert not service.running
    assert again.disk() == json.loads((tmp_path / "source.json").read_text("utf-8"))


def test_restart_computer_answers_first_and_never_waits_for_itself(tmp_path: Path) -> None:
    async def work(lab: Lab) -> None:
        asked: list[float] = []
        lab.source.restart_hook = asked.append
        assert await lab.fails("Restart-Computer", Wait=True) == (
            "CannotWaitLocalComputer,Microsoft.PowerShell.Commands.RestartComputerCommand"
        )
        await lab.call("Restart-Computer", Force=True)
        assert asked == [0.3]
        assert await lab.fails("Restart-Computer", Force=True) == (  # a shutdown is in progress
            "RestartcomputerFailed,Microsoft.PowerShell.Commands.RestartComputerCommand"
        )
        assert asked == [0.3]
        booted = (await lab.call("Get-CimInstance", ClassName="Win32_OperatingSystem")).out[0]["LastBootUpTime"]
        assert booted == START

    in_lab(tmp_path, work)


# -- services


def test_services_start_by_mode_account_and_hook(tmp_path: Path) -> None:
    async def work(lab: Lab) -> None:
        async def hook(service: Service) -> int:
            return 0 if service.account == "LocalSystem" else 1066

        lab.source.services.add(Service("PesSvc", "Password Export Server Service", "pwdmig.exe", "Manual"), hook)
        query = "SELECT * FROM Win32_Service WHERE Name='PesSvc'"
        account: dict[str, Any] = {"StartName": r"SOURCE\Administrator", "StartPassword": "wrong"}
        change: dict[str, Any] = {"Query": query, "MethodName": "Change", "Arguments": account}
        assert (await lab.call("Invoke-CimMethod", **change)).out[0]["ReturnValue"] == 0
        assert (await lab.fails("Start-Service", Name="PesSvc")).startswith("CouldNotStartService,")
        account["StartPassword"] = "right"
        await lab.call("Invoke-CimMethod", **change)
        assert (await lab.fails("Start-Service", Name="PesSvc")).startswith("StartServiceFailed,")
        account["StartName"] = "LocalSystem"
        await lab.call("Invoke-CimMethod", **change)
        await lab.call("Start-Service", Name="PesSvc")
        row = (await lab.call("Get-CimInstance", ClassName="Win32_Service", Filter="Name='PesSvc'")).out[0]
        assert (row["State"], row["StartMode"], row["StartName"]) == ("Running", "Manual", "LocalSystem")
        await lab.call("Set-Service", Name="PesSvc", StartupType="Disabled")
        await lab.call("Stop-Service", Name="PesSvc")
        assert (await lab.fails("Start-Service", Name="PesSvc")).startswith("CouldNotStartService,")
        assert str((await lab.call("Get-Service", Name="pessvc")).out[0]["Status"]) == "Stopped"
        missing = await lab.fails("Get-Service", Name="Nope")
        assert missing == "NoServiceFoundForGivenName,Microsoft.PowerShell.Commands.GetServiceCommand"

    in_lab(tmp_path, work)


# -- files


def test_files_hash_lines_and_search(tmp_path: Path) -> None:
    async def work(lab: Lab) -> None:
        path = "C:\\Logs\\m.log"
        assert (await lab.fails("Set-Content", Path=path, Value="x")).startswith("GetContentWriterDirectoryNotFound")
        await lab.call("New-Item", Path="C:\\Logs", ItemType="Directory")
        await lab.call("Set-Content", Path=path, Value=["one ä", "WRN1:7557 two"], Encoding="Unicode")
        assert lab.source.files.read(path).startswith(b"\xff\xfeo\x00")
        assert (await lab.call("Get-Content", Path=path)).out == ["one ä", "WRN1:7557 two"]
        content = lab.source.files.read(path)
        whole = await lab.call("Get-Content", LiteralPath=path, Encoding="Byte", ReadCount=0)
        assert whole.out == [content]
        found = (await lab.call("Select-String", Path="C:\\Logs\\*.log", Pattern="7557", SimpleMatch=True)).out
        assert [(one["LineNumber"], one["Filename"]) for one in found] == [(2, "m.log")]
        assert len((await lab.call("Get-FileHash", LiteralPath=path)).out[0]["Hash"]) == 64
        assert await lab.fails("Get-FileHash", LiteralPath="C:\\Logs\\no") == "FileReadError,Get-FileHash"
        assert (await lab.fails("Remove-Item", Path="C:\\Logs")).startswith("System.Management.Automation.Host.Host")
        await lab.call("Remove-Item", Path="C:\\Logs", Recurse=True, Force=True)
        assert (await lab.call("Test-Path", LiteralPath=path)).out == [False]
        assert (await lab.fails("Remove-Item", LiteralPath=path)).startswith("PathNotFound,")

    in_lab(tmp_path, work)


# -- audit


@pytest.mark.parametrize(("locale", "text"), [("en", "Success"), ("de", "Erfolg")])
def test_auditpol_report_is_localised_and_carries_guids(tmp_path: Path, locale: str, text: str) -> None:
    async def work(lab: Lab) -> None:
        lab.source.locale = locale
        code, lines = await lab.program("auditpol /get /category:{6997984E-797A-11D9-BED3-505054503030} /r")
        assert code == 0
        assert lines[0] == ""
        rows = [line.split(",") for line in lines[2:]]
        assert {len(row) for row in rows} == {6}
        assert {row[3]: row[4] for row in rows}[USERS_AUDIT] == text

    in_lab(tmp_path, work)


def test_group_policy_overrules_auditpol_at_the_next_refresh(tmp_path: Path) -> None:
    async def work(lab: Lab) -> None:
        change = "auditpol /set /category:{6997984E-797A-11D9-BED3-505054503030} /success:enable /failure:enable"
        assert (await lab.program(change))[0] == 0
        assert lab.source.audit.covers("{6997984E-797A-11D9-BED3-505054503030}")
        assert (await lab.program("gpupdate /target:computer /force"))[0] == 0
        assert lab.source.audit.get(USERS_AUDIT) == 3
        row = f",System,Audit User Account Management,{USERS_AUDIT},Success,,1"
        lab.source.files.write(AUDIT_CSV, f"{AUDIT_CSV_HEADER}\r\n{row}\r\n".encode(), parents=True)
        await lab.program("gpupdate.exe /target:computer")
        assert lab.source.audit.get(USERS_AUDIT) == 1
        assert await lab.program("auditpol /get /category:Nothing /r") == (
            87,
            ["Error 0x00000057 occurred:", "The parameter is incorrect."],
        )

    in_lab(tmp_path, work)


# -- trusts, logons and groups


TRUST = "netdom trust source.lab /domain:target.lab"
BOTH = r"/userd:TARGET\Administrator /passwordd:right /usero:SOURCE\Administrator /passwordo:right"


def test_network_logon_cannot_reach_the_other_side_without_credentials(tmp_path: Path) -> None:
    async def work(lab: Lab) -> None:
        code, lines = await lab.program(f"{TRUST} /add")
        assert (code, lines[0]) == (5, "Access is denied.")
        wrong = BOTH.replace("passwordd:right", "passwordd:wrong")
        assert (await lab.program(f"{TRUST} /add {wrong}"))[0] == 1326
        code, lines = await lab.program("nltest /sc_verify:TARGET")
        assert (code, lines) == (1, ["I_NetLogonControl failed: Status = 1355 0x54b ERROR_NO_SUCH_DOMAIN"])

    in_lab(tmp_path, work)


def test_trust_is_quarantined_until_it_is_relaxed(tmp_path: Path) -> None:
    async def work(lab: Lab) -> None:
        assert (await lab.program(f"{TRUST} /add {BOTH}"))[0] == 0
        name = "CN=target.lab,CN=System,DC=source,DC=lab"
        (row,) = await lab.source.directory.search(name, "base", "(objectClass=*)", ())
        assert (row.text("trustDirection"), row.text("trustAttributes")) == ("2", "4")
        assert (await lab.program(f"{TRUST} /add {BOTH}"))[0] == 183
        assert (await lab.program(f"{TRUST} /quarantine:no"))[0] == 0
        assert (await lab.program(f"{TRUST} /enablesidhistory:yes"))[0] == 87  # not a forest trust
        (row,) = await lab.source.directory.search(name, "base", "(objectClass=*)", ())
        assert row.text("trustAttributes") == "0"
        code, lines = await lab.program("nltest /sc_verify:TARGET")
        assert code == 0
        assert "Trust Verification Status = 0 0x0 NERR_Success" in lines
        assert (await lab.program("nltest /sc_verify:SOURCE", on=lab.target))[0] == 1  # inbound only
        assert (await lab.program(f"{TRUST} /remove {BOTH}"))[0] == 0
        assert await lab.source.directory.search(name, "base", "(objectClass=*)", ()) == []

    in_lab(tmp_path, work)


def test_foreign_administrator_through_a_trust(tmp_path: Path) -> None:
    async def work(lab: Lab) -> None:
        add: dict[str, Any] = {"Group": "Administrators", "Member": r"TARGET\migrator"}
        store = lab.target.directory
        assert isinstance(store, FakeDirectory)
        store.principal("CN=migrator,CN=Users,DC=target,DC=lab", "migrator", "S-1-5-21-2-2-2-1105")
        store.passwords["migrator"] = "secret"
        ends = ",Microsoft.PowerShell.Commands.AddLocalGroupMemberCommand"
        assert await lab.fails("Add-LocalGroupMember", **add) == "PrincipalNotFound" + ends
        await lab.program(f"{TRUST} /add {BOTH}")
        with pytest.raises(LogonRefused, match="1385"):
            await batch_logon(lab.source, r"TARGET\migrator", "secret")
        assert not (await lab.call("Add-LocalGroupMember", **add)).failures
        assert await lab.fails("Add-LocalGroupMember", **add) == "MemberExists" + ends
        members = (await lab.call("Get-LocalGroupMember", SID="S-1-5-32-544")).out
        assert [one["Name"] for one in members] == [r"SOURCE\Administrator", r"TARGET\migrator"]
        assert members[1]["SID"]["Value"] == "S-1-5-21-2-2-2-1105"
        logon = await batch_logon(lab.source, "migrator@target.lab", "secret")
        assert logon.is_administrator
        assert logon.network is not None
        assert (await network_logon(lab.source, r"TARGET\migrator")).network is None
        await lab.call("Remove-LocalGroupMember", **add)
        error = await lab.fails("Remove-LocalGroupMember", **add)
        assert error == "MemberNotFound,Microsoft.PowerShell.Commands.RemoveLocalGroupMemberCommand"
        assert (await lab.fails("Get-LocalGroupMember", Group="Nope")).startswith("GroupNotFound,")

    in_lab(tmp_path, work)


def test_quarantine_drops_history_from_a_foreign_token(tmp_path: Path) -> None:
    async def work(lab: Lab) -> None:
        store = lab.target.directory
        assert isinstance(store, FakeDirectory)
        store.principal("CN=alice,CN=Users,DC=target,DC=lab", "alice", "S-1-5-21-2-2-2-1200")
        store.principal("CN=old,CN=System,DC=target,DC=lab", "old", "S-1-5-21-1-1-1-1100", group=True)
        store.put_member("S-1-5-21-1-1-1-1100", "CN=alice,CN=Users,DC=target,DC=lab")
        await lab.program(f"{TRUST} /add {BOTH}")
        assert "S-1-5-21-1-1-1-1100" not in (await network_logon(lab.source, r"TARGET\alice")).sids
        await lab.program(f"{TRUST} /quarantine:no")
        assert "S-1-5-21-1-1-1-1100" in (await network_logon(lab.source, r"TARGET\alice")).sids

    in_lab(tmp_path, work)


def test_secure_channel_needs_the_other_controller(tmp_path: Path) -> None:
    async def work(lab: Lab) -> None:
        await lab.program(f"{TRUST} /add {BOTH}")
        await lab.target.shut_down()
        _, lines = await lab.program("nltest /sc_verify:TARGET")
        assert "Trust Verification Status = 1311 0x51f ERROR_NO_LOGON_SERVERS" in lines
        with pytest.raises(LogonRefused):
            await network_logon(lab.source, r"TARGET\Administrator")

    in_lab(tmp_path, work)


# -- scheduled tasks


def test_task_runs_with_a_credential_and_keeps_its_exit_code(tmp_path: Path) -> None:
    async def work(lab: Lab) -> None:
        seen: list[Any] = []

        async def program(process: Any) -> int:
            seen.append(process)
            return 7

        lab.source.programs["probe.exe"] = program
        given: dict[str, Any] = {
            "TaskName": "probe",
            "TaskPath": "\\Reconciler",
            "Xml": task_xml("probe", '/u:"a b" c\\'),
        }
        user: dict[str, Any] = {"User": r"SOURCE\Administrator"}
        wrong = await lab.fails("Register-ScheduledTask", **given, **user, Password="wrong")
        assert wrong == "HRESULT 0x8007052e,Register-ScheduledTask"
        call = await lab.call("Register-ScheduledTask", **given, **user, Password="right")
        assert (call.out[0]["URI"], str(call.out[0]["State"])) == ("\\Reconciler\\probe", "Ready")
        again = await lab.fails("Register-ScheduledTask", **given, **user, Password="right")
        assert again == "HRESULT 0x800700b7,Register-ScheduledTask"
        named: dict[str, Any] = {"TaskName": "probe", "TaskPath": "\\Reconciler\\"}
        assert (await lab.call("Get-ScheduledTaskInfo", **named)).out[0]["LastTaskResult"] == 267011
        await lab.call("Start-ScheduledTask", **named)
        assert (await lab.call("Get-ScheduledTaskInfo", **named)).out[0]["LastTaskResult"] == 267009
        await until(lambda: not next(iter(lab.source.tasks)).running)
        assert (await lab.call("Get-ScheduledTaskInfo", **named)).out[0]["LastTaskResult"] == 7
        process = seen[0]
        assert isinstance(process, RunningProgram)
        assert process.arguments == ("/u:a b", "c\\")
        assert (process.logon.kind, process.logon.network and process.logon.network.password) == ("batch", "right")
        assert (await lab.fails("Unregister-ScheduledTask", **named)).startswith("System.Management.Automation.Host")
        await lab.call("Unregister-ScheduledTask", **named, Confirm=False)
        missing = await lab.fails("Get-ScheduledTask", TaskName="probe")
        assert missing == "CmdletizationQuery_NotFound_TaskName,Get-ScheduledTask"

    in_lab(tmp_path, work)


def test_clock_and_boot_start_tasks_while_nobody_is_there(tmp_path: Path) -> None:
    async def work(lab: Lab) -> None:
        ran: list[str] = []

        async def program(process: Any) -> int:
            ran.append(f"{process.arguments[0]} {process.logon.account}")
            return 0

        lab.source.programs["probe.exe"] = program
        time = "<TimeTrigger><StartBoundary>2026-01-01T13:00:00</StartBoundary></TimeTrigger>"
        boot = "<BootTrigger><Enabled>true</Enabled></BootTrigger>"
        for name, trigger in (("timed", time), ("booted", boot)):
            xml = task_xml("probe.exe", name, trigger, "S-1-5-18")
            await lab.call("Register-ScheduledTask", TaskName=name, Xml=xml)
        assert lab.source.tasks.fire_due() == []
        lab.clock.now = START + timedelta(hours=1)
        assert [task.name for task in lab.source.tasks.fire_due()] == ["timed"]
        await until(lambda: ran == [r"timed NT AUTHORITY\SYSTEM"])
        await lab.source.shut_down()
        lab.source.read(json.loads(lab.source.path.read_text("utf-8")))
        await lab.source.boot()
        await until(lambda: ran[1:] == [r"booted NT AUTHORITY\SYSTEM"])
        assert lab.source.tasks.fire_due() == []

    in_lab(tmp_path, work)


DEAD_MAN = (
    '<Task version="1.2" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">'
    "<Triggers><TimeTrigger><StartBoundary>2026-01-01T20:00:00Z</StartBoundary></TimeTrigger></Triggers>"
    '<Principals><Principal id="Author"><UserId>S-1-5-18</UserId></Principal></Principals>'
    "<Settings><StartWhenAvailable>true</StartWhenAvailable></Settings><Actions>"
    "<Exec><Command>C:\\Windows\\System32\\sc.exe</Command><Arguments>stop W32Time</Arguments></Exec>"
    "<Exec><Command>C:\\Windows\\System32\\sc.exe</Command><Arguments>config W32Time start= disabled</Arguments></Exec>"
    "<Exec><Command>C:\\Windows\\System32\\reg.exe</Command>"
    "<Arguments>delete HKLM\\SYSTEM\\CurrentControlSet\\Control\\Lsa /v AllowPasswordExport /f</Arguments></Exec>"
    "</Actions></Task>"
)


@pytest.mark.parametrize("off", [False, True])
def test_task_of_several_programs_runs_as_system_when_its_time_has_come_or_the_host_is_up_again(
    tmp_path: Path, off: bool
) -> None:
    async def work(lab: Lab) -> None:
        machine = lab.source
        service = machine.services.add(Service("W32Time", "Windows Time", "x"))
        await machine.services.start("W32Time")
        machine.registry.set(LSA, "AllowPasswordExport", "DWord", 1)
        await lab.call("Register-ScheduledTask", TaskName="x", Xml=DEAD_MAN)
        booted = machine.boot_time
        assert machine.advance(timedelta(hours=7)) == []
        if off:
            await machine.shut_down()
        jobs = machine.advance(timedelta(hours=2))
        assert len(jobs) == (0 if off else 1)
        if off:
            await machine.boot()
        else:
            assert machine.boot_time == booted
        await until(lambda: next(iter(machine.tasks)).last_result == 0)
        assert (service.running, service.start_mode) == (False, "Disabled")
        assert machine.registry.get(LSA, "AllowPasswordExport") is None
        assert machine.now() == START + timedelta(hours=9)
        assert machine.disk()["ahead_s"] == 9 * 3600

    in_lab(tmp_path, work)


def test_exported_task_is_the_registered_one_with_its_path(tmp_path: Path) -> None:
    async def work(lab: Lab) -> None:
        await lab.call("Register-ScheduledTask", TaskName="x", Xml=DEAD_MAN)
        (xml,) = (await lab.call("Export-ScheduledTask", TaskName="x")).out
        assert parse_task(xml) == parse_task(DEAD_MAN)
        assert "<URI>\\x</URI>" in xml
        assert await lab.fails("Export-ScheduledTask", TaskName="y") == "HRESULT 0x80070002,Export-ScheduledTask"

    in_lab(tmp_path, work)


def test_restart_ends_a_task_in_the_middle_of_its_work(tmp_path: Path) -> None:
    async def work(lab: Lab) -> None:
        ended: list[str] = []

        async def program(process: Any) -> int:
            del process
            try:
                await asyncio.Event().wait()
            finally:
                ended.append("in the middle")
            return 0

        lab.source.programs["endless.exe"] = program
        await lab.call("Register-ScheduledTask", TaskName="x", Xml=task_xml("endless.exe", user="SYSTEM"))
        await lab.call("Start-ScheduledTask", TaskName="x")
        assert str((await lab.call("Get-ScheduledTask", TaskName="x")).out[0]["State"]) == "Running"
        for _ in range(5):
            await asyncio.sleep(0)
        await lab.source.shut_down()
        assert ended == ["in the middle"]
        stored = json.loads(lab.source.path.read_text("utf-8"))
        assert stored["tasks"][0]["last_result"] == 267014

    in_lab(tmp_path, work)


def test_malformed_task_and_missing_program(tmp_path: Path) -> None:
    async def work(lab: Lab) -> None:
        error = await lab.fails("Register-ScheduledTask", TaskName="x", Xml="<Task>")
        assert error == "HRESULT 0x8004131a,Register-ScheduledTask"
        await lab.call("Register-ScheduledTask", TaskName="x", Xml=task_xml("nothing.exe", user="SYSTEM"))
        await lab.call("Start-ScheduledTask", TaskName="x")
        task = next(iter(lab.source.tasks))
        await until(lambda: not task.running)
        assert task.last_result == 0x80070002
        with pytest.raises(ProgramNotFound):
            lab.source.find_program("C:\\Nowhere\\reg.exe")

    in_lab(tmp_path, work)


def test_start_process_splits_again_what_it_joined(tmp_path: Path) -> None:
    async def work(lab: Lab) -> None:
        seen: list[Any] = []

        async def program(process: Any) -> int:
            seen.append((list(process.arguments), process.logon.network))
            return 3

        lab.source.installers["setup.exe"] = program
        given: dict[str, Any] = {
            "FilePath": "setup.exe",
            "ArgumentList": ["/a", "two words"],
            "Wait": True,
            "PassThru": True,
        }
        assert (await lab.call("Start-Process", **given)).out[0]["ExitCode"] == 3
        assert seen == [(["/a", "two", "words"], None)]
        with pytest.raises(Terminated):
            await lab.call("Start-Process", FilePath="nothing.exe")

    in_lab(tmp_path, work)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", []),
        ('a "b c" d', ["a", "b c", "d"]),
        (r'"C:\a b\\" x', ["C:\\a b\\", "x"]),
        (r"a\\\"b", ['a\\"b']),
        ('"" b', ["", "b"]),
        ('"a""b"', ['a"b']),
    ],
)
def test_command_lines_split_as_windows_does(line: str, words: list[str]) -> None:
    assert split_arguments(line) == words


def test_system_has_no_identity_on_the_network(tmp_path: Path) -> None:
    async def work(lab: Lab) -> None:
        logon = system_logon(lab.source)
        assert logon.is_administrator
        assert logon.network is None

    in_lab(tmp_path, work)

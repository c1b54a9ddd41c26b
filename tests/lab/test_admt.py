"""The simulated ADMT and PES: each precondition taken away fails as documented; with all of them, it migrates."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from winacl.dtyp.security_descriptor import SECURITY_DESCRIPTOR

from reconciler.lab.admt.database import FILE, Database, exclusive, key_for
from reconciler.lab.admt.include_file import Included, decode, parse
from reconciler.lab.admt.install import install
from reconciler.lab.admt.keyfile import InvalidKeyPassword, new_key, seal, unseal
from reconciler.lab.admt.log import CURRENT, LOGS, PASSWORDS, MigrationLog, read_log
from reconciler.lab.admt.names import sanitised
from reconciler.lab.admt.pes import PRODUCT, PesNotInstalled, pes_is_loaded
from reconciler.lab.admt.wizard import pes_wizard
from reconciler.lab.windows.accounts import sid_text
from reconciler.lab.windows.contract import (
    Logon,
    NetworkCredential,
)
from reconciler.lab.windows.machine import Machine
from reconciler.lab.windows.registry import LSA
from tests.lab.admt_lab import (
    ADMINISTRATORS,
    KEY_FILE,
    KEY_PASSWORD,
    MIGRATED,
    NO_SESSION,
    OPERATOR,
    RIGHT,
    SIDS_REFUSED,
    SOURCE,
    STAFF,
    TARGET,
    Lab,
    bare_lab,
    create_key,
    on_loop,
    ready_lab,
)

# -- the happy path


@on_loop
async def test_user_arrives_with_sid_password_and_attributes(tmp_path: Path) -> None:
    lab = await ready_lab(tmp_path)
    assert await lab.user() == 0, lab.output
    alice = lab.target_directory.row(f"CN=Alice Example,{MIGRATED}")
    assert [sid_text(value) for value in alice["sIDHistory"]] == [f"{SOURCE.sid}-1001"]
    assert alice["userPrincipalName"] == [b"alice@target.lab"]
    assert alice["givenName"] == [b"Alice"]
    assert alice["userAccountControl"] == [b"512"]
    source_dn = f"CN=Alice Example,{STAFF}"
    assert lab.target_directory.passwords[f"cn=alice example,{MIGRATED}".lower()] == (
        f"hash of {source_dn}".encode(),
        True,
    )
    assert lab.source_directory.membership_events == [f"add {source_dn}", f"delete {source_dn}"]
    for words in ("CN=Alice Example - Created", "added to sIDHistory", "Password copied", "Operation completed."):
        assert words in lab.log()
    assert lab.target.files.read(CURRENT).startswith(b"\xff\xfe")
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ", lab.log())


@on_loop
async def test_second_run_leaves_what_exists_alone(tmp_path: Path) -> None:
    lab = await ready_lab(tmp_path)
    await lab.user()
    assert await lab.user() == 0
    assert "WRN1:9811 CN=Alice Example - already exists" in lab.log()
    assert lab.target.files.exists(LOGS + r"\Migration 0001.log")
    assert await lab.user("/CO:MERGE") == 0
    assert "is already in sIDHistory" in lab.log()
    assert len(lab.target_directory.row(f"CN=Alice Example,{MIGRATED}")["sIDHistory"]) == 1


@on_loop
async def test_name_of_somebody_else_in_the_target_is_an_error(tmp_path: Path) -> None:
    lab = await ready_lab(tmp_path)
    lab.target_directory.put(
        f"CN=Other,{TARGET.base_dn}", f"{TARGET.sid}-1500", objectClass="user", sAMAccountName="alice"
    )
    assert await lab.user() == 0
    assert re.search(r"ERR2:9810 alice: an object with this name already exists", lab.log())


@on_loop
async def test_groups_of_the_users_come_along(tmp_path: Path) -> None:
    lab = await ready_lab(tmp_path)
    assert await lab.user("/MGS:YES") == 0
    readers = lab.target_directory.row(f"CN=Readers,{MIGRATED}")
    assert readers["member"] == [f"CN=Alice Example,{MIGRATED}".encode()]
    assert [sid_text(value) for value in readers["sIDHistory"]] == [f"{SOURCE.sid}-1003"]


@on_loop
async def test_group_verb_gathers_migrated_members(tmp_path: Path) -> None:
    lab = await ready_lab(tmp_path)
    await lab.user()
    code = await lab.call(lab.target, "admt", "group", "/N", "Readers", "/SD:SOURCE", "/TD:TARGET", "/TO:Migrated")
    assert code == 0
    assert lab.target_directory.row(f"CN=Readers,{MIGRATED}")["member"] == [f"CN=Alice Example,{MIGRATED}".encode()]


@on_loop
async def test_disable_options_and_unchanged_password_flags(tmp_path: Path) -> None:
    lab = await ready_lab(tmp_path)
    lab.source_directory.row(f"CN=Alice Example,{STAFF}")["userAccountControl"] = [b"66048"]  # password never expires
    assert await lab.user("/DOT:DISABLESOURCE+DISABLETARGET") == 0
    assert lab.target_directory.row(f"CN=Alice Example,{MIGRATED}")["userAccountControl"] == [b"66050"]
    assert lab.source_directory.row(f"CN=Alice Example,{STAFF}")["userAccountControl"] == [b"66050"]
    assert lab.target_directory.passwords[f"cn=alice example,{MIGRATED}".lower()][1] is False


@on_loop
async def test_include_file_names_the_target(tmp_path: Path) -> None:
    lab = await ready_lab(tmp_path)
    text = 'SourceName,TargetRDN,TargetSAM\r\ncookie,"CN=Monster\\, C.","cookie:monster"\r\nnobody,,\r\n'
    lab.target.files.write(r"C:\include.csv", text.encode())
    assert await lab.user(r"/F:C:\include.csv") == 0
    monster = lab.target_directory.row(rf"CN=Monster\, C.,{MIGRATED}")
    assert monster["sAMAccountName"] == [b"cookie_monster"]
    assert "ERR2:9814 The object 'nobody' could not be found" in lab.log()


# -- every precondition, taken away in turn


def drop_trust(lab: Lab) -> None:
    del lab.source_directory.entries[f"CN=target.lab,CN=System,{SOURCE.base_dn}".lower()]


def local_group_row(lab: Lab) -> dict[str, list[bytes]]:
    return lab.source_directory.row("CN=SOURCE$$$,CN=Users,DC=source,DC=lab")


def no_auditing(machine: Machine) -> None:
    machine.audit.set("{0CCE9236-69AE-11D9-BED3-505054503030}", 1)


def drop_right(lab: Lab) -> None:
    sddl = RIGHT.replace("ba33815a", "ba33815b")
    lab.target_directory.row(TARGET.base_dn)["nTSecurityDescriptor"] = [SECURITY_DESCRIPTOR.from_sddl(sddl).to_bytes()]


async def boot_with(lab: Lab, name: str, value: int) -> None:
    lab.source.registry.set(LSA, name, "DWord", value)
    await lab.restart(lab.source)
    await lab.source.services.start("PesSvc")


async def other_key(lab: Lab) -> None:
    assert await create_key(lab) == 0


REFUSALS: list[tuple[str, Callable[[Lab], Any], str]] = [
    ("trust", drop_trust, "The trust relationship between the primary domain and the trusted domain failed"),
    (
        "administrator in source",
        lambda lab: lab.source_token.discard(ADMINISTRATORS),
        SIDS_REFUSED + "Access is denied.",
    ),
    (
        "local group of the wrong type",
        lambda lab: local_group_row(lab).update(groupType=[b"-2147483646"]),
        SIDS_REFUSED + "The specified local group does not exist.",
    ),
    (
        "local group with a member",
        lambda lab: local_group_row(lab).update(member=[b"CN=x"]),
        "already a member of the group (Error code = 1378)",
    ),
    (
        "TcpipClientSupport",
        lambda lab: boot_with(lab, "TcpipClientSupport", 0),
        "The handle is invalid (Error code = 6)",
    ),
    ("auditing in source", lambda lab: no_auditing(lab.source), "(Error code = 8552)"),
    ("auditing in target", lambda lab: no_auditing(lab.target), "(Error code = 8536)"),
    ("Migrate SID History", drop_right, SIDS_REFUSED + "Access is denied."),
    ("LSA protection", lambda lab: boot_with(lab, "RunAsPPL", 1), NO_SESSION + "The RPC server is unavailable."),
    (
        "PES service",
        lambda lab: lab.source.services.stop("PesSvc"),
        NO_SESSION + "Password Export Service is not running.",
    ),
    ("AllowPasswordExport", lambda lab: boot_with(lab, "AllowPasswordExport", 0), NO_SESSION + "Access is denied."),
    ("key of another making", other_key, "do not have the same encryption key for the source domain SOURCE"),
    (
        "key on this host",
        lambda lab: lab.target.registry.remove(r"HKLM\SECURITY\Policy\Secrets"),
        r"The target server \\TGTDC1 does not have an encryption key for source domain SOURCE.",
    ),
]


@pytest.mark.parametrize(("take_away", "message"), [row[1:] for row in REFUSALS], ids=[row[0] for row in REFUSALS])
@on_loop
async def test_missing_precondition_refuses_the_run(
    tmp_path: Path, take_away: Callable[[Lab], Any], message: str
) -> None:
    lab = await ready_lab(tmp_path)
    waiting = take_away(lab)
    if isinstance(waiting, Awaitable):
        await waiting
    assert await lab.user() == 1
    assert message in "\n".join(lab.output)
    assert message in lab.log()
    assert f"cn=alice example,{MIGRATED}".lower() not in lab.target_directory.entries


@on_loop
async def test_session_without_a_second_hop_is_denied(tmp_path: Path) -> None:
    lab = await ready_lab(tmp_path)
    logon = Logon("TARGET\\migrator", frozenset({OPERATOR, ADMINISTRATORS}), "network")
    assert await lab.user(logon=logon) == 1
    assert SIDS_REFUSED + "Access is denied." in lab.log()


@on_loop
async def test_wrong_password_is_a_logon_failure(tmp_path: Path) -> None:
    lab = await ready_lab(tmp_path)
    credential = NetworkCredential("TARGET", "migrator", "wrong")
    assert await lab.user(logon=Logon("TARGET\\migrator", frozenset({ADMINISTRATORS}), "batch", credential)) == 1
    assert "(Error code = 1326)" in lab.log()


@on_loop
async def test_sids_only_on_a_controller_of_the_target(tmp_path: Path) -> None:
    lab = await ready_lab(tmp_path)
    await lab.call(lab.source, "admtsetup32.exe", "/q")
    code = await lab.call(
        lab.source, "admt", "user", "/N", "alice", "/SD:SOURCE", "/TD:TARGET", "/TO:Migrated", "/MSS:YES"
    )
    assert code == 1
    assert "(Error code = 8558)" in "\n".join(lab.output)


@on_loop
async def test_value_set_without_a_restart_does_not_count(tmp_path: Path) -> None:
    lab = await ready_lab(tmp_path)
    await boot_with(lab, "TcpipClientSupport", 0)
    lab.source.registry.set(LSA, "TcpipClientSupport", "DWord", 1)
    assert await lab.user() == 1
    assert "(Error code = 6)" in lab.log()


@on_loop
async def test_no_right_on_the_target_ou_is_access_denied_for_the_account(tmp_path: Path) -> None:
    lab = await ready_lab(tmp_path)
    lab.target_directory.forbidden = True
    assert await lab.user() == 0
    assert "ERR2:9810 Failed to create CN=Alice Example. Access is denied." in lab.log()


@pytest.mark.parametrize("missing", ["RestrictAnonymous", "Everyone", "Anonymous Logon"])
@on_loop
async def test_closed_target_side_leaves_a_random_password(tmp_path: Path, missing: str) -> None:
    lab = await ready_lab(tmp_path)
    if missing == "RestrictAnonymous":
        lab.target.registry.set(LSA, missing, "DWord", 1)
    else:
        row = lab.target_directory.row(f"CN=Pre-Windows 2000 Compatible Access,CN=Builtin,{TARGET.base_dn}")
        del row["member"][0 if missing == "Everyone" else 1]
    assert await lab.user() == 0
    assert (
        "WRN1:7557 Failed to copy the password for alice. A strong password has been generated instead. "
        "Unable to copy password. Access is denied." in lab.log()
    )
    stored, _ = lab.target_directory.passwords[f"cn=alice example,{MIGRATED}".lower()]
    generated = stored.decode("utf-16-le").strip('"')
    assert f"alice,{generated}\r\n" in read_log(lab.target.files.read(PASSWORDS))


@on_loop
async def test_failed_copy_is_made_good_by_the_password_verb(tmp_path: Path) -> None:
    lab = await ready_lab(tmp_path)
    lab.target.registry.set(LSA, "RestrictAnonymous", "DWord", 1)
    await lab.user()
    lab.target.registry.set(LSA, "RestrictAnonymous", "DWord", 0)
    code = await lab.call(
        lab.target, "admt", "password", "/N", "alice", "/SD:SOURCE", "/TD:TARGET", "/PS:srcdc1.source.lab"
    )
    assert code == 0
    assert lab.target_directory.passwords[f"cn=alice example,{MIGRATED}".lower()][0].startswith(b"hash of")


@on_loop
async def test_one_run_at_a_time(tmp_path: Path) -> None:
    lab = await ready_lab(tmp_path)
    with exclusive(lab.target):
        assert await lab.user() == 1
    assert "Another instance of the Active Directory Migration Tool" in "\n".join(lab.output)
    assert await lab.user() == 0


# -- the command line


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("/MPS:YES",), "Invalid option: /MPS"),
        (("/MSS:MAYBE",), "Invalid value 'MAYBE'"),
        (("/SEP:2000",), "between 1 and 1095"),
        (("/F:C:\\x.csv", "/N", "alice"), "Exactly one of"),
        (("/TO:OU=Migrated,DC=target,DC=lab",), "The container 'OU=Migrated,DC=target,DC=lab' could not be found"),
    ],
)
@on_loop
async def test_command_line_that_admt_does_not_take(tmp_path: Path, more: tuple[str, ...], message: str) -> None:
    lab = await ready_lab(tmp_path)
    assert await lab.user(*more) == 1
    assert message in "\n".join(lab.output)


@on_loop
async def test_last_of_two_equal_options_wins_and_names_ignore_case(tmp_path: Path) -> None:
    lab = await ready_lab(tmp_path)
    assert await lab.user("/targetou:Nowhere", "/to:migrated", "/MigrateSids:no") == 0
    assert "sIDHistory" not in lab.target_directory.row(f"CN=Alice Example,{MIGRATED}")


@on_loop
async def test_help_and_tasks(tmp_path: Path) -> None:
    lab = await ready_lab(tmp_path)
    assert await lab.call(lab.target, "admt", "user", "/?") == 0
    assert any("MIGRATESIDS" in line and "/MSS" in line for line in lab.output)
    await lab.user()
    assert await lab.call(lab.target, "admt", "task", "/last:1", "/getlog:yes", r"/folder:C:\logs") == 0
    assert "Operation completed." in read_log(lab.target.files.read(r"C:\logs\Migration 0001.log"))
    assert Database(lab.target).find("SOURCE", f"{SOURCE.sid}-1001") is not None


def test_include_file_with_quotes_header_and_marks() -> None:
    assert parse('SourceName,TargetRDN\n"a","CN=Monster\\, Cookie"\n') == [Included("a", rdn="CN=Monster\\, Cookie")]
    assert parse("alice\nbob\n") == [Included("alice"), Included("bob")]
    assert decode("\ufeffJürgen".encode("utf-16-le")) == "Jürgen"
    assert decode("Jürgen".encode()) != "Jürgen"
    assert sanitised('a"b*c.') == "a_b_c_"


# -- keys and installers


def test_key_file_opens_with_its_password_only() -> None:
    key = new_key("source")
    content = seal(key, "one")
    assert key.secret not in content
    assert unseal(content, "one") == key
    with pytest.raises(InvalidKeyPassword):
        unseal(content, "two")


@on_loop
async def test_each_create_makes_another_key_and_import_brings_the_first_back(tmp_path: Path) -> None:
    lab = await ready_lab(tmp_path)
    first = key_for(lab.target, "SOURCE")
    assert await create_key(lab, file=r"C:\PES\second.key") == 0
    assert "'source.lab' was successfully created and saved to 'C:\\PES\\second.key.pes'" in lab.output[0]
    assert key_for(lab.target, "SOURCE") != first
    assert await create_key(lab, "import", "wrong") == 1
    assert "Invalid Password!" in lab.output[0]
    assert await create_key(lab, "import") == 0
    assert key_for(lab.target, "SOURCE") == first
    assert await lab.user() == 0
    assert await create_key(lab, password="*") == 1


@on_loop
async def test_pes_refuses_to_install_with_a_reason_in_the_log(tmp_path: Path) -> None:
    lab = await bare_lab(tmp_path)
    lab.source.files.write(KEY_FILE, seal(new_key("SOURCE"), KEY_PASSWORD), parents=True)
    assert await lab.install_pes("PESKEYPASSWORD=wrong") == 1603
    assert "Invalid Password! The supplied password" in read_log(lab.source.files.read(r"C:\pes.log"))
    assert "wrong" not in read_log(lab.source.files.read(r"C:\pes.log"))
    assert await lab.install_pes(r"PESKEYFILE=\\tgtdc1\c$\PES\source.pes") == 1603
    with pytest.raises(PesNotInstalled, match="Invalid Password"):
        await pes_wizard(lab.source, KEY_FILE, "wrong", "LocalSystem")
    assert await lab.call(lab.source, "msiexec", "/i", r"C:\Install\none.msi", "/qn") == 1619
    assert await lab.call(lab.source, "msiexec", "/x", PRODUCT.code, "/qn") == 1605
    assert await lab.call(lab.source, "msiexec", "/nonsense") == 1639
    assert await lab.call(lab.source, "admtsetup32.exe") == 1602
    assert lab.source.services.get("PesSvc") is None


@on_loop
async def test_pes_counts_only_after_a_restart_and_leaves_nothing(tmp_path: Path) -> None:
    lab = await bare_lab(tmp_path)
    lab.source.files.write(KEY_FILE, seal(new_key("SOURCE"), KEY_PASSWORD), parents=True)
    before = lab.source.registry.get(LSA, "Notification Packages")
    await pes_wizard(lab.source, KEY_FILE, KEY_PASSWORD, r"TARGET\migrator", "right")
    assert not pes_is_loaded(lab.source)
    await lab.restart(lab.source)
    assert pes_is_loaded(lab.source)
    product = lab.source.software.get(PRODUCT.code)
    assert product is not None
    assert await lab.call(lab.source, *product.uninstall.split(), "/qn", "/norestart") == 3010
    assert lab.source.registry.get(LSA, "Notification Packages") == before
    assert lab.source.services.get("PesSvc") is None


@on_loop
async def test_silent_installation_without_norestart_restarts_the_host(tmp_path: Path) -> None:
    lab = await bare_lab(tmp_path)
    lab.source.files.write(KEY_FILE, seal(new_key("SOURCE"), KEY_PASSWORD), parents=True)
    delays: list[float] = []
    lab.source.restart_hook = delays.append
    properties = (f"PESKEYFILE={KEY_FILE}", f"PESKEYPASSWORD={KEY_PASSWORD}")
    assert await lab.call(lab.source, "msiexec", "/i", r"C:\Install\pwdmig.msi", "/qn", *properties) == 1641
    assert len(delays) == 1


@on_loop
async def test_twenty_older_logs_stay(tmp_path: Path) -> None:
    lab = await bare_lab(tmp_path)
    for _ in range(24):
        MigrationLog(lab.target).line("a run")
    older = [item.name for item in lab.target.files.children(LOGS) if item.name != "Migration.log"]
    assert (len(older), older[0], older[-1]) == (20, "Migration 0004.log", "Migration 0023.log")


@on_loop
async def test_installed_software_survives_a_restart_of_the_lab(tmp_path: Path) -> None:
    lab = await ready_lab(tmp_path)
    again = Machine(path=tmp_path / "again.json", facts=TARGET, directory=lab.target_directory)
    again.read(lab.target.disk())
    install(again)
    assert again.find_program(r"C:\Windows\ADMT\admt.exe") is not None
    assert key_for(again, "SOURCE") == key_for(lab.target, "SOURCE")
    product = next(one for one in again.software if one.name == "Active Directory Migration Tool")
    assert product.version == "3.2"
    assert await lab.call(again, "msiexec", f"/X{product.code}", "/qn") == 0
    assert "admt.exe" not in again.programs
    assert FILE.startswith("C:\\Windows\\ADMT")

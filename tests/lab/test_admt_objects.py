"""What the simulated ADMT does to users, groups and computers beyond the first migration: merges, memberships, batches, crashes."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from reconciler.lab.admt.database import FILE, Database
from reconciler.lab.admt.log import AGENTS, read_log
from reconciler.lab.admt.migrate import ACCESS_VIOLATION, CRASHES
from reconciler.lab.windows.accounts import sid_text
from tests.lab.admt_lab import MIGRATED, SOURCE, STAFF, TARGET, Lab, on_loop, ready_lab

PERSON = {"objectClass": ["top", "person", "user"], "objectCategory": "person", "userAccountControl": 512}
GLOBAL, LOCAL, UNIVERSAL = -2147483646, -2147483644, -2147483640
ALICE = f"CN=Alice Example,{MIGRATED}"
COMMON = ("/SD:SOURCE", "/TD:TARGET", "/TO:Migrated")


def put_group(lab: Lab, name: str, rid: int, scope: int, *members: str) -> None:
    classes = ["top", "group"]
    lab.source_directory.put(
        f"CN={name},{STAFF}", f"{SOURCE.sid}-{rid}", objectClass=classes, groupType=scope, sAMAccountName=name,
        member=[f"CN={member},{STAFF}" for member in members], description=f"about {name}", info="a note",
    )  # fmt: skip


async def groups(lab: Lab, *names: str, more: tuple[str, ...] = ()) -> None:
    assert await lab.call(lab.target, "admt", "group", "/N", *names, *COMMON, *more) == 0, lab.output


def members(lab: Lab, name: str) -> set[str]:
    return {member.decode() for member in lab.target_directory.row(f"CN={name},{MIGRATED}").get("member", [])}


# -- merging


@on_loop
async def test_merge_renames_the_object_and_changes_its_upn(tmp_path: Path) -> None:
    lab = await ready_lab(tmp_path)
    here = f"OU=Elsewhere,{TARGET.base_dn}"
    named = {"sAMAccountName": "alice", "userPrincipalName": "a.example@corp.example", "title": "Director"}
    lab.target_directory.put(f"CN=Example\\, Alice,{here}", f"{TARGET.sid}-1500", **PERSON, **named)
    assert await lab.user("/CO:MERGE") == 0
    row = lab.target_directory.row(f"CN=Alice Example,{here}")
    assert (row["userPrincipalName"], row["givenName"], row["title"]) == (
        [b"alice@target.lab"],
        [b"Alice"],
        [b"Director"],
    )
    assert rf"CN=Example\, Alice - Renamed to CN=Alice Example,{here}" in lab.log()
    assert "CN=Alice Example - Merged" in lab.log()


@on_loop
async def test_merge_keeps_the_name_that_the_include_file_gives(tmp_path: Path) -> None:
    lab = await ready_lab(tmp_path)
    lab.target_directory.put(f"CN=Example\\, Alice,{MIGRATED}", f"{TARGET.sid}-1500", **PERSON, sAMAccountName="alice")
    text = 'SourceName,TargetRDN,TargetUPN\r\nalice,"CN=Example\\, Alice",a.example@corp.example\r\n'
    lab.target.files.write(r"C:\include.csv", text.encode())
    assert await lab.user("/CO:MERGE", r"/F:C:\include.csv") == 0
    row = lab.target_directory.row(f"CN=Example\\, Alice,{MIGRATED}")
    assert row["userPrincipalName"] == [b"a.example@corp.example"]
    assert "Renamed" not in lab.log()


@on_loop
async def test_merge_moves_only_where_that_is_asked_for(tmp_path: Path) -> None:
    lab = await ready_lab(tmp_path)
    here = f"CN=Users,{TARGET.base_dn}"
    lab.target_directory.put(f"CN=Alice Example,{here}", f"{TARGET.sid}-1500", **PERSON, sAMAccountName="alice")
    assert await lab.user("/CO:MERGE") == 0
    assert lab.target_directory.row(f"CN=Alice Example,{here}")
    assert await lab.user("/CO:MERGE+MOVEMERGEDACCOUNTS") == 0
    assert lab.target_directory.row(ALICE)


@on_loop
async def test_rename_to_a_name_that_is_taken_leaves_everything_as_it_was(tmp_path: Path) -> None:
    lab = await ready_lab(tmp_path)
    lab.target_directory.put(f"CN=A,{MIGRATED}", f"{TARGET.sid}-1500", **PERSON, sAMAccountName="alice")
    lab.target_directory.put(ALICE, f"{TARGET.sid}-1501", **PERSON, sAMAccountName="other")
    assert await lab.user("/CO:MERGE") == 0
    assert "ERR2:9810 Failed to merge with CN=A." in lab.log()
    assert "givenName" not in lab.target_directory.row(f"CN=A,{MIGRATED}")


# -- attributes


@on_loop
async def test_attributes_that_never_come_and_those_left_out(tmp_path: Path) -> None:
    lab = await ready_lab(tmp_path)
    written = {"mail": "a@source.lab", "proxyAddresses": "SMTP:a@source.lab", "manager": f"CN=X,{STAFF}", "title": "Dr",
               "legacyExchangeDN": "/o=x", "extensionAttribute1": "x", "department": "Sales", "url": "http://a"}  # fmt: skip
    lab.source_directory.row(f"CN=Alice Example,{STAFF}").update(
        {key: [value.encode()] for key, value in written.items()}
    )
    assert await lab.user("/UX:title,Department") == 0
    row = lab.target_directory.row(ALICE)
    assert set(written) & set(row) == {"url"}
    assert await lab.user("/CO:MERGE") == 0
    assert set(written) & set(lab.target_directory.row(ALICE)) == {"url", "title", "department"}


@on_loop
async def test_star_leaves_out_every_attribute(tmp_path: Path) -> None:
    lab = await ready_lab(tmp_path)
    assert await lab.user("/UX:*") == 0
    assert "givenName" not in lab.target_directory.row(ALICE)


@on_loop
async def test_source_account_expires_and_is_disabled(tmp_path: Path) -> None:
    lab = await ready_lab(tmp_path)
    lab.target.clock = lambda: datetime(2026, 3, 1, tzinfo=UTC)
    assert await lab.user("/SEP:30", "/DOT:DISABLESOURCE+TARGETSAMEASSOURCE") == 0
    source = lab.source_directory.row(f"CN=Alice Example,{STAFF}")
    days = (datetime(2026, 3, 31, tzinfo=UTC) - datetime(1601, 1, 1, tzinfo=UTC)).days
    assert source["accountExpires"] == [str(days * 24 * 3600 * 10_000_000).encode()]
    assert source["userAccountControl"] == [b"514"]
    assert lab.target_directory.row(ALICE)["userAccountControl"] == [b"512"]
    assert "accountExpires" not in lab.target_directory.row(ALICE)


# -- groups


@on_loop
async def test_nested_groups_keep_scope_and_history_and_take_members_as_they_come(tmp_path: Path) -> None:
    lab = await ready_lab(tmp_path)
    put_group(lab, "Team", 1101, GLOBAL, "Alice Example", r"Monster\, Cookie")
    put_group(lab, "Floor", 1102, UNIVERSAL, "Team")
    put_group(lab, "House", 1103, LOCAL, "Floor", "Alice Example")
    await groups(lab, "House", "Floor", "Team", more=("/MSS:YES",))
    for name, scope, rid in (("Team", GLOBAL, 1101), ("Floor", UNIVERSAL, 1102), ("House", LOCAL, 1103)):
        row = lab.target_directory.row(f"CN={name},{MIGRATED}")
        assert row["groupType"] == [str(scope).encode()]
        assert [sid_text(value) for value in row["sIDHistory"]] == [f"{SOURCE.sid}-{rid}"]
    assert members(lab, "House") == {f"CN=Floor,{MIGRATED}"}
    assert members(lab, "Team") == set()  # nobody was migrated yet
    await lab.user()
    assert members(lab, "Team") == {ALICE}
    assert members(lab, "House") == {f"CN=Floor,{MIGRATED}", ALICE}
    await lab.user("/N", "cookie")
    assert members(lab, "Team") == {ALICE, rf"CN=Monster\, Cookie,{MIGRATED}"}


@on_loop
async def test_memberships_are_not_touched_without_fgm_and_come_with_a_later_run(tmp_path: Path) -> None:
    lab = await ready_lab(tmp_path)
    await lab.user()
    await groups(lab, "Readers", more=("/FGM:NO",))
    assert members(lab, "Readers") == set()
    await groups(lab, "Readers", more=("/CO:MERGE",))
    assert members(lab, "Readers") == {ALICE}


@on_loop
async def test_merged_group_keeps_its_members_unless_they_are_to_be_removed(tmp_path: Path) -> None:
    lab = await ready_lab(tmp_path)
    await lab.user()
    other = f"CN=Other,{TARGET.base_dn}"
    lab.target_directory.put(
        f"CN=Readers,{MIGRATED}", f"{TARGET.sid}-1500", objectClass=["top", "group"], groupType=GLOBAL,
        sAMAccountName="Readers", member=[other],
    )  # fmt: skip
    await groups(lab, "Readers", more=("/CO:MERGE",))
    assert members(lab, "Readers") == {other, ALICE}
    await groups(lab, "Readers", more=("/CO:MERGE+REMOVEMEMBERS",))
    assert members(lab, "Readers") == {ALICE}


@on_loop
async def test_group_attributes_are_left_out_by_gx(tmp_path: Path) -> None:
    lab = await ready_lab(tmp_path)
    put_group(lab, "Team", 1101, GLOBAL)
    await groups(lab, "Team", more=("/GX:Description",))
    row = lab.target_directory.row(f"CN=Team,{MIGRATED}")
    assert "description" not in row
    assert row["info"] == [b"a note"]


@on_loop
async def test_members_come_along_with_generated_passwords(tmp_path: Path) -> None:
    lab = await ready_lab(tmp_path)
    put_group(lab, "Team", 1101, GLOBAL, "Alice Example")
    put_group(lab, "Floor", 1102, UNIVERSAL, "Team", r"Monster\, Cookie")
    await groups(lab, "Floor", more=("/MMB:YES",))
    assert members(lab, "Floor") == {f"CN=Team,{MIGRATED}", rf"CN=Monster\, Cookie,{MIGRATED}"}
    assert members(lab, "Team") == {ALICE}
    assert "CN=Alice Example - Strong password generated." in lab.log()


@on_loop
async def test_refused_member_is_named_and_the_others_join(tmp_path: Path) -> None:
    lab = await ready_lab(tmp_path)
    put_group(lab, "Team", 1101, GLOBAL, "Alice Example", r"Monster\, Cookie")
    await groups(lab, "Team")
    lab.target_directory.refused_members.add(ALICE.lower())
    await lab.user("/N", "alice", "cookie")
    assert members(lab, "Team") == {rf"CN=Monster\, Cookie,{MIGRATED}"}
    assert "ERR2:9813 Failed to add CN=Alice Example to CN=Team. Access is denied." in lab.log()


# -- computers


def put_computer(lab: Lab, name: str, rid: int, control: int = 4096) -> None:
    lab.source_directory.put(
        f"CN={name},{STAFF}", f"{SOURCE.sid}-{rid}", objectClass=["top", "person", "user", "computer"],
        sAMAccountName=f"{name}$", userAccountControl=control, dNSHostName=f"{name.lower()}.source.lab",
        operatingSystem="Windows 10 Pro", servicePrincipalName=f"HOST/{name}", description="a desk",
    )  # fmt: skip


async def computers(lab: Lab, *names: str, more: tuple[str, ...] = ()) -> int:
    return await lab.call(lab.target, "admt", "computer", "/N", *names, *COMMON, *more)


@on_loop
async def test_computer_account_arrives_without_history_or_dns_name(tmp_path: Path) -> None:
    lab = await ready_lab(tmp_path)
    put_computer(lab, "WS00001", 1201)
    put_computer(lab, "WS00002", 1202, 4098)
    assert await computers(lab, "WS00001", "WS00002$", more=("/TUP:YES", "/TLG:YES", "/TOT:ADD", "/RDL:1")) == 0
    row = lab.target_directory.row(f"CN=WS00001,{MIGRATED}")
    assert (row["sAMAccountName"], row["userAccountControl"]) == ([b"WS00001$"], [b"4096"])
    assert row["description"] == [b"a desk"]
    assert not {"sIDHistory", "dNSHostName", "servicePrincipalName", "operatingSystem"} & set(row)
    assert lab.target_directory.row(f"CN=WS00002,{MIGRATED}")["userAccountControl"] == [b"4098"]
    assert (
        "Agent dispatched to ws00001.source.lab: translate local groups, user profiles; "
        "change domain affiliation; restart after 1 minutes." in lab.log()
    )
    agents = read_log(lab.target.files.read(AGENTS + r"\Dispatch 0001.log"))
    assert "ws00002.source.lab: The agent could not be installed. The network path was not found." in agents
    assert "ERR" not in lab.log()


@on_loop
async def test_controllers_strangers_and_migrated_computers_are_told_apart(tmp_path: Path) -> None:
    lab = await ready_lab(tmp_path)
    put_computer(lab, "SRCDC9", 1201, 532480)
    put_computer(lab, "WS00001", 1202)
    put_computer(lab, "WS00002", 1203)
    lab.target_directory.put(
        f"CN=WS00002,{MIGRATED}", f"{TARGET.sid}-1500", objectClass=["top", "computer"], sAMAccountName="WS00002$"
    )
    assert await computers(lab, "SRCDC9", "WS00001", "WS00002") == 0
    assert "ERR2:9810 CN=SRCDC9: domain controllers cannot be migrated." in lab.log()
    assert "ERR2:9810 WS00002$: a computer with this name already exists in the target domain." in lab.log()
    assert await computers(lab, "WS00001") == 0
    assert "WRN1:9811 CN=WS00001 - already exists." in lab.log()
    assert await computers(lab, "WS00002", more=("/CO:MERGE",)) == 0
    assert "CN=WS00002 - Merged" in lab.log()


@on_loop
async def test_computer_verb_takes_no_sids_or_passwords(tmp_path: Path) -> None:
    lab = await ready_lab(tmp_path)
    put_computer(lab, "WS00001", 1201)
    assert await computers(lab, "WS00001", more=("/MSS:YES",)) == 1
    assert lab.output == ["Invalid option: /MSS"]


# -- batches, and a program that dies


@on_loop
async def test_batch_of_a_thousand_names_finds_each_and_names_what_it_does_not_find(tmp_path: Path) -> None:
    lab = await ready_lab(tmp_path)
    for number in range(130):
        lab.source_directory.put(
            f"CN=Staff {number:04d},{STAFF}", f"{SOURCE.sid}-{2000 + number}", **PERSON, sAMAccountName=f"s{number:04d}"
        )
    names = [f"s{number:04d}" for number in range(100)] + [f"Staff {number:04d}" for number in range(100, 130)]
    lab.target.files.write(r"C:\include.csv", "\r\n".join(["SourceName", *names, "nobody"]).encode())
    assert await lab.user(r"/F:C:\include.csv", "/MSS:NO") == 0
    assert "Migrated: 130  Warnings: 0  Errors: 1" in lab.output
    assert "ERR2:9814 The object 'nobody' could not be found" in lab.log()
    assert len([dn for dn in lab.target_directory.entries if dn.startswith("cn=staff")]) == 130


@on_loop
async def test_two_sources_of_one_batch_with_the_same_new_name_are_a_conflict(tmp_path: Path) -> None:
    lab = await ready_lab(tmp_path)
    text = "SourceName,TargetName\r\nalice,same\r\ncookie,same\r\n"
    lab.target.files.write(r"C:\include.csv", text.encode())
    assert await lab.user(r"/F:C:\include.csv") == 0
    assert "ERR2:9810 same: an object with this name already exists" in lab.log()


@on_loop
async def test_fault_switch_kills_the_program_at_one_account(tmp_path: Path) -> None:
    lab = await ready_lab(tmp_path)
    lab.source_directory.put(f"CN=Zoe,{STAFF}", f"{SOURCE.sid}-1010", **PERSON, sAMAccountName="zoe")
    lab.target.files.write(CRASHES, b"cookie\r\n", parents=True)
    assert await lab.user("/N", "alice", "cookie", "zoe") == ACCESS_VIOLATION
    assert lab.output == []
    assert "Operation" not in lab.log()
    assert "cookie" not in lab.log().lower()
    arrived = [dn for dn in lab.target_directory.entries if dn.endswith(MIGRATED.lower()) and dn.startswith("cn=")]
    assert arrived == [ALICE.lower()]
    assert Database(lab.target).find("SOURCE", f"{SOURCE.sid}-1001") is not None  # what was done is remembered
    assert Database(lab.target).tasks == []
    lab.target.files.delete(CRASHES)
    assert await lab.user("/N", "cookie", "zoe") == 0  # nothing is left locked
    assert "Migrated: 2  Warnings: 0  Errors: 0" in lab.output


@on_loop
async def test_what_was_migrated_is_on_the_disk_line_by_line(tmp_path: Path) -> None:
    lab = await ready_lab(tmp_path)
    await lab.user("/N", "alice", "cookie")
    assert await lab.user("/N", "alice", "/CO:MERGE") == 0
    assert len(lab.target.files.read(FILE).splitlines()) == 2 + 2  # the same object again is nothing new
    assert [task.number for task in Database(lab.target).tasks] == [1, 2]

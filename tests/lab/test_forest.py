"""The two directories of a lab, judged from outside: ldapsearch, kinit, kvno, and a local look into the databases."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import dns.resolver
import pytest

from reconciler.lab import up as lab
from reconciler.lab.forest.bridge import Bridge, BridgeFiles
from reconciler.lab.forest.control import ask
from reconciler.lab.forest.remote import Network
from reconciler.lab.forest.trusts import history_is_honoured, trust_each_other
from reconciler.lab.settings import ROLES, LabError, LabPaths, LabSettings, Role, controller_name, domain_facts
from reconciler.lab.windows.contract import Change, DirectoryRefused, Entry, NetworkCredential
from tests.worker import address as own

pytestmark = pytest.mark.lab

SOURCE_ADDRESS, TARGET_ADDRESS = own(31, 1), own(31, 2)
USERS = 22
QUARANTINED, TREAT_AS_EXTERNAL = 0x4, 0x40
BUILTIN_ADMINISTRATORS = "CN=Administrators,CN=Builtin,DC=source,DC=lab"
ACCESS_DENIED, WRONG_CREDENTIALS = 50, 49
Answer = TypeVar("Answer")


@dataclass
class Forest:
    """A running lab, and bridges of the tests' own to both directories."""

    settings: LabSettings
    paths: LabPaths
    source: Bridge
    target: Bridge
    network: Network
    runner: asyncio.Runner
    seconds: float

    def do(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        return self.runner.run(work)

    @property
    def users(self) -> list[dict[str, str]]:
        with self.paths.users_file.open(encoding="utf-8", newline="") as table:
            return list(csv.DictReader(table))

    def environment(self) -> dict[str, str]:
        return {**os.environ, "KRB5_CONFIG": str(self.paths.krb5_conf), "LDAPTLS_CACERT": str(self.paths.ca_file)}

    def can_bind(self, address: str, name: str, password: str) -> bool:
        """Log on by LDAPS with OpenLDAP's own client."""
        command = ["ldapwhoami", "-x", "-H", f"ldaps://{address}", "-D", name, "-w", password]
        outcome = subprocess.run(command, env=self.environment(), capture_output=True, text=True, check=False)
        # Samba does not know the operation "Who am I", but says so only to those who got in.
        return outcome.returncode == 0 or "Protocol error" in outcome.stderr or "1.3.6.1.4.1.4203" in outcome.stderr

    def usn(self, address: str) -> int:
        rows = self.root_dse(address, "highestCommittedUSN")
        return int(rows["highestCommittedUSN"])

    def root_dse(self, address: str, attribute: str) -> dict[str, str]:
        role = "source" if address == SOURCE_ADDRESS else "target"
        command = ["ldapsearch", "-x", "-LLL", "-H", f"ldaps://{address}", "-b", "", "-s", "base", "-D",
                   f"Administrator@{role}.lab", "-w", self.paths.password(f"{role}-admin"), attribute]  # fmt: skip
        outcome = subprocess.run(command, env=self.environment(), capture_output=True, text=True, check=True)
        return dict(line.split(": ", 1) for line in outcome.stdout.splitlines() if ": " in line)

    def kinit(self, principal: str, password: str, cache: Path) -> bool:
        command = ["kinit", "-c", str(cache), principal]
        return subprocess.run(command, input=password + "\n", env=self.environment(), capture_output=True, text=True,
                              check=False).returncode == 0  # fmt: skip

    def kvno(self, host: str, cache: Path) -> bool:
        """Get a ticket for a host's LDAP service."""
        command = ["kvno", "-c", str(cache), "-S", "ldap", host]
        return subprocess.run(command, env=self.environment(), capture_output=True, check=False).returncode == 0

    def account(self, bridge: Bridge, name: str, *attributes: str) -> Entry:
        found = self.do(bridge.search(bridge.facts.base_dn, "sub", f"(sAMAccountName={name})", attributes))
        assert len(found) == 1, f"{name} in {bridge.facts.dns}"
        return found[0]


def make_bridge(settings: LabSettings, role: Role) -> Bridge:
    paths = settings.paths
    document = json.loads(paths.lab_json.read_text(encoding="utf-8"))
    facts = {one: domain_facts(settings, one, document["domains"][one]["sid"]) for one in ROLES}
    peer: Role = "target" if role == "source" else "source"
    files = BridgeFiles(paths.smb_conf(role), paths.krb5_conf, paths.ca_file, paths.run / "test-bridge.log")
    return Bridge(facts[role], facts[peer], files)


@pytest.fixture(scope="module")
def forest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forest]:
    settings = LabSettings(
        tmp_path_factory.mktemp("lab"), SOURCE_ADDRESS, TARGET_ADDRESS, users=USERS, restart_seconds=0.1, hosts=False
    )
    started = time.monotonic()
    lab.up(settings)
    seconds = time.monotonic() - started
    source, target = make_bridge(settings, "source"), make_bridge(settings, "target")
    network = Network({"source": source.facts, "target": target.facts}, {"source": source, "target": target},
                      settings.paths.ca_file)  # fmt: skip
    before = os.environ.get("KRB5_CONFIG")
    os.environ["KRB5_CONFIG"] = str(settings.paths.krb5_conf)
    with asyncio.Runner() as runner:
        yield Forest(settings, settings.paths, source, target, network, runner, seconds)
        runner.run(source.close())
        runner.run(target.close())
    if before is None:
        del os.environ["KRB5_CONFIG"]
    else:
        os.environ["KRB5_CONFIG"] = before
    lab.down(settings.directory)


@pytest.fixture
def trusted(forest: Forest) -> Iterator[Forest]:
    """Both sides of an external, quarantined trust for the time of a test."""
    forest.do(trust_each_other(forest.source, forest.target, direction=3, attributes=QUARANTINED))
    yield forest
    forest.do(forest.source.delete_trust("target.lab"))
    forest.do(forest.target.delete_trust("source.lab"))


def migrate(forest: Forest, user: dict[str, str]) -> str:
    """Do what ADMT would do for one account; return the new DN."""
    name, dn = user["sam_account_name"], f"CN={user['sam_account_name'].rstrip('$')},OU=Migrated,DC=target,DC=lab"
    attributes = {
        "objectClass": [b"user"],
        "sAMAccountName": [name.encode()],
        "userPrincipalName": [f"{name}@target.lab".encode()],
        "userAccountControl": [b"512"],
    }
    forest.do(forest.target.add(dn, attributes))
    credential = NetworkCredential("SOURCE", "Administrator", forest.paths.password("source-admin"))
    session = forest.do(forest.network.connect("source.lab", credential))
    nt_hash, supplemental = forest.do(session.read_secrets(user["dn"]))
    forest.do(forest.target.write_password(dn, nt_hash, supplemental, must_change=False))
    return dn


def sid_of(entry: Entry) -> str:
    packed = entry.all("objectSid")[0]
    parts = [int.from_bytes(packed[8 + 4 * n : 12 + 4 * n], "little") for n in range(packed[1])]
    return "S-1-5-" + "-".join(map(str, parts))


def test_lab_json_names_what_others_need(forest: Forest) -> None:
    document = json.loads(forest.paths.lab_json.read_text(encoding="utf-8"))
    source = document["domains"]["source"]
    assert source["ldaps"] == f"ldaps://{SOURCE_ADDRESS}:636"
    assert source["sid"].startswith("S-1-5-21-")
    assert Path(source["admin_password_file"]).read_text(encoding="utf-8")
    assert set(document["hosts"]) == {"srcdc1.source.lab", "tgtdc1.target.lab"}


def test_nothing_below_the_directory_is_open_to_others(forest: Forest) -> None:
    below = (forest.paths.directory, *forest.paths.directory.rglob("*"))
    assert [path for path in below if not path.is_symlink() and path.stat().st_mode & 0o077] == []


def test_every_user_of_the_ou_can_log_on_by_ldaps(forest: Forest) -> None:
    assert len(forest.users) == USERS
    staff = forest.do(forest.source.search("OU=Staff,DC=source,DC=lab", "one", "(objectClass=user)", ["cn"]))
    assert sorted(entry.dn for entry in staff) == sorted(user["dn"] for user in forest.users)
    for user in forest.users[:6]:
        assert forest.can_bind(SOURCE_ADDRESS, f"SOURCE\\{user['sam_account_name']}", user["password"]), user["dn"]
    assert not forest.can_bind(SOURCE_ADDRESS, f"SOURCE\\{forest.users[0]['sam_account_name']}", "wrong")


def test_awkward_names_are_there(forest: Forest) -> None:
    names = {user["sam_account_name"] for user in forest.users}
    assert "svc-backup$" in names
    assert any(len(name) == 20 for name in names)
    assert any("\\," in user["dn"] and "ü" in user["dn"] for user in forest.users)


def test_both_dns_servers_resolve_both_zones_and_nothing_else(forest: Forest) -> None:
    for address in (SOURCE_ADDRESS, TARGET_ADDRESS):
        resolver = dns.resolver.Resolver(configure=False)
        resolver.nameservers = [address]
        for name in ("source.lab", "target.lab"):
            (record,) = resolver.resolve(f"_ldap._tcp.dc._msdcs.{name}", "SRV", lifetime=5)
            assert str(record.target).lower().endswith(f"{name}.")
        with pytest.raises((dns.resolver.NoAnswer, dns.resolver.NoNameservers)):
            resolver.resolve("example.com", "A", lifetime=5)


def test_reads_and_logons_leave_the_change_counter_alone(forest: Forest, tmp_path: Path) -> None:
    for role, address in zip(ROLES, (SOURCE_ADDRESS, TARGET_ADDRESS), strict=True):
        before = forest.usn(address)
        password = forest.paths.password(f"{role}-admin")
        for _ in range(3):
            assert forest.can_bind(address, f"Administrator@{role}.lab", password)
        assert forest.kinit(f"Administrator@{role.upper()}.LAB", password, tmp_path / role)
        assert forest.kvno(f"{controller_name(role)}.{role}.lab", tmp_path / role)
        assert forest.usn(address) == before


def test_a_hash_copied_to_the_target_logs_on_with_the_old_password(forest: Forest, tmp_path: Path) -> None:
    for user in (forest.users[0], forest.users[2], forest.users[4]):
        migrate(forest, user)
        assert forest.can_bind(TARGET_ADDRESS, f"TARGET\\{user['sam_account_name']}", user["password"])
        assert not forest.can_bind(TARGET_ADDRESS, f"TARGET\\{user['sam_account_name']}", user["password"] + "x")
    name = forest.users[0]["sam_account_name"]
    assert forest.kinit(f"{name}@TARGET.LAB", forest.users[0]["password"], tmp_path / "cache")


def test_secrets_are_refused_to_those_without_replication_rights(forest: Forest) -> None:
    user = forest.users[5]
    credential = NetworkCredential("SOURCE", user["sam_account_name"], user["password"])
    session = forest.do(forest.network.connect("srcdc1.source.lab", credential))
    with pytest.raises(DirectoryRefused) as refused:
        forest.do(session.read_secrets(user["dn"]))
    assert refused.value.code == ACCESS_DENIED


def test_wrong_credentials_are_refused_and_unknown_hosts_are_not_found(forest: Forest) -> None:
    with pytest.raises(DirectoryRefused) as refused:
        forest.do(forest.network.connect("source.lab", NetworkCredential("SOURCE", "Administrator", "wrong")))
    assert refused.value.code == WRONG_CREDENTIALS
    with pytest.raises(OSError, match="no such host"):
        forest.do(forest.network.connect("elsewhere.lab", NetworkCredential("SOURCE", "Administrator", "x")))


def test_a_random_password_replaces_the_old_one(forest: Forest) -> None:
    user = forest.users[6]
    dn = migrate(forest, user)
    forest.do(forest.target.random_password(dn, must_change=True))
    assert not forest.do(forest.target.check_password(user["sam_account_name"], user["password"]))
    assert forest.account(forest.target, user["sam_account_name"], "pwdLastSet").text("pwdLastSet") == "0"


def test_trust_is_created_changed_and_deleted_on_both_sides(forest: Forest, tmp_path: Path) -> None:
    forest.do(trust_each_other(forest.source, forest.target, direction=3, attributes=QUARANTINED))
    with pytest.raises(DirectoryRefused):
        forest.do(forest.source.create_trust(3, QUARANTINED, (b"a" * 32, b"b" * 32)))
    user = forest.users[7]
    assert forest.kinit(f"{user['sam_account_name']}@SOURCE.LAB", user["password"], tmp_path / "cache")
    assert forest.kvno("tgtdc1.target.lab", tmp_path / "cache")
    assert not forest.do(history_is_honoured(forest.source))
    forest.do(forest.source.set_trust("target.lab", attributes=TREAT_AS_EXTERNAL))
    assert forest.do(history_is_honoured(forest.source))
    forest.do(forest.source.delete_trust("target.lab"))
    forest.do(forest.target.delete_trust("source.lab"))
    for bridge, partner in ((forest.source, "TARGET$"), (forest.target, "SOURCE$")):
        assert forest.do(bridge.search(bridge.facts.base_dn, "sub", "(objectClass=trustedDomain)", ["cn"])) == []
        assert forest.do(bridge.search(bridge.facts.base_dn, "sub", f"(sAMAccountName={partner})", ["cn"])) == []
    with pytest.raises(DirectoryRefused):
        forest.do(forest.source.delete_trust("target.lab"))


def test_one_way_trust_lets_only_one_side_in(forest: Forest, tmp_path: Path) -> None:
    # Outbound for the source: it trusts the target, so target accounts get in, and not the other way round.
    forest.do(trust_each_other(forest.source, forest.target, direction=2, attributes=QUARANTINED))
    try:
        migrator = forest.paths.password("migrator")
        assert forest.kinit("migrator@TARGET.LAB", migrator, tmp_path / "target")
        assert forest.kvno("srcdc1.source.lab", tmp_path / "target")
        user = forest.users[8]
        assert forest.kinit(f"{user['sam_account_name']}@SOURCE.LAB", user["password"], tmp_path / "source")
        assert not forest.kvno("tgtdc1.target.lab", tmp_path / "source")
    finally:
        forest.do(forest.source.delete_trust("target.lab"))
        forest.do(forest.target.delete_trust("source.lab"))


def test_foreign_administrator_reads_secrets_across_the_trust(trusted: Forest) -> None:
    credential = NetworkCredential("TARGET", "migrator", trusted.paths.password("migrator"))
    user = trusted.users[9]
    session = trusted.do(trusted.network.connect("source.lab", credential))
    with pytest.raises(DirectoryRefused) as refused:
        trusted.do(session.read_secrets(user["dn"]))
    assert refused.value.code == ACCESS_DENIED
    migrator = sid_of(trusted.account(trusted.target, "migrator", "objectSid"))
    member = Change("member", "add", (f"<SID={migrator}>".encode(),))
    trusted.do(trusted.source.modify(BUILTIN_ADMINISTRATORS, [member]))
    assert "S-1-5-32-544" in trusted.do(trusted.source.foreign_token_sids(frozenset({migrator})))
    session = trusted.do(trusted.network.connect("source.lab", credential))
    assert "S-1-5-32-544" in trusted.do(session.token_sids())
    nt_hash, supplemental = trusted.do(session.read_secrets(user["dn"]))
    stored = trusted.account(trusted.source, user["sam_account_name"], "unicodePwd", "supplementalCredentials")
    assert [nt_hash] == stored.all("unicodePwd")
    assert [supplemental] == stored.all("supplementalCredentials")
    trusted.do(trusted.source.modify(BUILTIN_ADMINISTRATORS, [Change("member", "delete", member.values)]))


def test_sid_history_is_stored_and_carries_the_old_access_across_the_trust(trusted: Forest) -> None:
    user = trusted.users[10]
    old_sid = sid_of(trusted.account(trusted.source, user["sam_account_name"], "objectSid"))
    dn = migrate(trusted, user)
    trusted.do(trusted.target.add_sid_history(dn, old_sid))
    found = trusted.do(trusted.target.search("DC=target,DC=lab", "sub", f"(sIDHistory={old_sid})", ["cn"]))
    assert [entry.dn for entry in found] == [dn]
    assert old_sid in trusted.do(trusted.target.token_sids(dn))
    credential = NetworkCredential("TARGET", user["sam_account_name"], user["password"])
    session = trusted.do(trusted.network.connect("source.lab", credential))
    assert old_sid in trusted.do(session.token_sids())
    trusted.do(trusted.target.honour_history(False))
    session = trusted.do(trusted.network.connect("source.lab", credential))
    assert old_sid not in trusted.do(session.token_sids())
    with pytest.raises(DirectoryRefused):
        trusted.do(trusted.target.add_sid_history(dn, old_sid))


def test_removed_sid_history_leaves_the_token_too(trusted: Forest) -> None:
    user = trusted.users[12]
    old_sid, other = (
        sid_of(trusted.account(trusted.source, user["sam_account_name"], "objectSid")),
        "S-1-5-21-9-9-9-1001",
    )
    dn = migrate(trusted, user)
    trusted.do(trusted.target.honour_history(True))
    for sid in (old_sid, other):
        trusted.do(trusted.target.add_sid_history(dn, sid))
    with pytest.raises(DirectoryRefused):
        trusted.do(trusted.target.remove_sid_history(dn, [old_sid, "S-1-5-21-9-9-9-1002"]))  # all of them or none
    assert {old_sid, other} <= trusted.do(trusted.target.token_sids(dn))
    trusted.do(trusted.target.remove_sid_history(dn, [old_sid]))
    assert not trusted.do(trusted.target.search("DC=target,DC=lab", "sub", f"(sIDHistory={old_sid})", ["cn"]))
    token = trusted.do(trusted.target.token_sids(dn))
    assert (old_sid in token, other in token) == (False, True)
    trusted.do(trusted.target.add_sid_history(dn, old_sid))  # it may come again
    assert old_sid in trusted.do(trusted.target.token_sids(dn))


def test_former_members_leave_no_trace_and_present_ones_stay(forest: Forest) -> None:
    people = [forest.account(forest.source, user["sam_account_name"], "cn").dn.encode() for user in forest.users[:3]]
    group = "CN=Emptied,OU=Groups,DC=source,DC=lab"
    forest.do(forest.source.add(group, {"objectClass": [b"group"], "sAMAccountName": [b"emptied"]}))

    def change(operation: Literal["add", "delete"], *members: bytes) -> None:
        forest.do(forest.source.modify(group, [Change("member", operation, members)]))

    def members() -> list[bytes]:
        return forest.do(forest.source.search(group, "base", "", ["member"]))[0].all("member")

    def links() -> int:
        sam = ["ldbsearch", "-H", str(forest.paths.domain("source") / "private" / "sam.ldb"), "-b", group, "-s", "base"]
        revealed = subprocess.run([*sam, "--reveal", "member"], capture_output=True, text=True, check=True).stdout
        return revealed.count("member:")

    change("add", *people)
    change("delete", people[0])
    forest.do(forest.source.forget_members(group))
    assert (len(members()), links()) == (2, 3)  # not while somebody is in it
    change("delete", *people[1:])
    forest.do(forest.source.forget_members(group))
    assert (members(), links()) == ([], 0)
    forest.do(forest.source.forget_members(group))
    change("add", people[0])
    assert members() == [people[0]]
    forest.do(forest.source.delete(group))


def test_remote_session_renames_and_moves(forest: Forest) -> None:
    admin = NetworkCredential("TARGET", "Administrator", forest.paths.password("target-admin"))
    session = forest.do(forest.network.connect("tgtdc1.target.lab", admin))
    base = "OU=Migrated,DC=target,DC=lab"
    forest.do(session.add(f"CN=Before,{base}", {"objectClass": [b"group"], "sAMAccountName": [b"renamed-group"]}))
    forest.do(session.rename(f"CN=Before,{base}", r"CN=After\, \"Süd\" #1", base))
    (found,) = forest.do(session.search(base, "sub", "(sAMAccountName=renamed-group)", ["cn"]))
    assert found.text("cn") == 'After, "Süd" #1'
    forest.do(session.rename(found.dn, "CN=After", "CN=Users,DC=target,DC=lab"))
    assert forest.do(session.search("CN=After,CN=Users,DC=target,DC=lab", "base", "", ["cn"]))
    forest.do(session.delete("CN=After,CN=Users,DC=target,DC=lab"))


def test_remote_session_writes_with_the_rights_of_its_owner(forest: Forest) -> None:
    admin = NetworkCredential("TARGET", "Administrator", forest.paths.password("target-admin"))
    session = forest.do(forest.network.connect("tgtdc1.target.lab", admin))
    dn = "CN=Örtlich\\, Süd,OU=Migrated,DC=target,DC=lab"
    forest.do(session.add(dn, {"objectClass": [b"group"], "sAMAccountName": [b"remote-group"]}))
    forest.do(session.modify(dn, [Change("description", "add", (b"one",))]))
    (entry,) = forest.do(session.search(dn, "base", "", ["description"]))
    assert entry.text("description") == "one"
    forest.do(session.delete(dn))
    ordinary = NetworkCredential("TARGET", "migrator", forest.paths.password("migrator"))
    session = forest.do(forest.network.connect("target.lab", ordinary))
    with pytest.raises(DirectoryRefused) as refused:
        forest.do(session.add(dn, {"objectClass": [b"group"], "sAMAccountName": [b"remote-group"]}))
    assert refused.value.code == ACCESS_DENIED


def test_a_bridge_that_died_is_started_again(forest: Forest) -> None:
    forest.do(forest.source.search("DC=source,DC=lab", "base", "", ["name"]))
    pid = forest.source.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not Path(f"/proc/{pid}/cmdline").exists() or not Path(f"/proc/{pid}/cmdline").read_bytes())

    async def again() -> list[Entry]:
        with pytest.raises(DirectoryRefused):
            while True:
                await forest.source.search("DC=source,DC=lab", "base", "", ["name"])
                assert forest.source.pid == pid, "nobody noticed, and it works: that is fine too"
        return await forest.source.search("DC=source,DC=lab", "base", "", ["name"])

    assert forest.do(again())


def test_restart_of_a_host_takes_its_controller_down_and_brings_it_back(forest: Forest) -> None:
    before = lab.status(forest.paths.directory)["domains"]["target"]["samba_pid"]
    ask(forest.paths.control_socket, "restart-host", {"domain": "target"})
    after = lab.status(forest.paths.directory)["domains"]["target"]["samba_pid"]
    assert before != after
    assert forest.can_bind(TARGET_ADDRESS, "TARGET\\migrator", forest.paths.password("migrator"))


def test_up_on_a_running_lab_says_so_and_refuses_other_settings(forest: Forest) -> None:
    said: list[str] = []
    document = lab.up(forest.settings, said.append)
    assert document["pid"] == lab.status(forest.paths.directory)["pid"]
    assert "runs already" in said[0]
    with pytest.raises(LabError, match="users=7"):
        lab.up(LabSettings(forest.paths.directory, SOURCE_ADDRESS, TARGET_ADDRESS, users=7, hosts=False))


def test_busy_addresses_are_named(forest: Forest) -> None:
    with pytest.raises(LabError, match=f"{SOURCE_ADDRESS}:389/tcp"):
        lab.up(LabSettings(Path("/tmp/rl-busy"), SOURCE_ADDRESS, TARGET_ADDRESS, hosts=False))


def test_exec_reaches_the_lab(forest: Forest) -> None:
    command = f'test "$KRB5_CONFIG" = {forest.paths.krb5_conf} && exit 7'
    assert lab.exec_(forest.paths.directory, ["sh", "-c", command]) == 7


def test_reset_brings_the_pristine_directories_back(forest: Forest) -> None:
    user = forest.users[11]
    migrate(forest, user)
    forest.do(forest.source.close())
    forest.do(forest.target.close())
    lab.reset(forest.paths.directory)
    assert forest.do(forest.target.search("OU=Migrated,DC=target,DC=lab", "one", "(cn=*)", ["cn"])) == []
    assert forest.can_bind(SOURCE_ADDRESS, f"SOURCE\\{user['sam_account_name']}", user["password"])


def test_a_killed_lab_leaves_nothing_behind_and_goes_on_from_its_disks(forest: Forest) -> None:
    user = forest.users[12]
    migrate(forest, user)
    forest.do(forest.source.close())
    forest.do(forest.target.close())
    status = lab.status(forest.paths.directory)
    children = [domain[key] for domain in status["domains"].values() for key in ("samba_pid", "bridge_pid")]
    os.kill(status["pid"], signal.SIGKILL)
    wait_for(lambda: not lab.is_running(forest.paths.directory))
    lab.up(forest.settings)
    assert not any(is_alive(pid) for pid in children if pid)
    assert forest.can_bind(TARGET_ADDRESS, f"TARGET\\{user['sam_account_name']}", user["password"])


def test_down_stops_everything_and_up_goes_on(forest: Forest) -> None:
    started = time.monotonic()
    assert lab.down(forest.paths.directory)
    assert time.monotonic() - started < 5
    assert not forest.paths.locks.exists()
    with pytest.raises(ConnectionRefusedError), socket.create_connection((SOURCE_ADDRESS, 389), 1):
        pass
    assert not lab.down(forest.paths.directory)
    assert lab.status(forest.paths.directory) == {
        "directory": str(forest.paths.directory), "running": False, "built": True,
    }  # fmt: skip
    lab.up(forest.settings)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def wait_for(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)

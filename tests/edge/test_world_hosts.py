"""The live world against a simulated host: sessions, files, tasks and restarts through real sockets."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
from pypsrp.powershell import RunspacePool
from pypsrp.wsman import WSMan
from spnego._ntlm_raw.crypto import ntowfv1

from reconciler.core.errors import AuthenticationFailed, Refused, Unreachable
from reconciler.core.query import Command, Recall
from reconciler.core.secret import CredentialPart, SecretRef, Template
from reconciler.core.steps import CopyFile, Restart, RunTask
from reconciler.core.targets import Targets
from reconciler.core.task_xml import task_xml
from reconciler.edge import psrp_session
from reconciler.edge.directory import Directory
from reconciler.edge.secrets import Secrets
from reconciler.edge.tasks import LogMark
from reconciler.edge.world import LiveWorld
from reconciler.lab.windows.contract import Cmdlet, DomainFacts, Entry, Logon, Parameter
from reconciler.lab.windows.machine import Machine, write_disk
from reconciler.lab.windows.pristine import pristine
from reconciler.lab.winrm.auth import ntlm_user_lines
from reconciler.lab.winrm.host import WinrmHost, WinrmSettings
from reconciler.lab.winrm.wsman import Quotas
from tests.worker import address

pytestmark = [pytest.mark.lab, pytest.mark.timeout(90)]

ADDRESS, NAME, PASSWORD = address(36, 1), "srcdc1.source.lab", "Pa:ss wörd"
HTTP, HTTPS = 15985, 15986
T = TypeVar("T")
ADMINISTRATORS = "S-1-5-32-544"
FACTS = DomainFacts("source", "source.lab", "SOURCE", "S-1-5-21-1-2-3", "DC=source,DC=lab", NAME, ADDRESS)


class OneAccount:
    """A directory that knows the administrator alone."""

    facts = FACTS

    async def search(self, base: str, scope: str, where: str, attributes: Sequence[str]) -> list[Entry]:
        if "administrator" not in where.lower():
            return []
        sid = bytes.fromhex("010500000000000515000000010000000200000003000000f4010000")
        found = {"objectSid": [sid], "sAMAccountName": [b"Administrator"], "objectClass": [b"user"]}
        return [Entry("CN=Administrator,CN=Users,DC=source,DC=lab", found)]

    async def token_sids(self, account_dn: str) -> frozenset[str]:
        return frozenset({ADMINISTRATORS, "S-1-5-21-1-2-3-500"})

    async def foreign_token_sids(self, sids: frozenset[str]) -> frozenset[str]:
        return sids

    async def check_password(self, sam_account_name: str, password: str) -> bool:
        return password == PASSWORD


class Host:
    """A simulated host on an event loop of its own."""

    def __init__(
        self, directory: Path, pki: Any, names: tuple[str, ...] = (NAME, ADDRESS), quotas: Quotas | None = None
    ) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        disk, users = directory / "disk.json", directory / "users"
        write_disk(disk, pristine(FACTS, awkward=False))
        users.write_text(ntlm_user_lines("SOURCE", "source.lab", "Administrator", ntowfv1(PASSWORD)), "utf-8")
        self.machine = Machine.load(disk, FACTS, OneAccount())  # type: ignore[arg-type]  # the calls these tests make
        self.machine.restart_hook = self._begin_restart
        self.machine.cmdlets.update({one.name.lower(): one for one in CMDLETS})
        files = pki.issue(*names)
        settings = WinrmSettings(
            NAME,
            ADDRESS,
            files.certificate,
            files.key,
            users,
            {"SOURCE.LAB": "SOURCE"},
            http_port=HTTP,
            https_port=HTTPS,
            quotas=quotas or Quotas(),
        )
        self.host = WinrmHost(self.machine, settings, self._logon)
        self.run(self._start())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    def call(self, action: Callable[[], object]) -> None:
        async def act() -> None:
            action()

        self.run(act())

    def drop_connections(self) -> None:
        """Reset every connection, as a firewall or a crash would."""

        def reset() -> None:
            for one in list(self.host._http.connections):
                one.reset()

        self.call(reset)

    def stop(self) -> None:
        self.run(self.host.stop())
        self.run(self.machine.shut_down())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _start(self) -> None:
        await self.machine.boot()
        await self.host.start()

    def _begin_restart(self, delay_s: float) -> None:
        self._restarting = asyncio.ensure_future(self._restart())

    async def _restart(self) -> None:
        await asyncio.sleep(0.1)
        self.host.drop()
        await self.machine.shut_down()
        await asyncio.sleep(0.3)
        self.host.mode = "booting"
        await self.host.start()
        await asyncio.sleep(0.3)
        await self.machine.boot()
        self.host.mode = "up"

    async def _logon(self, account: str) -> Logon | None:
        return Logon(account, frozenset({ADMINISTRATORS}), "network")


calls: list[str] = []


async def _count(call: Any) -> None:
    calls.append(call.arguments.get("Word") or "")
    call.output(len(calls))


async def _vanish(call: Any) -> None:
    """Run, and lose the connection before the answer."""
    calls.append("vanish")
    if len(calls) == 1:
        for one in list(HOSTS[-1].host._http.connections):
            one.reset()
    call.output("done")


async def _complain(call: Any) -> None:
    call.error("System.Exception", f"I do not like {call.arguments['Word']}", "BadTaste", "InvalidData", None)
    call.output("after")


async def _never(call: Any) -> None:
    await asyncio.Event().wait()


OLD_LOG = b"\xff\xfe" + "old\r\n".encode("utf-16-le")
WORD = Parameter("Word", "any", 0)
CMDLETS = (
    Cmdlet("Measure-Call", (WORD,), _count),
    Cmdlet("Test-Vanish", (), _vanish),
    Cmdlet("Test-Taste", (WORD,), _complain),
    Cmdlet("Wait-Ever", (), _never),
)
HOSTS: list[Host] = []


@pytest.fixture
def host(tmp_path: Path, pki: Any) -> Iterator[Host]:
    calls.clear()
    HOSTS.append(Host(tmp_path, pki))
    yield HOSTS[-1]
    HOSTS.pop().stop()


def targets(directory: Path, pki: Any, transport: str = "https", **more: Any) -> Targets:
    secret = directory / "secret"
    secret.write_text(more.pop("password", PASSWORD))
    secret.chmod(0o600)
    winrm = {"transport": transport, "auth": "ntlm", "port": HTTPS if transport == "https" else HTTP}
    return Targets.model_validate(
        {
            "credentials": {"admin": {"username": "Administrator@SOURCE.LAB", "password": {"file": "secret"}}},
            "domains": {"source": {"dns": "source.lab", "netbios": "SOURCE", "credential": "admin", "ca": str(pki.ca)}},
            "hosts": {"pdc": {"domain": "source", "address": NAME, "winrm": winrm, **more}},
        }
    )


@pytest.fixture(params=["https", "http"])
def world(request: pytest.FixtureRequest, host: Host, tmp_path: Path, pki: Any, known: None) -> Iterator[LiveWorld]:
    with LiveWorld(targets(tmp_path, pki, request.param), Secrets(tmp_path), tmp_path) as opened:
        yield opened


@pytest.fixture
def https(host: Host, tmp_path: Path, pki: Any, known: None) -> Iterator[LiveWorld]:
    with LiveWorld(targets(tmp_path, pki), Secrets(tmp_path), tmp_path) as opened:
        yield opened


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every name lead to the simulated host; the system's DNS knows none of them."""
    monkeypatch.setattr("reconciler.edge.resolve.Names.addresses", lambda self, name: (ADDRESS,))


def test_recall_is_not_for_the_world(tmp_path: Path, pki: Any) -> None:
    with LiveWorld(targets(tmp_path, pki), Secrets(tmp_path), tmp_path) as world, pytest.raises(TypeError):
        world.ask(Recall("restart/"))


def test_pieces_of_work_are_done_at_once_and_the_first_error_comes_when_all_have_ended(
    tmp_path: Path, pki: Any
) -> None:
    gate, ended = threading.Barrier(3), list[str]()

    def work(name: str, error: Exception | None = None) -> Callable[[], None]:
        def run() -> None:
            gate.wait(10)
            ended.append(name)
            if error is not None:
                raise error

        return run

    with LiveWorld(targets(tmp_path, pki), Secrets(tmp_path), tmp_path) as world, pytest.raises(Refused, match="first"):
        world.do_together([work("a"), work("b", Refused("first")), work("c", Refused("second"))])
    assert sorted(ended) == ["a", "b", "c"]


def test_command_gives_rows_of_plain_values(world: LiveWorld) -> None:
    (service,) = world.ask(Command("pdc", "Get-Service", (("Name", "Netlogon"),)))
    assert (service["Name"], service["Status"]) == ("Netlogon", "Running")
    assert world.ask(Command("pdc", "Test-Path", (("LiteralPath", "C:\\Windows"),))) == ({"value": True},)


def test_native_program_gives_lines_and_its_exit_code(world: LiveWorld) -> None:
    rows = world.ask(Command("pdc", "hostname.exe", native=True))
    assert rows == ({"line": "SRCDC1"}, {"exit_code": 0})


def test_refused_exit_code_is_an_error(https: LiveWorld) -> None:
    bad = Command("pdc", "auditpol.exe", arguments=("/nonsense",), native=True)
    with pytest.raises(Refused) as raised:
        https.ask(bad)
    assert re.fullmatch(r"exit -?\d+", raised.value.code)
    assert https.ask(Command("pdc", "auditpol.exe", arguments=("/nonsense",), native=True, ok_exit_codes=None))


def test_absent_ids_give_no_rows_and_other_errors_are_refusals(world: LiveWorld) -> None:
    missing = (("LiteralPath", "C:\\none.txt"),)
    assert world.ask(Command("pdc", "Get-Content", missing, absent=("PathNotFound",))) == ()
    with pytest.raises(Refused, match=r"none\.txt") as raised:
        world.ask(Command("pdc", "Get-Content", missing))
    assert (raised.value.code, raised.value.target) == ("PathNotFound", "pdc")


def test_secret_reaches_the_host_and_no_message(world: LiveWorld) -> None:
    word = Template(("<", CredentialPart("admin", "password"), ">"))
    world.ask(Command("pdc", "Measure-Call", (("Word", word),)))
    assert calls == [f"<{PASSWORD}>"]
    with pytest.raises(Refused, match="I do not like") as raised:
        world.ask(Command("pdc", "Test-Taste", (("Word", SecretRef(file=Path("secret"))),)))
    assert PASSWORD not in str(raised.value)


def test_wrong_password_is_an_authentication_failure(host: Host, tmp_path: Path, pki: Any, known: None) -> None:
    wrong = targets(tmp_path, pki, password="wrong")
    with LiveWorld(wrong, Secrets(tmp_path), tmp_path) as world, pytest.raises(AuthenticationFailed):
        world.ask(Command("pdc", "hostname.exe", native=True))


@pytest.mark.parametrize("names", [("other.source.lab",), (ADDRESS,)], ids=["another name", "its address"])
def test_certificate_for_another_name_is_refused(tmp_path: Path, pki: Any, known: None, names: tuple[str, ...]) -> None:
    host = Host(tmp_path, pki, names)
    try:
        world = LiveWorld(targets(tmp_path, pki), Secrets(tmp_path), tmp_path)
        with world, pytest.raises(Unreachable, match="certificate of 'pdc' is not accepted") as raised:
            world.ask(Command("pdc", "hostname.exe", native=True))
        assert not raised.value.sent
        assert host.host.shell_count == 0
    finally:
        host.stop()


def test_nothing_listening_is_unreachable(tmp_path: Path, pki: Any, known: None) -> None:
    world = LiveWorld(targets(tmp_path, pki), Secrets(tmp_path), tmp_path)
    with world, pytest.raises(Unreachable) as raised:
        world.do(Command("pdc", "Measure-Call", repeatable=False))
    assert not raised.value.sent


def test_session_survives_lost_connections(world: LiveWorld, host: Host) -> None:
    world.ask(Command("pdc", "Measure-Call"))
    host.drop_connections()
    assert world.ask(Command("pdc", "Measure-Call")) == ({"value": 2},)


def test_session_survives_a_host_that_forgot_it(world: LiveWorld, host: Host) -> None:
    world.ask(Command("pdc", "Measure-Call"))
    host.call(host.host._service.kill_all)
    assert world.do(Command("pdc", "Measure-Call", repeatable=False)) == ({"value": 2},)


def test_lost_answer_of_a_repeatable_command_is_asked_for_again(world: LiveWorld) -> None:
    assert world.ask(Command("pdc", "Test-Vanish")) == ({"value": "done"},)
    assert calls == ["vanish", "vanish"]


def test_lost_answer_of_another_command_is_an_unknown_outcome(world: LiveWorld) -> None:
    with pytest.raises(Unreachable) as raised:
        world.do(Command("pdc", "Test-Vanish", repeatable=False))
    assert raised.value.sent
    assert calls == ["vanish"]


def test_command_that_takes_too_long_is_stopped(world: LiveWorld) -> None:
    with pytest.raises(Unreachable, match="no result within") as raised:
        world.ask(Command("pdc", "Wait-Ever", timeout_s=1))
    assert raised.value.sent
    assert world.ask(Command("pdc", "Measure-Call")) == ({"value": 1},)


def test_threads_share_one_session(world: LiveWorld, host: Host) -> None:
    threads = [threading.Thread(target=world.ask, args=(Command("pdc", "Measure-Call"),)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(calls), host.host.shell_count) == (6, 1)


def test_closing_leaves_no_shell_behind(world: LiveWorld, host: Host) -> None:
    world.ask(Command("pdc", "Measure-Call"))
    world.close()
    assert host.host.shell_count == 0


def test_session_of_a_program_that_died_is_given_up_by_the_host_within_a_minute(world: LiveWorld, host: Host) -> None:
    world.ask(Command("pdc", "Measure-Call"))
    (shell,) = host.host._service.shells.values()
    assert shell.facts.idle_timeout_s == 60


def test_too_many_sessions_are_waited_for_until_the_host_gives_idle_ones_up(
    tmp_path: Path, pki: Any, known: None
) -> None:
    host = Host(tmp_path, pki, quotas=Quotas(shells_per_user=1))
    try:
        with dead_session(host):
            world = LiveWorld(targets(tmp_path, pki), Secrets(tmp_path), tmp_path)
            with world:
                assert world.do(Command("pdc", "Measure-Call", repeatable=False)) == ({"value": 1},)
                assert host.host.shell_count == 1
    finally:
        host.stop()


def test_too_many_sessions_for_good_are_refused_with_advice(
    tmp_path: Path, pki: Any, known: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(psrp_session, "QUOTA_PATIENCE_S", 1.0)
    host = Host(tmp_path, pki, quotas=Quotas(shells_per_user=0))
    try:
        world = LiveWorld(targets(tmp_path, pki), Secrets(tmp_path), tmp_path)
        with world, pytest.raises(Refused, match="too many sessions"):
            world.ask(Command("pdc", "Measure-Call"))
    finally:
        host.stop()


@contextmanager
def dead_session(host: Host) -> Iterator[None]:
    """Open a session that nobody uses, and that the host gives up after a second."""
    calls.clear()
    wsman = WSMan(ADDRESS, port=HTTP, ssl=False, auth="ntlm", encryption="always", username="Administrator@SOURCE.LAB", password=PASSWORD, no_proxy=True)  # fmt: skip
    with wsman:
        RunspacePool(wsman, idle_timeout=1).open()
        assert host.host.shell_count == 1
        yield


def test_file_is_copied_with_its_directory(world: LiveWorld, host: Host) -> None:
    content = bytes(range(256)) * 300
    host.call(lambda: host.machine.files.write("C:\\Windows\\a.bin", content))
    world.do(CopyFile("pdc", "C:\\Windows\\a.bin", "pdc", "C:\\PES\\keys\\b.bin"))
    copied = host.machine.files.item("C:\\PES\\keys\\b.bin")
    assert copied is not None and copied.content == content


def test_missing_file_is_not_copied(https: LiveWorld, host: Host) -> None:
    with pytest.raises(Refused, match="no file"):
        https.do(CopyFile("pdc", "C:\\none", "pdc", "C:\\b"))
    assert host.machine.files.item("C:\\b") is None


def task(**more: Any) -> RunTask:
    told: dict[str, Any] = {"program": "C:\\Tools\\job.exe", "arguments": ("a b", 'c"d'), "log": "C:\\Tools\\job.log"}
    return RunTask("pdc", more.pop("name", "job"), **{**told, "credential": "admin", "timeout_s": 20, **more})


def program(host: Host, code: int = 3) -> list[tuple[str, ...]]:
    """Install a program that writes a log; return the arguments of its runs."""
    runs: list[tuple[str, ...]] = []

    async def job(process: Any) -> int:
        runs.append(process.arguments)
        line = f"run {len(runs)} by {process.logon.account} {process.logon.kind}\r\n".encode("utf-16-le")
        process.machine.files.append("C:\\Tools\\job.log", line)
        await asyncio.sleep(0.3)
        return code

    def install() -> None:
        host.machine.programs["job.exe"] = job
        host.machine.files.write("C:\\Tools\\job.exe", b"MZ", parents=True)
        host.machine.files.write("C:\\Tools\\job.log", OLD_LOG)

    host.call(install)
    return runs


def test_task_runs_under_a_real_logon_and_leaves_nothing(world: LiveWorld, host: Host) -> None:
    runs = program(host)
    rows = world.do(task())
    assert rows == ({"exit_code": 3}, {"line": "run 1 by SOURCE\\Administrator batch"})
    assert runs == [("a b", 'c"d')]
    assert list(host.machine.tasks) == []
    assert world.do(task())[1] == {"line": "run 2 by SOURCE\\Administrator batch"}


def leave_running(host: Host, about: str = "") -> None:
    """Start a task as a program that died would have left it."""
    before = LogMark.of(OLD_LOG)
    definition = task_xml(
        program="C:\\Tools\\job.exe",
        arguments=(),
        username="Administrator",
        timeout_s=60,
        description=f"[log {before.length} {before.digest}]{about}",
    )

    async def begin() -> None:
        registered = await host.machine.tasks.register("\\", "Reconcile-job", definition, "Administrator", PASSWORD)
        host.machine.tasks.start(registered)

    host.run(begin())


@pytest.mark.parametrize("about", ["", "bird-1"])
def test_task_that_runs_already_is_waited_for(https: LiveWorld, host: Host, about: str) -> None:
    runs = program(host)
    leave_running(host, f" [about {about}]" if about else "")
    assert https.do(task(about=about)) == ({"exit_code": 3}, {"line": "run 1 by SOURCE\\Administrator batch"})
    assert runs == [()]
    assert list(host.machine.tasks) == []


@pytest.mark.parametrize(("left", "about"), [(" [about bird-1]", "bird-2"), ("", "bird-2"), (" [about bird-1]", "")])
def test_task_about_something_else_is_waited_for_and_then_ours_is_started(
    https: LiveWorld, host: Host, left: str, about: str
) -> None:
    runs = program(host)
    leave_running(host, left)
    assert https.do(task(about=about)) == ({"exit_code": 3}, {"line": "run 2 by SOURCE\\Administrator batch"})
    assert runs == [(), ("a b", 'c"d')]
    assert list(host.machine.tasks) == []


def test_task_is_removed_when_it_takes_too_long(https: LiveWorld, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    async def forever(process: Any) -> int:
        await asyncio.Event().wait()
        return 0

    program(host)
    host.call(lambda: host.machine.programs.update({"job.exe": forever}))
    monkeypatch.setattr("reconciler.edge.tasks.STARTING_S", 0.5)
    with pytest.raises(Unreachable, match="did not end in time") as raised:
        https.do(task(timeout_s=0.5))
    assert raised.value.sent
    assert list(host.machine.tasks) == []


def test_secret_in_the_arguments_of_a_task_is_refused(https: LiveWorld, host: Host) -> None:
    with pytest.raises(TypeError):
        https.do(task(arguments=(Template(("/p:", SecretRef(env="X"))),)))
    assert list(host.machine.tasks) == []


def test_restart_returns_when_the_host_serves_again(
    world: LiveWorld, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def serves(directory: Directory, doors: Iterable[Any]) -> bool:
        asked.extend(door.controller for door in doors)
        return len(asked) > 1

    monkeypatch.setattr(Directory, "serves", serves)
    before = host.machine.boot_time
    world.do(Restart("pdc", timeout_s=30))
    assert host.machine.boot_time != before
    assert asked == [NAME, NAME]
    assert world.ask(Command("pdc", "Get-Service", (("Name", "NTDS"),)))[0]["Status"] == "Running"


def test_restart_that_does_not_happen_is_told(https: LiveWorld, host: Host) -> None:
    host.call(lambda: setattr(host.machine, "restart_hook", lambda delay: None))
    started = time.monotonic()
    with pytest.raises(Unreachable, match="it did not restart"):
        https.do(Restart("pdc", timeout_s=1))
    assert time.monotonic() - started < 10

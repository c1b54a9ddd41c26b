"""The simulated WinRM service, asked by the unmodified pypsrp over real sockets."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import json
import stat
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pypsrp.complex_objects import GenericComplexObject, ObjectMeta, PSCredential, PSInvocationState
from pypsrp.exceptions import AuthenticationError, WinRMTransportError, WSManFaultError
from pypsrp.powershell import PowerShell, RunspacePool
from pypsrp.wsman import WSMan
from spnego._ntlm_raw.crypto import ntowfv1

from reconciler.lab.windows.contract import Call, Cmdlet, Logon, NetworkCredential, Parameter, Process, Program
from reconciler.lab.winrm.auth import ntlm_user_lines
from reconciler.lab.winrm.configuration import ADMINISTRATORS, SessionConfiguration, default_configurations, restricted
from reconciler.lab.winrm.host import WinrmHost, WinrmSettings
from reconciler.lab.winrm.records import byte_array, date, enum_value, net_object, note, record, uint32
from reconciler.lab.winrm.wsman import Quotas
from tests.worker import address

pytestmark = [pytest.mark.lab, pytest.mark.timeout(60)]

FQDN, ADDRESS = "srcdc1.source.lab", address(32, 1)
ADMIN, PASSWORD = "SOURCE\\Administrator", "Pa:ss wörd"
T = TypeVar("T")


# -- a machine that is no Windows at all


async def _echo(call: Call) -> None:
    call.output(f"{type(call.arguments['Value']).__name__}:{call.arguments['Value']}")


async def _values(call: Call) -> None:
    moment = datetime.datetime(2024, 5, 6, 7, 8, 9, tzinfo=datetime.UTC)
    status = enum_value("System.ServiceProcess.ServiceControllerStatus", "Running", 4)
    thing = net_object(("Lab.Thing",), "a thing", Status=status, Since=date(moment))
    call.output(note(thing, Big=uint32(0xFFFFFFFF), Bytes=byte_array(b"\0\xff"), **{"two words": ["a", 1, None]}))
    call.output(record("", Hash={"k": 2**40}, Flag=True))


async def _trouble(call: Call) -> None:
    call.warning("careful")
    call.verbose("in detail")
    for path in call.arguments["Path"]:
        if call.arguments.get("Hard"):
            call.throw("System.IO.IOException", "disk on fire", "DiskOnFire", "DeviceError", path)
        call.error("ItemNotFoundException", f"Cannot find path '{path}'.", "PathNotFound", "ObjectNotFound", path)
    call.output("after" + (" what if" if call.what_if else ""))


async def _secrets(call: Call) -> None:
    call.output(call.arguments["Secret"].reveal() + "/" + call.arguments["Credential"].password.reveal())
    call.output(call.arguments["Secret"])


async def _big(call: Call) -> None:
    call.output("x" * call.arguments["Size"])


async def _wait(call: Call) -> None:
    call.output("begun")
    await asyncio.Event().wait()


async def _fault(call: Call) -> None:
    raise ZeroDivisionError("oops")


async def _take(call: Call) -> None:
    call.output(sorted(call.arguments))
    for one in call.pipeline_input:
        call.output(one)


async def _who(call: Call) -> None:
    call.output(f"{call.logon.account} {call.logon.kind} {call.logon.network is not None}")


async def _tool(process: Process) -> int:
    process.out(f"args {list(process.arguments)}")
    process.err("first trouble")
    process.err("second trouble")
    return 87


_PATH = Parameter("Path", "strings", 0, mandatory=True, from_pipeline=True, aliases=("PSPath",))
CMDLETS = (
    Cmdlet("Test-Echo", (Parameter("Value", "any", 0), Parameter("Level", values=("Low", "High"))), _echo),
    Cmdlet("Get-Value", (), _values, aliases=("gval",)),
    Cmdlet("Set-Trouble", (_PATH, Parameter("Hard", "switch"), Parameter("Hold", "int")), _trouble),
    Cmdlet("Use-Secret", (Parameter("Secret", "securestring"), Parameter("Credential", "credential")), _secrets),
    Cmdlet("Get-Big", (Parameter("Size", "int"),), _big),
    Cmdlet("Wait-Ever", (), _wait),
    Cmdlet("Get-Fault", (), _fault),
    Cmdlet("Get-Taken", (Parameter("Name", "strings", from_pipeline=True, aliases=("Index",)),), _take),
    Cmdlet("Get-Who", (), _who),
    Cmdlet("Register-Thing", (Parameter("User"), Parameter("Word", secret=True), Parameter("Extra", "any")), _who),
)


@dataclass
class Running:
    """A program while it runs."""

    arguments: Sequence[str]
    logon: Logon
    machine: Any
    out: Callable[[str], None]
    err: Callable[[str], None]
    directory: str = "C:\\"


@dataclass
class Machine:
    """Commands by name, and nothing else."""

    name: str = "SRCDC1"
    cmdlets: dict[str, Cmdlet] = field(default_factory=lambda: {one.name.lower(): one for one in CMDLETS})
    programs: dict[str, Program] = field(default_factory=lambda: {"tool.exe": _tool})

    def find_program(self, name: str) -> Program:
        return self.programs[name.lower().removesuffix(".exe") + ".exe"]

    async def run_program(
        self,
        name: str,
        arguments: Sequence[str],
        logon: Logon,
        out: Callable[[str], None],
        err: Callable[[str], None],
    ) -> int:
        return await self.find_program(name)(Running(arguments, logon, self, out, err))


# -- the service, on a loop of its own


class Lab:
    """One host, and what a client needs to reach it."""

    def __init__(self, directory: Path, loop: asyncio.AbstractEventLoop, **settings: Any) -> None:
        self.loop = loop
        self.log = directory / "commands.jsonl"
        self.users = directory / "users"
        self.ca = directory / "ca.pem"
        self.set_password(PASSWORD)
        self.groups = {ADMIN: frozenset({ADMINISTRATORS}), "SOURCE\\nobody": frozenset({"S-1-1-0"})}
        self.configurations = default_configurations()
        made = WinrmSettings(
            FQDN,
            ADDRESS,
            directory / "host.pem",
            directory / "host.key",
            self.users,
            {"SOURCE.LAB": "SOURCE"},
            self.log,
        )
        self.host = WinrmHost(Machine(), replace(made, **settings), self._logon, self.configurations)
        self.run(self.host.start())

    async def _logon(self, account: str) -> Logon | None:
        sids = self.groups.get(account)
        return None if sids is None else Logon(account, sids, "network")

    def set_password(self, password: str) -> None:
        lines = ntlm_user_lines("SOURCE", "source.lab", "Administrator", ntowfv1(password))
        self.users.write_text(lines + "SOURCE:nobody:x\n", "utf-8")

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(10)

    def call(self, action: Callable[[], object]) -> None:
        async def act() -> None:
            action()

        self.run(act())

    async def until(self, reached: Callable[[], bool]) -> None:
        while not reached():
            await asyncio.sleep(0.01)

    def reset_connections(self) -> None:
        for connection in list(self.host._http.connections):
            connection.reset()

    def wsman(self, *, tls: bool = True, user: str = ADMIN, password: str = PASSWORD, **more: Any) -> WSMan:
        settings: dict[str, Any] = {
            "ssl": tls,
            "port": 5986 if tls else 5985,
            "auth": "ntlm",
            "reconnection_retries": 0,
        }
        if tls:
            settings["cert_validation"] = str(self.ca)
        return WSMan(ADDRESS, username=user, password=password, **{**settings, **more})

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text("utf-8").splitlines()]


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("pki")
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "lab CA")])
    address = x509.IPAddress(ipaddress.ip_address(ADDRESS))
    ca = _certificate(ca_name, ca_name, ca_key, ca_key.public_key(), None)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, FQDN)])
    host = _certificate(name, ca_name, ca_key, key.public_key(), [x509.DNSName(FQDN), address])
    pem = serialization.Encoding.PEM
    (directory / "ca.pem").write_bytes(ca.public_bytes(pem))
    (directory / "host.pem").write_bytes(host.public_bytes(pem))
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (directory / "host.key").write_bytes(private)
    return directory


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    issuer_key: ec.EllipticCurvePrivateKey,
    public: ec.EllipticCurvePublicKey,
    names: list[x509.GeneralName] | None,
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(issuer, subject, public, x509.random_serial_number())
    builder = builder.not_valid_before(now - datetime.timedelta(1)).not_valid_after(now + datetime.timedelta(9))
    builder = builder.add_extension(x509.BasicConstraints(ca=names is None, path_length=None), critical=True)
    if names is not None:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


@pytest.fixture
def make_lab(pki: Path, tmp_path: Path) -> Iterator[Callable[..., Lab]]:
    for name in ("ca.pem", "host.pem", "host.key"):
        (tmp_path / name).write_bytes((pki / name).read_bytes())
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    made: list[Lab] = []

    def make(**settings: Any) -> Lab:
        made.append(Lab(tmp_path, loop, **settings))
        return made[-1]

    yield make
    for lab in made:
        lab.run(lab.host.stop())
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


@pytest.fixture
def lab(make_lab: Callable[..., Lab]) -> Lab:
    return make_lab()


@pytest.fixture
def pool(lab: Lab) -> Iterator[RunspacePool]:
    with lab.wsman() as wsman, RunspacePool(wsman) as opened:
        yield opened


def ask(pool: RunspacePool, *commands: tuple[str, dict[str, Any]], arguments: Sequence[Any] = ()) -> PowerShell:
    """Run a pipeline of commands with parameters and return it when it is over."""
    powershell = PowerShell(pool)
    for name, parameters in commands:
        powershell.add_cmdlet(name)
        powershell.add_parameters(parameters)
    for argument in arguments:
        powershell.add_argument(argument)
    powershell.invoke()
    powershell.close()
    return powershell


def errors(powershell: PowerShell) -> list[Any]:
    return list(powershell.streams.error)


def failed(powershell: PowerShell) -> list[str]:
    return [str(error.fq_error) for error in errors(powershell)]


# -- transport


@pytest.mark.parametrize("tls", [True, False])
@pytest.mark.parametrize("auth", ["ntlm", "negotiate"])
def test_ntlm_opens_a_session(lab: Lab, tls: bool, auth: str) -> None:
    with lab.wsman(tls=tls, auth=auth) as wsman, RunspacePool(wsman) as pool:
        assert ask(pool, ("Get-Who", {})).output == [f"{ADMIN} network False"]


@pytest.mark.parametrize("user", ["source\\administrator", "source.lab\\Administrator", "Administrator@source.lab"])
def test_the_account_has_one_name(lab: Lab, user: str) -> None:
    lab.groups = {name.lower(): sids for name, sids in lab.groups.items()}
    original = lab._logon

    async def logon(account: str) -> Logon | None:
        return await original(account.lower())

    lab.host._service.endpoint = replace(lab.host._service.endpoint, logon_for=logon)
    with lab.wsman(user=user) as wsman, RunspacePool(wsman) as pool:
        assert ask(pool, ("Get-Who", {})).output == ["source\\administrator network False"]


def test_messages_over_http_are_sealed(lab: Lab) -> None:
    with lab.wsman(tls=False) as wsman, RunspacePool(wsman) as pool:
        assert wsman.transport.wrap_required
        assert ask(pool, ("Test-Echo", {"Value": "x"})).output == ["str:x"]


def test_messages_over_http_in_the_clear_are_refused(lab: Lab) -> None:
    url = f"http://{ADDRESS}:5985/wsman"
    with lab.wsman(tls=False) as wsman, RunspacePool(wsman):
        pass
    session = requests.Session()
    answer = session.post(url, data=b"<x/>", headers={"Content-Type": "application/soap+xml"}, timeout=5)
    assert answer.status_code == 401
    assert "Basic" not in answer.headers["WWW-Authenticate"]
    with lab.wsman(tls=False, encryption="never") as wsman, pytest.raises((AuthenticationError, WinRMTransportError)):
        RunspacePool(wsman).open()


def test_basic_is_refused(lab: Lab) -> None:
    with lab.wsman(auth="basic") as wsman, pytest.raises(AuthenticationError):
        RunspacePool(wsman).open()


def test_wrong_password_is_refused_and_a_new_one_counts_at_once(lab: Lab) -> None:
    with lab.wsman(password="wrong") as wsman, pytest.raises(AuthenticationError):
        RunspacePool(wsman).open()
    lab.set_password("changed")
    with lab.wsman(password="changed") as wsman, RunspacePool(wsman) as pool:
        assert pool.is_alive()


def test_an_unknown_authority_is_refused_by_the_client(lab: Lab) -> None:
    with lab.wsman(cert_validation=True) as wsman, pytest.raises(requests.exceptions.SSLError):
        RunspacePool(wsman).open()


def test_wrong_channel_bindings_are_refused(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    with lab.wsman() as wsman, RunspacePool(wsman):
        pass
    forged = staticmethod(lambda _der: b"?" * 32)
    monkeypatch.setattr("pypsrp.negotiate.HTTPNegotiateAuth._get_certificate_hash", forged)
    with lab.wsman() as wsman, pytest.raises(AuthenticationError):
        RunspacePool(wsman).open()


def test_missing_channel_bindings_are_accepted_as_windows_does_by_default(lab: Lab) -> None:
    with lab.wsman(negotiate_send_cbt=False) as wsman, RunspacePool(wsman) as pool:
        assert pool.is_alive()


def test_no_administrator_no_shell(lab: Lab) -> None:
    with lab.wsman(user="SOURCE\\nobody", password="x") as wsman, pytest.raises(WSManFaultError) as caught:
        RunspacePool(wsman).open()
    assert caught.value.code == 5
    lab.groups["SOURCE\\nobody"] = frozenset({ADMINISTRATORS})
    with lab.wsman(user="SOURCE\\nobody", password="x") as wsman, RunspacePool(wsman) as pool:
        assert ask(pool, ("Get-Who", {})).output == ["SOURCE\\nobody network False"]


def test_restart_drops_everything_then_boots_then_is_up(lab: Lab) -> None:
    with lab.wsman() as wsman:
        pool = RunspacePool(wsman)
        pool.open()
        powershell = PowerShell(pool).add_cmdlet("Wait-Ever")
        powershell.begin_invoke()
        powershell.poll_invoke(timeout=1)
        lab.call(lab.host.drop)
        with pytest.raises(requests.exceptions.ConnectionError):
            powershell.poll_invoke(timeout=5)
        assert lab.host.shell_count == 0
        lab.host.mode = "booting"
        lab.run(lab.host.start())
        with pytest.raises(WinRMTransportError) as caught:
            RunspacePool(wsman).open()
        assert caught.value.code == 503
        lab.host.mode = "up"
        with RunspacePool(wsman) as again:
            assert ask(again, ("Get-Who", {})).output
        with pytest.raises(WSManFaultError) as gone:
            ask(pool, ("Get-Who", {}))
        assert gone.value.code == 2150858843
    assert {"command": "Wait-Ever", "outcome": "stopped"}.items() <= lab.lines()[0].items()


def test_sealed_session_on_a_lost_connection_answers_400(lab: Lab) -> None:
    with lab.wsman(tls=False) as wsman:
        pool = RunspacePool(wsman)
        pool.open()
        lab.call(lab.reset_connections)
        with pytest.raises((WinRMTransportError, requests.exceptions.ConnectionError)):
            ask(pool, ("Get-Who", {}))
        with pytest.raises(WinRMTransportError) as caught:
            RunspacePool(wsman).open()
        assert caught.value.code == 400


def test_idle_connections_are_closed_and_idle_shells_reaped(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab(idle_connection_s=0.05, quotas=Quotas(idle_timeout_s=2.0))
    with lab.wsman() as wsman:
        pool = RunspacePool(wsman)
        pool.open()
        lab.run(lab.until(lambda: not lab.host.shell_count and not lab.host._http.connections))
        with pytest.raises(WSManFaultError) as caught:
            ask(pool, ("Get-Who", {}))
        assert caught.value.code == 2150858843


def test_quotas(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab(quotas=Quotas(shells_per_user=1, commands_per_shell=2))
    with lab.wsman() as wsman, RunspacePool(wsman) as pool:
        with pytest.raises(WSManFaultError) as caught:
            RunspacePool(wsman).open()
        assert caught.value.code == 2150859173
        for _ in range(2):
            PowerShell(pool).add_cmdlet("Get-Who").invoke()
        with pytest.raises(WSManFaultError) as full:
            PowerShell(pool).add_cmdlet("Get-Who").invoke()
        assert full.value.code == 2150859174


def test_disconnect_reconnect_and_connect_from_another_client(lab: Lab) -> None:
    with lab.wsman() as wsman, lab.wsman() as other:
        pool = RunspacePool(wsman)
        pool.open()
        pool.disconnect()
        pool.connect()
        assert ask(pool, ("Get-Who", {})).output
        pool.disconnect()
        (found,) = RunspacePool.get_runspace_pools(other)
        found.connect()
        assert ask(found, ("Get-Who", {})).output
        found.close()
    assert lab.host.shell_count == 0


def test_a_repeated_receive_gets_the_same_answer_again(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    with lab.wsman() as wsman, RunspacePool(wsman) as pool:
        send = wsman.transport.send

        def send_twice(message: bytes, **more: Any) -> Any:
            first = send(message, **more)
            if b"DesiredStream" in message:
                assert send(message, **more).split(b"<s:Body>")[1] == first.split(b"<s:Body>")[1]
            return first

        monkeypatch.setattr(wsman.transport, "send", send_twice)
        assert len(ask(pool, ("Get-Big", {"Size": 500_000})).output[0]) == 500_000


def test_pool_questions(pool: RunspacePool) -> None:
    pool.max_runspaces = 3
    assert pool.max_runspaces == 3
    assert pool.get_available_runspaces() == 3
    ask(pool, ("tool.exe", {}))
    pool.reset_runspace_state()
    assert failed(ask(pool, ("Get-Variable", {"Name": "LASTEXITCODE"})))[0].startswith("VariableNotFound,")


def test_stop_ends_a_running_command(pool: RunspacePool) -> None:
    powershell = PowerShell(pool).add_cmdlet("Wait-Ever")
    powershell.begin_invoke()
    powershell.stop()
    assert powershell.state == PSInvocationState.STOPPED
    assert ask(pool, ("Get-Who", {})).output


# -- values


def test_values_arrive_with_their_types(pool: RunspacePool) -> None:
    thing, custom = ask(pool, ("gval", {})).output
    assert str(thing) == "a thing"
    assert thing.types[0] == "Lab.Thing"
    assert thing.adapted_properties["Since"].startswith("2024-05-06T07:08:09")
    assert thing.adapted_properties["Status"].to_string == "Running"
    assert thing.extended_properties["Big"] == 0xFFFFFFFF
    assert thing.extended_properties["Bytes"] == b"\0\xff"
    assert thing.extended_properties["two words"] == ["a", 1, None]
    assert custom.extended_properties == {"Hash": {"k": 2**40}, "Flag": True}


def test_big_values_pass_both_ways(pool: RunspacePool) -> None:
    assert ask(pool, ("Get-Big", {"Size": 1_000_000})).output == ["x" * 1_000_000]
    (echo,) = ask(pool, ("Test-Echo", {"Value": "y" * 1_000_000})).output
    assert len(echo) == 1_000_004


def test_secure_strings_pass_both_ways_and_are_not_logged(lab: Lab, pool: RunspacePool) -> None:
    pool.exchange_keys()
    secret = pool.serialize("hush-hush", ObjectMeta("SS"))
    credential = PSCredential(username="SOURCE\\x", password="very secret")  # type: ignore[no-untyped-call]
    both, back = ask(pool, ("Use-Secret", {"Secret": secret, "Credential": credential})).output
    assert both == "hush-hush/very secret"
    assert back == "hush-hush"
    (line,) = lab.lines()
    assert line["parameters"] == {"Secret": "***", "Credential": {"UserName": "SOURCE\\x", "Password": "***"}}


# -- errors, binding, pipelines


def test_non_terminating_errors_do_not_fail_the_pipeline(pool: RunspacePool) -> None:
    powershell = ask(pool, ("Set-Trouble", {"Path": ["a", "b"]}))
    assert powershell.output == ["after"]
    assert not powershell.had_errors
    assert failed(powershell) == ["PathNotFound,Microsoft.PowerShell.Commands.SetTroubleCommand"] * 2
    error = errors(powershell)[0]
    assert (error.category, error.reason, error.target_object) == (13, "ItemNotFoundException", "a")
    assert (str(error), error.command_name) == ("Cannot find path 'a'.", "Set-Trouble")
    assert "System.Management.Automation.SessionStateException" in error.exception.types
    assert [str(one.message) for one in powershell.streams.warning] == ["careful"]
    assert powershell.streams.verbose == []


def test_terminating_errors_fail_the_pipeline(pool: RunspacePool) -> None:
    powershell = ask(pool, ("Set-Trouble", {"Path": "a", "Hard": True}))
    assert powershell.state == PSInvocationState.FAILED
    assert failed(powershell) == ["DiskOnFire,Microsoft.PowerShell.Commands.SetTroubleCommand"]


def test_preferences_are_honoured(pool: RunspacePool) -> None:
    preferences = {"EA": "SilentlyContinue", "WarningAction": "Ignore", "Verbose": True}
    quiet = ask(pool, ("Set-Trouble", {"Path": "a", **preferences}))
    assert (quiet.output, failed(quiet), quiet.streams.warning) == (["after"], [], [])
    assert [str(one.message) for one in quiet.streams.verbose] == ["in detail"]
    stopped = ask(pool, ("Set-Trouble", {"Path": "a", "ErrorAction": "Stop"}))
    assert stopped.state == PSInvocationState.FAILED
    assert failed(stopped) == ["PathNotFound,Microsoft.PowerShell.Commands.SetTroubleCommand"]
    assert stopped.streams.error[0].reason == "ActionPreferenceStopException"
    assert ask(pool, ("Set-Trouble", {"Path": "a", "WhatIf": None})).output == ["after what if"]
    asked = ask(pool, ("Set-Trouble", {"Path": "a", "Confirm": True}))
    assert failed(asked)[0].startswith("HostFunctionNotImplemented,")


@pytest.mark.parametrize(
    ("command", "parameters", "error_id", "category"),
    [
        ("Set-Trouble", {"Nope": 1}, "NamedParameterNotFound", 5),
        ("Get-Value", {"WhatIf": True}, "NamedParameterNotFound", 5),
        ("Set-Trouble", {"Path": "a", "H": 1}, "AmbiguousParameter", 5),
        ("Set-Trouble", {"Path": "a", "PSPath": "b"}, "ParameterAlreadyBound", 5),
        ("Set-Trouble", {}, "MissingMandatoryParameter", 5),
        ("Set-Trouble", {"Path": ""}, "ParameterArgumentValidationErrorEmptyStringNotAllowed", 6),
        ("Set-Trouble", {"Path": "a", "Hold": "many"}, "CannotConvertArgumentNoMessage", 5),
        ("Set-Trouble", {"Path": "a", "Hard": "yes"}, "CannotConvertArgument", 5),
        ("Set-Trouble", {"-Path": None}, "MissingArgument", 5),
        ("Test-Echo", {"Level": "Middle"}, "ParameterArgumentValidationError", 6),
        ("Use-Secret", {"Secret": "in the clear"}, "CannotConvertArgumentNoMessage", 5),
    ],
)
def test_binding_errors(
    pool: RunspacePool, command: str, parameters: dict[str, Any], error_id: str, category: int
) -> None:
    powershell = ask(pool, (command, parameters))
    assert powershell.state == PSInvocationState.FAILED
    class_name = f"Microsoft.PowerShell.Commands.{command.replace('-', '')}Command"
    assert failed(powershell) == [f"{error_id},{class_name}"]
    assert errors(powershell)[0].category == category


def test_binding_by_prefix_alias_and_position(pool: RunspacePool) -> None:
    assert ask(pool, ("Test-Echo", {"val": 7})).output == ["int:7"]
    assert ask(pool, ("Test-Echo", {"-Level:": "low"}), arguments=[True]).output == ["bool:True"]
    too_many = ask(pool, ("Test-Echo", {}), arguments=["a", "b"])
    assert failed(too_many) == ["PositionalParameterNotFound,Microsoft.PowerShell.Commands.TestEchoCommand"]


def test_pipeline_input_binds_by_value_and_by_property_name(pool: RunspacePool) -> None:
    piped: Any = ["a", "b"]
    assert PowerShell(pool).add_cmdlet("Get-Taken").invoke(piped) == [["Name"], "a", "b"]
    item = GenericComplexObject()
    item.types = ["System.Object"]
    item.extended_properties["index"] = "third"
    piped = [item]
    assert PowerShell(pool).add_cmdlet("Get-Taken").invoke(piped)[0] == ["Name"]
    wrong = ask(pool, ("Get-Value", {}), ("Get-Taken", {}))
    assert failed(wrong) == ["InputObjectNotBound,Microsoft.PowerShell.Commands.GetTakenCommand"]


def test_select_object(pool: RunspacePool) -> None:
    first = ask(pool, ("Get-Value", {}), ("Select-Object", {"First": 1, "Property": ["Status", "Nope"]})).output[0]
    assert first.types[0] == "Selected.Lab.Thing"
    assert first.extended_properties["Nope"] is None
    assert ask(pool, ("gval", {}), ("select", {"ExpandProperty": "big", "First": 1})).output == [0xFFFFFFFF]
    missing = ask(pool, ("gval", {}), ("select", {"ExpandProperty": "big", "Last": 1}))
    assert failed(missing) == ["ExpandPropertyNotFound,Microsoft.PowerShell.Commands.SelectObjectCommand"]


def test_native_programs_give_lines_errors_and_an_exit_code(pool: RunspacePool) -> None:
    powershell = ask(pool, ("TOOL", {}), arguments=["/a", ["b c", 3]])
    assert powershell.output == ["args ['/a', 'b c', '3']"]
    assert failed(powershell) == ["NativeCommandError", "NativeCommandErrorMessage"]
    assert [str(error) for error in errors(powershell)] == ["first trouble", "second trouble"]
    assert ask(pool, ("Get-Variable", {"Name": "LASTEXITCODE", "ValueOnly": True})).output == [87]


def test_errors_merge_into_the_output(pool: RunspacePool) -> None:
    powershell = PowerShell(pool).add_cmdlet("tool.exe").merge_error("output")
    lines = [str(one) for one in powershell.invoke()]
    assert lines == ["args []", "first trouble", "second trouble"]
    assert failed(powershell) == []


def test_a_batch_goes_on_after_a_failed_statement(pool: RunspacePool) -> None:
    powershell = PowerShell(pool)
    powershell.add_cmdlet("tool.exe").add_statement()
    powershell.add_cmdlet("Missing-Command").add_statement()
    powershell.add_cmdlet("Get-Variable").add_parameters({"Name": "LASTEXITCODE", "ValueOnly": True})
    powershell.invoke()
    assert powershell.output == ["args []", 87]
    assert powershell.state == PSInvocationState.COMPLETED
    assert failed(powershell)[-1] == "CommandNotFoundException"


def test_unknown_commands_fail(pool: RunspacePool) -> None:
    powershell = ask(pool, ("Missing-Command", {}))
    assert powershell.state == PSInvocationState.FAILED
    assert failed(powershell) == ["CommandNotFoundException"]
    assert errors(powershell)[0].target_object == "Missing-Command"


def test_script_text_is_refused_unless_it_is_a_bare_command(pool: RunspacePool) -> None:
    assert PowerShell(pool).add_script("Get-Who").invoke() == [f"{ADMIN} network False"]
    powershell = PowerShell(pool).add_script("Get-Who | Out-Null")
    powershell.invoke()
    assert failed(powershell) == ["SimulatorScriptsNotSupported"]


def test_a_fault_of_the_simulator_is_an_error_record(pool: RunspacePool) -> None:
    assert failed(ask(pool, ("Get-Fault", {})))[0].startswith("SimulatorFault,")


def test_get_command_and_metadata(pool: RunspacePool) -> None:
    assert [one.adapted_properties["Name"] for one in ask(pool, ("Get-Command", {"Name": "Get-V*"})).output] == [
        "Get-Value",
        "Get-Variable",
    ]
    assert failed(ask(pool, ("Get-Command", {"Name": "Nope"})))[0].startswith("CommandNotFoundException,")
    assert [one.name for one in pool.get_command_metadata(["Get-V*"])] == ["Get-Value", "Get-Variable"]


# -- session configurations


def test_jea_shows_only_its_commands_and_no_language(lab: Lab) -> None:
    lab.configurations["jea.lab"] = restricted("JEA.Lab", "Get-Who", "tool.exe")
    with lab.wsman() as wsman, RunspacePool(wsman, configuration_name="JEA.Lab") as pool:
        assert ask(pool, ("Get-Who", {})).output
        assert ask(pool, ("tool", {})).output
        assert failed(ask(pool, ("Get-Value", {}))) == ["CommandNotFoundException"]
        assert failed(ask(pool, ("Get-Variable", {}))) == ["CommandNotFoundException"]
        script = PowerShell(pool).add_script("Get-Who")
        script.invoke()
        assert failed(script) == ["ScriptsNotAllowed"]


def test_configurations_that_are_unknown_or_not_for_this_user(lab: Lab) -> None:
    lab.configurations["other"] = SessionConfiguration("Other", allowed=frozenset({"S-1-5-21-1"}))
    with lab.wsman() as wsman:
        for name, code in (("Nope", 2150858811), ("Other", 5)):
            with pytest.raises(WSManFaultError) as caught:
                RunspacePool(wsman, configuration_name=name).open()
            assert caught.value.code == code


def test_a_runas_configuration_brings_its_own_logon(lab: Lab) -> None:
    async def run_as() -> Logon:
        credential = NetworkCredential("TARGET", "migrator", "x")
        return Logon("TARGET\\migrator", frozenset({ADMINISTRATORS}), "batch", credential)

    lab.configurations["migration"] = SessionConfiguration("Migration", run_as=run_as)
    with lab.wsman() as wsman, RunspacePool(wsman, configuration_name="Migration") as pool:
        assert ask(pool, ("Get-Who", {})).output == ["TARGET\\migrator batch True"]
    assert lab.lines()[0]["user"] == ADMIN


# -- command log


def test_command_log_has_one_line_per_command_without_secrets(lab: Lab, pool: RunspacePool) -> None:
    ask(pool, ("Get-Value", {}), ("Select-Object", {"First": 1}))
    nested = {"StartPassword": "s3cret", "Name": "svc"}
    ask(pool, ("Register-Thing", {"User": "u", "Word": "s3cret", "Extra": nested}))
    ask(pool, ("Register-Thing", {"Word": "s3cret", "Nope": "s3cret"}))
    words = ["key", "/keypassword:s3cret", 'KEYPASSWORD="s3cret s3cret"', "/passwordD", "s3cret", "/domain:d"]
    ask(pool, ("tool.exe", {}), arguments=words)
    ask(pool, ("Test-Echo", {"Value": "<Arguments>/keypassword:s3cret x</Arguments>"}))
    lines = lab.lines()
    assert "s3cret" not in lab.log.read_text("utf-8")
    assert [line["command"] for line in lines] == [
        "Get-Value",
        "Select-Object",
        "Register-Thing",
        "Register-Thing",
        "tool.exe",
        "Test-Echo",
    ]
    assert lines[1]["parameters"] == {"First": 1}
    assert lines[2]["parameters"] == {"User": "u", "Word": "***", "Extra": {"StartPassword": "***", "Name": "svc"}}
    assert lines[3]["outcome"].startswith("NamedParameterNotFound,")
    assert lines[4]["parameters"] == ["key", "/keypassword:***", "KEYPASSWORD=***", "/passwordD", "***", "/domain:d"]
    assert lines[4]["outcome"] == "NativeCommandError"
    assert {line["user"] for line in lines} == {ADMIN}
    assert stat.S_IMODE(lab.log.stat().st_mode) == 0o600


def test_log_line_is_written_when_a_fault_ends_the_command(lab: Lab, pool: RunspacePool) -> None:
    ask(pool, ("Missing-Command", {"X": 1}))
    assert lab.lines()[0]["outcome"] == "CommandNotFoundException"

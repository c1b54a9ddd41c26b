"""Answer WS-Management operations on the shells of one host."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar
from xml.sax.saxutils import escape

from reconciler.lab.windows.contract import Logon
from reconciler.lab.winrm import soap
from reconciler.lab.winrm.builtin import engine_cmdlets
from reconciler.lab.winrm.command_log import CommandLog
from reconciler.lab.winrm.configuration import SessionConfiguration
from reconciler.lab.winrm.send_queue import QueueClosed, SendQueue
from reconciler.lab.winrm.session import CommandSource, Session
from reconciler.lab.winrm.shell import Shell, ShellFacts
from reconciler.lab.winrm.soap import NAMESPACES, POWERSHELL

log = logging.getLogger(__name__)

_STATES = NAMESPACES["rsp"] + "/CommandState/"
_ENVELOPE = 4096  # bytes of an answer that are not payload
_CONFIG = (
    "<cfg:Config><cfg:MaxEnvelopeSizekb>500</cfg:MaxEnvelopeSizekb><cfg:MaxTimeoutms>60000</cfg:MaxTimeoutms>"
    "<cfg:MaxBatchItems>32000</cfg:MaxBatchItems></cfg:Config>"
)

LogonFor = Callable[[str], Awaitable[Logon | None]]
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Quotas:
    """WinRM's limits (winrm/config/winrs)."""

    shells_per_user: int = 30
    commands_per_shell: int = 1000
    idle_timeout_s: float = 7200.0


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request, and from where."""

    account: str
    address: str


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What a WSMan service serves.

    Attributes:
        logon_for: Gives the logon of an account (``DOMAIN\\name``); None where it has none here.
        configurations: By lower-case name; looked up at each Create, so that a new one counts at once.
    """

    machine: CommandSource
    logon_for: LogonFor
    configurations: Mapping[str, SessionConfiguration]
    log: CommandLog | None
    quotas: Quotas


class WsmanService:
    """The shells of one host and the operations on them."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.shells: dict[str, Shell] = {}
        self._builtin = engine_cmdlets()

    async def answer(self, envelope: bytes, caller: Caller) -> tuple[int, bytes]:
        """Answer one SOAP request with an HTTP status and a SOAP envelope."""
        message_id = ""
        try:
            request = soap.read(envelope)
            message_id = request.message_id
            operation = _OPERATIONS.get(request.operation)
            if operation is None:
                raise soap.no_such_resource(request.uri)
            return 200, soap.response(request, await operation(self, request, caller))
        except soap.Fault as found:
            fault = found
        except QueueClosed:
            fault = soap.aborted()
        except Exception as bad:  # malformed PSRP or CLIXML: a fault, not a dead socket
            log.exception("request failed")
            fault = soap.internal_error(type(bad).__name__)
        return 500, soap.fault(fault, message_id, self.endpoint.machine.name)

    def tasks(self) -> list[asyncio.Task[None]]:
        """Return what runs in all shells."""
        pipelines = [pipeline for shell in self.shells.values() for pipeline in shell.pipelines.values()]
        return [pipeline.task for pipeline in pipelines if pipeline.task is not None]

    def kill_all(self) -> None:
        """End every shell, as when the machine goes down."""
        for shell in self.shells.values():
            shell.kill()
        self.shells.clear()

    # -- operations

    async def create(self, request: soap.Request, caller: Caller) -> str:
        name = request.uri.rsplit("/", 1)[-1]
        configuration = self.endpoint.configurations.get(name.lower())
        if configuration is None:
            raise soap.no_such_resource(request.uri)
        session = await self._session(configuration, caller.account)
        quota = self.endpoint.quotas.shells_per_user
        if sum(shell.facts.owner == caller.account for shell in self.shells.values()) >= quota:
            raise soap.too_many_shells(quota)
        element = _needed(request.body.find("rsp:Shell", NAMESPACES))
        creation = _needed(element.findtext(POWERSHELL + "creationXml"))
        idle = soap.seconds(element.findtext("rsp:IdleTimeOut", None, NAMESPACES), self.endpoint.quotas.idle_timeout_s)
        shell_id = (element.get("ShellId") or str(uuid.uuid4())).upper()
        facts = ShellFacts(shell_id, request.uri, caller.account, caller.address, request.session, idle)
        shell = Shell(facts, session, self._expire)
        try:
            shell.feed(creation)
        except Exception:
            shell.kill()
            raise
        self.shells[shell_id] = shell
        return (
            f"<x:ResourceCreated><a:Address>{escape(request.to)}</a:Address><a:ReferenceParameters><w:ResourceURI>"
            f'{escape(request.uri)}</w:ResourceURI><w:SelectorSet><w:Selector Name="ShellId">{shell_id}</w:Selector>'
            f"</w:SelectorSet></a:ReferenceParameters></x:ResourceCreated>{_shell_xml(shell)}"
        )

    async def command(self, request: soap.Request, caller: Caller) -> str:
        shell = self._shell(request, caller)
        element = _needed(request.body.find("rsp:CommandLine", NAMESPACES))
        command_id = (element.get("CommandId") or str(uuid.uuid4())).upper()
        if len(shell.pipelines) >= self.endpoint.quotas.commands_per_shell:
            raise soap.too_many_commands()
        shell.new_pipeline(command_id)
        shell.feed("".join(one.text or "" for one in element.findall("rsp:Arguments", NAMESPACES)), command_id)
        await asyncio.sleep(0)  # a quick command is over before its first Receive arrives
        return f"<rsp:CommandResponse><rsp:CommandId>{command_id}</rsp:CommandId></rsp:CommandResponse>"

    async def send(self, request: soap.Request, caller: Caller) -> str:
        shell = self._shell(request, caller)
        for stream in request.body.findall("rsp:Send/rsp:Stream", NAMESPACES):
            shell.feed(stream.text or "", (stream.get("CommandId") or "").upper() or None)
        return "<rsp:SendResponse/>"

    async def receive(self, request: soap.Request, caller: Caller) -> str:
        shell = self._shell(request, caller)
        wanted = _needed(request.body.find("rsp:Receive/rsp:DesiredStream", NAMESPACES))
        command_id = (wanted.get("CommandId") or "").upper() or None
        queue = shell.queue(command_id)
        if queue is None:
            raise soap.no_such_command()
        if queue.answered is not None and queue.answered[0] == request.message_id:
            return queue.answered[1]  # sent again after a network trouble: the same answer again
        content = await self._received(shell, queue, request, command_id)
        queue.answered = (request.message_id, content)
        return content

    async def _received(self, shell: Shell, queue: SendQueue, request: soap.Request, command_id: str | None) -> str:
        largest = max(1, (request.largest_answer - _ENVELOPE) * 3 // 4)
        delivery = await shell.receive(queue, request.timeout_s, largest)
        if delivery is None:
            raise soap.timed_out()
        attribute = f' CommandId="{command_id}"' if command_id else ""
        content = "".join(f'<rsp:Stream Name="stdout"{attribute}>{chunk}</rsp:Stream>' for chunk in delivery.chunks)
        if command_id:
            state = "Done" if delivery.done else "Running"
            code = "<rsp:ExitCode>0</rsp:ExitCode>" if delivery.done else ""
            content += f'<rsp:CommandState{attribute} State="{_STATES}{state}">{code}</rsp:CommandState>'
        return f"<rsp:ReceiveResponse>{content}</rsp:ReceiveResponse>"

    async def signal(self, request: soap.Request, caller: Caller) -> str:
        shell = self._shell(request, caller)
        element = _needed(request.body.find("rsp:Signal", NAMESPACES))
        command_id = (element.get("CommandId") or "").upper()
        if element.findtext("rsp:Code", "", NAMESPACES).endswith("ctrl_c"):
            await shell.stop_pipeline(command_id)
        else:
            await shell.close_pipeline(command_id)
        return "<rsp:SignalResponse/>"

    async def delete(self, request: soap.Request, caller: Caller) -> str:
        self._expire(self._shell(request, caller))
        return ""

    async def disconnect(self, request: soap.Request, caller: Caller) -> str:
        shell = self._shell(request, caller)
        asked = request.body.findtext("rsp:Disconnect/rsp:IdleTimeOut", None, NAMESPACES)
        shell.disconnect(soap.seconds(asked, shell.idle_timeout_s))
        return "<rsp:DisconnectResponse/>"

    async def reconnect(self, request: soap.Request, caller: Caller) -> str:
        shell = self._shell(request, caller)
        if shell.session_id != request.session:
            raise soap.not_connectable("The shell was created by another client session; use Connect.")
        shell.reconnect()
        return "<rsp:ReconnectResponse/>"

    async def connect(self, request: soap.Request, caller: Caller) -> str:
        shell = self._shell(request, caller)
        element = _needed(request.body.find("rsp:Connect", NAMESPACES))
        command_id = (element.get("CommandId") or "").upper()
        if command_id:
            if command_id not in shell.pipelines:
                raise soap.no_such_command()
            return "<rsp:ConnectResponse/>"
        if shell.state != "Disconnected":
            raise soap.not_connectable("The shell cannot be connected: it is not in the disconnected state.")
        answer = shell.connect(_needed(element.findtext(POWERSHELL + "connectXml")), request.session)
        return (
            '<rsp:ConnectResponse><connectResponseXml xmlns="http://schemas.microsoft.com/powershell">'
            f"{answer}</connectResponseXml></rsp:ConnectResponse>"
        )

    async def get(self, request: soap.Request, caller: Caller) -> str:
        if request.uri.endswith("/windows/shell"):
            return _shell_xml(self._shell(request, caller))
        return _CONFIG

    async def enumerate(self, request: soap.Request, caller: Caller) -> str:
        if request.uri.endswith("/Command"):
            named = next(request.body.iter(f"{{{NAMESPACES['w']}}}Selector"), None)
            shell = self._owned((_needed(named).text or "").upper(), caller)
            items = "".join(
                f"<rsp:Command><rsp:ShellId>{shell.id}</rsp:ShellId><rsp:CommandId>{command_id}</rsp:CommandId>"
                "<rsp:State>Disconnected</rsp:State></rsp:Command>"
                for command_id in shell.pipelines
            )
        else:
            items = "".join(_shell_xml(one) for one in self.shells.values() if one.facts.owner == caller.account)
        return (
            f"<n:EnumerateResponse><n:EnumerationContext/><w:Items>{items}</w:Items><w:EndOfSequence/>"
            "</n:EnumerateResponse>"
        )

    # -- details

    async def _session(self, configuration: SessionConfiguration, account: str) -> Session:
        logon = await self.endpoint.logon_for(account)
        if logon is None or not configuration.admits(logon):
            raise soap.access_denied()
        user = logon.account
        if configuration.run_as is not None:
            logon = await configuration.run_as()
            if logon is None:
                raise soap.access_denied()
        return Session(self.endpoint.machine, logon, user, configuration, self._builtin, self.endpoint.log)

    def _shell(self, request: soap.Request, caller: Caller) -> Shell:
        return self._owned(request.shell_id, caller)

    def _owned(self, shell_id: str, caller: Caller) -> Shell:
        shell = self.shells.get(shell_id)
        if shell is None or shell.facts.owner != caller.account:
            raise soap.no_such_shell(shell_id)
        shell.touch()
        return shell

    def _expire(self, shell: Shell) -> None:
        self.shells.pop(shell.id, None)
        shell.kill()


_OPERATIONS: dict[str, Callable[[WsmanService, soap.Request, Caller], Awaitable[str]]] = {
    "Create": WsmanService.create,
    "Command": WsmanService.command,
    "Send": WsmanService.send,
    "Receive": WsmanService.receive,
    "Signal": WsmanService.signal,
    "Delete": WsmanService.delete,
    "Disconnect": WsmanService.disconnect,
    "Reconnect": WsmanService.reconnect,
    "Connect": WsmanService.connect,
    "Get": WsmanService.get,
    "Enumerate": WsmanService.enumerate,
}


def _needed(found: _T | None) -> _T:
    if found is None:
        raise soap.internal_error("an element is missing")
    return found


def _shell_xml(shell: Shell) -> str:
    now = time.monotonic()
    facts = shell.facts
    return (
        f"<rsp:Shell><rsp:ShellId>{shell.id}</rsp:ShellId><rsp:Name>Runspace1</rsp:Name>"
        f"<rsp:ResourceUri>{escape(facts.uri)}</rsp:ResourceUri><rsp:Owner>{escape(facts.owner)}</rsp:Owner>"
        f"<rsp:ClientIP>{facts.client_address}</rsp:ClientIP><rsp:ProcessId>4711</rsp:ProcessId>"
        f"<rsp:IdleTimeOut>PT{shell.idle_timeout_s:.3f}S</rsp:IdleTimeOut>"
        "<rsp:InputStreams>stdin pr</rsp:InputStreams><rsp:OutputStreams>stdout</rsp:OutputStreams>"
        "<rsp:MaxIdleTimeOut>PT2147483.647S</rsp:MaxIdleTimeOut><rsp:Locale>en-US</rsp:Locale>"
        "<rsp:DataLocale>en-US</rsp:DataLocale><rsp:CompressionMode>NoCompression</rsp:CompressionMode>"
        "<rsp:ProfileLoaded>Yes</rsp:ProfileLoaded><rsp:Encoding>UTF8</rsp:Encoding>"
        f"<rsp:BufferMode>Block</rsp:BufferMode><rsp:State>{shell.state}</rsp:State>"
        f"<rsp:ShellRunTime>PT{now - shell.born:.0f}S</rsp:ShellRunTime>"
        f"<rsp:ShellInactivity>PT{now - shell.last_used:.0f}S</rsp:ShellInactivity></rsp:Shell>"
    )

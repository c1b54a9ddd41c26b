"""Give a simulated machine its WinRM listeners: HTTP with sealed messages only, HTTPS with the lab's certificate."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from reconciler.lab.winrm.auth import Authenticator, Unsealable, Verdict, seal, unseal
from reconciler.lab.winrm.command_log import CommandLog
from reconciler.lab.winrm.configuration import SessionConfiguration, default_configurations
from reconciler.lab.winrm.httpd import Connection, HttpServer, Request, Response
from reconciler.lab.winrm.session import CommandSource
from reconciler.lab.winrm.soap import CONTENT_TYPE
from reconciler.lab.winrm.wsman import Caller, Endpoint, LogonFor, Quotas, WsmanService


@dataclass(frozen=True, slots=True)
class WinrmSettings:
    """How a host listens, and whom it believes.

    Attributes:
        fqdn: Name in the certificate and in the service principal name host/<fqdn>.
        address: Where to listen.
        certificate: HTTPS certificate chain, PEM, the host's own first.
        key: Its private key, PEM.
        ntlm_users: pyspnego's user file, read at each handshake (see `auth.ntlm_user_lines`). Kerberos takes its keys
            from the keytab in KRB5_KTNAME of this process.
        realms: Kerberos realm or DNS domain in upper case -> NetBIOS name, so that an account has one name.
        command_log: File of the command log; None for none.
        idle_connection_s: Seconds after which an unused TCP connection is closed, 2 minutes on Windows.
    """

    fqdn: str
    address: str
    certificate: Path
    key: Path
    ntlm_users: Path | None = None
    realms: Mapping[str, str] = field(default_factory=dict)
    command_log: Path | None = None
    http_port: int = 5985
    https_port: int = 5986
    quotas: Quotas = field(default_factory=Quotas)
    idle_connection_s: float = 120.0


class WinrmHost:
    """The WinRM service of one machine.

    Args:
        machine: Whose cmdlets and programs run.
        settings: See `WinrmSettings`.
        logon_for: Gives the logon for an authenticated account ``NETBIOS\\name``; None where it may not log on. Asked
            for every new shell, so that new group memberships count at the next one.
        configurations: Session configurations by lower-case name; may be changed while the host runs.

    Attributes:
        mode: 'booting' answers 503 to everything.
    """

    def __init__(
        self,
        machine: CommandSource,
        settings: WinrmSettings,
        logon_for: LogonFor,
        configurations: MutableMapping[str, SessionConfiguration] | None = None,
    ) -> None:
        self.machine = machine
        self.settings = settings
        self.mode: Literal["up", "booting"] = "up"
        self.configurations = default_configurations() if configurations is None else configurations
        log = CommandLog(settings.command_log) if settings.command_log is not None else None
        self._service = WsmanService(Endpoint(machine, logon_for, self.configurations, log, settings.quotas))
        self._authenticator = Authenticator(settings.fqdn, settings.certificate, settings.ntlm_users)
        self._http = HttpServer(self._answer, settings.idle_connection_s)

    async def start(self) -> None:
        """Listen on both ports.

        Raises:
            OSError: An address or port cannot be had; nothing listens then.
        """
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.minimum_version = ssl.TLSVersion.TLSv1_2
        tls.load_cert_chain(self.settings.certificate, self.settings.key)
        try:
            await self._http.listen(self.settings.address, self.settings.http_port)
            await self._http.listen(self.settings.address, self.settings.https_port, tls)
        except OSError:
            self.drop(rst=False)
            raise

    async def stop(self) -> None:
        """Close the listeners and connections in an orderly way, and end every shell."""
        running = self._service.tasks()
        self.drop(rst=False)
        await self._http.wait_closed()
        await asyncio.gather(*running, return_exceptions=True)

    def drop(self, rst: bool = True) -> None:
        """Go away as a machine that restarts: no listener, no connection, no shell. ``start`` comes back empty."""
        self._http.drop(rst=rst)
        self._service.kill_all()

    @property
    def shell_count(self) -> int:
        """How many shells are open."""
        return len(self._service.shells)

    async def _answer(self, connection: Connection, request: Request) -> Response:
        if self.mode == "booting":
            return Response(503, (("Content-Type", "text/html"),), b"Service Unavailable")
        if not request.target.lower().startswith("/wsman"):
            return Response(404)
        verdict = self._authenticator.authenticate(connection, request)
        if not verdict.ok:
            return Response(401, verdict.headers)
        if not request.body:
            return Response(200, verdict.headers)
        content_type = request.headers.get("content-type", "")
        if content_type.startswith("multipart/encrypted"):
            return await self._answer_sealed(connection, request, verdict)
        if connection.tls is None:
            return Response(401, self._authenticator.challenge)  # AllowUnencrypted=false
        status, body = await self._service.answer(request.body, self._caller(connection))
        return Response(status, (*verdict.headers, ("Content-Type", CONTENT_TYPE)), body)

    async def _answer_sealed(self, connection: Connection, request: Request, verdict: Verdict) -> Response:
        login = self._authenticator.login(connection)
        try:
            envelope = unseal(login, request.headers["content-type"], request.body)
        except Unsealable:
            return Response(400, verdict.headers)  # as Windows does for a message of another connection
        status, body = await self._service.answer(envelope, self._caller(connection))
        content_type, sealed = seal(login, body)
        return Response(status, (*verdict.headers, ("Content-Type", content_type)), sealed)

    def _caller(self, connection: Connection) -> Caller:
        principal = self._authenticator.login(connection).principal or ""
        return Caller(account_name(principal, self.settings.realms), connection.peer)


def account_name(principal: str, realms: Mapping[str, str]) -> str:
    """Return ``NETBIOS\\name`` for what NTLM or Kerberos calls an account; unchanged where the realm is not known."""
    if "\\" in principal:
        domain, _, name = principal.partition("\\")
    else:
        name, _, domain = principal.rpartition("@")
    known = realms.get(domain.upper())
    if known is None and domain.upper() in realms.values():
        known = domain.upper()
    return f"{known}\\{name}" if known is not None and name else principal

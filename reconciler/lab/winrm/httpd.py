"""Serve HTTP/1.1 with one object per TCP connection, because WinRM authenticates connections, not requests."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

import h11

log = logging.getLogger(__name__)

LARGEST_BODY = 4 * 1024 * 1024
_FAREWELL_S = 0.25
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 seconds: close sends RST


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request; header names in lower case."""

    target: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Response:
    """What goes back; ``headers`` without Content-Length."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


Answer = Callable[["Connection", Request], Awaitable[Response]]


class Connection(asyncio.Protocol):
    """One TCP connection; answers its requests one after the other."""

    def __init__(self, server: HttpServer) -> None:
        self.server = server
        self.login: Any = None  # what auth.py keeps; it dies with the TCP connection
        self.peer = ""
        self.tls: ssl.SSLObject | None = None
        self.closed = asyncio.Event()
        self._transport: asyncio.Transport | None = None
        self._http = h11.Connection(h11.SERVER)
        self._running: asyncio.Task[None] | None = None
        self._head: h11.Request | None = None
        self._body = bytearray()
        self._idle: asyncio.TimerHandle | None = None

    # -- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.peer = transport.get_extra_info("peername")[0]
        self.tls = transport.get_extra_info("ssl_object")
        self.server.connections.add(self)
        self._rest()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self.closed.set()
        self.server.connections.discard(self)
        self._stop_resting()
        if self._running is not None:
            self._running.cancel()  # a pending Receive ends when its client is gone

    def data_received(self, data: bytes) -> None:
        self._stop_resting()
        self._http.receive_data(data)
        self._pump()

    # -- life

    def close(self) -> None:
        """Close in an orderly way (FIN)."""
        if self._transport is not None:
            self._transport.close()

    def reset(self) -> None:
        """Tear the connection down with a RST, as a machine that goes down."""
        if self._transport is None:
            return
        with suppress(OSError):
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._transport.abort()

    def _rest(self) -> None:
        self._stop_resting()
        if self.server.idle_s > 0:
            self._idle = asyncio.get_running_loop().call_later(self.server.idle_s, self.close)

    def _stop_resting(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None

    # -- requests

    def _pump(self) -> None:
        while self._running is None and self._transport is not None:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError:
                self._transport.abort()
                return
            if event is h11.NEED_DATA or event is h11.PAUSED:
                return
            if isinstance(event, h11.ConnectionClosed):
                self.close()
                return
            self._take(event)

    def _take(self, event: object) -> None:
        if isinstance(event, h11.Request):
            self._head, self._body = event, bytearray()
            if self._http.they_are_waiting_for_100_continue:
                self._write(self._http.send(h11.InformationalResponse(status_code=100, headers=[])))
        elif isinstance(event, h11.Data):
            self._body += event.data
            if len(self._body) > LARGEST_BODY and self._transport is not None:
                self._transport.abort()
        elif isinstance(event, h11.EndOfMessage):
            self._running = asyncio.get_running_loop().create_task(self._run(self._request()))

    def _request(self) -> Request:
        head = cast("h11.Request", self._head)  # the end of a message comes after its head
        headers = {name.decode("ascii"): value.decode("latin-1") for name, value in head.headers}
        return Request(head.target.decode("ascii", "replace"), headers, bytes(self._body))

    async def _run(self, request: Request) -> None:
        try:
            response = await self.server.answer(self, request)
        except Exception:
            log.exception("request failed")
            response = Response(500)
        if self._transport is None or self._transport.is_closing():
            return
        self._send(response)
        self._running = None
        if self._http.our_state is h11.MUST_CLOSE:
            self.close()
            return
        self._http.start_next_cycle()
        self._rest()
        self._pump()

    def _send(self, response: Response) -> None:
        headers = [*response.headers, ("Server", "Microsoft-HTTPAPI/2.0"), ("Content-Length", str(len(response.body)))]
        data = self._http.send(h11.Response(status_code=response.status, headers=headers)) or b""
        if response.body:
            data += self._http.send(h11.Data(data=response.body)) or b""
        # One write: small ones would wait for each other's acknowledgements.
        self._write(data + (self._http.send(h11.EndOfMessage()) or b""))

    def _write(self, data: bytes | None) -> None:
        if data and self._transport is not None:
            self._transport.write(data)


class HttpServer:
    """The listeners of one host.

    Args:
        answer: Called for each request, one at a time per connection.
        idle_s: Seconds without a request after which a connection is closed; 0 for never.
    """

    def __init__(self, answer: Answer, idle_s: float = 120.0) -> None:
        self.answer = answer
        self.idle_s = idle_s
        self.connections: set[Connection] = set()
        self._listeners: list[asyncio.Server] = []

    async def listen(self, address: str, port: int, tls: ssl.SSLContext | None = None) -> None:
        """Accept connections on one address and port."""
        loop = asyncio.get_running_loop()
        # A client that sleeps on its connection never answers the goodbye of TLS.
        farewell_s = _FAREWELL_S if tls is not None else None
        listener = await loop.create_server(
            lambda: Connection(self), address, port, ssl=tls, ssl_shutdown_timeout=farewell_s
        )
        self._listeners.append(listener)

    async def wait_closed(self) -> None:
        """Wait until every connection that was told to close has done so."""
        for connection in list(self.connections):
            await connection.closed.wait()

    def drop(self, *, rst: bool) -> None:
        """Stop listening and end every connection, by RST or by FIN."""
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()
        for connection in list(self.connections):
            if rst:
                connection.reset()
            else:
                connection.close()

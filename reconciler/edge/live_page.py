"""Serves one page to whoever holds the token, and sends it anew whenever it changed. Nobody can change anything through it.

The law: the latest page is the whole state. A browser that was away gets what is true now, never what it missed.
asyncio stays inside this file; everybody else calls ``show`` and ``fail`` from any thread.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from msgspec import Struct
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

ALIVE_S = 15.0
"""How often a silent stream says that it is alive, so that nothing in between cuts it off."""
WATCHERS = 32
"""Streams that may be open at the same time."""


class Door(Struct, frozen=True):
    """Who is let in.

    Attributes:
        token: What the address has to carry once; afterwards a cookie does.
        hosts: What a browser may call this server, ``name:port``: another name is another site that points here.
        policy: The content security policy of the page.
        secure: Whether it is reached by TLS alone.
    """

    token: str
    port: int
    hosts: frozenset[str]
    policy: str
    secure: bool

    @property
    def cookie(self) -> str:
        """Name of the cookie; browsers do not tell ports apart, so it does."""
        return f"reconcile-{self.port}"

    def admits(self, shown: str) -> bool:
        """Whether this is the token; takes the same time whatever it is."""
        return hmac.compare_digest(shown.encode("utf-8", "surrogateescape"), self.token.encode("ascii"))


class LivePage:
    """The page as it is now, and everybody who looks at it."""

    def __init__(self, door: Door) -> None:
        self.door = door
        self._page = ""
        self._failed = ""
        self._over = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._bells: set[asyncio.Event] = set()
        self.app = Starlette(
            routes=[Route("/", self._index), Route("/events", self._events), Route("/favicon.ico", _no_icon)],
            lifespan=self._lifespan,
        )
        self.app.add_middleware(_Guard, door=door)

    def show(self, page: str) -> None:
        """Show this page from now on; what failed before is over."""
        self._page, self._failed = page, ""
        self._ring()

    def fail(self, words: str) -> None:
        """Say beside the last page that there is no newer one, and why."""
        self._failed = words
        self._ring()

    def close(self) -> None:
        """End every stream."""
        self._over = True
        self._ring()

    def _ring(self) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._ring_all)

    def _ring_all(self) -> None:
        for bell in self._bells:
            bell.set()

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        self._loop = asyncio.get_running_loop()
        yield
        self._loop = None

    async def _index(self, request: Request) -> Response:
        if not self._page:
            words = self._failed or "the first look is not over yet"
            return PlainTextResponse(words + "\n", 503, {"Refresh": "2"})
        return Response(self._page, media_type="text/html; charset=utf-8")

    async def _events(self, request: Request) -> Response:
        if len(self._bells) >= WATCHERS:
            return PlainTextResponse("too many are looking already\n", 503)
        return StreamingResponse(self._stream(), media_type="text/event-stream")

    async def _stream(self) -> AsyncIterator[str]:
        bell = asyncio.Event()
        self._bells.add(bell)
        sent: tuple[str, str] = ("", "")
        try:
            while not self._over:
                bell.clear()
                now = (self._page, self._failed)
                if now[0] != sent[0] or (sent[1] and not now[1]):
                    yield _event("report", now[0])
                if now[1] and now[1] != sent[1]:
                    yield _event("failed", now[1])
                sent = now
                try:
                    await asyncio.wait_for(bell.wait(), ALIVE_S)
                except TimeoutError:
                    yield ": alive\n\n"
        finally:
            self._bells.discard(bell)


class _Guard:
    """Lets in who may come in, by a name that is ours, and tells the browser what it may do with the answer."""

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self.app = app
        self.door = door
        self.headers = {
            "Content-Security-Policy": f"{door.policy}; frame-ancestors 'none'",
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Cache-Control": "no-store",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        answer = self._turned_away(HTTPConnection(scope))

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self.headers)
            await send(message)

        await (answer or self.app)(scope, receive, sent)

    def _turned_away(self, asked: HTTPConnection) -> Response | None:
        if asked.headers.get("host", "").lower() not in self.door.hosts:
            return PlainTextResponse("this is not a name of this server\n", 421)
        if asked.url.path == "/" and self.door.admits(asked.query_params.get("token", "")):
            return self._welcome()  # to the same address without the token, so that no history keeps it
        if not self.door.admits(asked.cookies.get(self.door.cookie, "")):
            return PlainTextResponse("open the address that `reconcile watch` printed when it was started\n", 403)
        return None

    def _welcome(self) -> Response:
        response = RedirectResponse("/", 303)
        response.set_cookie(self.door.cookie, self.door.token, secure=self.door.secure, httponly=True, samesite="lax")
        return response


async def _no_icon(request: Request) -> Response:
    return Response(status_code=204)


def _event(name: str, text: str) -> str:
    return f"event: {name}\ndata: {json.dumps(text)}\n\n"

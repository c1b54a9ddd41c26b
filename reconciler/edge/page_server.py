"""Where the live page is reached: on this machine alone, unless TLS protects the way. Runs in a thread of its own."""

from __future__ import annotations

import ipaddress
import secrets
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import uvicorn
from cryptography import x509
from msgspec import Struct

from reconciler.core.errors import ReconcileError
from reconciler.edge.live_page import Door, LivePage

STOP_S = 5.0
"""How long the end of the program waits for the server's."""


class Tls(Struct, frozen=True):
    """A certificate and its private key, both PEM files."""

    certificate: Path
    key: Path


class Address(Struct, frozen=True):
    """Where to listen; ``host`` is an IP address."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``127.0.0.1:8765``, ``localhost:8765`` or ``[::1]:8765``.

        Raises:
            ReconcileError: It is none of these.
        """
        host, colon, port = text.rpartition(":")
        bare = "127.0.0.1" if host == "localhost" else host.removeprefix("[").removesuffix("]")
        try:
            found = ipaddress.ip_address(bare)
            if not colon or not (port.isascii() and port.isdigit()) or int(port) > 65535:
                raise ValueError(text)
        except ValueError as error:
            raise ReconcileError(
                f"{text!r} is no address to serve a page on", do="give an IP address and a port, such as 127.0.0.1:8765"
            ) from error
        return cls(str(found), int(port))

    @property
    def loopback(self) -> bool:
        """Whether nobody but this machine can reach it."""
        return ipaddress.ip_address(self.host).is_loopback

    @property
    def shown(self) -> str:
        """The host as a URL has it."""
        return f"[{self.host}]" if ":" in self.host else self.host


class PageServer:
    """Serves a live page while its context is open.

    Attributes:
        url: What to open in a browser, with the token.
    """

    def __init__(self, address: Address, policy: str, tls: Tls | None = None) -> None:
        """Take the port.

        Raises:
            ReconcileError: Others could read along, the port is taken, or the certificate cannot be used.
        """
        if not address.loopback and tls is None:
            raise ReconcileError(
                f"others could read the page on its way from {address.shown}:{address.port}",
                do="serve it on 127.0.0.1 and reach it by a tunnel, or give --tls-cert and --tls-key",
            )
        names = _names_of(tls) if tls else []
        self._socket = _listen(address)
        port = int(self._socket.getsockname()[1])
        hosts = [address.shown, *names, *(["localhost"] if address.loopback else [])]
        token = secrets.token_urlsafe(32)
        self.page = LivePage(Door(token, port, frozenset(_called(hosts, port, tls)), policy, tls is not None))
        host = names[0] if names else address.shown
        self.url = f"{'https' if tls else 'http'}://{host}:{port}/?token={token}"
        self._server = uvicorn.Server(
            uvicorn.Config(
                self.page.app, log_config=None, access_log=False, server_header=False, ws="none", http="h11", lifespan="on",
                timeout_graceful_shutdown=1, limit_concurrency=64,
                ssl_certfile=str(tls.certificate) if tls else None, ssl_keyfile=str(tls.key) if tls else None,
            )
        )  # fmt: skip
        self._thread = threading.Thread(
            target=self._server.run, args=([self._socket],), name="reconcile-page", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.page.close()
        self._server.should_exit = True
        self._thread.join(STOP_S)
        self._socket.close()


def _called(hosts: list[str], port: int, tls: Tls | None) -> Iterator[str]:
    """Yield what a browser may say in its Host header; it leaves out the port that a scheme has anyway."""
    for host in hosts:
        yield f"{host}:{port}".lower()
        if port == (443 if tls else 80):
            yield host.lower()


def _listen(address: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        return socket.create_server((address.host, address.port), family=family)
    except OSError as error:
        where = f"{address.shown}:{address.port}"
        raise ReconcileError(
            f"the page cannot be served: {error.strerror or error}", where=where, do="give another port"
        ) from error


def _names_of(tls: Tls) -> list[str]:
    """Return the names in a certificate, once it is known that it can be used."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tls.certificate, tls.key, password=_no_password)
        found = x509.load_pem_x509_certificate(tls.certificate.read_bytes())
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        what = f"the certificate of the page cannot be used: {error}"
        raise ReconcileError(what, where=str(tls.certificate), do="give a PEM file and its key without a password") from error  # fmt: skip
    try:
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    addresses = names.get_values_for_type(x509.IPAddress)
    plain = [name for name in names.get_values_for_type(x509.DNSName) if "*" not in name]
    return plain + [f"[{one}]" if one.version == 6 else str(one) for one in addresses if not _is_network(one)]


def _is_network(found: object) -> bool:
    return isinstance(found, ipaddress.IPv4Network | ipaddress.IPv6Network)


def _no_password() -> str:
    """Nobody is asked: the program may run where nobody is."""
    raise ValueError("its key is encrypted")

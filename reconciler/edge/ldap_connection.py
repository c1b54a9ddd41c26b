"""The one place that opens LDAP connections: always inside TLS, always with the name checked, never following a referral."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import ldap3
from ldap3.core.exceptions import LDAPException
from msgspec import Struct

from reconciler.core.errors import Unreachable
from reconciler.edge import ldap_errors
from reconciler.edge.accounts import Account
from reconciler.edge.tls_stream import TlsStream

if TYPE_CHECKING:
    from ldap3 import Connection

CONNECT_TIMEOUT_S = 5
RECEIVE_TIMEOUT_S = 60  # ldap3 packs it as a C long: an int


class Door(Struct, frozen=True):
    """How a controller is entered.

    Attributes:
        domain: Name of the domain in the state file, for messages.
        controller: What its certificate must be valid for: its DNS name, or its address where the state file lists that.
        address: Where to connect.
        ca: Its CA certificates (PEM); None for those of the system.
        port: 636 for LDAPS and 389 for StartTLS where 0.
        realms: As in `Account.principal`.
    """

    domain: str
    controller: str
    address: str
    ca: Path | None
    transport: Literal["ldaps", "starttls"] = "ldaps"
    auth: Literal["simple", "kerberos"] = "simple"
    port: int = 0
    realms: Mapping[str, str] | None = None


class _PinnedServer(ldap3.Server):  # type: ignore[misc]  # ldap3 has no types
    """A server that is known by its name and reached at one address: ldap3 resolves nothing."""

    def __init__(self, address: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        place: tuple[Any, ...] = (address, self.port) if family is socket.AF_INET else (address, self.port, 0, 0)
        # The last two say whether and when it was seen to answer, as ldap3 keeps them.
        self._address_info = [[family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", place, None, None]]

    @property
    def address_info(self) -> list[list[Any]]:
        """The one address, in the shape of getaddrinfo plus two fields of ldap3."""
        return self._address_info


class _StrictTls(ldap3.Tls):  # type: ignore[misc]  # ldap3 has no types
    """Lets OpenSSL check chain and name in the handshake; ldap3's own check comes after it and knows CN as well."""

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(validate=ssl.CERT_REQUIRED)
        self._context = context
        self.failure: Exception | None = None

    def wrap_socket(self, connection: Connection, do_handshake: bool = False) -> None:
        """Replace the socket of a connection by an encrypted one."""
        try:
            connection.socket = TlsStream(connection.socket, self._context, connection.server.host)
        except (ssl.SSLError, OSError, ValueError) as error:
            self.failure = error  # ldap3 keeps only its text
            raise


def tls_context(ca: Path | None) -> ssl.SSLContext:
    """Return a context that demands a certificate from ``ca``, for the name that is asked for, and TLS 1.2 or newer."""
    context = ssl.create_default_context(cafile=None if ca is None else str(ca))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = True
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def connect(door: Door, account: Account) -> Connection:
    """Open a connection and bind.

    Raises:
        Unreachable: Nothing answered there, or its certificate is not accepted. No password was sent.
        AuthenticationFailed: The credential is not accepted.
        Refused: The controller does not allow this way of binding.
    """
    tls = _tls(door)
    connection = _connection(door, account, tls)
    try:
        connection.open(read_server_info=False)
        if door.transport == "starttls":
            connection.start_tls(read_server_info=False)
    except (LDAPException, OSError) as error:
        _abandon(connection)
        raise ldap_errors.not_opened(door.domain, door.controller, door.address, tls.failure or error) from error
    if not isinstance(connection.socket, TlsStream):
        _abandon(connection)
        raise Unreachable(f"{door.controller} did not start TLS", target=door.domain)
    try:
        _bind(door, account, connection)
    except BaseException:
        _abandon(connection)
        raise
    return connection


def _tls(door: Door) -> _StrictTls:
    try:
        return _StrictTls(tls_context(door.ca))
    except (OSError, ssl.SSLError) as error:
        raise Unreachable(
            f"the CA certificates of '{door.domain}' cannot be read: {error}",
            target=door.domain,
            where=str(door.ca),
            do="give a PEM file under `ca` of the domain",
        ) from error


def _connection(door: Door, account: Account, tls: _StrictTls) -> Connection:
    """Build an unopened connection: the only place that does."""
    ldaps = door.transport == "ldaps"
    server = _PinnedServer(
        door.address,
        door.controller,
        port=door.port or (636 if ldaps else 389),
        use_ssl=ldaps,
        tls=tls,
        get_info=ldap3.NONE,
        allowed_referral_hosts=[],
        connect_timeout=CONNECT_TIMEOUT_S,
    )
    simple = door.auth == "simple"
    return ldap3.Connection(
        server,
        user=account.username if simple else None,
        password=account.password.get_secret_value() if simple else None,
        authentication=ldap3.SIMPLE if simple else ldap3.SASL,
        sasl_mechanism=None if simple else ldap3.GSSAPI,
        auto_bind=ldap3.AUTO_BIND_NONE,
        auto_referrals=False,
        auto_range=False,
        check_names=False,
        read_only=False,
        return_empty_attributes=False,
        receive_timeout=RECEIVE_TIMEOUT_S,
    )


def _bind(door: Door, account: Account, connection: Connection) -> None:
    try:
        if door.auth == "simple":
            connection.bind(read_server_info=False)
        else:
            from reconciler.edge import kerberos  # an optional dependency

            kerberos.bind(connection, account.principal(door.realms or {}), account.password, door.domain)
    except (LDAPException, OSError) as error:
        raise Unreachable(f"{door.controller} was lost while binding: {error}", target=door.domain) from error
    finally:
        connection.password = None  # needed for this one message only
    if connection.result["result"] != 0:
        raise ldap_errors.not_bound(door.domain, door.controller, account, connection.result)
    connection.bound = True


def _abandon(connection: Connection) -> None:
    with suppress(Exception):  # whatever it is, the connection is given up
        connection.strategy.close()
    if connection.socket is not None:  # ldap3 leaves a socket open that it could not connect
        connection.socket.close()

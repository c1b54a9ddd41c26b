"""Authenticate WinRM connections by Negotiate (Kerberos, NTLM) and seal their messages; the state is per connection."""

from __future__ import annotations

import base64
import binascii
import hashlib
import logging
import os
import re
import ssl
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import spnego
from cryptography import x509
from spnego.channel_bindings import GssChannelBindings
from spnego.exceptions import SpnegoError

from reconciler.lab.winrm.httpd import Connection, Request

log = logging.getLogger(__name__)

SCHEMES = ("Negotiate", "Kerberos")
_BOUNDARY = b"--Encrypted Boundary"
_OCTETS = b"\tContent-Type: application/octet-stream\r\n"
_NTLM = b"NTLMSSP\0"
_NTLM_TYPE_1 = _NTLM + b"\1\0\0\0"
_GSS_FIRST = b"\x60"  # InitialContextToken of RFC 2743; what follows it is wrapped otherwise
_CBT_PAIR = b"\x0a\x00\x10\x00"  # AV pair MsvAvChannelBindings, 16 bytes
_HEX_LM_NONE = "A" * 32  # no password has it, and LM responses are not wanted

Headers = tuple[tuple[str, str], ...]


class Unsealable(Exception):
    """An encrypted message that this connection's context cannot open."""


@dataclass(slots=True)
class Login:
    """The authentication of one TCP connection."""

    context: spnego.ContextProxy | None = None
    scheme: str = ""
    principal: str | None = None  # set once the handshake is complete
    sealing: str = ""  # protocol name of the last encrypted message


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a request may go on, and the headers its response carries."""

    ok: bool
    headers: Headers = ()


def ntlm_user_lines(netbios: str, dns: str, username: str, nt_hash: bytes) -> str:
    """Return the lines of an NTLM user file for one account: as NETBIOS\\user, dns\\user and user@dns.

    The hash form is used, because a colon in a password cannot be written in the other one.
    """
    names = (f"{netbios}\\{username}", f"{dns}\\{username}", f"{username}@{dns}")
    return "".join(f"{name}:1000:{_HEX_LM_NONE}:{nt_hash.hex().upper()}:[U]:LCT-00000000\n" for name in names)


class Authenticator:
    """Accepts Negotiate and Kerberos for one host.

    Args:
        fqdn: The host; only the keytab entry host/<fqdn> is used.
        certificate: Its HTTPS certificate (PEM), to which channel bindings are compared where the client sends them.
        ntlm_users: Lines ``DOMAIN:user:password``, or as `ntlm_user_lines` writes them; read again at each handshake.
    """

    def __init__(self, fqdn: str, certificate: Path | None, ntlm_users: Path | None) -> None:
        self.fqdn = fqdn
        self.ntlm_users = ntlm_users
        self._bindings = _channel_bindings(certificate) if certificate is not None else None

    @property
    def challenge(self) -> Headers:
        """The headers of a 401."""
        return tuple(("WWW-Authenticate", scheme) for scheme in SCHEMES)

    def authenticate(self, connection: Connection, request: Request) -> Verdict:
        """Take the next step of a connection's handshake, or recognise that it is complete."""
        login = self.login(connection)
        scheme, _, text = request.headers.get("authorization", "").partition(" ")
        if not scheme:
            return Verdict(True) if login.principal else Verdict(False, self.challenge)
        token = _token(text)
        if scheme.lower() not in ("negotiate", "kerberos") or not token:
            return Verdict(False, self.challenge)
        # A first token begins again even in the middle of a handshake: parallel clients swap pooled connections.
        if login.context is None or login.principal or token.startswith((_NTLM_TYPE_1, _GSS_FIRST)):
            login = connection.login = Login(scheme=scheme)
        return self._step(connection, login, token)

    def login(self, connection: Connection) -> Login:
        """Return the connection's authentication."""
        if connection.login is None:
            connection.login = Login()
        return cast("Login", connection.login)

    def _step(self, connection: Connection, login: Login, token: bytes) -> Verdict:
        # pyspnego reads the path of the user file from the environment only. Each step is synchronous, so that two
        # hosts of one process do not get each other's file.
        os.environ["NTLM_USER_FILE"] = str(self.ntlm_users or "")
        try:
            if login.context is None:
                login.context = self._context(login.scheme, token)
            bindings = self._bindings if connection.tls is not None and _sends_bindings(token) else None
            answer = login.context.step(token, channel_bindings=bindings)
        except Exception as refused:  # every mechanism below raises kinds of its own
            log.info("authentication refused: %s", type(refused).__name__)
            connection.login = None
            return Verdict(False, self.challenge)
        text = f" {base64.b64encode(answer).decode()}" if answer else ""
        headers = (("WWW-Authenticate", login.scheme + text),)
        if login.context.complete:
            login.principal = login.context.client_principal
        return Verdict(login.principal is not None, headers)

    def _context(self, scheme: str, token: bytes) -> spnego.ContextProxy:
        protocol = "kerberos" if scheme.lower() == "kerberos" else "negotiate"
        if token.startswith(_NTLM):
            protocol = "ntlm"  # pypsrp's auth="ntlm" sends bare NTLMSSP inside Negotiate
        # Without a name any key of the keytab would do, also the one of another simulated host.
        own = spnego.CredentialCache(username=f"host@{self.fqdn}")
        return spnego.server(credentials=own, hostname=self.fqdn, service="HTTP", protocol=protocol)


def unseal(login: Login, content_type: str, body: bytes) -> bytes:
    """Open a multipart/encrypted message (MS-WSMV 2.2.9.1).

    Raises:
        Unsealable: It was sealed for another connection, or is malformed.
    """
    protocol = re.search(r'protocol="([^"]+)"', content_type)
    if protocol is None or login.context is None or not login.principal:
        raise Unsealable("no security context")
    login.sealing = protocol[1]
    try:
        return b"".join(_open(login.context, length, sealed) for length, sealed in _parts(body))
    except (SpnegoError, ValueError, struct.error, IndexError) as refused:
        raise Unsealable(type(refused).__name__) from refused


def seal(login: Login, body: bytes) -> tuple[str, bytes]:
    """Seal a response; returns its content type and body."""
    if login.context is None:
        raise Unsealable("no security context")
    wrapped = login.context.wrap_winrm(body)
    head = (
        f"--Encrypted Boundary\r\n\tContent-Type: {login.sealing}\r\n"
        f"\tOriginalContent: type=application/soap+xml;charset=UTF-8;Length={len(body) + wrapped.padding_length}\r\n"
        "--Encrypted Boundary\r\n"
    ).encode()
    sealed = struct.pack("<i", len(wrapped.header)) + wrapped.header + wrapped.data
    content_type = f'multipart/encrypted;protocol="{login.sealing}";boundary="Encrypted Boundary"'
    return content_type, head + _OCTETS + sealed + b"--Encrypted Boundary--\r\n"


def _parts(body: bytes) -> Iterator[tuple[int, bytes]]:
    parts = [part for part in body.split(_BOUNDARY + b"\r\n") if part]
    for head, data in zip(parts[::2], parts[1::2], strict=True):
        length = re.search(rb"Length=(\d+)", head)
        if length is None:
            raise ValueError("no length")
        end = data.rfind(_BOUNDARY + b"--\r\n")
        yield int(length[1]), data[len(_OCTETS) : end if end >= 0 else None]


def _open(context: spnego.ContextProxy, length: int, sealed: bytes) -> bytes:
    header_length = struct.unpack("<i", sealed[:4])[0]
    message = context.unwrap_winrm(sealed[4 : 4 + header_length], sealed[4 + header_length :])
    if len(message) != length:
        raise ValueError("length differs")
    return message


def _token(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return b""


def _sends_bindings(token: bytes) -> bool:
    """Return whether bindings are to be compared: Windows' default (Relaxed) lets clients leave them out.

    Kerberos acceptors make that difference themselves; pyspnego's NTLM acceptor refuses their absence.
    """
    return _NTLM not in token or _CBT_PAIR in token


def _channel_bindings(certificate: Path) -> GssChannelBindings:
    der = ssl.PEM_cert_to_DER_cert(_first_certificate(certificate.read_text("ascii")))
    algorithm = x509.load_der_x509_certificate(der).signature_hash_algorithm
    name = algorithm.name if algorithm is not None else "sha256"
    digest = hashlib.new("sha256" if name in ("md5", "sha1") else name, der).digest()
    return GssChannelBindings(application_data=b"tls-server-end-point:" + digest)


def _first_certificate(pem: str) -> str:
    end = "-----END CERTIFICATE-----"
    start = pem.index("-----BEGIN CERTIFICATE-----")
    return pem[start : pem.index(end, start) + len(end)] + "\n"

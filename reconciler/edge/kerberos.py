"""Kerberos for LDAP and for libkrb5: tickets from a password into a private cache, and realms found as the state file says."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from reconciler.core.errors import AuthenticationFailed, ReconcileError, Unreachable

if TYPE_CHECKING:
    from ldap3 import Connection

KRB5_CONFIG = "KRB5_CONFIG"
SASL_BIND_IN_PROGRESS = 14
NO_SECURITY_LAYER = bytes([1, 0, 0, 0])
# KRB5_KDC_UNREACH and KRB5_REALM_UNKNOWN, as the unsigned minor status of GSSAPI.
_NO_KDC = (2**32 - 1765328228, 2**32 - 1765328230)


def bind(connection: Connection, principal: str, password: SecretStr, domain: str) -> None:
    """Bind by SASL GSSAPI inside TLS, without a security layer of its own; ``connection.result`` has the outcome.

    ldap3's own bind is not used: it refuses controllers that offer nothing but "no security layer", which is right inside TLS.

    Raises:
        Unreachable: No KDC answered.
        AuthenticationFailed: The KDC or the controller does not accept the credential.
        ReconcileError: The package ``gssapi`` is not installed.
    """
    gssapi = _gssapi()
    try:
        context = _context(gssapi, connection, principal, password)
        _negotiate(connection, context)
    except gssapi.exceptions.GSSError as error:
        raise _failed(principal, domain, error) from error


def _context(gssapi: Any, connection: Connection, principal: str, password: SecretStr) -> Any:
    from ldap3.protocol.sasl.kerberos import get_channel_bindings

    name = gssapi.Name(principal, gssapi.NameType.kerberos_principal)
    mechanism = gssapi.MechType.kerberos
    # The tickets of these credentials live in memory and die with them.
    acquired = gssapi.raw.acquire_cred_with_password(
        name, password.get_secret_value().encode(), mechs=[mechanism], usage="initiate"
    )
    return gssapi.SecurityContext(
        name=gssapi.Name(f"ldap@{connection.server.host}", gssapi.NameType.hostbased_service),
        creds=gssapi.Credentials(base=acquired.creds),
        mech=mechanism,
        usage="initiate",
        channel_bindings=get_channel_bindings(connection.socket),
    )


def _negotiate(connection: Connection, context: Any) -> None:
    """Exchange tokens until the context stands, then say that there shall be no further layer (RFC 4752, section 3.1)."""
    from ldap3.protocol.sasl.sasl import send_sasl_negotiation

    answer: bytes | None = None
    while not context.complete:
        token = context.step(answer)
        result = send_sasl_negotiation(connection, None, token or b"")
        if result["result"] != SASL_BIND_IN_PROGRESS:
            return
        answer = result["saslCreds"]
    context.unwrap(answer)  # proves who offers the layers; none is wanted
    send_sasl_negotiation(connection, None, context.wrap(NO_SECURITY_LAYER, False).message)


def _gssapi() -> Any:
    try:
        import gssapi
        import gssapi.raw
    except ImportError as error:
        raise ReconcileError(
            "`auth: kerberos` needs the Python package gssapi, which is not installed",
            do="pip install 'reconcile[kerberos]' (it needs libkrb5), or use `auth: simple`",
        ) from error
    return gssapi


def _failed(principal: str, domain: str, error: Any) -> Unreachable | AuthenticationFailed:
    text = " ".join(str(error).split())
    if getattr(error, "min_code", None) in _NO_KDC:
        return Unreachable(
            f"no Kerberos server answers for {principal}: {text}",
            target=domain,
            do="check `nameservers` or `controllers` of the domain",
        )
    return AuthenticationFailed(
        f"Kerberos does not accept {principal}: {text}",
        target=domain,
        do="check the credential, and that the clocks agree",
    )


class Realms:
    """Tells libkrb5 where the KDCs of the declared domains are, for as long as this object is open.

    The environment variable KRB5_CONFIG is the only way to tell a library inside this process; a value that is set
    already is left alone. libkrb5 reads the file again when it changes, so that a domain of which nothing was known
    at first can be added: without that, a moment without DNS would keep its hosts out of reach for good.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._directory: tempfile.TemporaryDirectory[str] | None = None
        self._kdcs: Mapping[str, tuple[str, ...]] = {}

    def know(self, domains: Iterable[str]) -> bool:
        """Whether nothing is left to declare about domains, given by DNS name."""
        return self._users_own or all(self._kdcs.get(domain) for domain in domains)

    def declare(self, kdcs: Mapping[str, Iterable[str]]) -> None:
        """Write the configuration, or add to it.

        Args:
            kdcs: Addresses of KDCs by DNS name of the domain; none leaves finding them to libkrb5.
        """
        with self._lock:
            if self._users_own or not kdcs:
                return
            found = {domain: tuple(addresses) for domain, addresses in kdcs.items()}
            known = found | {domain: addresses for domain, addresses in self._kdcs.items() if not found.get(domain)}
            directory = self._directory or tempfile.TemporaryDirectory(prefix="reconcile-krb5-")
            file = Path(directory.name, "krb5.conf")
            whole = file.with_suffix(".new")
            whole.write_text(configuration(known), encoding="ascii")
            whole.replace(file)  # a logon in another thread reads the old one or the new one
            if self._directory is None:
                os.environ[KRB5_CONFIG] = f"{file}:/etc/krb5.conf"
                self._directory = directory
            self._kdcs = known  # last: who sees it logs on at once, in another thread

    def close(self) -> None:
        """Forget what was declared."""
        with self._lock:
            if self._directory is not None:
                os.environ.pop(KRB5_CONFIG, None)
                with suppress(OSError):
                    self._directory.cleanup()
                self._directory, self._kdcs = None, {}

    @property
    def _users_own(self) -> bool:
        return self._directory is None and bool(os.environ.get(KRB5_CONFIG))


def configuration(kdcs: Mapping[str, Iterable[str]]) -> str:
    """Return a krb5.conf: host names are taken as they are, and DNS is asked for KDCs only where none is given."""
    lines = [
        "[libdefaults]",
        " dns_canonicalize_hostname = false",
        " rdns = false",
        " udp_preference_limit = 1",
        "[realms]",
    ]
    for domain, addresses in kdcs.items():
        places = [f"  kdc = [{address}]" if ":" in address else f"  kdc = {address}" for address in addresses]
        if places:
            lines += [f" {domain.upper()} = {{", *places, " }"]
    lines.append("[domain_realm]")
    for domain in kdcs:
        lines += [f" .{domain.lower()} = {domain.upper()}", f" {domain.lower()} = {domain.upper()}"]
    return "\n".join(lines) + "\n"

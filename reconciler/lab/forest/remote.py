"""Another machine's directory over the network, with somebody's own credentials: LDAPS, Kerberos, DRSUAPI."""

from __future__ import annotations

import asyncio
import ssl
import uuid
import weakref
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import ldap3
from ldap3.core.exceptions import LDAPException

from reconciler.lab.forest.bridge import TIMEOUT_SECONDS, Bridge
from reconciler.lab.settings import Role
from reconciler.lab.windows.contract import (
    Attributes,
    Change,
    ConnectDirectory,
    DirectoryRefused,
    DomainFacts,
    Entry,
    NetworkCredential,
    RemoteDirectory,
)

INVALID_CREDENTIALS = 49
SCOPES = {"base": ldap3.BASE, "one": ldap3.LEVEL, "sub": ldap3.SUBTREE}
OPERATIONS = {"add": ldap3.MODIFY_ADD, "replace": ldap3.MODIFY_REPLACE, "delete": ldap3.MODIFY_DELETE}


@dataclass(frozen=True, slots=True)
class Network:
    """What there is to connect to.

    Args:
        bridges: One per domain; they also speak DRSUAPI, which needs samba's own bindings.
    """

    facts: Mapping[Role, DomainFacts]
    bridges: Mapping[Role, Bridge]
    ca_file: Path

    def connector(self) -> ConnectDirectory:
        """Return the function that a simulated host uses to reach the other forest."""
        return self.connect

    async def connect(self, host: str, credential: NetworkCredential) -> RemoteDirectory:
        """Bind to a controller, named by itself or by its domain.

        Raises:
            DirectoryRefused: The credential is wrong (49).
            OSError: Nothing answers, or nobody has that name.
        """
        wanted = host.lower().rstrip(".")
        for facts in self.facts.values():
            if wanted in (facts.dns, facts.controller, facts.netbios.lower(), facts.controller.split(".")[0]):
                connection = await asyncio.to_thread(self._bind, facts, credential)
                return LdapsDirectory(connection, facts, credential, self)
        raise OSError(f"no such host: {host}")

    def home(self, credential: NetworkCredential) -> DomainFacts | None:
        """Return the domain that an account belongs to."""
        name = credential.domain.lower()
        return next((one for one in self.facts.values() if name in (one.netbios.lower(), one.dns)), None)

    def _bind(self, facts: DomainFacts, credential: NetworkCredential) -> ldap3.Connection:
        home = self.home(credential)
        if home is None:
            raise DirectoryRefused(INVALID_CREDENTIALS, f"there is no domain {credential.domain}")
        if not credential.password:
            raise DirectoryRefused(INVALID_CREDENTIALS, "a password is needed")
        tls = ldap3.Tls(validate=ssl.CERT_REQUIRED, ca_certs_file=str(self.ca_file))
        server = ldap3.Server(facts.address, 636, use_ssl=True, tls=tls, get_info=None, connect_timeout=TIMEOUT_SECONDS)
        options: dict[str, Any] = {"receive_timeout": TIMEOUT_SECONDS, "auto_referrals": False}
        if home.dns == facts.dns:
            name = f"{facts.netbios}\\{credential.username}"
            connection = ldap3.Connection(server, name, credential.password, **options)
        else:
            # A controller does not take a simple bind for an account of a trusted domain.
            ticket = kerberos_credential(credential, home)
            connection = ldap3.Connection(
                server,
                authentication=ldap3.SASL,
                sasl_mechanism=ldap3.KERBEROS,
                sasl_credentials=(facts.controller, None, ticket),
                **options,
            )
        try:
            if not connection.bind():
                raise _refusal(connection.result)
        except BaseException as error:
            connection.strategy.close()
            if isinstance(error, LDAPException):
                raise OSError(f"{facts.controller}: {error}") from error
            raise _kerberos_refusal(error) from error
        return connection


class LdapsDirectory:
    """A contract.RemoteDirectory: one bound connection, used by one task at a time."""

    def __init__(
        self, connection: ldap3.Connection, facts: DomainFacts, credential: NetworkCredential, network: Network
    ) -> None:
        self.facts = facts
        self._connection = connection
        self._credential = credential
        self._network = network
        self._turn = asyncio.Lock()
        self._session = uuid.uuid4().hex  # what it may read by replication, it may for as long as it is open
        weakref.finalize(self, connection.strategy.close)  # programs just end; nobody closes their sessions

    async def search(
        self, base: str, scope: Literal["base", "one", "sub"], where: str, attributes: Sequence[str]
    ) -> list[Entry]:
        await self._do(
            self._connection.search, base, where or "(objectClass=*)", SCOPES[scope], attributes=list(attributes) or "*"
        )
        rows = [row for row in self._connection.response or [] if row["type"] == "searchResEntry"]
        return [Entry(row["dn"], {name: list(values) for name, values in row["raw_attributes"].items() if values})
                for row in rows]  # fmt: skip

    async def add(self, dn: str, attributes: Attributes) -> None:
        await self._do(self._connection.add, dn, None, {name: list(values) for name, values in attributes.items()})

    async def modify(self, dn: str, changes: Sequence[Change]) -> None:
        rows: dict[str, list[Any]] = {}
        for change in changes:
            rows.setdefault(change.attribute, []).append((OPERATIONS[change.operation], list(change.values)))
        await self._do(self._connection.modify, dn, rows)

    async def delete(self, dn: str) -> None:
        await self._do(self._connection.delete, dn)

    async def rename(self, dn: str, rdn: str, parent: str) -> None:
        await self._do(self._connection.modify_dn, dn, rdn, new_superior=parent)

    async def token_sids(self) -> frozenset[str]:
        entries = await self.search("", "base", "(objectClass=*)", ["tokenGroups"])
        return frozenset(_sid(packed) for entry in entries for packed in entry.all("tokenGroups"))

    async def read_secrets(self, dn: str) -> tuple[bytes, bytes | None]:
        home = self._network.home(self._credential)
        if home is None:
            raise DirectoryRefused(INVALID_CREDENTIALS, f"there is no domain {self._credential.domain}")
        nt_hash, supplemental = await self._network.bridges[self.facts.role].call(
            "read_secrets",
            session=self._session,
            address=self.facts.address,
            controller=self.facts.controller,
            account={
                "username": self._credential.username,
                "domain": home.netbios,
                "realm": home.dns,
                "password": self._credential.password,
            },
            dn=dn,
        )
        return b64decode(nt_hash), b64decode(supplemental) if supplemental else None

    async def close(self) -> None:
        """End the session."""
        await self._network.bridges[self.facts.role].call("end_session", session=self._session)
        await asyncio.to_thread(self._connection.unbind)

    async def _do(self, operation: Any, *arguments: Any, **options: Any) -> None:
        async with self._turn:
            try:
                await asyncio.to_thread(operation, *arguments, **options)
            except LDAPException as error:
                raise OSError(f"{self.facts.controller}: {error}") from error
            if self._connection.result["result"] != 0:
                raise _refusal(self._connection.result)


def kerberos_credential(credential: NetworkCredential, home: DomainFacts) -> Any:
    """Get a ticket with a password; the credential is a raw one and lives in memory only."""
    import gssapi  # the only part of the lab that needs the Kerberos libraries of the machine

    name = gssapi.Name(f"{credential.username}@{home.dns.upper()}", gssapi.NameType.kerberos_principal)
    try:
        acquired = gssapi.raw.acquire_cred_with_password(name, credential.password.encode(), usage="initiate")
    except gssapi.raw.GSSError as error:
        raise _kerberos_refusal(error) from error
    return acquired.creds


def _kerberos_refusal(error: BaseException) -> BaseException:
    """Turn a Kerberos error into the answer of a directory; anything else stays what it is."""
    import gssapi

    if isinstance(error, gssapi.raw.GSSError):
        return DirectoryRefused(INVALID_CREDENTIALS, " ".join(str(error).split()))
    return error


def _refusal(result: Mapping[str, Any]) -> DirectoryRefused:
    return DirectoryRefused(int(result["result"]), result["message"] or result["description"])


def _sid(packed: bytes) -> str:
    parts = [str(int.from_bytes(packed[8 + 4 * n : 12 + 4 * n], "little")) for n in range(packed[1])]
    return "-".join(["S", str(packed[0]), str(int.from_bytes(packed[2:8], "big")), *parts])

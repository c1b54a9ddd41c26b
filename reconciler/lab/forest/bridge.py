"""The directory of one domain as its own controller sees it, through a child that can import samba."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import ssl
from base64 import b64decode, b64encode
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import ldap3
from ldap3.core.exceptions import LDAPException

from reconciler.lab.windows.contract import Attributes, Change, DirectoryRefused, DomainFacts, Entry

SYSTEM_PYTHON = "/usr/bin/python3"
UNAVAILABLE = 52
LARGEST_ANSWER = 64 * 1024 * 1024  # one line; a search of everything in a big lab
CLOSE_SECONDS = 2.0
TIMEOUT_SECONDS = 20  # ldap3 packs it as an integer


@dataclass(frozen=True, slots=True)
class BridgeFiles:
    """What a bridge needs from the lab's directory."""

    smb_conf: Path
    krb5_conf: Path
    ca_file: Path
    log: Path


class Bridge:
    """A contract.Directory. The child is started by the first call, and again by the next one if it died."""

    def __init__(self, facts: DomainFacts, peer: DomainFacts, files: BridgeFiles) -> None:
        self.facts = facts
        self.peer = peer
        self.trust_changed: Callable[[], Awaitable[None]] | None = None
        self.history_honoured = True
        self._files = files
        self._child: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._numbers = itertools.count(1)
        self._starting = asyncio.Lock()

    @property
    def pid(self) -> int | None:
        """Process id of the child, or None while there is none."""
        return self._child.pid if self._child is not None and self._child.returncode is None else None

    async def call(self, operation: str, **arguments: Any) -> Any:
        """Have samba_side do one operation.

        Raises:
            DirectoryRefused: Samba refused it, or the child died over it (52).
        """
        child = await self._running()
        number = next(self._numbers)
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        line = json.dumps({"id": number, "operation": operation, "arguments": arguments}) + "\n"
        try:
            assert child.stdin is not None
            child.stdin.write(line.encode())
            await child.stdin.drain()
            return await answer
        except (BrokenPipeError, ConnectionResetError):
            raise DirectoryRefused(UNAVAILABLE, "the directory's bridge is gone") from None
        finally:
            self._waiting.pop(number, None)

    async def close(self) -> None:
        """End the child; a later call starts another one."""
        child, self._child = self._child, None
        if child is None:
            return
        if child.stdin is not None:
            child.stdin.close()
        try:
            await asyncio.wait_for(child.wait(), CLOSE_SECONDS)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await child.wait()
        if self._reader is not None:
            await self._reader

    async def search(
        self, base: str, scope: Literal["base", "one", "sub"], where: str, attributes: Sequence[str]
    ) -> list[Entry]:
        found = await self.call("search", base=base, scope=scope, where=where, attributes=list(attributes))
        return [Entry(dn, {name: [b64decode(one) for one in values] for name, values in row.items()})
                for dn, row in found]  # fmt: skip

    async def add(self, dn: str, attributes: Attributes) -> None:
        await self.call("add", dn=dn, attributes={name: _encoded(values) for name, values in attributes.items()})

    async def modify(self, dn: str, changes: Sequence[Change]) -> None:
        rows = [[change.attribute, change.operation, _encoded(change.values)] for change in changes]
        await self.call("modify", dn=dn, changes=rows)

    async def delete(self, dn: str) -> None:
        await self.call("delete", dn=dn)

    async def token_sids(self, account_dn: str) -> frozenset[str]:
        return frozenset(await self.call("token_sids", dn=account_dn))

    async def foreign_token_sids(self, sids: frozenset[str]) -> frozenset[str]:
        return frozenset(await self.call("foreign_token_sids", sids=sorted(sids)))

    async def check_password(self, sam_account_name: str, password: str) -> bool:
        return await asyncio.to_thread(self._simple_bind, sam_account_name, password)

    async def add_sid_history(self, dn: str, sid: str) -> None:
        await self.call("add_sid_history", dn=dn, sid=sid, honoured=self.history_honoured)

    async def remove_sid_history(self, dn: str, sids: Sequence[str]) -> None:
        await self.call("remove_sid_history", dn=dn, sids=list(sids))

    async def forget_members(self, dn: str) -> None:
        await self.call("forget_members", dn=dn)

    async def honour_history(self, honoured: bool) -> int:
        """Let SIDs from sIDHistory into this domain's tokens, or keep them out; return how many changed."""
        self.history_honoured = honoured
        return int(await self.call("honour_history", honoured=honoured))

    async def write_password(self, dn: str, nt_hash: bytes, supplemental: bytes | None, *, must_change: bool) -> None:
        await self.call(
            "write_password",
            dn=dn,
            nt_hash=b64encode(nt_hash).decode(),
            supplemental=b64encode(supplemental).decode() if supplemental is not None else None,
            must_change=must_change,
        )

    async def random_password(self, dn: str, *, must_change: bool) -> None:
        await self.call("random_password", dn=dn, must_change=must_change)

    async def create_trust(self, direction: int, attributes: int, secret: tuple[bytes, bytes]) -> None:
        incoming, outgoing = (b64encode(one).decode() for one in secret)
        partner = {"dns": self.peer.dns, "netbios": self.peer.netbios, "sid": self.peer.sid}
        await self.call(
            "create_trust",
            partner=partner,
            direction=direction,
            attributes=attributes,
            incoming=incoming,
            outgoing=outgoing,
        )
        await self._after_trust_change()

    async def set_trust(self, partner_dns: str, *, attributes: int | None = None, direction: int | None = None) -> None:
        await self.call("set_trust", partner=partner_dns, attributes=attributes, direction=direction)
        await self._after_trust_change()

    async def delete_trust(self, partner_dns: str) -> None:
        await self.call("delete_trust", partner=partner_dns)
        await self._after_trust_change()

    async def _after_trust_change(self) -> None:
        if self.trust_changed is not None:
            await self.trust_changed()

    async def _running(self) -> asyncio.subprocess.Process:
        async with self._starting:
            if self._child is not None and self._child.returncode is None:
                return self._child
            with self._files.log.open("ab") as log:
                self._child = await asyncio.create_subprocess_exec(
                    SYSTEM_PYTHON, "-I", str(Path(__file__).with_name("samba_side.py")), str(self._files.smb_conf),
                    stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=log,
                    env={**os.environ, "KRB5_CONFIG": str(self._files.krb5_conf)}, limit=LARGEST_ANSWER,
                )  # fmt: skip
            self._reader = asyncio.create_task(self._read(self._child))
            return self._child

    async def _read(self, child: asyncio.subprocess.Process) -> None:
        assert child.stdout is not None
        mine = self._waiting
        while line := await child.stdout.readline():
            answer = json.loads(line)
            future = mine.get(answer["id"])
            if future is None or future.done():
                continue
            if "refused" in answer:
                future.set_exception(DirectoryRefused(*answer["refused"]))
            else:
                future.set_result(answer["value"])
        await child.wait()
        if child.stdin is not None:
            with contextlib.suppress(OSError):  # asked for, or asyncio complains that nobody did
                await child.stdin.wait_closed()
        for future in mine.values():
            if not future.done():
                future.set_exception(DirectoryRefused(UNAVAILABLE, "the directory's bridge ended"))

    def _simple_bind(self, sam_account_name: str, password: str) -> bool:
        if not password:
            return False  # a simple bind without a password is anonymous, and succeeds
        tls = ldap3.Tls(validate=ssl.CERT_REQUIRED, ca_certs_file=str(self._files.ca_file))
        server = ldap3.Server(
            self.facts.address, 636, use_ssl=True, tls=tls, get_info=None, connect_timeout=TIMEOUT_SECONDS
        )
        connection = ldap3.Connection(
            server, f"{self.facts.netbios}\\{sam_account_name}", password, receive_timeout=TIMEOUT_SECONDS
        )
        try:
            return bool(connection.bind())
        except LDAPException as error:
            raise OSError(f"{self.facts.controller} does not answer: {error}") from error
        finally:
            connection.strategy.close()


def _encoded(values: Sequence[bytes]) -> list[str]:
    return [b64encode(value).decode() for value in values]

"""Builds the two simulated Windows hosts of a lab on top of its directories: the only place where all rooms meet."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

from reconciler.lab.admt.install import install
from reconciler.lab.admt.pes import LOCAL_SYSTEM, PesNotInstalled
from reconciler.lab.admt.wizard import pes_wizard
from reconciler.lab.forest.bridge import Bridge
from reconciler.lab.forest.control import Operation
from reconciler.lab.settings import ROLES, LabError, LabSettings, Role, write_private
from reconciler.lab.windows.contract import ConnectDirectory, DirectoryRefused, DomainFacts, Logon
from reconciler.lab.windows.logons import LogonRefused, network_logon
from reconciler.lab.windows.machine import Machine, write_disk
from reconciler.lab.windows.pristine import pristine
from reconciler.lab.winrm.auth import ntlm_user_lines
from reconciler.lab.winrm.host import WinrmHost, WinrmSettings

NTLM_REFRESH_SECONDS = 0.5
DUE_SECONDS = 20.0  # within which tasks that the clock started are waited for
# Enabled users that have a password: the controller's own account and trust accounts log on elsewhere.
WHO_LOGS_ON = (
    "(&(objectCategory=person)(objectClass=user)(sAMAccountType=805306368)"
    "(!(userAccountControl:1.2.840.113556.1.4.803:=2))(!(pwdLastSet=0)))"
)

log = logging.getLogger(__name__)


class Owner(Protocol):
    """What a host needs from the supervisor."""

    settings: LabSettings
    facts: dict[Role, DomainFacts]
    bridges: dict[Role, Bridge]
    operations: dict[str, Operation]

    def schedule(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run something that outlives the machine that asked for it."""

    async def restart_host(self, role: Role, delay_s: float = 0.0) -> None:
        """Take a host and its controller down, and bring them back."""


async def start_hosts(owner: Owner, connect: ConnectDirectory) -> dict[Role, WindowsHost]:
    """Load both machines from their disks (pristine ones where there are none), boot them, listen.

    Args:
        owner: The supervisor; gets the operations that need a machine.
        connect: How a program on one host reaches the other forest.
    """
    # One keytab with both hosts' keys: the library takes it from the environment only.
    os.environ["KRB5_KTNAME"] = f"FILE:{owner.settings.paths.keytab}"
    # The replay cache's usual place belongs to the real root, who is not the root of a user's namespace.
    os.environ["KRB5RCACHENAME"] = f"file2:{owner.settings.paths.run / 'replay-cache'}"
    accounts = NtlmAccounts(owner.bridges, owner.settings.paths.run / "ntlm-users")
    hosts = {role: _make_host(owner, role, accounts) for role in ROLES}
    machines = {host.machine.fqdn.lower(): host.machine for host in hosts.values()}
    for host in hosts.values():
        host.machine.connect = connect
        host.machine.peers = {name: one for name, one in machines.items() if one is not host.machine}
    await accounts.refresh()
    for host in hosts.values():
        await host.boot()
    owner.operations["pes-wizard"] = _wizard(machines)
    owner.operations["advance-clock"] = _advance(hosts)
    return hosts


@dataclass(slots=True)
class WindowsHost:
    """A machine and its WinRM listeners."""

    machine: Machine
    winrm: WinrmHost
    accounts: NtlmAccounts
    _watch: asyncio.Task[None] | None = field(default=None, init=False)

    async def boot(self) -> None:
        """Answer 503 while the machine boots, then work."""
        self.winrm.mode = "booting"
        await self.winrm.start()
        await self.machine.boot()
        self._watch = asyncio.get_running_loop().create_task(self.accounts.follow(self.machine.facts.role))
        self.winrm.mode = "up"

    async def power_off(self) -> None:
        """Reset every connection, stop listening, stop what runs, write the disk."""
        self.winrm.drop()
        await self._stop_watching()
        await self.machine.shut_down()

    async def close(self) -> None:
        """Power off in an orderly way."""
        await self.winrm.stop()
        await self._stop_watching()
        await self.machine.shut_down()

    async def _stop_watching(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch
            self._watch = None


class NtlmAccounts:
    """Keeps the file that pyspnego's NTLM acceptor believes in step with both directories."""

    def __init__(self, bridges: Mapping[Role, Bridge], path: Path) -> None:
        self.path = path
        self._bridges = bridges
        self._lines: dict[Role, str] = {}
        self._seen: dict[Role, bytes] = {}

    async def refresh(self) -> None:
        """Read both directories anew and write the file."""
        for role in ROLES:
            await self._read(role)
        self._write()

    async def follow(self, role: Role) -> None:
        """Look at a directory's change counter again and again; there is no event for a change by somebody else."""
        while True:
            await asyncio.sleep(NTLM_REFRESH_SECONDS)
            try:
                if await self._counter(role) != self._seen.get(role):
                    await self._read(role)
                    self._write()
            except DirectoryRefused as refused:
                log.warning("cannot follow the accounts of %s: %s", role, refused)

    async def _read(self, role: Role) -> None:
        bridge = self._bridges[role]
        self._seen[role] = await self._counter(role)
        names = ("sAMAccountName", "unicodePwd")
        rows = await bridge.search(bridge.facts.base_dn, "sub", WHO_LOGS_ON, names)
        self._lines[role] = "".join(
            ntlm_user_lines(bridge.facts.netbios, bridge.facts.dns, row.text("sAMAccountName") or "", secret)
            for row in rows
            for secret in row.all("unicodePwd")
        )

    async def _counter(self, role: Role) -> bytes:
        (root,) = await self._bridges[role].search("", "base", "", ("highestCommittedUSN",))
        return root.all("highestCommittedUSN")[0]

    def _write(self) -> None:
        write_private(self.path, "".join(self._lines.values()))


def _make_host(owner: Owner, role: Role, accounts: NtlmAccounts) -> WindowsHost:
    settings, facts = owner.settings, owner.facts[role]
    paths = settings.paths
    disk = paths.disk(facts.controller)
    disk.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not disk.exists():
        write_disk(disk, pristine(facts, settings.awkward))
    machine = Machine.load(disk, facts, owner.bridges[role], locale=settings.locale)
    install(machine)
    machine.restart_hook = _restart_hook(owner, role)
    listeners = WinrmSettings(
        fqdn=facts.controller,
        address=facts.address,
        certificate=paths.certificate(role),
        key=paths.private_key(role),
        ntlm_users=accounts.path,
        realms={one.dns.upper(): one.netbios for one in owner.facts.values()},
        command_log=paths.command_log(facts.controller),
    )
    return WindowsHost(machine, WinrmHost(machine, listeners, _logons(machine)), accounts)


def _logons(machine: Machine) -> Any:
    async def logon_for(account: str) -> Logon | None:
        try:
            return await network_logon(machine, account)
        except LogonRefused:
            return None

    return logon_for


def _restart_hook(owner: Owner, role: Role) -> Callable[[float], None]:
    def restart(delay_s: float) -> None:
        owner.schedule(owner.restart_host(role, delay_s))

    return restart


def _advance(hosts: Mapping[Role, WindowsHost]) -> Operation:
    async def run(arguments: dict[str, Any]) -> dict[str, Any]:
        """Let time pass on the hosts: arguments host (a role, a name, or all) and seconds. What becomes due is run."""
        asked, seconds = str(arguments.get("host", "all")).lower(), arguments.get("seconds")
        named = {host.machine.fqdn.lower(): host.machine for host in hosts.values()}
        roles = {str(role): host.machine for role, host in hosts.items()}
        chosen = list(named.values()) if asked == "all" else [one for one in ((named | roles).get(asked),) if one]
        if not chosen:
            raise LabError(f"say which host: all, {', '.join([*roles, *named])}")
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or seconds < 0:
            raise LabError("say how many seconds shall pass; a clock only goes forward")
        jobs = [job for machine in chosen for job in machine.advance(timedelta(seconds=seconds))]
        if jobs:
            await asyncio.wait(jobs, timeout=DUE_SECONDS)
        for machine in chosen:
            machine.save()
        return {
            "clock": {machine.fqdn: machine.now().isoformat(timespec="seconds") for machine in chosen},
            "ran": len(jobs),
        }

    return run


def _wizard(machines: Mapping[str, Machine]) -> Operation:
    async def run(arguments: dict[str, Any]) -> dict[str, Any]:
        """Do what a person at the screen does: arguments host, key_file, key_password, account, account_password."""
        machine = machines.get(str(arguments.get("host", "")).lower())
        if machine is None:
            raise LabError(f"say which host: {', '.join(machines)}")
        try:
            await pes_wizard(
                machine,
                str(arguments.get("key_file", "")),
                str(arguments.get("key_password", "")),
                str(arguments.get("account") or LOCAL_SYSTEM),
                str(arguments.get("account_password") or ""),
            )
        except PesNotInstalled as refusal:
            raise LabError(str(refusal)) from None
        return {"host": machine.fqdn}

    return run

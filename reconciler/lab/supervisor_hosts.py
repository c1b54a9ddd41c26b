"""Builds the simulated Windows hosts of a lab on top of its directories: the only place where all rooms meet."""

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
from reconciler.lab.windows.contract import ConnectDirectory, DirectoryRefused, DomainFacts, Entry, Logon
from reconciler.lab.windows.logons import LogonRefused, network_logon
from reconciler.lab.windows.machine import Machine, write_disk
from reconciler.lab.windows.pristine import pristine
from reconciler.lab.winrm.auth import ntlm_user_lines
from reconciler.lab.winrm.host import WinrmHost, WinrmSettings

NTLM_REFRESH_SECONDS = 0.5
DUE_SECONDS = 20.0  # within which tasks that the clock started are waited for
# The controller's own account and trust accounts log on elsewhere.
WHO_CHANGED = "(&(objectCategory=person)(objectClass=user)(sAMAccountType=805306368)(uSNChanged>={}))"
DISABLED = 0x2

log = logging.getLogger(__name__)


class Owner(Protocol):
    """What a host needs from the supervisor."""

    settings: LabSettings
    facts: dict[Role, DomainFacts]
    bridges: dict[Role, Bridge]
    operations: dict[str, Operation]

    def schedule(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run something that outlives the machine that asked for it."""

    async def restart_host(self, place: str, delay_s: float = 0.0) -> None:
        """Take a host down, with its directory where it is a controller, and bring it back."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a host stands.

    Attributes:
        key: Role of the domain that it controls, or name of a member server.
        member: It is no controller.
    """

    key: str
    facts: DomainFacts
    fqdn: str
    address: str
    member: bool = False


def _places(owner: Owner) -> list[Place]:
    """Return controllers first: a member server knows nobody without one."""
    controllers = [Place(role, facts, facts.controller, facts.address) for role, facts in owner.facts.items()]
    target = owner.facts["target"]
    return [*controllers, *(Place(one.name, target, one.fqdn, one.address, True) for one in owner.settings.members)]


async def start_hosts(owner: Owner, connect: ConnectDirectory) -> dict[str, WindowsHost]:
    """Load the machines from their disks (pristine ones where there are none), boot them, listen.

    Args:
        owner: The supervisor; gets the operations that need a machine.
        connect: How a program on one host reaches a directory.

    Returns:
        Each host, by role or by the name of a member server.
    """
    # One keytab with the keys of all hosts: the library takes it from the environment only.
    os.environ["KRB5_KTNAME"] = f"FILE:{owner.settings.paths.keytab}"
    # The replay cache's usual place belongs to the real root, who is not the root of a user's namespace.
    os.environ["KRB5RCACHENAME"] = f"file2:{owner.settings.paths.run / 'replay-cache'}"
    accounts = NtlmAccounts(owner.bridges, owner.settings.paths.run / "ntlm-users")
    hosts = {place.key: _make_host(owner, place, accounts) for place in _places(owner)}
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
        if self.machine.is_controller:  # one watch per directory
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
    """Keeps the file that pyspnego's NTLM acceptor believes in step with both directories: enabled users that have a password.

    Somebody who was deleted stays in it until the lab starts again; there is no account to log him on with.
    """

    def __init__(self, bridges: Mapping[Role, Bridge], path: Path) -> None:
        self.path = path
        self._bridges = bridges
        self._lines: dict[Role, dict[bytes, str]] = {role: {} for role in ROLES}  # by GUID
        self._seen: dict[Role, int] = dict.fromkeys(ROLES, 0)

    async def refresh(self) -> None:
        """Read what changed in both directories and write the file."""
        for role in ROLES:
            await self._read(role)
        self._write()

    async def follow(self, role: Role) -> None:
        """Look at a directory's change counter again and again; there is no event for a change by somebody else."""
        while True:
            await asyncio.sleep(NTLM_REFRESH_SECONDS)
            try:
                if await self._counter(role) != self._seen[role] and await self._read(role):
                    self._write()
            except DirectoryRefused as refused:
                log.warning("cannot follow the accounts of %s: %s", role, refused)

    async def _read(self, role: Role) -> bool:
        """Read who changed since the last time; return whether anybody did."""
        bridge = self._bridges[role]
        after, counter = self._seen[role], await self._counter(role)
        names = ("objectGUID", "sAMAccountName", "unicodePwd", "userAccountControl", "pwdLastSet")
        where = WHO_CHANGED.format(after + 1)
        rows = await bridge.search(bridge.facts.base_dn, "sub", where, names)
        self._lines[role].update({row.all("objectGUID")[0]: _ntlm_lines(bridge.facts, row) for row in rows})
        self._seen[role] = counter
        return bool(rows)

    async def _counter(self, role: Role) -> int:
        (root,) = await self._bridges[role].search("", "base", "", ("highestCommittedUSN",))
        return int(root.text("highestCommittedUSN") or 0)

    def _write(self) -> None:
        write_private(self.path, "".join(line for role in ROLES for line in self._lines[role].values()))


def _ntlm_lines(facts: DomainFacts, row: Entry) -> str:
    """Return an account's lines of the file; none for one that may not log on."""
    if int(row.text("userAccountControl") or 0) & DISABLED or row.text("pwdLastSet") in (None, "0"):
        return ""
    name = row.text("sAMAccountName") or ""
    return "".join(ntlm_user_lines(facts.netbios, facts.dns, name, secret) for secret in row.all("unicodePwd"))


def _make_host(owner: Owner, place: Place, accounts: NtlmAccounts) -> WindowsHost:
    settings, facts = owner.settings, place.facts
    paths = settings.paths
    disk = paths.disk(place.fqdn)
    disk.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not disk.exists():
        write_disk(disk, pristine(facts, settings.awkward, member=place.fqdn if place.member else ""))
    bridge = owner.bridges[facts.role]
    machine = Machine.load(disk, facts, bridge, locale=settings.locale, fqdn=place.fqdn, address=place.address)
    install(machine)
    machine.restart_hook = _restart_hook(owner, place.key)
    listeners = WinrmSettings(
        fqdn=place.fqdn,
        address=place.address,
        certificate=paths.certificate(place.key),
        key=paths.private_key(place.key),
        ntlm_users=accounts.path,
        realms={one.dns.upper(): one.netbios for one in owner.facts.values()},
        command_log=paths.command_log(place.fqdn),
    )
    return WindowsHost(machine, WinrmHost(machine, listeners, _logons(machine)), accounts)


def _logons(machine: Machine) -> Any:
    async def logon_for(account: str) -> Logon | None:
        try:
            return await network_logon(machine, account)
        except LogonRefused:
            return None

    return logon_for


def _restart_hook(owner: Owner, place: str) -> Callable[[float], None]:
    def restart(delay_s: float) -> None:
        owner.schedule(owner.restart_host(place, delay_s))

    return restart


def _advance(hosts: Mapping[str, WindowsHost]) -> Operation:
    async def run(arguments: dict[str, Any]) -> dict[str, Any]:
        """Let time pass on the hosts: arguments host (a role, a name, or all) and seconds. What becomes due is run."""
        asked, seconds = str(arguments.get("host", "all")).lower(), arguments.get("seconds")
        named = {host.machine.fqdn.lower(): host.machine for host in hosts.values()}
        roles = {key: host.machine for key, host in hosts.items()}
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

"""One Samba domain controller as a child: its configuration, start, readiness, stop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import stat
from pathlib import Path

from reconciler.lab.settings import LabError, LabSettings, Role, controller_name, write_private

# A rootDSE search for objectclass, as BER: enough to ask "are you there?" without a library.
ROOT_DSE_SEARCH = bytes.fromhex("3025020101632004000a01000a0100020100020100010100870b") + b"objectclass\x30\x00"
PORTS = (53, 88, 135, 389, 464, 636, 3268, 3269)
POLL_SECONDS = 0.02
READY_SECONDS = 60.0
STOP_SECONDS = 5.0

# Samba insists on the modes of these directories when it starts, so they are made anew each time.
RUNTIME_DIRECTORIES = ("run", "ncalrpc", "winbindd", "ntp", "private/msg.sock")


def smb_conf(settings: LabSettings, role: Role, forwarder: str) -> str:
    """Return a controller's configuration; only this file knows where the lab lies.

    Args:
        forwarder: ``address:port`` asked for names that the controller is not responsible for.
    """
    directory = settings.paths.domain(role)
    return f"""[global]
    netbios name = {controller_name(role).upper()}
    workgroup = {role.upper()}
    realm = {role.upper()}.LAB
    server role = active directory domain controller
    interfaces = {settings.address(role)}/8
    bind interfaces only = yes
    server services = rpc, ldap, cldap, kdc, dns
    private dir = {directory}/private
    state directory = {directory}/state
    cache directory = {directory}/cache
    lock directory = {settings.paths.locks}/{role}
    pid directory = {directory}/run
    ncalrpc dir = {directory}/ncalrpc
    winbindd socket directory = {directory}/winbindd
    ntp signd socket directory = {directory}/ntp
    binddns dir = {directory}/bind-dns
    log file = {directory}/log.%m
    max log size = 10000
    log level = 0
    idmap_ldb:use rfc2307 = yes
    vfs objects = dfs_samba4 acl_xattr xattr_tdb
    ldb:nosync = yes
    ldap server require strong auth = allow_sasl_over_tls
    tls keyfile = tls/key.pem
    tls certfile = tls/cert.pem
    tls cafile = tls/ca.pem
    dns forwarder = {forwarder}
    allow dns updates = secure only
    dns update command = /bin/true
    spn update command = /bin/true
    gpo update command = /bin/true
    samba kcc command = /bin/true
    printcap name = /dev/null
    load printers = no
    disable spoolss = yes
    panic action =

[sysvol]
    path = {directory}/state/sysvol
    read only = no

[netlogon]
    path = {directory}/state/sysvol/{role}.lab/scripts
    read only = no
"""


def krb5_conf(settings: LabSettings) -> str:
    """Return a Kerberos configuration for both realms that asks neither DNS nor /etc/hosts anything."""
    realms = "".join(
        f"    {role.upper()}.LAB = {{\n        kdc = {settings.address(role)}\n"
        f"        kpasswd_server = {settings.address(role)}\n    }}\n"
        for role in ("source", "target")
    )
    return f"""[libdefaults]
    default_realm = SOURCE.LAB
    dns_lookup_kdc = false
    dns_lookup_realm = false
    dns_canonicalize_hostname = false
    rdns = false
    udp_preference_limit = 1
    forwardable = true

[realms]
{realms}
[domain_realm]
    .source.lab = SOURCE.LAB
    source.lab = SOURCE.LAB
    .target.lab = TARGET.LAB
    target.lab = TARGET.LAB
"""


class Server:
    """A domain controller's process. The kernel kills it when we die; Samba itself would go on without us."""

    def __init__(self, settings: LabSettings, role: Role) -> None:
        self.role = role
        self.address = settings.address(role)
        self._conf = settings.paths.smb_conf(role)
        self._directory = settings.paths.domain(role)
        self._locks = settings.paths.locks / role
        self._child: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        """Process id, or None while it does not run."""
        return self._child.pid if self._child is not None and self._child.returncode is None else None

    async def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            LabError: It ended by itself, or did not answer in time.
        """
        if self.pid is not None:
            return
        _remake_runtime_directories(self._directory, self._locks)
        log = self._directory / "samba.out"
        with log.open("ab") as output:
            self._child = await asyncio.create_subprocess_exec(
                "setpriv", "--pdeathsig", "KILL", "--",
                "samba", "-s", str(self._conf), "-F", "-M", "single", "-l", str(self._directory),
                stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
        log.chmod(0o600)
        try:
            await asyncio.wait_for(self._answers(), READY_SECONDS)
        except TimeoutError:
            await self.kill()
            raise LabError(f"{self.role}: Samba did not answer within {READY_SECONDS:.0f} s; see {log}") from None
        make_private(self._directory)

    async def stop(self) -> None:
        """Stop it, by force if it takes too long."""
        child = self._child
        if child is None:
            return
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                child.terminate()
            try:
                await asyncio.wait_for(child.wait(), STOP_SECONDS)
            except TimeoutError:
                await self.kill()
        self._child = None
        for name in RUNTIME_DIRECTORIES:
            shutil.rmtree(self._directory / name, ignore_errors=True)

    async def kill(self) -> None:
        """End it and everything it started at once, as a power cut would."""
        child = self._child
        if child is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        await child.wait()
        self._child = None

    async def _answers(self) -> None:
        while True:
            child = self._child
            if child is None or child.returncode is not None:
                raise LabError(f"{self.role}: Samba ended while starting; see {self._directory / 'samba.out'}")
            if await self._ask_once():
                return
            await asyncio.sleep(POLL_SECONDS)

    async def _ask_once(self) -> bool:
        try:
            for port in (88, 636):
                _, writer = await asyncio.open_connection(self.address, port)
                writer.close()
            reader, writer = await asyncio.open_connection(self.address, 389)
            try:
                writer.write(ROOT_DSE_SEARCH)
                return bool(await reader.read(64))
            finally:
                writer.close()
        except OSError:
            return False


def make_private(directory: Path) -> None:
    """Take every right on a tree away from everybody but its owner; Samba creates some of it open to all."""
    for path in (directory, *directory.rglob("*")):
        if path.is_symlink():
            continue
        with contextlib.suppress(FileNotFoundError):
            path.chmod(path.stat().st_mode & 0o700)


def make_locks(settings: LabSettings) -> None:
    """Make the private directory around Samba's locks.

    Raises:
        LabError: Somebody else has put something under its name.
    """
    locks = settings.paths.locks
    locks.mkdir(mode=0o700, exist_ok=True)
    found = locks.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) != 0o700:
        raise LabError(f"{locks} is in the way: it is not a private directory of ours\n  do: delete it")


def write_configuration(settings: LabSettings, forwarder: str) -> None:
    """Write what depends on addresses and on where the lab lies."""
    for role in ("source", "target"):
        write_private(settings.paths.smb_conf(role), smb_conf(settings, role, forwarder))
    write_private(settings.paths.krb5_conf, krb5_conf(settings))


def _remake_runtime_directories(directory: Path, locks: Path) -> None:
    for name in RUNTIME_DIRECTORIES:
        shutil.rmtree(directory / name, ignore_errors=True)
    shutil.rmtree(locks, ignore_errors=True)
    locks.mkdir(mode=0o700)
    (directory / "run").mkdir(mode=0o700)
    (directory / "ncalrpc").mkdir(mode=0o755)
    (directory / "ncalrpc").chmod(0o755)

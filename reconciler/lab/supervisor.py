"""The lab's daemon: owns both Samba servers, their bridges and the simulated hosts, and answers the control socket.

Everything it starts dies with it, even when it is killed: the kernel ends the Samba servers, the bridges see their
stdin end.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import logging
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from reconciler.lab.forest import network, snapshot
from reconciler.lab.forest.bridge import Bridge, BridgeFiles
from reconciler.lab.forest.control import ControlSocket, Operation
from reconciler.lab.forest.first_start import first_start
from reconciler.lab.forest.names import PORT as DNS_DISPATCHER_PORT
from reconciler.lab.forest.names import Dispatcher
from reconciler.lab.forest.provision import provision, read_sid
from reconciler.lab.forest.remote import Network
from reconciler.lab.forest.server import Server, make_locks, write_configuration
from reconciler.lab.forest.trusts import history_is_honoured
from reconciler.lab.settings import ROLES, LabError, LabSettings, Role, domain_facts, lab_document, write_private
from reconciler.lab.windows.contract import DomainFacts

Say = Callable[[str], None]
PORT_PATIENCE_SECONDS = 5.0  # after a crash: the old children need a moment to go

log = logging.getLogger(__name__)


class Host(Protocol):  # supervisor_hosts.WindowsHost
    """What the supervisor needs from a simulated Windows host."""

    async def boot(self) -> None:
        """Start the machine and answer WinRM."""

    async def power_off(self) -> None:
        """Drop every connection at once, stop answering, stop everything that runs; the disk is written."""

    async def close(self) -> None:
        """Power off for good."""


class Supervisor:
    """One running lab."""

    def __init__(self, settings: LabSettings, kind_of_network: str, say: Say, *, crashed: bool) -> None:
        self.settings = settings
        self._patience_s = PORT_PATIENCE_SECONDS if crashed else 0.0
        self.say = say
        self.facts: dict[Role, DomainFacts] = {}
        self.servers: dict[Role, Server] = {role: Server(settings, role) for role in ROLES}
        self.bridges: dict[Role, Bridge] = {}
        self.hosts: Mapping[str, Host] = {}  # by role, and member servers by name
        self.operations: dict[str, Operation] = {
            "status": self._status,
            "stop": self._stop,
            "reset": self._reset,
            "restart-host": self._restart_host,
            "kill-dc": self._kill_controller,
            "start-dc": self._start_controller,
        }
        self._kind_of_network = kind_of_network
        self._stopping = asyncio.Event()
        self._busy = asyncio.Lock()
        self._jobs: set[asyncio.Task[Any]] = set()
        self._dispatcher: asyncio.DatagramTransport | None = None
        self._control = ControlSocket(settings.paths.control_socket, self.operations)

    async def run(self, ready: Callable[[dict[str, Any]], None]) -> None:
        """Build the lab if it is not there, start it, serve until asked to stop."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        try:
            await self._start()
            await self._control.start()
            ready(self.document())
            await self._stopping.wait()
        finally:
            await self._control.close()
            await self._stop_everything()

    def document(self) -> dict[str, Any]:
        """Return lab.json's content."""
        return lab_document(self.settings, self.facts, os.getpid(), self._kind_of_network)

    def schedule(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run something beside everything else; its error goes to the log."""
        job = asyncio.get_running_loop().create_task(work)
        self._jobs.add(job)
        job.add_done_callback(self._finished)

    async def restart_host(self, place: str, delay_s: float = 0.0) -> None:
        """Take a host down and bring it back, as a restart does; with its Samba server where it is a domain controller."""
        await asyncio.sleep(delay_s)
        servers = [server for role, server in self.servers.items() if role == place]
        async with self._busy:
            if place in self.hosts:
                await self.hosts[place].power_off()
            for server in servers:
                await server.stop()
            await asyncio.sleep(self.settings.restart_seconds)
            for server in servers:
                await server.start()
            if place in self.hosts:
                await self.hosts[place].boot()

    async def _start(self) -> None:
        settings = self.settings
        await network.wait_until_free(settings, self._patience_s)
        make_locks(settings)
        forwarder = f"{settings.source_address}:{DNS_DISPATCHER_PORT}"
        os.environ["KRB5_CONFIG"] = str(settings.paths.krb5_conf)  # for the Kerberos library in this process
        fresh = not snapshot.exists(settings.paths)
        if fresh:
            await provision(settings, forwarder, self.say)
        elif not all(settings.paths.domain(role).exists() for role in ROLES):
            snapshot.restore(settings.paths)  # a reset was interrupted
        write_configuration(settings, forwarder)
        self.facts = {role: domain_facts(settings, role, read_sid(settings, role)) for role in ROLES}
        self._make_bridges()
        await self._start_dispatcher()
        self.say("starting both domain controllers")
        await self._start_servers()
        if fresh:
            self.say("first logons" + (", trust" if settings.trust or settings.awkward else ""))
            await first_start(settings, self.facts, self.bridges)
            await self._stop_directories()
            snapshot.take(settings.paths)
            await self._start_servers()
        await self._watch_trusts()
        await self._start_hosts()
        write_private(settings.paths.lab_json, json.dumps(self.document(), indent=2) + "\n")

    def _make_bridges(self) -> None:
        paths = self.settings.paths
        for role, peer in zip(ROLES, reversed(ROLES), strict=True):
            files = BridgeFiles(paths.smb_conf(role), paths.krb5_conf, paths.ca_file, paths.run / f"bridge-{role}.log")
            self.bridges[role] = Bridge(self.facts[role], self.facts[peer], files)

    async def _start_dispatcher(self) -> None:
        zones = {facts.dns: facts.address for facts in self.facts.values()}
        place = (self.settings.source_address, DNS_DISPATCHER_PORT)
        self._dispatcher, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: Dispatcher(zones), local_addr=place
        )

    async def _start_servers(self) -> None:
        await asyncio.gather(*(server.start() for server in self.servers.values()))

    async def _start_hosts(self) -> None:
        if not self.settings.hosts:
            return
        from reconciler.lab.supervisor_hosts import start_hosts

        self.say("starting the simulated Windows hosts")
        remote = Network(self.facts, self.bridges, self.settings.paths.ca_file)
        self.hosts = await start_hosts(self, remote.connect)

    async def _watch_trusts(self) -> None:
        """Samba filters no SIDs. What the source's side of the trust filters is kept out of tokens where they begin."""

        async def follow() -> None:
            honoured = await history_is_honoured(self.bridges["source"])
            await self.bridges["target"].honour_history(honoured)

        for bridge in self.bridges.values():
            bridge.trust_changed = follow
        await follow()

    async def _stop_directories(self) -> None:
        await asyncio.gather(*(bridge.close() for bridge in self.bridges.values()))
        await asyncio.gather(*(server.stop() for server in self.servers.values()))

    async def _stop_everything(self) -> None:
        await self._cancel_jobs()
        for host in self.hosts.values():
            with contextlib.suppress(Exception):  # the servers must still go down
                await host.close()
        self.hosts = {}
        await self._stop_directories()
        if self._dispatcher is not None:
            self._dispatcher.close()
            self._dispatcher = None
        shutil.rmtree(self.settings.paths.locks, ignore_errors=True)

    async def _cancel_jobs(self) -> None:
        jobs = tuple(self._jobs)
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)

    def _finished(self, job: asyncio.Task[Any]) -> None:
        self._jobs.discard(job)
        if not job.cancelled() and (error := job.exception()) is not None:
            log.error("a job failed", exc_info=error)

    async def _status(self, arguments: dict[str, Any]) -> dict[str, Any]:
        del arguments
        return {
            "running": True,
            "pid": os.getpid(),
            "network": self._kind_of_network,
            "domains": {
                role: {
                    "dns": facts.dns,
                    "controller": facts.controller,
                    "address": facts.address,
                    "samba_pid": self.servers[role].pid,
                    "bridge_pid": self.bridges[role].pid,
                    "host": role in self.hosts,
                }
                for role, facts in self.facts.items()
            },
            "members": {
                one.fqdn: {"address": one.address, "host": one.name in self.hosts} for one in self.settings.members
            },
        }

    async def _stop(self, arguments: dict[str, Any]) -> dict[str, Any]:
        del arguments
        self._stopping.set()
        return {}

    async def _reset(self, arguments: dict[str, Any]) -> dict[str, Any]:
        del arguments
        started = time.monotonic()
        await self._cancel_jobs()  # a restart that was still to come is not wanted any more
        async with self._busy:
            for host in self.hosts.values():
                await host.close()
            self.hosts = {}
            await self._stop_directories()
            await asyncio.to_thread(snapshot.restore, self.settings.paths)
            await self._start_servers()
            await self._watch_trusts()
            await self._start_hosts()
        return {"seconds": round(time.monotonic() - started, 2)}

    async def _restart_host(self, arguments: dict[str, Any]) -> dict[str, Any]:
        named = {name: one.name for one in self.settings.members for name in (one.name, one.fqdn)}
        await self.restart_host(named.get(str(arguments.get("host", "")).lower()) or _role(arguments))
        return {}

    async def _kill_controller(self, arguments: dict[str, Any]) -> dict[str, Any]:
        async with self._busy:
            await self.servers[_role(arguments)].kill()
        return {}

    async def _start_controller(self, arguments: dict[str, Any]) -> dict[str, Any]:
        async with self._busy:
            await self.servers[_role(arguments)].start()
        return {}


def _role(arguments: dict[str, Any]) -> Role:
    for role in ROLES:
        if arguments.get("domain") == role:
            return role
    raise LabError("say which domain: source or target")


@contextlib.contextmanager
def _only_one(settings: LabSettings) -> Iterator[bool]:
    """Hold the lab's lock, which is gone with the process however that ends; yield whether the last one crashed."""
    paths = settings.paths
    with paths.lock_file.open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LabError(f"a lab already runs in {settings.directory}") from None
        crashed = paths.pid_file.exists()
        write_private(paths.pid_file, f"{os.getpid()}\n")
        yield crashed
        paths.pid_file.unlink(missing_ok=True)


def main() -> int:
    """Run as ``python -m reconciler.lab.supervisor DIRECTORY NETWORK``; progress goes to stdout as JSON lines."""
    settings = LabSettings.read(Path(sys.argv[1]))
    if settings is None:
        raise SystemExit("there are no settings in that directory")
    os.umask(0o077)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    report = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)  # nothing but progress on the pipe, which closes once we are ready

    def say(text: str, key: str = "progress") -> None:
        with contextlib.suppress(OSError, ValueError):  # whoever started us may be gone
            report.write(json.dumps({key: text}) + "\n")

    def ready(document: dict[str, Any]) -> None:
        with contextlib.suppress(OSError, ValueError):
            report.write(json.dumps({"ready": document}) + "\n")
            report.close()
        log.info("ready")

    try:
        with _only_one(settings) as crashed:
            if sys.argv[2] == network.NAMESPACE:
                network.raise_loopback()
            asyncio.run(Supervisor(settings, sys.argv[2], say, crashed=crashed).run(ready))
    except LabError as error:
        log.error("%s", error)
        say(str(error), "error")
        return 1
    except Exception as error:
        log.exception("the lab failed")
        say(f"the lab failed: {type(error).__name__}: {error}\n  see: {settings.paths.log_file}", "error")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

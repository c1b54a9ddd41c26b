"""The two domains of a run: their controllers, and the directory sessions that the caller's own credential opens."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reconciler.lab.admt.errors import DOMAIN_NOT_FOUND, NO_SOURCE_CONTROLLER, RunRefused, coded
from reconciler.lab.windows.accounts import escape
from reconciler.lab.windows.contract import Directory, DomainFacts, NetworkCredential, RemoteDirectory
from reconciler.lab.windows.trusts import is_domain

if TYPE_CHECKING:
    from reconciler.lab.admt.options import Options
    from reconciler.lab.windows.machine import Machine


@dataclass(frozen=True, slots=True)
class Side:
    """One domain of a run. ``directory`` is the controller itself, ``remote`` what the caller may do."""

    machine: Machine
    remote: RemoteDirectory

    @property
    def facts(self) -> DomainFacts:
        """The domain."""
        return self.machine.facts

    @property
    def directory(self) -> Directory:
        """The controller's own directory, with the rights of the system."""
        return self.machine.directory


def host_named(machine: Machine, name: str) -> Machine | None:
    """Return the host that a DNS or NetBIOS name means, with or without leading backslashes."""
    wanted = name.lstrip("\\").lower()
    for host in (machine, *machine.peers.values()):
        if wanted in (host.fqdn.lower(), host.name.lower()):
            return host
    return None


def domain_named(machine: Machine, name: str) -> Machine | None:
    """Return the controller of a domain whether it answers or not, or None for a domain nobody knows."""
    for host in (machine, *machine.peers.values()):
        if host.is_controller and is_domain(host.facts, name):
            return host
    return None


def controllers(machine: Machine, options: Options) -> tuple[Machine, Machine]:
    """Return the source and the target controller of a run.

    Raises:
        RunRefused: A domain cannot be found, or a named controller is none of that domain.
    """
    source = domain_named(machine, options.text("SOURCEDOMAIN"))
    target = domain_named(machine, options.text("TARGETDOMAIN"))
    if source is None or not source.up:
        raise RunRefused(f"{options.text('SOURCEDOMAIN')}: {coded(NO_SOURCE_CONTROLLER)}")
    if target is None or not target.up:
        raise RunRefused(f"{options.text('TARGETDOMAIN')}: {coded(DOMAIN_NOT_FOUND)}")
    if source is target:
        raise RunRefused("The source domain may not be in the same forest as destination. (Error code = 8534)")
    for option, controller in (("SOURCEDOMAINCONTROLLER", source), ("TARGETDOMAINCONTROLLER", target)):
        name = options.text(option)
        if name and host_named(machine, name) is not controller:
            raise RunRefused(f"{name}: {coded(DOMAIN_NOT_FOUND)}")
    return source, target


async def connect(machine: Machine, controller: Machine, credential: NetworkCredential) -> Side:
    """Open a session with the caller's credential; raises DirectoryRefused or OSError as the network does."""
    return Side(controller, await machine.connect(controller.fqdn, credential))


async def disconnect(side: Side) -> None:
    """End a session, where it is one that has an end."""
    close = getattr(side.remote, "close", None)
    if close is not None:
        await close()


async def container(side: Side, path: str) -> str | None:
    """Return the DN of a canonical tail such as ``users/Migration``, or None where there is no such container.

    A distinguished name is none: its commas and equal signs are taken as part of a name, as ADMT takes them.
    """
    dn = side.facts.base_dn
    for part in re.split(r"(?<!\\)/", path.strip("/")):
        name = escape(part.replace("\\/", "/"))
        rows = await side.remote.search(dn, "one", f"(|(ou={name})(cn={name}))", ("objectClass",))
        found = [row for row in rows if set(row.all("objectClass")) & {b"organizationalUnit", b"container"}]
        if not found:
            return None
        dn = found[0].dn
    return dn

"""How directories and hosts are reached: where they are, what their certificates have to be, and what is their realm."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.core.errors import Unreachable
from reconciler.core.query import Rows, Search
from reconciler.core.targets import Targets
from reconciler.edge.accounts import Accounts
from reconciler.edge.controllers import pdc_emulator
from reconciler.edge.kerberos import Realms
from reconciler.edge.ldap_connection import Door
from reconciler.edge.resolve import Names

if TYPE_CHECKING:
    from reconciler.edge.psrp_connection import Gate


class WaysIn:
    """Looks up each name once, until it is told to forget them. Safe to call from several threads.

    Args:
        targets: Domains and hosts of the state file.
        base: Directory of the state file; relative paths in it start there.
        accounts: Opens their credentials.
        ask: Answers a search: who holds a role is in the directory.
    """

    def __init__(self, targets: Targets, base: Path, accounts: Accounts, ask: Callable[[Search], Rows]) -> None:
        self._targets = targets
        self._base = base
        self._accounts = accounts
        self._ask = ask
        self._realms = Realms()
        self._names = {name: Names(domain.nameservers, name) for name, domain in targets.domains.items()}
        self._host_names: dict[str, str] = {}
        self._lock = threading.Lock()

    def forget(self) -> dict[str, str]:
        """Look everything up again; return which hosts held roles."""
        with self._lock:
            roles, self._host_names = self._host_names, {}
        for names in self._names.values():
            names.forget()
        return roles

    def close(self) -> None:
        """Clear up what this machine keeps for the realms."""
        self._realms.close()

    def controllers(self, name: str) -> tuple[str, ...]:
        """Return the controllers of a domain as DNS has them.

        Raises:
            Unreachable: It has none, or did not answer.
        """
        return self._names[name].controllers(self._targets.domains[name].dns)

    def doors(self, name: str) -> Iterator[Door | Unreachable]:
        """Yield the controllers of a domain in the order in which they are tried, or why one cannot be."""
        domain = self._targets.domains[name]
        for controller in domain.controllers or self._names[name].controllers(domain.dns):
            yield from self.doors_of(name, controller.rstrip("."))

    def doors_of(self, name: str, controller: str) -> Iterator[Door | Unreachable]:
        """Yield the ways to one controller, or why there is none."""
        domain = self._targets.domains[name]
        try:
            addresses = self._names[name].addresses(controller)
        except Unreachable as error:
            yield error
            return
        for address in addresses:
            yield Door(
                domain=name,
                controller=controller,
                address=address,
                ca=self._ca(name),
                transport=domain.transport,
                auth=domain.auth,
                realms=self._accounts.realms,
            )

    def gate(self, name: str) -> Gate:
        """Return how a host is entered.

        Raises:
            ReconcileError: Nobody knows where it is.
        """
        from reconciler.edge.psrp_connection import Gate

        host = self._targets.hosts[name]
        if host.winrm.auth != "ntlm":
            self.declare_realms()
        dns_name = self.host_name(name)
        return Gate(
            host=name,
            name=dns_name,
            address=self._names[host.domain].addresses(dns_name)[0],
            ca=self._ca(host.domain),
            transport=host.winrm.transport,
            auth=host.winrm.auth,
            port=host.winrm.port,
            configuration=host.winrm.configuration,
        )

    def host_name(self, name: str) -> str:
        """Return the DNS name of a host; a role is looked up once per run."""
        host = self._targets.hosts[name]
        if host.address is not None:
            return host.address.rstrip(".")
        with self._lock:
            known = self._host_names.get(name)
        if known is None:
            known = pdc_emulator(self._ask, host.domain)
            with self._lock:
                self._host_names[name] = known
        return known

    def _ca(self, domain: str) -> Path | None:
        ca = self._targets.domains[domain].ca
        return None if ca is None else self._base / ca

    def declare_realms(self) -> None:
        """Tell libkrb5 where the KDCs are of the domains whose controllers or nameservers the state file gives."""
        ours = {
            domain.dns.rstrip("."): name
            for name, domain in self._targets.domains.items()
            if domain.controllers or domain.nameservers
        }
        if not self._realms.know(ours):
            self._realms.declare({dns: tuple(self._kdcs(name)) for dns, name in ours.items()})

    def _kdcs(self, name: str) -> Iterator[str]:
        domain, names = self._targets.domains[name], self._names[name]
        try:
            controllers = domain.controllers or names.controllers(domain.dns)
        except Unreachable:
            return  # the domain that is down says so itself when it is asked, and is looked for again at the next logon
        for controller in controllers:
            try:
                yield from names.addresses(controller)
            except Unreachable:
                continue

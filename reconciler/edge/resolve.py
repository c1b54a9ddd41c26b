"""Find controllers and addresses by DNS, through the nameservers of a domain or those of the system."""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from typing import TYPE_CHECKING

from reconciler.core.errors import Unreachable

if TYPE_CHECKING:
    from dns.rdata import Rdata
    from dns.resolver import Resolver

LIFETIME_S = 5.0
SILENT_S = 15.0  # for so long nameservers that gave no answer are not asked again: a run has many queries for a domain that is down


class Names:
    """One way of asking DNS. What was found is kept for the life of this object. Safe to call from several threads.

    Args:
        nameservers: IP addresses; empty asks the system (its hosts file as well, for addresses).
        target: Name of the domain in the state file, for messages.
        port: Port of those nameservers.
    """

    def __init__(self, nameservers: tuple[str, ...] = (), target: str = "", port: int = 53) -> None:
        self._nameservers = nameservers
        self._target = target
        self._port = port
        self._found: dict[str, tuple[str, ...]] = {}
        self._silence: tuple[float, str] | None = None  # until when, and why
        self._lock = threading.Lock()

    def addresses(self, name: str) -> tuple[str, ...]:
        """Return the IP addresses of a name, IPv4 first; an address is its own answer.

        Raises:
            Unreachable: No nameserver knows it, or none answered.
        """
        name = name.rstrip(".").lower()
        if is_address(name):
            return (name,)
        with self._lock:
            known = self._found.get(name)
        if known is None:
            known = self._ask_addresses(name) if self._nameservers else self._ask_system(name)
            with self._lock:
                self._found[name] = known
        return known

    def controllers(self, domain: str) -> tuple[str, ...]:
        """Return the controllers of a domain by their SRV records, in a stable order: priority, then weight, then name.

        Names outside the domain are left out: anyone who can forge a DNS answer could otherwise name any host with
        a valid certificate. Such controllers have to be listed in the state file.

        Raises:
            Unreachable: No nameserver knows the record, or none answered.
        """
        import dns.rdatatype
        from dns.rdtypes.IN.SRV import SRV

        query = f"_ldap._tcp.dc._msdcs.{domain.rstrip('.')}"
        records = [record for record in self._ask(query, dns.rdatatype.SRV) if isinstance(record, SRV)]
        ordered = sorted(records, key=lambda record: (record.priority, -record.weight, record.target.to_text().lower()))
        names = [record.target.to_text(omit_final_dot=True).lower() for record in ordered]
        inside = tuple(name for name in names if name.endswith("." + domain.rstrip(".").lower()))
        if not inside:
            raise Unreachable(
                f"DNS names no controller inside {domain} (it answered: {', '.join(names) or 'nothing'})",
                target=self._target,
                do="list the controllers under `controllers` of the domain",
            )
        return inside

    def forget(self) -> None:
        """Ask again next time."""
        with self._lock:
            self._found.clear()
            self._silence = None

    def _ask_addresses(self, name: str) -> tuple[str, ...]:
        import dns.rdatatype

        found = tuple(record.to_text() for record in self._ask(name, dns.rdatatype.A, may_be_empty=True))
        return found or tuple(record.to_text() for record in self._ask(name, dns.rdatatype.AAAA))

    def _ask_system(self, name: str) -> tuple[str, ...]:
        try:
            answers = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
        except OSError as error:
            raise self._unknown(name, str(error)) from error
        found = dict.fromkeys(str(answer[4][0]) for answer in sorted(answers, key=lambda answer: answer[0]))
        return tuple(found)

    def _ask(self, name: str, kind: int, may_be_empty: bool = False) -> list[Rdata]:
        import dns.exception
        import dns.rdatatype
        import dns.resolver

        with self._lock:
            silence = self._silence
        if silence is not None and time.monotonic() < silence[0]:
            raise self._unknown(name, silence[1])
        try:
            answer = self._resolver().resolve(
                name,
                dns.rdatatype.RdataType.make(kind),
                raise_on_no_answer=not may_be_empty,
                search=False,
                lifetime=LIFETIME_S,
            )
            return list(answer.rrset or ())
        except dns.resolver.NXDOMAIN:
            raise self._unknown(name, "no such name") from None
        except dns.resolver.NoAnswer:
            raise self._unknown(
                name, f"it has no {dns.rdatatype.to_text(dns.rdatatype.RdataType.make(kind))} record"
            ) from None
        except dns.exception.Timeout as error:
            with self._lock:
                self._silence = (time.monotonic() + SILENT_S, str(error))
            raise self._unknown(name, str(error)) from error
        except dns.exception.DNSException as error:
            raise self._unknown(name, str(error) or type(error).__name__) from error

    def _resolver(self) -> Resolver:
        import dns.resolver

        if not self._nameservers:
            return dns.resolver.Resolver()
        resolver = dns.resolver.Resolver(configure=False)
        resolver.nameservers = list(self._nameservers)
        resolver.port = self._port
        return resolver

    def _unknown(self, name: str, why: str) -> Unreachable:
        asked = f"the nameservers {', '.join(self._nameservers)}" if self._nameservers else "the system's DNS"
        return Unreachable(
            f"{asked} cannot resolve {name}: {why}",
            target=self._target,
            do="give DNS servers that know the domain under `nameservers`, or list its `controllers`",
        )


def is_address(name: str) -> bool:
    """Return whether this is an IP address and not a name."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True

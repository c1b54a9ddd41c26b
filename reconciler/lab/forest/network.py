"""The loopback addresses that a lab needs: are they free, and, for an ordinary user, a network of its own."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import socket
import struct
import time

from reconciler.lab.forest.names import PORT as DNS_DISPATCHER_PORT
from reconciler.lab.forest.server import PORTS
from reconciler.lab.settings import ROLES, LabError, LabSettings

HOST, NAMESPACE = "host", "namespace"
WINRM_PORTS = (5985, 5986)
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 0x1
POLL_SECONDS = 0.05


def kind() -> str:
    """Return where a lab of this user runs: only root may bind the directory's ports on the host's own loopback."""
    return HOST if os.geteuid() == 0 else NAMESPACE


def raise_loopback() -> None:
    """Bring up the loopback interface of a fresh network namespace."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        answer = fcntl.ioctl(any_socket, SIOCGIFFLAGS, struct.pack("16sH14s", b"lo", 0, b""))
        (flags,) = struct.unpack_from("H", answer, 16)
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH14s", b"lo", flags | IFF_UP, b""))


async def wait_until_free(settings: LabSettings, patience_s: float) -> None:
    """Wait until every port can be bound; the children of a crashed lab need a moment to go.

    Raises:
        LabError: Some are still taken, or an address is not one of this machine.
    """
    deadline = time.monotonic() + patience_s
    while busy := busy_ports(settings):
        if time.monotonic() > deadline:
            raise LabError(
                f"these addresses are in use: {', '.join(busy)}\n"
                "  do: stop what listens there (`ss -ltnp`), or give the lab other loopback addresses"
            )
        await asyncio.sleep(POLL_SECONDS)


def busy_ports(settings: LabSettings) -> list[str]:
    """Return every address:port that the lab needs and cannot have."""
    ports = (*PORTS, *(WINRM_PORTS if settings.hosts else ()))
    wanted = [(settings.address(role), port, socket.SOCK_STREAM) for role in ROLES for port in ports]
    if settings.hosts:
        wanted += [(member.address, port, socket.SOCK_STREAM) for member in settings.members for port in WINRM_PORTS]
    wanted += [(settings.address(role), port, socket.SOCK_DGRAM) for role in ROLES for port in (53, 88, 389, 464)]
    wanted.append((settings.source_address, DNS_DISPATCHER_PORT, socket.SOCK_DGRAM))
    return [
        f"{address}:{port}/{'tcp' if type_ == socket.SOCK_STREAM else 'udp'}"
        for address, port, type_ in wanted
        if not _is_free(address, port, type_)
    ]


def _is_free(address: str, port: int, type_: socket.SocketKind) -> bool:
    with socket.socket(socket.AF_INET, type_) as probe:
        if type_ == socket.SOCK_STREAM:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # TIME_WAIT is no reason to refuse
        try:
            probe.bind((address, port))
            if type_ == socket.SOCK_STREAM:
                probe.listen(1)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise LabError(f"cannot use {address}:{port}: {error.strerror}") from None
    return True

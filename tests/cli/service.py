"""A watch in a process of its own, as a service manager runs it, with states that need no directory and no host."""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

PATIENCE_S = 60.0
"""What a slow machine may take; nothing waits for so long when all is well."""


def written(directory: Path, *, port: int = 0, **fields: Any) -> Path:
    """Write a state: of nothing at all, or of one registry value on a host that is at this port of this machine."""
    winrm = {"transport": "http", "auth": "ntlm", "port": port}
    value = {"kind": "win.registry", "host": "h", "path": "HKLM:\\SOFTWARE\\Extra", "name": "A", "type": "DWord", "value": 1}  # fmt: skip
    document = {
        "apiVersion": "reconciler/v1",
        "kind": "Migration",
        "metadata": {"name": "watched"},
        "phase": "migrate",
        "credentials": {"a": {"username": "S\\a", "password": {"file": "password"}}},
        "domains": {"source": {"dns": "s.lab", "netbios": "S", "credential": "a", "controllers": ["127.0.0.1"]}},
        "hosts": {"h": {"domain": "source", "address": "127.0.0.1", "winrm": winrm}} if port else {},
        "resources": [value] if port else [],
        **fields,
    }
    for name in ("password", "hook.key"):
        secret = directory / name
        secret.write_text("canary-" + name, encoding="utf-8")
        secret.chmod(0o600)
    fresh = directory / "state.new"
    fresh.write_text(yaml.safe_dump(document), encoding="utf-8")
    return fresh.replace(directory / "state.yaml")


class Service:
    """A running watch and what it told its manager."""

    def __init__(self, run: subprocess.Popen[str], manager: socket.socket, words: Path) -> None:
        self.run = run
        self._manager = manager
        self._words = words

    def told(self, words: str) -> str:
        """Wait until the manager is told this."""
        while True:
            ready, _, _ = select.select([self._manager], [], [], PATIENCE_S)
            assert ready, f"it never told {words!r}:\n{self.words}"
            message = self._manager.recv(4096).decode()
            if words in message:
                return message

    @property
    def words(self) -> str:
        """What it said on standard error so far."""
        return self._words.read_text(encoding="utf-8")

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The same, line by line; every one has to be JSON."""
        return [json.loads(line) for line in self.words.splitlines()]


@contextmanager
def serving(state: Path, *options: str, program: tuple[str, ...] = ("-m", "reconciler", "watch")) -> Iterator[Service]:
    """Run it until the block ends; nothing that it writes can hold it up."""
    address, words = state.with_name("notify"), state.with_name("words")
    environment = {**os.environ, "NOTIFY_SOCKET": str(address), "WATCHDOG_USEC": "120000000"}
    command = [sys.executable, *program, str(state), *options]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager, words.open("w", encoding="utf-8") as err:
        manager.bind(str(address))
        with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=err, text=True) as run:
            try:
                yield Service(run, manager, words)
            finally:
                run.kill()
        address.unlink()

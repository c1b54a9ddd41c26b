"""What ADMT remembers: the objects it migrated, its tasks, and the encryption keys of this host."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from reconciler.lab.admt.errors import RunRefused
from reconciler.lab.admt.keyfile import EncryptionKey
from reconciler.lab.admt.secret_store import read_secret, store_secret

if TYPE_CHECKING:
    from reconciler.lab.windows.machine import Machine

Kind = Literal["user", "group", "computer"]
FILE = r"C:\Windows\ADMT\Data\ADMT.jsonl"

_in_use: set[Machine] = set()


@dataclass(frozen=True, slots=True)
class Migrated:
    """One object that was migrated, by the SIDs of both sides."""

    kind: Kind
    source_domain: str
    source_sid: str
    source_name: str
    target_sid: str
    target_name: str


@dataclass(frozen=True, slots=True)
class Task:
    """One finished run."""

    number: int
    verb: str
    started: str
    finished: str
    succeeded: int
    warnings: int
    errors: int
    log: str = field(repr=False)


class Database:
    """The migration database of one host: one JSON line per object and per task, written at once, as SQL Server does."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        item = machine.files.item(FILE)
        self._objects: dict[tuple[str, str], Migrated] = {}
        self.tasks: list[Task] = []
        for line in (item.content or b"").decode("utf-8").splitlines() if item is not None else ():
            row = json.loads(line)
            if "task" in row:
                self.tasks.append(Task(**row["task"]))
            else:
                self._keep(Migrated(**row["object"]))

    def find(self, source_domain: str, source_sid: str) -> Migrated | None:
        """Return what became of a source object, or None if it was never migrated."""
        return self._objects.get((source_domain.upper(), source_sid))

    def add(self, migrated: Migrated) -> None:
        """Remember a migrated object; a later migration of the same object wins."""
        if self.find(migrated.source_domain, migrated.source_sid) != migrated:
            self._keep(migrated)
            self._write({"object": asdict(migrated)})

    def finish(self, task: Task) -> None:
        """Remember a run."""
        self.tasks.append(task)
        self._write({"task": asdict(task)})

    def next_task(self) -> int:
        """Return the number of the next run."""
        return self.tasks[-1].number + 1 if self.tasks else 1

    def _keep(self, migrated: Migrated) -> None:
        self._objects[migrated.source_domain.upper(), migrated.source_sid] = migrated

    def _write(self, row: dict[str, Any]) -> None:
        self._machine.files.append(FILE, json.dumps(row).encode("utf-8") + b"\n", parents=True)


@contextmanager
def exclusive(machine: Machine) -> Iterator[None]:
    """Hold the database for one run; it is free again when the run ends, however it ends.

    Raises:
        RunRefused: Another run holds it.
    """
    if machine in _in_use:
        raise RunRefused(
            "Another instance of the Active Directory Migration Tool is using the migration database.", 9801
        )
    _in_use.add(machine)
    try:
        yield
    finally:
        _in_use.discard(machine)


def store_key(machine: Machine, key: EncryptionKey) -> None:
    """Keep a key on this host; keys are per computer, not per domain. [KB322981]"""
    store_secret(machine, _key_name(key.source_domain), key.to_bytes())


def key_for(machine: Machine, source_domain: str) -> EncryptionKey | None:
    """Return this host's key for a source domain (NetBIOS name), or None."""
    content = read_secret(machine, _key_name(source_domain))
    return None if content is None else EncryptionKey.from_bytes(content)


def _key_name(source_domain: str) -> str:
    return f"L$ADMT_PES_{source_domain.upper()}"

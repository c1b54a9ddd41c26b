"""Changes to the world as data. Nothing here changes anything: the edge does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from reconciler.core.query import Argument, Command, show

Values = tuple[str | bytes, ...]

REPLACED_WHOLE = ("ntsecuritydescriptor", "pwdlastset")
"""Attributes that are written without naming the old value: that any other way is accepted is documented nowhere."""


@dataclass(frozen=True, slots=True)
class AddEntry:
    """Add a directory object."""

    domain: str
    dn: str
    attributes: tuple[tuple[str, Values], ...]

    def __str__(self) -> str:
        return f"add {self.dn}"


@dataclass(frozen=True, slots=True)
class AttributeChange:
    """One attribute inside a modify. ``delete`` of the old value plus ``add`` of the new one is a compare-and-set.

    ``replace`` is none, and would let a late writer overwrite what came after it.
    """

    attribute: str
    operation: Literal["add", "delete", "replace"]
    values: Values = ()

    def __post_init__(self) -> None:
        if self.operation == "replace" and self.attribute.lower() not in REPLACED_WHOLE:
            raise ValueError(f"{self.attribute} is replaced without its old value: delete that and add the new one")

    def __str__(self) -> str:
        shown = ", ".join(f"<{len(v)} bytes>" if isinstance(v, bytes) else v for v in self.values)
        return f"{self.operation} {self.attribute}: {shown}" if shown else f"{self.operation} {self.attribute}"


@dataclass(frozen=True, slots=True)
class ModifyEntry:
    """Modify one directory object in a single operation. ``sd_flags`` goes with nTSecurityDescriptor."""

    domain: str
    dn: str
    changes: tuple[AttributeChange, ...]
    sd_flags: int = 0

    def __str__(self) -> str:
        return f"modify {self.dn}: " + "; ".join(str(change) for change in self.changes)


@dataclass(frozen=True, slots=True)
class DeleteEntry:
    """Delete one directory object without children."""

    domain: str
    dn: str

    def __str__(self) -> str:
        return f"delete {self.dn}"


@dataclass(frozen=True, slots=True)
class CopyFile:
    """Bring a file from one host to another through two sessions: no share, no second hop. Its bytes pass only through memory."""

    source_host: str
    source_path: str
    host: str
    path: str

    def __str__(self) -> str:
        return f"copy {self.source_host}:{self.source_path} to {self.host}:{self.path}"


@dataclass(frozen=True, slots=True)
class Restart:
    """Restart a host, wait until its boot time moved, and until it serves again (its directory too, where it is a controller)."""

    host: str
    because: tuple[str, ...] = ()
    timeout_s: float = 900.0

    def __str__(self) -> str:
        return f"restart {self.host}" + (f" (for {', '.join(self.because)})" if self.because else "")


@dataclass(frozen=True, slots=True)
class RunTask:
    """Run a program under a real logon by a scheduled task made for this run and removed afterwards.

    A command inside a WinRM session cannot reach a second machine; a task registered with a password can.
    The rows of the outcome are ``{"exit_code": int}`` and ``{"line": str}`` per line of ``log`` written by this run.

    Attributes:
        credential: Name in the state file of the account whose logon it is.
        log: Path of a log file to read when the program has ended; empty for none.
    """

    host: str
    name: str
    program: str
    arguments: tuple[Argument, ...]
    credential: str
    log: str = ""
    timeout_s: float = 3600.0

    def __str__(self) -> str:
        return f"run as {self.credential}: {self.program} " + " ".join(show(argument) for argument in self.arguments)


Effect = AddEntry | ModifyEntry | DeleteEntry | Command | CopyFile | Restart | RunTask


@dataclass(frozen=True, slots=True)
class Note:
    """A fact for the journal. JSON values only, never a secret."""

    key: str
    value: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Step:
    """One effect and what surrounds it.

    Attributes:
        effect: What is sent.
        says: One line for people.
        notes: Facts committed to the journal *before* the effect is sent, so that a crash cannot lose them.
        risk: Name of the approval without which it is not sent; empty for none.
    """

    effect: Effect
    says: str = ""
    notes: tuple[Note, ...] = field(default=())
    risk: str = ""

    def __str__(self) -> str:
        return self.says or str(self.effect)

"""Changes to the world as data. Nothing here changes anything: the edge does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct, field

from reconciler.core.query import Argument, Command, show
from reconciler.core.secret import Generated

Values = tuple[str | bytes | Generated, ...]
"""Of an attribute; a generated password is put in its place where it is sent, in the form that ``unicodePwd`` takes."""

REPLACED_WHOLE = ("ntsecuritydescriptor", "pwdlastset")
"""Attributes that are written without naming the old value: that any other way is accepted is documented nowhere."""


class AddEntry(Struct, frozen=True):
    """Add a directory object."""

    domain: str
    dn: str
    attributes: tuple[tuple[str, Values], ...]

    def __str__(self) -> str:
        return f"add {self.dn}"


class AttributeChange(Struct, frozen=True):
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
        shown = ", ".join(f"<{len(v)} bytes>" if isinstance(v, bytes) else str(v) for v in self.values)
        return f"{self.operation} {self.attribute}: {shown}" if shown else f"{self.operation} {self.attribute}"


class ModifyEntry(Struct, frozen=True):
    """Modify one directory object in a single operation. ``sd_flags`` goes with nTSecurityDescriptor."""

    domain: str
    dn: str
    changes: tuple[AttributeChange, ...]
    sd_flags: int = 0

    def __str__(self) -> str:
        return f"modify {self.dn}: " + "; ".join(str(change) for change in self.changes)


class DeleteEntry(Struct, frozen=True):
    """Delete one directory object without children."""

    domain: str
    dn: str

    def __str__(self) -> str:
        return f"delete {self.dn}"


class CopyFile(Struct, frozen=True):
    """Bring a file from one host to another through two sessions: no share, no second hop. Its bytes pass only through memory."""

    source_host: str
    source_path: str
    host: str
    path: str

    def __str__(self) -> str:
        return f"copy {self.source_host}:{self.source_path} to {self.host}:{self.path}"


class Restart(Struct, frozen=True):
    """Restart a host, wait until its boot time moved, and until it serves again (its directory too, where it is a controller)."""

    host: str
    because: tuple[str, ...] = ()
    timeout_s: float = 900.0

    def __str__(self) -> str:
        return f"restart {self.host}" + (f" (for {', '.join(self.because)})" if self.because else "")


class RunTask(Struct, frozen=True):
    """Run a program under a real logon by a scheduled task made for this run and removed afterwards.

    A command inside a WinRM session cannot reach a second machine; a task registered with a password can.
    The rows of the outcome are ``{"exit_code": int}`` and ``{"line": str}`` per line of ``log`` written by this run.

    Attributes:
        credential: Name in the state file of the account whose logon it is.
        log: Path of a log file to read when the program has ended; empty for none.
        about: What tells this run from others by the same name, where that matters: one that still runs and is about something
            else is waited for, and then this one is started; where it is the same it is waited for in place of this one.
    """

    host: str
    name: str
    program: str
    arguments: tuple[Argument, ...]
    credential: str
    log: str = ""
    timeout_s: float = 3600.0
    about: str = ""

    def __str__(self) -> str:
        return f"run as {self.credential}: {self.program} " + " ".join(show(argument) for argument in self.arguments)


class LogOn(Struct, frozen=True):
    """Log on to a domain with a generated password, to see whether it works, and log off at once.

    Whatever comes of it is an answer, one row: ``{"way": "kerberos" or "ldap", "code": str, "message": str}``. The code is empty
    where the domain let the account in, else the name of the Kerberos error or the hexadecimal logon error of an LDAP bind.

    Attributes:
        account: Its sAMAccountName.
    """

    domain: str
    account: str
    password: Generated

    def __str__(self) -> str:
        return f"log on to {self.domain} as {self.account} with {self.password}"


Effect = AddEntry | ModifyEntry | DeleteEntry | Command | CopyFile | Restart | RunTask | LogOn


class Note(Struct, frozen=True):
    """A fact for the journal. JSON values only, never a secret."""

    key: str
    value: Mapping[str, Any]


class Portion(Struct, frozen=True):
    """How far a step brings a long piece of work.

    Attributes:
        before: How many are done when it begins.
        size: How many it does.
        whole: How many there are.
        of: What is counted, in the plural.
    """

    before: int
    size: int
    whole: int
    of: str = "accounts"


class Step(Struct, frozen=True):
    """One effect and what surrounds it.

    Attributes:
        effect: What is sent.
        says: One line for people.
        notes: Facts committed to the journal *before* the effect is sent, so that a crash cannot lose them.
        risk: Name of the approval without which it is not sent; empty for none.
        portion: What part of a longer piece of work it is; None where it is none.
        apart: Those after it do not build on it: they are sent even where it was refused.
        lane: Steps of different lanes, one after the other in the tuple, may be under way at once: none builds on one of
            another lane. Those of one lane go in their order; one without a lane waits for everything before it.
    """

    effect: Effect
    says: str = ""
    notes: tuple[Note, ...] = field(default=())
    risk: str = ""
    portion: Portion | None = None
    apart: bool = False
    lane: str = ""

    def __str__(self) -> str:
        return self.says or str(self.effect)

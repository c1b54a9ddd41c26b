"""Questions as data. Nothing here asks anything: the edge does, and answers with rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from msgspec import Struct

from reconciler.core.secret import CredentialPart, SecretRef, Template

Argument = (
    str | int | bool | bytes | SecretRef | CredentialPart | Template | tuple["Argument", ...] | Mapping[str, "Argument"]
)

Row = Mapping[str, object]
"""One answer item.

* of a ``Search``: ``{"dn": str, attribute: tuple[bytes, ...], ...}``, attribute names in lower case;
* of a ``Command``: the properties of one output object, names as the host spells them; a bare string or number is ``{"value": ...}``;
* of a native ``Command``: ``{"line": str}`` per line of standard output, then ``{"error": str}`` per line of standard error, and last ``{"exit_code": int}``;
* of a ``Recall``: ``{"key": str, "value": JSON value}`` per fact.
"""
Rows = Sequence[Row]
"""Rows of one answer, in its order; never changed. Those of a ``Search`` may be a ``core.table.Table``."""


class Search(Struct, frozen=True):
    """An LDAP search on one domain.

    Attributes:
        domain: Name of the domain in the state file.
        base: DN; empty means the domain's default naming context, ``rootdse`` the root DSE, ``config:`` the configuration
            naming context and ``config:<rdn>,`` something below it.
        scope: As in LDAP.
        where: Filter, already escaped.
        attributes: What to return; nothing else is.
        sd_flags: SD_FLAGS control value (4 is the DACL alone) where nTSecurityDescriptor is asked for.
        absent_ok: A base that does not exist gives no rows instead of Refused.
        controller: DNS name of the one that shall answer, and no other in its place; empty for whichever.
        deleted: Find deleted objects as well.
        few: It finds so few that it is answered in one piece, a hundred at most; more would be refused.
    """

    domain: str
    base: str
    where: str = "(objectClass=*)"
    attributes: tuple[str, ...] = ()
    scope: Literal["base", "one", "subtree"] = "base"
    sd_flags: int = 0
    absent_ok: bool = True
    controller: str = ""
    deleted: bool = False
    few: bool = False


class Command(Struct, frozen=True):
    """One PowerShell command with its parameters, or a native program with its arguments. Never script text.

    Attributes:
        host: Name of the host in the state file.
        name: ``Get-ItemProperty`` or ``auditpol.exe``.
        parameters: Named parameters in order; True stands for a switch.
        arguments: Positional arguments; the argument list of a native program.
        native: A program: rows are lines and an exit code.
        absent: Error ids (text before the first comma of FullyQualifiedErrorId) that mean "not there" and give no rows.
        repeatable: Safe to send again where the reply was lost.
        timeout_s: How long the command may take on the host.
        ok_exit_codes: Exit codes of a native program that are not a refusal; None accepts all.
    """

    host: str
    name: str
    parameters: tuple[tuple[str, Argument], ...] = ()
    arguments: tuple[Argument, ...] = ()
    native: bool = False
    absent: tuple[str, ...] = ()
    repeatable: bool = True
    timeout_s: float = 60.0
    ok_exit_codes: tuple[int, ...] | None = (0,)

    def __str__(self) -> str:
        """Show the command as a person would type it; secrets show as their references."""
        words = [self.name]
        for name, value in self.parameters:
            words.append(f"-{name}" if value is True else f"-{name} {show(value)}")
        words += [show(value) for value in self.arguments]
        return " ".join(words)


class Recall(Struct, frozen=True):
    """Facts of our own journal whose key starts with ``prefix``."""

    prefix: str


Query = Search | Command | Recall


def show(value: Argument) -> str:
    """Render an argument for people; bytes by length, secrets by reference."""
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    if isinstance(value, tuple):
        return ",".join(show(item) for item in value)
    if isinstance(value, Mapping):
        return "@{" + "; ".join(f"{key}={show(item)}" for key, item in value.items()) + "}"
    text = str(value)
    return f"'{text}'" if " " in text or not text else text

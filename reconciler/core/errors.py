"""The error tree: whose fault it is decides the class, and every message says what happened, where, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reconciler.core.steps import Note


class ReconcileError(Exception):
    """Base of everything this program raises on purpose.

    Attributes:
        what: What happened, one sentence.
        where: ``file:line:column``, a host, or a DN; empty where nothing narrows it.
        do: What the reader can do about it; may have several lines.
    """

    def __init__(self, what: str, *, where: str = "", do: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.do = do

    def __str__(self) -> str:
        lines = [self.what]
        if self.where:
            lines.append(f"  at: {self.where}")
        lines += [
            f"  {'do' if i == 0 else '  '}: {line}" if i == 0 else f"      {line}"
            for i, line in enumerate(self.do.splitlines())
        ]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong in a state file."""

    what: str
    where: str = ""  # file:line:column
    do: str = ""

    def __str__(self) -> str:
        return str(ReconcileError(self.what, where=self.where, do=self.do))


class DesiredStateError(ReconcileError):
    """The state file is wrong; carries every problem found, not the first."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        count = len(problems)
        super().__init__(f"the state file has {count} error{'s' if count != 1 else ''}")
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


class UnsafePlan(ReconcileError):
    """The plan goes beyond a limit or lacks an approval."""


class JournalError(ReconcileError):
    """The journal cannot be opened, is locked by another writer, or is damaged."""


class SecretUnavailable(ReconcileError):
    """A secret reference points at nothing that can be read."""


class WorldError(ReconcileError):
    """Something out there answered in a way that stops this resource; ``target`` names the domain or host."""

    def __init__(self, what: str, *, target: str = "", where: str = "", do: str = "") -> None:
        super().__init__(what, where=where or target, do=do)
        self.target = target


class Unreachable(WorldError):
    """Nothing answered. ``sent`` is True where a write may already have been carried out."""

    def __init__(self, what: str, *, target: str = "", where: str = "", do: str = "", sent: bool = False) -> None:
        super().__init__(what, target=target, where=where, do=do)
        self.sent = sent


class AuthenticationFailed(WorldError):
    """The target answered but does not accept the credential."""


class Refused(WorldError):
    """The target understood and said no. ``code`` is its own error id or LDAP result name."""

    def __init__(self, what: str, *, target: str = "", where: str = "", do: str = "", code: str = "") -> None:
        super().__init__(what, target=target, where=where, do=do)
        self.code = code


class Stale(Refused):
    """A compare-and-set failed: somebody else moved the value. Observe again."""


class Fenced(Refused):
    """Another process has taken over this migration; what this one sends late is not carried out."""


class UnexpectedAnswer(WorldError):
    """The answer cannot be read as the resource that was asked for. Never taken for absent."""


class NeedsPerson(ReconcileError):
    """A gate: this can only go on after a person has done or approved something.

    Attributes:
        approval: Name of the approval that opens it, if one does.
        notes: Facts to keep while it is shut, as they would be before a step of our own.
        on_our_behalf: The person is asked to make the very change that is declared, so that it is ours to undo.
    """

    def __init__(
        self,
        what: str,
        *,
        where: str = "",
        do: str = "",
        approval: str = "",
        notes: tuple[Note, ...] = (),
        on_our_behalf: bool = False,
    ) -> None:
        super().__init__(what, where=where, do=do)
        self.approval = approval
        self.notes = notes
        self.on_our_behalf = on_our_behalf


class HeldBack(ReconcileError):
    """A change that was not made for now: a policy, a pause, a change window, or a correction that waits for its turn."""


class NotYet(ReconcileError):
    """The steps cannot be known before a requirement is in place. Not a failure while planning."""

"""The statement that goes before a changing command in the same message, and stops it where another writer took over."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from reconciler.core.errors import Fenced, Refused
from reconciler.core.query import Command
from reconciler.edge.psrp_errors import Failure, refused
from reconciler.edge.psrp_statement import Answer
from reconciler.edge.psrp_values import to_rows

NO_VALUE = ("PathNotFound", "System.Management.Automation.PSArgumentException")


class Guard(Struct, frozen=True):
    """Asks for one registry value, and lets nothing follow where it is not there.

    With ``-ErrorAction Stop`` an error ends the whole batch of statements, where any other error lets the next one run
    (``BatchInvocationCallback`` in PowerShell.cs of PowerShell 7, read; that Windows PowerShell 5.1 does the same is
    background knowledge).
    """

    host: str
    path: str
    name: str

    @property
    def command(self) -> Command:
        """The statement."""
        asked = (("LiteralPath", self.path), ("Name", self.name), ("ErrorAction", "Stop"))
        return Command(self.host, "Get-ItemProperty", asked)

    def passed(self, answer: Answer, failures: Sequence[Failure]) -> Answer:
        """Return the answer without what the statement itself put out.

        Raises:
            Fenced: The value is not there.
            Refused: It cannot be read.
        """
        first = to_rows(answer.output[:1])
        if first and self.name in first[0]:
            return Answer(answer.output[1:], answer.errors)
        if any(failure.code in NO_VALUE for failure in failures):
            raise fenced(self.host, f"{self.path} has no {self.name}")
        if failures:
            raise refused(failures, self.host, str(self.command))
        raise Refused(
            f"'{self.host}' did not say who its writer is", target=self.host, where=f"{self.host}: {self.command}"
        )


def fenced(host: str, seen: str) -> Fenced:
    """Return the error for a host that another writer has taken over."""
    return Fenced(
        f"another process has taken over this migration, and '{host}' takes nothing more from this one",
        target=host,
        where=f"{host}: {seen}",
        code="Fenced",
        do="`reconcile status` says who is at work; run the command again once that one has ended",
    )

"""A directory on a host, so that a file of ours can lie in it and leave nothing behind."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field

from reconciler.core.errors import NotYet, UnexpectedAnswer
from reconciler.core.query import Command, Query, Rows
from reconciler.core.resource import Resource
from reconciler.core.steps import Step
from reconciler.core.targets import Name
from reconciler.resources.windows_values import ABSENT_PATH, FilePath


class Directory(Resource):
    """A directory that exists or does not. One that is not empty is never removed."""

    identity: ClassVar[tuple[str, ...]] = ("host", "path")

    kind: Literal["win.directory"] = "win.directory"
    host: Name = Field(description="Host on which the directory shall be.")
    path: FilePath = Field(description="Its path, on a local disk.", examples=[r"C:\PES"])

    def title(self) -> str:
        """Name the directory and its host."""
        return f"directory {self.path} on {self.host}"

    def queries(self) -> tuple[Query, ...]:
        """Ask what is at the path, and what lies in it."""
        path = (("LiteralPath", self.path),)
        return (
            Command(self.host, "Test-Path", path),
            Command(self.host, "Test-Path", (*path, ("PathType", "Container"))),
            Command(self.host, "Get-ChildItem", (*path, ("Force", True)), absent=ABSENT_PATH),
        )

    def parse(self, *answers: Rows) -> Self:
        """Tell a directory from a file of the same name."""
        there, directory = (_truth(rows, self.host) for rows in answers[:2])
        if there and not directory:
            raise UnexpectedAnswer(
                f"{self.path} on {self.host} is a file, not a directory",
                target=self.host,
                do="move the file away, or choose another path",
            )
        if not there:
            return self.absent()
        names = [str(row.get("Name", "?")) for row in answers[2]]
        return self.observed().with_facts(holds=names)

    def steps(self, observed: Self, differs: frozenset[str]) -> tuple[Step, ...]:
        """Create or remove it."""
        if self.ensure == "present":
            create = Command(self.host, "New-Item", (("Path", self.path), ("ItemType", "Directory")))
            return (Step(create, f"create {self.title()}"),)
        holds = observed.facts.get("holds", [])
        if holds:
            # While planning, what lies in it is often a file that goes back before the directory does.
            raise NotYet(f"it holds {', '.join(holds[:5])}, and is removed only when it is empty")
        remove = Command(self.host, "Remove-Item", (("LiteralPath", self.path),))
        return (Step(remove, f"remove the empty {self.title()}"),)


def _truth(rows: Rows, host: str) -> bool:
    value = rows[0].get("value") if len(rows) == 1 else None
    if not isinstance(value, bool):
        raise UnexpectedAnswer("Test-Path answered neither true nor false", target=host)
    return value

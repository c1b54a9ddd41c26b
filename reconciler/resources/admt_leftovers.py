"""Files that ADMT's runs needed or wrote and that a program that died left on a host: names of accounts, and passwords in the clear."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field

from reconciler.core.query import Query, Recall, Rows
from reconciler.core.resource import Resource
from reconciler.core.steps import Step
from reconciler.core.targets import Name
from reconciler.resources import account_runs
from reconciler.resources.admt_command import remove, removed_by


class Leftovers(Resource):
    """What the journal says that runs may have left on a host. The accounts tidy up while they are migrated; this does it afterwards."""

    identity: ClassVar[tuple[str, ...]] = ("host", "domain")
    restores: ClassVar[bool] = False

    kind: Literal["admt.leftovers"] = "admt.leftovers"
    host: Name = Field(description="Host that ran ADMT.")
    domain: Name = Field(description="Name of the domain that the accounts came from.")
    files: tuple[str, ...] = Field((), description="Files that a run needed or wrote and left. Always empty.")

    def title(self) -> str:
        """Name the host."""
        return f"files that runs of ADMT for {self.domain} left on {self.host}"

    def managed(self) -> tuple[str, ...]:
        """Return the list; it is wanted empty, written or not."""
        return ("files",)

    def queries(self) -> tuple[Query, ...]:
        """Ask the journal: it was told before a run wrote anything."""
        return (Recall(account_runs.files_prefix(self.domain)),)

    def parse(self, *answers: Rows) -> Self:
        """Read the files that were not seen to be removed."""
        (facts,) = answers
        return self.observed(files=account_runs.files_on(self.host, facts))

    def steps(self, observed: Self, differs: frozenset[str]) -> tuple[Step, ...]:
        """Remove them; one that is gone already is none."""
        return tuple(Step(remove(self.host, path), f"remove {path}") for path in observed.files)

    def learns(self, step: Step, rows: Rows) -> Mapping[str, Mapping[str, Any]]:
        """Forget a file that was removed."""
        path = removed_by(step)
        return {} if path is None else {account_runs.file_key(self.domain, path): {}}

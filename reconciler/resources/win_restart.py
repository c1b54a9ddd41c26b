"""One restart of a host for everything that counts only after a restart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal, Self

from pydantic import Field

from reconciler.core.query import Query, Recall, Rows
from reconciler.core.resource import Resource
from reconciler.core.steps import Restart, Step
from reconciler.core.targets import Name
from reconciler.resources.boot import boot_query, boot_time, booted_since


class HostRestart(Resource):
    """Nothing waits for a restart of a host. What waits is known from the journal: only our own changes count."""

    identity: ClassVar[tuple[str, ...]] = ("host",)
    inputs: ClassVar[tuple[str, ...]] = ("timeout_s",)
    barrier: ClassVar[bool] = True
    typical_s: ClassVar[float] = 240.0

    kind: Literal["win.restart"] = "win.restart"
    host: Name = Field(description="Host that is restarted.")
    pending: tuple[str, ...] = Field((), description="Keys of changes that wait for a restart; none is wanted.")
    timeout_s: float = Field(900.0, gt=0, description="Seconds within which it has to serve again.")

    def title(self) -> str:
        """Name the host."""
        return f"restart of {self.host}"

    def managed(self) -> tuple[str, ...]:
        """Compare ``pending`` whether or not the author wrote it."""
        return ("pending",)

    def queries(self) -> tuple[Query, ...]:
        """Ask when the host was started, and what has waited since."""
        return (boot_query(self.host), Recall(f"restart/{self.host}/"))

    def parse(self, *answers: Rows) -> Self:
        """Find the changes that were made since the host was started."""
        booted, facts = answers
        now = boot_time(booted, self.host)
        waiting = {
            str(fact["key"]).removeprefix(f"restart/{self.host}/"): str(value.get("because", ""))
            for fact in facts
            if isinstance(value := fact["value"], Mapping) and not booted_since(str(value.get("boot_time")), now)
        }
        return self.observed(pending=tuple(sorted(waiting))).with_facts(because=waiting)

    def steps(self, observed: Self, differs: frozenset[str]) -> tuple[Step, ...]:
        """Restart once for all of them."""
        why = tuple(observed.facts["because"].get(key) or key for key in observed.pending)
        return (Step(Restart(self.host, why, self.timeout_s)),)

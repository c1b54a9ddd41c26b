"""From the path of a state file to everything a verb needs; all that is wrong with the file is said at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.core.errors import DesiredStateError, Problem
from reconciler.core.graph import Graph
from reconciler.core.resource import Key

if TYPE_CHECKING:
    from reconciler.core.targets import Targets
    from reconciler.resources.state import State


@dataclass(frozen=True, slots=True)
class Loaded:
    """A state file that holds together.

    Attributes:
        where: ``file:line:column`` of what declares each resource.
        base: Directory of the file; relative paths in it start here.
    """

    state: State
    graph: Graph
    where: dict[Key, str]
    sha256: str
    base: Path

    @property
    def journal(self) -> Path:
        """The journal's file."""
        return self.base / self.state.journal / f"{self.state.metadata.name}.db"

    @property
    def targets(self) -> Targets:
        """What answers."""
        from reconciler.core.targets import Targets

        return Targets(credentials=self.state.credentials, domains=self.state.domains, hosts=self.state.hosts)


def load(path: Path) -> Loaded:
    """Read, validate and resolve a state file; no connection is opened.

    Raises:
        DesiredStateError: Everything that is wrong with it.
    """
    from reconciler.edge.state_file import read
    from reconciler.resources.misfit import Misfit
    from reconciler.resources.resolve import declarations
    from reconciler.resources.state import State

    file = read(path, State)
    try:
        graph = Graph(declarations(file.value))
    except Misfit as misfit:
        raise DesiredStateError(misfit.located(file.positions.__getitem__)) from None
    where = {key: file.positions[declaration.origin] for key, declaration in graph.declarations.items()}
    if graph.faults:
        raise DesiredStateError(
            tuple(Problem(fault.what, where.get(fault.key, str(path)), fault.do) for fault in graph.faults)
        )
    return Loaded(file.value, graph, where, file.sha256, file.base)

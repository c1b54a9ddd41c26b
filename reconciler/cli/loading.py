"""From the path of a state file to everything a verb needs; all that is wrong with the file is said at once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from reconciler.core.errors import DesiredStateError, Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.core.graph import Graph
    from reconciler.core.limits import Limits, Permit
    from reconciler.core.ports import Journal
    from reconciler.core.resource import Declaration, Key, Resource
    from reconciler.core.saved_plan import SavedPlan
    from reconciler.core.targets import Targets
    from reconciler.core.windows import Window
    from reconciler.edge.state_file import StateFile
    from reconciler.engine.restraint import Terms
    from reconciler.resources.migration import MigrationBlock
    from reconciler.resources.population import Listed
    from reconciler.resources.state import State


class Loaded(Struct, frozen=True):
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
    def resources(self) -> tuple[Resource, ...]:
        """What it declares."""
        return tuple(declaration.resource for declaration in self.graph.declarations.values())

    @property
    def windows(self) -> tuple[Window, ...]:
        """When changes may be made."""
        return self.state.windows

    def permit(self, limits: Limits, saved: SavedPlan | None = None, where: str = "") -> Permit:
        """Return what a run may do: approvals are for what `migration` means; other resources name their own."""
        from reconciler.core.limits import Permit

        block = self.state.migration
        meant = frozenset(key for key, found in self.graph.declarations.items() if found.origin[:1] == ("migration",))
        return Permit(limits, saved, where, block.approvals if block else (), meant)

    def terms(self, by: Literal["person", "watch"], *, despite_pause: bool = False) -> Terms:
        """Return what holds changes back."""
        from reconciler.engine.restraint import Terms

        return Terms(by, self.state.windows, self.where, self.state.history_keep, despite_pause)

    def whole(self, journal: Journal) -> Graph:
        """Return the graph with what earlier runs may have left and only the journal knows of."""
        from reconciler.resources.facts import ACCOUNTS

        facts = journal.facts(ACCOUNTS)
        if not facts:
            return self.graph
        from reconciler.resources.leftovers import with_leftovers

        return with_leftovers(self.graph, self.state.phase, facts)

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
    from reconciler.core.graph import Graph
    from reconciler.edge.state_file import read_what_holds
    from reconciler.resources.misfit import Misfit
    from reconciler.resources.resolve import declarations
    from reconciler.resources.state import State

    file, problems = read_what_holds(path, State)
    if file is None:
        raise DesiredStateError(problems)
    place = file.positions.__getitem__
    lists, wrong = _lists(file, file.value.migration) if file.value.migration is not None else ({}, ())
    problems += wrong
    try:
        declared: Sequence[Declaration] = declarations(file.value, lists)
    except Misfit as misfit:
        problems += misfit.located(place)
        declared = misfit.rest
    graph = Graph(declared)
    where = {key: place(declaration.origin) for key, declaration in graph.declarations.items()}
    left_out = _keys_left_out(file) if graph.faults else set()
    problems += tuple(
        Problem(fault.what, place(fault.origin) if fault.origin else where.get(fault.key, str(path)), fault.do)
        for fault in graph.faults
        if fault.missing not in left_out
    )
    if problems:
        raise DesiredStateError(problems)
    return Loaded(file.value, graph, where, file.sha256, file.base)


def _lists(file: StateFile[State], block: MigrationBlock) -> tuple[dict[str, tuple[Listed, ...]], tuple[Problem, ...]]:
    """Read the lists of accounts that a state file names."""
    from reconciler.edge.name_list import read_names
    from reconciler.resources.article_accounts import files_of
    from reconciler.resources.population import Listed

    lists: dict[str, tuple[Listed, ...]] = {}
    problems: list[Problem] = []
    for name, _ in files_of(block):
        lines, wrong = read_names(file.base / name)
        problems += wrong
        lists[name] = tuple(Listed(**line) for line in lines)
    return lists, tuple(problems)


def _keys_left_out(file: StateFile[State]) -> set[Key]:
    """Return the keys that faulty resources would have: who requires one of them is not wrong as well."""
    from reconciler.resources.kinds import KINDS

    document = file.positions.document.value
    kept = file.positions.kept
    if kept is None or not isinstance(document, dict):
        return set()
    items = document.get("resources") or []
    lost = [item for index, item in enumerate(items) if index not in kept and isinstance(item, dict)]
    return {
        "/".join([str(item["kind"]), *(str(item.get(name, "")) for name in KINDS[str(item["kind"])].identity)])
        for item in lost
        if str(item.get("kind")) in KINDS
    }

"""The plan is a value: built without side effects, shown, judged, and then followed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Literal

from msgspec import Struct, field
from msgspec.structs import replace

from reconciler.core.conflict import Conflict, asked, conflicts, keeping
from reconciler.core.errors import NeedsPerson, NotYet, ReconcileError
from reconciler.core.exposure import Exposure
from reconciler.core.graph import Graph
from reconciler.core.looks import Reading
from reconciler.core.ports import Json, Obligation
from reconciler.core.query import Query, Recall, Rows
from reconciler.core.resource import After, Declaration, Difference, Key, Need, Resource, differences
from reconciler.core.steps import Note, Step
from reconciler.core.values import Phase

Direction = Literal["apply", "revert"]
RENEW_LEASE = "renew-lease"
"""Name of the approval with which a setting whose lease ended is set once more."""


class Observation(Struct, frozen=True):
    """What one resource looked like, or why that is not known.

    Attributes:
        read: What was asked about, and what was made of the answers; None where they are still to be read.
    """

    answers: tuple[Rows, ...] = ()
    error: ReconcileError | None = None
    read: tuple[Resource, Resource] | None = None


class Change(Struct, frozen=True):
    """One resource that is not as wanted, and what would be sent for it.

    Attributes:
        wanted: The state to reach: as declared, or the baseline when going back.
        observed: What was read.
        steps: What would be sent; empty where ``pending`` says that they are known only later.
        gate: What a person has to do first, if anything.
        reasons: Why it comes where it comes: requirement and reason.
        lapsed: When its lease ended, which is why it goes back or has to wait.
    """

    key: Key
    direction: Direction
    wanted: Resource
    observed: Resource
    differs: tuple[Difference, ...]
    steps: tuple[Step, ...] = ()
    pending: str = ""
    gate: NeedsPerson | None = None
    reasons: tuple[Need, ...] = ()
    lapsed: datetime | None = None

    @property
    def symbol(self) -> Literal["+", "~", "-"]:
        """``+`` comes into being, ``-`` goes away, ``~`` changes."""
        if self.wanted.ensure == "absent":
            return "-"
        return "+" if self.observed.ensure == "absent" else "~"


class Finding(Struct, frozen=True):
    """How one resource was found: as wanted, to be changed, or not known.

    Attributes:
        observed: What was read; None where that failed.
        change: What would bring it to where it shall be; None where it is there.
        error: Why it is not known, or what it would take is not.
        edits: What somebody else changed after us, on the way back.
        left: What would be changed if that were not ignored.
    """

    observed: Resource | None = None
    change: Change | None = None
    error: ReconcileError | None = None
    edits: tuple[Conflict, ...] = ()
    left: Change | None = None

    @property
    def right(self) -> bool:
        """It was read, and is as wanted."""
        return self.change is None and self.error is None


class Plan(Struct, frozen=True):
    """Every change that one round would make, in the order in which it would make them.

    Attributes:
        edits: What somebody else changed after us, by key; also where it stays as it is.
        digest: What approvals are bound to: ``steps_digest`` of the plan with every approval given.
        exposure: How long each weakening will be live, see ``forecast``.
        left: What differs and is left as it is, because the state file says to ignore that; it counts as unchanged.
    """

    phase: Phase
    changes: tuple[Change, ...] = ()
    unchanged: tuple[Key, ...] = ()
    errors: Mapping[Key, ReconcileError] = field(default_factory=dict)
    observed: Mapping[Key, Resource] = field(default_factory=dict)
    edits: Mapping[Key, tuple[Conflict, ...]] = field(default_factory=dict)
    digest: str = ""
    exposure: tuple[Exposure, ...] = ()
    left: Mapping[Key, Change] = field(default_factory=dict)

    @property
    def quiet(self) -> bool:
        """Nothing differs and everything could be observed."""
        return not self.changes and not self.errors

    def foreseen_s(self, key: Key) -> float | None:
        """Return how many seconds a weakening is foreseen to be live; None where nothing is foreseen."""
        found = next((exposure.live for exposure in self.exposure if exposure.key == key), None)
        return None if found is None else found.total_seconds()


class Intent(Struct, frozen=True):
    """What one resource shall become in this phase, and in which direction that is.

    Attributes:
        ours: On the way back, what was read after our last change; None where our change never took.
        lapsed: When its lease ended, although the phase still wants it; it goes back, or is back and waits for a person.
        ignored: It was as wanted once, and what differs since is left as it is.
    """

    direction: Direction
    wanted: Resource
    ours: Resource | None = None
    lapsed: datetime | None = None
    ignored: bool = False


def intend(
    resource: Resource, phase: Phase, obligation: Obligation | None, baseline: Resource | None, ours: Resource | None
) -> Intent | None:
    """Decide what a resource shall become.

    Args:
        resource: As declared.
        phase: The phase of the state file.
        obligation: The open promise about it, if there is one.
        baseline: That promise's baseline as a resource.
        ours: What was read after our last change to it.

    Returns:
        None where nothing is wanted of it: it was never ours, or nothing is put back.
    """
    if phase in resource.during:
        return Intent("apply", resource)
    if obligation is None or baseline is None or not resource.restores:
        return None
    return Intent("revert", resource.undone(baseline), ours)


def with_orphans(graph: Graph, orphans: Sequence[tuple[Resource, tuple[Key, ...]]]) -> Graph:
    """Add what is in the journal but no longer in the state file, so that it can go back.

    Promises of different state files may require each other in a circle. Then their requirements are dropped: to go
    back in some order is better than not to go back.

    Args:
        orphans: Resources as they were declared, with the keys that each one required.
    """
    lost = [(resource, requires) for resource, requires in orphans if resource.key not in graph.declarations]
    if not lost:
        return graph
    known = set(graph.declarations) | {resource.key for resource, _ in lost}
    whole = Graph([*graph.declarations.values(), *(_orphan(resource, requires, known) for resource, requires in lost)])
    if whole.sequence:
        return whole
    return Graph([*graph.declarations.values(), *(_orphan(resource, (), known) for resource, _ in lost)])


def _orphan(resource: Resource, requires: tuple[Key, ...], known: set[Key]) -> Declaration:
    after = tuple(After(key=key, because="required when it was changed") for key in requires if key in known)
    return Declaration(resource.model_copy(update={"during": frozenset(), "after": after}))


def walk_order(graph: Graph, intents: Mapping[Key, Intent]) -> list[Key]:
    """Return the order of work: first what goes back, dependents before requirements; then what goes forward.

    Within both, what is dangerous is live for the shortest time. A barrier (a restart) always goes forward, so that one
    restart serves both.
    """
    back = {key for key, intent in intents.items() if intent.direction == "revert"}
    return [*graph.backward(back), *graph.forward(intents.keys() - back)]


def blockers(graph: Graph, key: Key, direction: Direction) -> tuple[Need, ...]:
    """Return what has to be right before this one may move: requirements forward, dependents backward."""
    if direction == "apply":
        return graph.needs[key]
    return tuple(graph.waits[key])


def build(
    graph: Graph,
    phase: Phase,
    intents: Mapping[Key, Intent],
    observations: Mapping[Key, Observation],
    reading: Reading,
) -> Plan:
    """Turn observations into a plan.

    Notes of steps planned earlier overlay the journal's facts for later resources, so that a restart is foreseen.

    Args:
        observations: Answers to each resource's queries; those to ``Recall`` are ignored and asked again.
    """
    overlay: dict[str, Json] = {}
    found: dict[Key, Finding] = {}
    foreseen = replace(reading, recall=lambda query: _overlaid(reading.recall(query), query, overlay))
    for key in walk_order(graph, intents):
        found[key] = examine(graph, key, intents[key], observations[key], foreseen)
        if (change := found[key].change) is not None:
            overlay.update({note.key: note.value for note in _notes(change)})
    return Plan(
        phase,
        changes=tuple(finding.change for finding in found.values() if finding.change is not None),
        unchanged=tuple(key for key, finding in found.items() if finding.right),
        errors={key: finding.error for key, finding in found.items() if finding.error is not None},
        observed={key: finding.observed for key, finding in found.items() if finding.observed is not None},
        edits={key: finding.edits for key, finding in found.items() if finding.edits},
        left={key: finding.left for key, finding in found.items() if finding.left is not None},
    )


def examine(graph: Graph, key: Key, intent: Intent, observation: Observation, reading: Reading) -> Finding:
    """Compare one resource with what was observed."""
    if observation.error is not None:
        return Finding(error=observation.error)
    wanted = intent.wanted
    observed = None
    try:
        observed = _read(wanted, observation, reading)
        differs = differences(wanted, observed)
        if not differs:
            return Finding(observed)
        change = Change(
            key,
            intent.direction,
            wanted,
            observed,
            differs,
            reasons=blockers(graph, key, intent.direction),
            lapsed=intent.lapsed,
        )
        if intent.lapsed and intent.direction == "apply" and RENEW_LEASE not in wanted.approved:
            return Finding(observed, replace(change, gate=_lapsed(wanted, intent.lapsed)))
        if intent.ignored and not {difference.field for difference in differs} <= set(wanted.renews):
            return Finding(observed, left=_with_steps(change))
        edits = conflicts(wanted, intent.ours, observed) if intent.ours is not None else ()
        if edits and wanted.on_conflict == "keep":
            kept = keeping(wanted, edits, observed)
            rest = differences(kept, observed)
            left = _with_steps(replace(change, wanted=kept, differs=rest)) if rest else None
            return Finding(observed, left, edits=edits)
        if edits and wanted.on_conflict == "ask":
            return Finding(observed, replace(change, gate=asked(wanted, edits)), edits=edits)
        return Finding(observed, _with_steps(change), edits=edits)
    except ReconcileError as error:
        return Finding(observed, error=error)


def _read(wanted: Resource, observation: Observation, reading: Reading) -> Resource:
    if observation.read is not None and observation.read[0] is wanted:
        return observation.read[1]
    return reading.read(wanted, answered(wanted.queries(), observation.answers, reading.recall))


def answered(queries: Sequence[Query], answers: Sequence[Rows], recall: Callable[[Recall], Rows]) -> list[Rows]:
    """Put the journal's answers in place of those that were stored for ``Recall`` queries."""
    return [recall(query) if isinstance(query, Recall) else rows for query, rows in zip(queries, answers, strict=True)]


def _lapsed(wanted: Resource, ended: datetime) -> NeedsPerson:
    return NeedsPerson(
        f"{wanted.title()} went back because its lease ended at {ended.isoformat(timespec='seconds')}",
        where=wanted.key,
        do="say `phase: complete` if it is no longer needed; "
        f"if it is, approve that it is set for another lease: `{RENEW_LEASE}`, best with `until`",
        approval=RENEW_LEASE,
    )


def _with_steps(change: Change) -> Change:
    try:
        steps = change.wanted.steps(change.observed, frozenset(difference.field for difference in change.differs))
    except NotYet as later:
        return replace(change, pending=str(later.what))
    except NeedsPerson as gate:
        return replace(change, gate=gate)
    unapproved = sorted({step.risk for step in steps if step.risk} - change.wanted.approved)
    if unapproved and change.direction == "apply":
        says = "; ".join(str(step) for step in steps if step.risk in unapproved)
        approval = NeedsPerson(
            f"{change.wanted.title()}: {says}",
            where=change.key,
            do=f"if you accept that, approve it in the state file: `{unapproved[0]}`",
            approval=unapproved[0],
        )
        return replace(change, steps=steps, gate=approval)
    return replace(change, steps=steps)


def _notes(change: Change) -> list[Note]:
    gated = list(change.gate.notes) if change.gate else []
    return gated + [note for step in change.steps for note in step.notes]


def _overlaid(rows: Rows, query: Recall, overlay: Mapping[str, Json]) -> Rows:
    planned = {key: value for key, value in overlay.items() if key.startswith(query.prefix)}
    if not planned:
        return rows
    kept = tuple(row for row in rows if row["key"] not in planned)
    return kept + tuple({"key": key, "value": value} for key, value in planned.items())

"""A plan that is kept for later: what was observed and what would be done, so that nothing else is done. Pure.

The law: what was looked through is what runs. A file that was altered, another state file, or a world that moved is refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Literal

from msgspec import Struct
from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from reconciler.core.canonical import Sha256, canonical, digest_of, plain
from reconciler.core.errors import DesiredStateError, Problem, UnsafePlan
from reconciler.core.limits import PLAN_AGAIN
from reconciler.core.plan import Change, Direction, Plan
from reconciler.core.resource import Key, Resource
from reconciler.core.values import Phase

VERSION: Literal["reconciler/v1"] = "reconciler/v1"
KIND: Literal["SavedPlan"] = "SavedPlan"
SHOWN_CHARS = 80
SHOWN_ITEMS = 5


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Seen(_Part):
    """How one resource was observed: the digest, and the values to name what moved."""

    sha256: Sha256
    fields: dict[str, Any]


class Planned(_Part):
    """One change: its digest, and what a person has to do before it is made, if anything."""

    key: Key
    direction: Direction
    sha256: Sha256
    waits: str = ""


class SavedPlan(_Part):
    """A plan as it is kept in a file.

    Attributes:
        state: Name of the migration.
        state_path: Path of the state file as it was given.
        steps_sha256: What an approval is bound to, see ``steps_digest``.
        unknown: What could not be observed or planned, and why.
        planned: Digests of the changes, in the order of work.
        owed: Keys of the promises that were open, of settings that had been changed.
        changes: The changes for people and programs; never read back.
        digest: SHA-256 over the canonical JSON of everything else.
    """

    apiVersion: Literal["reconciler/v1"] = VERSION
    kind: Literal["SavedPlan"] = KIND
    made_at: AwareDatetime
    run: str
    state: str
    state_path: str
    state_sha256: Sha256
    phase: Phase
    steps_sha256: Sha256
    observed: dict[Key, Seen]
    unknown: dict[Key, str]
    planned: tuple[Planned, ...]
    owed: tuple[Key, ...]
    changes: list[Any]
    digest: Sha256

    def check_state(self, state_sha256: str, where: str = "") -> None:
        """Refuse a plan that was made from another state file.

        Raises:
            UnsafePlan: The bytes of the state file are not those of then.
        """
        if self.state_sha256 != state_sha256:
            raise UnsafePlan(
                f"the state file {self.state_path} changed since the plan was made ({self.state_sha256} -> {state_sha256})",
                where=where,
                do=PLAN_AGAIN,
            )

    def moved(self, plan: Plan, owed: Iterable[Key]) -> tuple[str, ...]:
        """Say what is not as it was when the plan was made; empty where nothing moved.

        One line per resource, with its fields (then -> now). A resource that reads the same but for which something else would be
        sent counts as moved too: what the step is made of was observed beside the managed fields.

        Args:
            plan: As it would be made now.
            owed: As for ``save_value``, now.
        """
        said: dict[Key, str] = {}
        for key in {**self.observed, **self.unknown, **plan.observed, **plan.errors}:
            if line := _moved_one(self, plan, key):
                said[key] = line
        for key, line in _planned_otherwise(self, plan).items():
            said.setdefault(key, line)
        lines = [f"{key}: {line}" for key, line in said.items()]
        before, now = set(self.owed), set(owed)
        lines += [f"{key}: has to be put back now, but had not when the plan was made" for key in sorted(now - before)]
        lines += [f"{key}: had to be put back when the plan was made, but need not now" for key in sorted(before - now)]
        order = [change.key for change in plan.changes]
        if not lines and order != [change.key for change in self.planned]:
            lines.append(f"the order of work is another: {', '.join(order)}")
        return tuple(lines)

    def names(self, change: Change) -> bool:
        """Return whether a change is one of the saved plan's, or puts something back."""
        return change.direction == "revert" or any(
            was.key == change.key and was.direction == change.direction for was in self.planned
        )


class Origin(Struct, frozen=True):
    """Where a plan comes from: the run that made it, and the state file it is about."""

    made_at: datetime
    run: str
    state: str
    state_path: str
    state_sha256: str


def save_value(
    plan: Plan, origin: Origin, changes: Sequence[Any], *, owed: Iterable[Key], steps_sha256: str
) -> dict[str, Any]:
    """Return a plan as JSON values, for a file.

    Args:
        changes: The changes as JSON values for people, as in the JSON report.
        owed: Keys of the open promises about settings that were changed.
        steps_sha256: ``steps_digest`` of the plan as it would be with every approval given.
    """
    value: dict[str, Any] = {
        "apiVersion": VERSION,
        "kind": KIND,
        "made_at": origin.made_at.isoformat(),
        "run": origin.run,
        "state": origin.state,
        "state_path": origin.state_path,
        "state_sha256": origin.state_sha256,
        "phase": plan.phase,
        "steps_sha256": steps_sha256,
        "observed": {key: seen(resource).model_dump(mode="json") for key, resource in plan.observed.items()},
        "unknown": {key: error.what for key, error in plan.errors.items()},
        "planned": [planned(change).model_dump(mode="json") for change in plan.changes],
        "owed": sorted(owed),
        "changes": list(changes),
    }
    return {**value, "digest": digest_of(value)}


def read_value(value: object, where: str = "") -> SavedPlan:
    """Read a saved plan from JSON values.

    Args:
        where: The file, for messages.

    Raises:
        DesiredStateError: It is no saved plan, or one of another version.
        UnsafePlan: It was altered after it was made.
    """
    if not isinstance(value, dict) or value.get("kind") != KIND:
        raise _unreadable("this is not a saved plan", where, "make one with `reconcile plan STATE --out FILE`")
    if value.get("apiVersion") != VERSION:
        said = _shown(value.get("apiVersion"))
        raise _unreadable(f'this saved plan has version {said}, and only "{VERSION}" can be read', where, PLAN_AGAIN)
    rest = {name: item for name, item in value.items() if name != "digest"}
    if value.get("digest") != digest_of(rest):
        raise UnsafePlan("the saved plan was altered after it was made", where=where, do=PLAN_AGAIN)
    try:
        return SavedPlan.model_validate(value)
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(map(str, fault["loc"]))
        raise _unreadable(
            f"this version cannot read the saved plan: `{place}`: {fault['msg']}", where, PLAN_AGAIN
        ) from error


def seen(resource: Resource) -> Seen:
    """Return how a resource was observed: every field that was read, not only the managed ones."""
    apart = {*Resource.model_fields, *resource.identity, *resource.inputs}
    read = [name for name in type(resource).model_fields if name not in apart]
    values: dict[str, Any] = {"ensure": resource.ensure}
    if resource.ensure == "present":  # what is absent still carries the values that were declared
        values |= {name: plain(getattr(resource, name)) for name in read}
    return Seen(sha256=digest_of(values), fields=values)


def planned(change: Change) -> Planned:
    """Return the digest of a change, down to the last byte that would be sent; notes of the journal are not in it."""
    sends = [{"effect": plain(step.effect), "says": str(step), "risk": step.risk} for step in change.steps]
    value = {"differs": plain(change.differs), "sends": sends, "pending": change.pending}
    waits = (change.gate.approval or change.gate.what) if change.gate else ""
    return Planned(key=change.key, direction=change.direction, sha256=digest_of(value), waits=waits)


def _moved_one(saved: SavedPlan, plan: Plan, key: Key) -> str:
    was, now = saved.observed.get(key), plan.observed.get(key)
    if was is not None and now is not None:
        return _fields(was, seen(now))
    if was is not None:
        error = plan.errors.get(key)
        return f"cannot be observed now: {error.what}" if error else "was looked at, and is not any more"
    if now is not None:
        before = saved.unknown.get(key)
        return f"is known now, but was not when the plan was made: {before}" if before else "was not looked at"
    return ""


def _fields(was: Seen, now: Seen) -> str:
    if was.sha256 == now.sha256:
        return ""
    every = {**was.fields, **now.fields} if was.fields["ensure"] == now.fields["ensure"] else {"ensure": None}
    return "; ".join(
        f"{name} {_gap(was.fields.get(name), now.fields.get(name))}"
        for name in every
        if canonical(was.fields.get(name)) != canonical(now.fields.get(name))
    )


def _gap(was: object, now: object) -> str:
    """Show what moved; of lists, who came and who went."""
    if not isinstance(was, list) or not isinstance(now, list):
        return f"{_shown(was)} -> {_shown(now)}"
    before, after = (Counter(canonical(item) for item in items) for items in (was, now))
    parts = [
        f"{word} {_several(list(items.elements()))}"
        for word, items in (("gained", after - before), ("lost", before - after))
        if items
    ]
    return " and ".join(parts) or "has another order"


def _several(items: list[str]) -> str:
    shown = ", ".join(_clipped(item) for item in items[:SHOWN_ITEMS])
    return shown if len(items) <= SHOWN_ITEMS else f"{shown} and {len(items) - SHOWN_ITEMS} more"


def _planned_otherwise(saved: SavedPlan, plan: Plan) -> dict[Key, str]:
    was, now = ({change.key: change for change in changes} for changes in (saved.planned, map(planned, plan.changes)))
    said: dict[Key, str] = {}
    for key in {**was, **now}:
        before, after = was.get(key), now.get(key)
        if before is None:
            said[key] = "would be changed now, but not by the plan"
        elif after is None:
            said[key] = "would be changed by the plan, but need not be now"
        elif before.direction != after.direction:
            said[key] = f"the plan would {before.direction} it, but now that is {after.direction}"
        elif before.sha256 != after.sha256:
            said[key] = "reads the same, but something beside it moved: other steps would be sent than the plan holds"
        elif before.waits != after.waits:
            said[key] = f"waits for {_shown(after.waits) if after.waits else 'nobody'} now, and did not when planned"
    return said


def _shown(value: object) -> str:
    return "absent" if value is None else _clipped(canonical(value))


def _clipped(text: str) -> str:
    return text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}..."


def _unreadable(what: str, where: str, do: str) -> DesiredStateError:
    return DesiredStateError((Problem(what, where, do),))

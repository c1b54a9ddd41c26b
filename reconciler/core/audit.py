"""What the audit log says about each effect: run, plan, resource, before, after, when, account. Never a secret."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal, Protocol, Self

from msgspec import Struct

from reconciler.core.canonical import digest_of, plain
from reconciler.core.errors import ReconcileError
from reconciler.core.plan import Change, Direction
from reconciler.core.resource import Key, Resource
from reconciler.core.steps import AddEntry, DeleteEntry, Effect, LogOn, ModifyEntry, RunTask, Step
from reconciler.core.targets import Targets

MEMBERS_SHOWN = 10
MEMBERS_KEPT = 100
"""Longer collections are kept as their length, their digest and their first members."""

Stage = Literal["sending", "done", "refused", "unknown", "read"]
"""``sending`` stands before the effect, one of the next three after it, ``read`` after looking at the resource again."""


class AuditError(ReconcileError):
    """The audit log cannot be written, or is not what was signed."""


class Origin(Struct, frozen=True):
    """Where a record comes from.

    Attributes:
        run: The run that sends the effect.
        plan: Digest of the plan that it follows.
        at: When; aware.
        account: Username of the logon that changes the world.
    """

    run: str
    plan: str
    at: datetime
    account: str


class Record(Struct, frozen=True):
    """One event in the life of one effect.

    Attributes:
        step: What is sent, in one line; secrets as references.
        before: The fields that differ, as they were observed before the change. JSON values.
        wanted: The same fields, as they shall become.
        after: The same fields, as they were read once it was done; None where nothing was read yet.
    """

    event: Stage
    key: Key
    direction: Direction
    step: str
    before: Mapping[str, Any]
    wanted: Mapping[str, Any]
    after: Mapping[str, Any] | None
    origin: Origin

    @classmethod
    def about(cls, change: Change, *events: tuple[Step, Stage, Origin]) -> list[Self]:
        """Return the records of effects of a change that are about to be sent, or were; what it is about is written out once."""
        before, wanted = _sides(change)
        key, direction = change.key, change.direction
        return [cls(event, key, direction, str(step), before, wanted, None, origin) for step, event, origin in events]

    @classmethod
    def of_reading(cls, observed: Resource, change: Change, origin: Origin) -> Self:
        """Return the record of what was read after a change was sent."""
        before, wanted = _sides(change)
        after = _fields(observed, _names(change))
        return cls("read", change.key, change.direction, "", before, wanted, after, origin)

    def fields(self) -> dict[str, Any]:
        """Return it as JSON values, without its place in the log."""
        if self.origin.at.tzinfo is None:
            raise ValueError("a time without a time zone")
        at = self.origin.at.astimezone(UTC).isoformat()
        own = {name: getattr(self, name) for name in self.__struct_fields__ if name != "origin"}
        return {**own, "run": self.origin.run, "plan": self.origin.plan, "account": self.origin.account, "at": at}


class Audit(Protocol):
    """Where records of effects are kept. They are synced before ``append`` returns."""

    def append(self, *records: Record) -> None:
        """Keep records for good, all or none of them.

        Raises:
            AuditError: They could not be kept; what they announce must not be sent.
        """
        ...


class NoAudit:
    """Keeps nothing, for what changes nothing."""

    def append(self, *records: Record) -> None:
        """Forget them."""


def account_of(targets: Targets, effect: Effect) -> str:
    """Return the username under which an effect changes the world, empty where no target is known for it.

    The password is never looked up.
    """
    try:
        if isinstance(effect, LogOn):
            return effect.account
        if isinstance(effect, RunTask):
            name = effect.credential
        elif isinstance(effect, AddEntry | ModifyEntry | DeleteEntry):
            name = targets.domains[effect.domain].credential
        else:
            host = targets.hosts[effect.host]
            name = host.credential or targets.domains[host.domain].credential
        return targets.credentials[name].username
    except KeyError:
        return ""  # the world says what is wrong with such an effect; the log is not the place


def _sides(change: Change) -> tuple[dict[str, Any], dict[str, Any]]:
    names = _names(change)
    return _fields(change.observed, names), _fields(change.wanted, names)


def _names(change: Change) -> tuple[str, ...]:
    """Return the fields worth writing down: what differs, and of a thing that goes away everything that was read."""
    if change.wanted.ensure == "absent":
        return change.observed.managed()
    return tuple(difference.field for difference in change.differs if difference.field != "ensure")


def _fields(resource: Resource, names: tuple[str, ...]) -> dict[str, Any]:
    """Return whether it is there, and if so its fields: absent is not null."""
    if resource.ensure == "absent":
        return {"ensure": "absent"}
    return {"ensure": "present", **{name: _written(getattr(resource, name)) for name in names}}


def _written(value: Any) -> Any:
    if isinstance(value, tuple) and len(value) > MEMBERS_KEPT and all(type(item) is str for item in value):
        return dict(_summary(value))
    return _shortened(plain(value))


@lru_cache(64)
def _summary(value: tuple[str, ...]) -> Mapping[str, Any]:
    """Return what stands for a long list: the same in the records of each of the ten thousand steps that such a change may have."""
    found: Mapping[str, Any] = _shortened(plain(value))
    return found


def _shortened(value: Any) -> Any:
    """Return JSON values with long lists as their length, digest and first members, so that a record stays a line."""
    if isinstance(value, dict):
        return {name: _shortened(item) for name, item in value.items()}
    if not isinstance(value, list):
        return value
    if len(value) > MEMBERS_KEPT:
        return {"count": len(value), "sha256": digest_of(value), "first": value[:MEMBERS_SHOWN]}
    return [_shortened(item) for item in value]

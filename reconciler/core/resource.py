"""The one contract: a resource says what to ask, reads the answers, and says what would close the gap.

A resource only translates; it never talks to anything. Desired and observed state are two values of the same class.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, ClassVar, Literal, NamedTuple, Self, TypeVar

from msgspec import Struct
from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, PrivateAttr, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from reconciler.core.edit import Edit
from reconciler.core.errors import ReconcileError
from reconciler.core.lengths import Length
from reconciler.core.policy import OnDrift
from reconciler.core.query import Query, Rows
from reconciler.core.steps import Step
from reconciler.core.values import ALL, Phase
from reconciler.core.verdicts import Verdict
from reconciler.core.windows import Window

R = TypeVar("R", bound="Resource")
OnConflict = Literal["restore", "keep", "ask"]
Key = str
"""``kind/identity/...``, unique in a graph."""


class After(BaseModel):
    """An explicit requirement and its reason."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: Key = Field(description="Key of the resource that must be in place first, `kind/identity/...`.")
    because: str = Field("declared in `after`", description="Why; shown by plan and graph.")
    must: bool = Field(
        True, description="False where it only comes first: what it could not do is no reason to leave this one undone."
    )

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        return {"key": value} if isinstance(value, str) else value

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {
            "anyOf": [
                {"type": "string", "description": "Key of the resource."},
                handler.resolve_ref_schema(handler(schema)),
            ]
        }


class Need(NamedTuple):
    """What comes before a resource, and why.

    Attributes:
        must: It has to be in place as well; otherwise only its turn comes first.
    """

    key: Key
    because: str
    must: bool = True


class Difference(NamedTuple):
    """One managed field that is not as wanted."""

    field: str
    observed: object
    wanted: object


class Resource(BaseModel, ABC):
    """Something in the world that can be observed and brought to a wanted state.

    Class attributes:
        identity: Fields that say *which* thing; they make the key.
        inputs: Fields that say *how* to do it; they are never compared.
        restores: False where nothing is put back when the resource is no longer wanted (migrated accounts stay).
        together: Fields that mean nothing without each other, as a value without its type.
        unknowable: Fields in which None was read says that nothing is known, not that nothing is there.
        typical_s: How many seconds the longest sort of its steps takes, until that was measured.
        renews: Fields that time alone makes differ (a deadline that is pushed forward): such a difference is no drift.
        passes: How often it is gone on with in one round, as long as each pass brings it nearer or tries something else.
        barrier: True for what settles after its requirements moved in either direction (a restart); it has no baseline.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    identity: ClassVar[tuple[str, ...]]
    inputs: ClassVar[tuple[str, ...]] = ()
    restores: ClassVar[bool] = True
    barrier: ClassVar[bool] = False
    typical_s: ClassVar[float] = 3.0
    unknowable: ClassVar[tuple[str, ...]] = ()
    together: ClassVar[tuple[str, ...]] = ()
    renews: ClassVar[tuple[str, ...]] = ()
    passes: ClassVar[int] = 6

    kind: str
    ensure: Literal["present", "absent"] = Field("present", description="Whether the thing shall exist.")
    during: frozenset[Phase] = Field(
        ALL,
        description="Phases in which it is wanted. In the others it goes back to what it was before the first change.",
    )
    after: tuple[After, ...] = Field(
        (), description="What must be in place first, besides what the kind itself requires."
    )
    approved: frozenset[str] = Field(
        frozenset(), description="Names of risky steps that a person has approved for this resource."
    )
    on_conflict: OnConflict = Field(
        "ask",
        description="When it goes back and somebody else has changed it meanwhile: put the original back, leave it as it is, or ask a person.",
    )
    on_drift: OnDrift = Field(
        "correct",
        description="When it was as wanted and somebody changes it: set it right, only report it, or ignore it for a reason and until a day. "
        "It says what `watch` does; `apply` sets right whatever is not ignored. What goes back goes back whatever this says.",
    )
    settle: Length | None = Field(
        None,
        description="How long a difference has to be there before it counts as drift, such as `2m`; for what the migration itself changes for a moment.",
    )
    lease: Length | None = Field(
        None,
        description="How long it may stay after our first change, such as `8h`. Past that `apply` and `watch` put it back "
        "whatever the phase, and it waits for a person before it is set again.",
    )
    windows: tuple[Window, ...] = Field(
        (),
        description="When it may be changed, by `apply` as well; at any time where none is given. What goes back does not wait for one.",
    )
    weakens: str = Field(
        "", description="What this setting weakens while it is in place; empty where it weakens nothing."
    )
    weight: int | None = Field(
        None,
        ge=0,
        le=100,
        description="How dangerous what it weakens is, 0 to 100; 1 where it is not given. What weighs most is set last and goes back first.",
    )

    _facts: dict[str, Any] = PrivateAttr(default_factory=dict)

    @model_validator(mode="after")
    def _weighs_something(self) -> Self:
        if self.weight is not None and not self.weakens:
            raise ValueError("`weight` says how dangerous what it weakens is: say in `weakens` what that is")
        return self

    @property
    def key(self) -> Key:
        """Return ``kind/identity/...``."""
        return "/".join([self.kind, *(str(getattr(self, name)) for name in self.identity)])

    @property
    def danger(self) -> int:
        """How dangerous it is while it is in place; 0 where it weakens nothing."""
        return danger(self.weakens, self.weight)

    @property
    def temporary(self) -> bool:
        """Whether it goes back: when a phase no longer wants it, or when its lease ends."""
        return self.restores and not self.barrier and (self.during != ALL or self.lease is not None)

    @property
    def facts(self) -> Mapping[str, Any]:
        """What an observation learned beside the managed fields (a resolved DN, a boot time). Never compared."""
        return self._facts

    def with_facts(self, **facts: Any) -> Self:
        """Return a copy that carries these facts as well."""
        copy = self.model_copy()
        private = copy.__pydantic_private__  # its own; the attribute takes pydantic as long as the copy
        assert private is not None
        private["_facts"] = {**private["_facts"], **facts}
        return copy

    def managed(self) -> tuple[str, ...]:
        """Return the fields that the author wrote and that are compared, in the order of the model."""
        written = self.model_fields_set
        return tuple(name for name in _own_fields(type(self)) if name in written)

    def absent(self) -> Self:
        """Return this resource as observed absent, for ``parse``."""
        return self.model_copy(update={"ensure": "absent"})

    def observed(self, **fields: Any) -> Self:
        """Return this resource as observed present with these field values (validated), for ``parse``."""
        base = {name: getattr(self, name) for name in _given_fields(type(self))}
        return type(self).model_validate({**base, **fields})

    def title(self) -> str:
        """Return one line for people; kinds say it better than the key does."""
        return self.key

    def requires(self) -> tuple[Need, ...]:
        """Return what must be in place before this one, beyond ``after``."""
        return ()

    @abstractmethod
    def queries(self) -> tuple[Query, ...]:
        """Return what to ask; each query gets one answer, in this order."""

    @abstractmethod
    def parse(self, *answers: Rows) -> Self:
        """Read the answers as a resource of the same key (start from ``self.observed(...)`` or ``self.absent()``).

        Raises:
            UnexpectedAnswer: They cannot be read so. Unknown is never absent.
        """

    def reread(self, before: Self, old: Sequence[Rows], *answers: Rows) -> Self:
        """Return what ``parse`` would, knowing what it made of older answers. Only what holds many things has a use for that.

        Args:
            before: What was made of ``old``, the answers of an earlier look.
        """
        return self.parse(*answers)

    @abstractmethod
    def steps(self, observed: Self, differs: frozenset[str]) -> tuple[Step, ...]:
        """Return what closes the gap from ``observed`` to ``self``; ``differs`` holds field names, ``ensure`` included.

        Raises:
            NeedsPerson: Only a person can close it, or has to approve first.
            NotYet: A requirement has to be in place before the steps can be known.
        """

    def tolerated(self, observed: Self) -> frozenset[str]:
        """Return fields (``ensure`` included) whose observed values mean the same as the wanted ones, though they differ.

        Observed values stay what they are, so that a baseline holds what was really there.
        """
        return frozenset()

    def trail(self, observed: Self) -> tuple[Query, ...]:
        """Return what to ask where it matters who changed this thing; nothing where nothing tells. Asked only then."""
        return ()

    def edits(self, ours: Self, observed: Self, *answers: Rows) -> tuple[Edit, ...]:
        """Read the answers to ``trail``: the last change of each field, and nothing where that is not certain.

        Args:
            ours: What was read back after our last change.
        """
        return ()

    def undone(self, baseline: Self) -> Self:
        """Return the state to go back to, given what was observed before our first change."""
        return restored(self, baseline)

    def remembers(self, observed: Self) -> Mapping[str, Mapping[str, Any]]:
        """Return facts (key -> JSON object) to keep once a change to this state was read back."""
        return {}

    def proven(self, observed: Self) -> Mapping[str, Mapping[str, Any]]:
        """Return facts to keep after a change although not everything is as wanted: about the parts of a collection that are."""
        return {}

    def verdicts(self, observed: Self) -> Sequence[Verdict]:
        """Return how it stands with each of the things that a collection holds; nothing where it is one thing."""
        return ()

    def remarks(self, observed: Self) -> tuple[str, ...]:
        """Return what a person should know of what was observed, and that is no difference; a line each."""
        return ()

    def learns(self, step: Step, rows: Rows) -> Mapping[str, Mapping[str, Any]]:
        """Return facts to keep from what a step answered (the log of a run)."""
        return {}

    def in_vain(self, step: Step, rows: Rows) -> bool:
        """Whether what a step answered leaves the steps behind it without a purpose: then they are not sent."""
        return False

    def fails(self, step: Step, error: ReconcileError) -> Mapping[str, Mapping[str, Any]]:
        """Return facts to keep from a step that failed.

        Where there are any the work on this resource goes on: what is observed next decides, and may be to clear up.
        """
        return {}

    def ended(self, observed: Self) -> ReconcileError | None:
        """Return why there is no use in going on in this round, once something was sent in it."""
        return None


@cache
def _own_fields(kind: type[Resource]) -> tuple[str, ...]:
    """Return the fields of a kind that are compared, in the order of the model."""
    apart = {*Resource.model_fields, *kind.identity, *kind.inputs}
    return tuple(name for name in kind.model_fields if name not in apart)


@cache
def _given_fields(kind: type[Resource]) -> tuple[str, ...]:
    """Return the fields of a kind that say which thing, and how to do it."""
    return tuple(name for name in ("kind", *kind.identity, *kind.inputs) if name in kind.model_fields)


def danger(weakens: str, weight: int | None) -> int:
    """Return how dangerous a setting is: what weakens something without a weight counts 1."""
    if not weakens:
        return 0
    return 1 if weight is None else weight


def differences(wanted: Resource, observed: Resource) -> tuple[Difference, ...]:
    """Compare field by field. Only what the author wrote counts; an absent thing differs in all of it.

    Raises:
        ValueError: The two are not the same thing.
    """
    if wanted.key != observed.key:
        raise ValueError(f"{wanted.key} compared with {observed.key}")
    tolerated = wanted.tolerated(observed)
    return tuple(difference for difference in _unequal(wanted, observed) if difference.field not in tolerated)


def _unequal(wanted: Resource, observed: Resource) -> tuple[Difference, ...]:
    if wanted.ensure == "absent":
        return () if observed.ensure == "absent" else (Difference("ensure", "present", "absent"),)
    fields = wanted.managed()
    if observed.ensure == "absent":
        return (
            Difference("ensure", "absent", "present"),
            *(Difference(name, None, getattr(wanted, name)) for name in fields),
        )
    pairs = ((name, getattr(observed, name), getattr(wanted, name)) for name in fields)
    return tuple(Difference(name, was, now) for name, was, now in pairs if was != now)


def restored(declared: R, baseline: R) -> R:
    """Return the state to go back to: the baseline, in the fields that we manage and no others.

    Raises:
        ValueError: The two are not the same thing.
    """
    if declared.key != baseline.key:
        raise ValueError(f"{declared.key} compared with {baseline.key}")
    if baseline.ensure == "absent":
        return declared.model_copy(update={"ensure": "absent"})
    about = {name: getattr(declared, name) for name in (*Resource.model_fields, *declared.identity, *declared.inputs)}
    every = _own_fields(type(declared))
    # Who declares absence writes no fields; what was there before still comes back whole.
    back = {name: getattr(baseline, name) for name in (declared.managed() if declared.ensure == "present" else every)}
    return type(declared).model_validate({**about, "ensure": "present", **back})


class Declaration(Struct, frozen=True):
    """A resource and where in the state file it comes from.

    Attributes:
        resource: What is wanted.
        origin: Path of keys and indexes inside the document, ("migration", "trust"); empty for what is only in the journal.
    """

    resource: Resource
    origin: Sequence[str | int] = ()

"""What a watch must have told of what could be seen, worked out from that alone, and not from what the program decides.

The law: a drift is told once when a look first finds it, and once when a look finds it over. What happens in the middle of a
look may be seen by it or not: then the one or the other must be told, and what follows must fit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from tests.watch.declaring import RIGHT, UNSEEN, Spec, State


@dataclass
class Look:
    """One look from outside.

    Attributes:
        wanted: What the state file said that was read last and holds.
        seen: How each thing may have been read.
        after: How each thing was when the look was over.
        disturbed: Something befell the world meanwhile.
        said: What was told of each key: ``opened`` or ``closed``.
        sighted: The drifts that the journal began to keep, by key; what could not be observed is left out.
        open: Those that it keeps as open then.
        wrote: The names of what the watch changed.
        shown: Whether a person was shown the report.
    """

    begin: datetime
    wanted: Mapping[str, Spec]
    seen: dict[str, set[State]]
    end: datetime | None = None
    after: dict[str, State] = field(default_factory=dict)
    disturbed: bool = False
    said: dict[str, tuple[str, ...]] = field(default_factory=dict)
    sighted: dict[str, tuple[State, ...]] = field(default_factory=dict)
    open: dict[str, tuple[State, ...]] = field(default_factory=dict)
    wrote: set[str] = field(default_factory=set)
    shown: bool = False
    facts: object = None


@dataclass(frozen=True)
class Belief:
    """What a looker can know of one thing after a look.

    Attributes:
        told: An incident is open.
        right: What it was asked to be when it was last found so; None where that never was.
        drift: The fields of the drift that the journal holds open.
    """

    told: bool = False
    right: int | None = None
    drift: State = RIGHT


@dataclass(frozen=True)
class Word:
    """What has to be said at one look."""

    said: tuple[str, ...]
    sighted: tuple[State, ...]
    open: tuple[State, ...]


def follow(beliefs: set[Belief], name: str, look: Look) -> set[Belief]:
    """Return what may be known after a look; nothing where what was told fits none of it."""
    spec = look.wanted.get(name)
    if spec is not None and spec.policy != "correct" and name in look.wrote:
        beliefs = {one for one in beliefs if one.right != spec.value}  # nobody may touch it once it was right
    key = Spec(name, "group" if name.startswith("G") else "registry").key
    told = Word(look.said.get(key, ()), look.sighted.get(key, ()), look.open.get(key, ()))
    return {
        after for before in beliefs for word, after in _possible(before, spec, look.seen.get(name, set()), look) if word == told
    }  # fmt: skip


def _possible(before: Belief, spec: Spec | None, seen: set[State], look: Look) -> Iterator[tuple[Word, Belief]]:
    """Yield what may be said, and what is known then."""
    over: tuple[str, ...] = ("closed",) if before.told else ()
    if spec is None:
        for right in {None, before.right} if look.disturbed or UNSEEN in seen else {None}:
            yield Word(over, (), ()), Belief(right=right)
        return
    for state in seen:
        if state == UNSEEN:
            yield Word((), (), (before.drift,) if before.drift else ()), before
        elif state == RIGHT:
            yield Word(over, (), ()), Belief(right=spec.value)
            if UNSEEN in seen:  # by one round of this look it was seen, by another it was not
                yield from _half_seen(before, spec, over)
        elif before.right != spec.value:
            for done in _either(look, look.after[spec.name] == RIGHT):
                if done:
                    yield Word(over, (), ()), Belief(right=spec.value)
                else:  # what was told before is over once it is there
                    yield Word((), (), ()), Belief(before.told, before.right)
        else:
            yield from _drifted(before, spec, state, look)


def _half_seen(before: Belief, spec: Spec, over: tuple[str, ...]) -> Iterator[tuple[Word, Belief]]:
    """Yield what may be said of something that is right: the message, or the journal, may wait for the next look."""
    yield Word((), (), ()), Belief(before.told, spec.value)
    if before.drift:
        yield Word(over, (), (before.drift,)), Belief(right=spec.value, drift=before.drift)


def _drifted(before: Belief, spec: Spec, state: State, look: Look) -> Iterator[tuple[Word, Belief]]:
    """Yield what may be said of something that was right and is not any more."""
    ignored = spec.policy == "ignore"
    said = (("closed",) if before.told else ()) if ignored else (() if before.told else ("opened",))
    sighted = (state,) if before.drift != state else ()
    for done in _either(look, spec.policy == "correct" and look.after[spec.name] == RIGHT):
        drift = RIGHT if done else state
        yield Word(said, sighted, (drift,) if drift else ()), Belief(not ignored, spec.value, drift)


def _either(look: Look, otherwise: bool) -> tuple[bool, ...]:
    """Whether we set it right: in a look that was disturbed its end does not tell."""
    return (True, False) if look.disturbed else (otherwise,)

"""Somebody else's edits: original, ours and current, compared three ways before anything is put back. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from reconciler.core.edit import Edit
from reconciler.core.errors import NeedsPerson
from reconciler.core.resource import Resource


class Conflict(NamedTuple):
    """One managed field that is neither what we set nor what it goes back to.

    Attributes:
        edit: Where and when it was changed; None where nothing tells, or where that may have been us.
        ours_at: When our last write was through, by our clock; only with ``edit``.
    """

    field: str
    original: object
    ours: object
    current: object
    edit: Edit | None = None
    ours_at: datetime | None = None

    @property
    def told(self) -> str:
        """What the directory tells, in one line; empty where it tells nothing."""
        if self.edit is None:
            return ""
        ours = f", not by us: our last write was at {self.ours_at:%Y-%m-%d %H:%M:%S} UTC" if self.ours_at else ""
        return f"{self.edit}{ours}"


def conflicts(back: Resource, ours: Resource, current: Resource) -> tuple[Conflict, ...]:
    """Return what somebody else changed after us.

    Args:
        back: What it goes back to.
        ours: What was read back after our last change.
        current: What is there now.
    """
    if current.ensure == "absent":
        taken = ours.ensure == "present" and back.ensure == "present"
        return (Conflict("ensure", "present", "present", "absent"),) if taken else ()
    if ours.ensure == "absent":
        if back.ensure == "absent":
            return (Conflict("ensure", "absent", "absent", "present"),)
        # We removed it, and it is there again: as it was, or otherwise?
        return tuple(edit._replace(ours=None) for edit in _fields(back, back, current))
    return _fields(back, ours, current)


def keeping(back: Resource, edits: tuple[Conflict, ...], current: Resource) -> Resource:
    """Return what to go back to where somebody else's edits stay: those as they are, everything else as it was."""
    if back.ensure == "absent" or any(edit.field == "ensure" for edit in edits):
        as_found = {name: getattr(current, name) for name in back.managed()}
        return back.model_copy(update={"ensure": current.ensure, **as_found})
    changed: dict[str, object] = {}
    for edit in edits:
        name, _, key = edit.field.partition(".")
        now = getattr(current, name)
        if not key or not isinstance(now, Mapping):
            changed[name] = now
            continue
        before = changed.get(name, getattr(back, name))
        merged = dict(before) if isinstance(before, Mapping) else {}
        merged.update({item: value for item, value in now.items() if str(item) == key})
        changed[name] = merged
    if not changed.keys().isdisjoint(back.together):
        changed |= {name: getattr(current, name) for name in back.together}
    return back.model_copy(update=changed)


def asked(wanted: Resource, edits: tuple[Conflict, ...]) -> NeedsPerson:
    """Return the gate that asks a person. What it says first is the same whether or not anything tells who changed it."""
    shown = "; ".join(
        f"{edit.field} was {edit.original!r}, we set {edit.ours!r}, now it is {edit.current!r}" for edit in edits
    )
    told = dict.fromkeys(edit.told for edit in edits if edit.told)
    do = "say what shall happen: `on_conflict: restore` puts the original back, `on_conflict: keep` leaves it as it is"
    return NeedsPerson(
        f"{wanted.title()} was changed by somebody else since: {shown}",
        where=wanted.key,
        do="\n".join([do, *(f"the directory tells: {line}" for line in told)]),
    )


def _fields(back: Resource, ours: Resource, current: Resource) -> tuple[Conflict, ...]:
    found: list[Conflict] = []
    for name in back.managed():
        original = getattr(back, name) if back.ensure == "present" else None
        mine, now = getattr(ours, name), getattr(current, name)
        if isinstance(mine, Mapping) and isinstance(now, Mapping):
            was = original if isinstance(original, Mapping) else {}
            found += [
                Conflict(f"{name}.{key}", was.get(key), mine.get(key), now.get(key))
                for key in {**mine, **now}
                if now.get(key) != mine.get(key) and now.get(key) != was.get(key)
            ]
        elif now is None and name in back.unknowable:
            continue
        elif now != mine and (back.ensure == "absent" or now != original):
            found.append(Conflict(name, original, mine, now))
    return tuple(found)

"""Say what undoing a change will mean, before it is made."""

from __future__ import annotations

from reconciler.core.plan import Change
from reconciler.core.resource import Resource, differences
from reconciler.reports.plain import plain, printable


def undo_of(change: Change) -> str:
    """Return one line: what the resource goes back to, empty where nothing is put back."""
    if change.direction == "revert" or not change.wanted.temporary:
        return ""
    back = change.wanted.undone(change.observed)
    if back.ensure == "absent":
        return "is removed again"
    if change.wanted.ensure == "absent":
        return "comes back: " + ", ".join(f"{name} {show(getattr(back, name))}" for name in back.managed())
    goes = [f"{d.field} back to {show(d.wanted)}" for d in differences(back, change.wanted)]
    return ", ".join(goes)


def back_of(declared: Resource, baseline: Resource) -> str:
    """Return one line: what a promise goes back to."""
    back = declared.undone(baseline)
    if back.ensure == "absent":
        return "absent"
    return ", ".join(f"{name} {show(getattr(back, name))}" for name in back.managed()) or "present"


def show(value: object) -> str:
    """Render a field's value in a few words."""
    found = plain(value)
    if isinstance(found, str):
        return printable(found)
    if found is None:
        return "absent"
    if isinstance(found, list):
        if not found:
            return "none"
        shown = ", ".join(show(item) for item in found[:4])
        return shown if len(found) <= 4 else f"{shown} and {len(found) - 4} more"
    if isinstance(found, dict):
        return ", ".join(f"{key}={show(item)}" for key, item in list(found.items())[:6])
    return str(found)

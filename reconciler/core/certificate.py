"""The completion certificate: what was set for a while, what it went back to, and where that was read again. Pure.

The law: it is made only where everything was read everywhere and nothing is weakened; there is one way to write it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from msgspec import Struct, field

from reconciler.core.audit_chain import Head, exactly
from reconciler.core.canonical import canonical, plain
from reconciler.core.conflict import conflicts, keeping
from reconciler.core.errors import ReconcileError
from reconciler.core.ports import Obligation
from reconciler.core.resource import Difference, Key, Resource, differences

VERSION = 1
SIGNED_FOR = b"reconciler certificate\n"
"""Stands before what is signed, so that the signature means nothing else."""

Verdict = Literal["as it was", "kept", "gone"]
"""``kept``: somebody else's change that the state file says to leave. ``gone``: with what our own way back took away."""


class Reading(Struct, frozen=True):
    """One setting, read again in one place.

    Attributes:
        where: DNS name of a controller, or name of a host in the state file.
        observed: What was read there.
    """

    where: str
    at: datetime
    verdict: Verdict
    observed: Resource


class PutBack(Struct, frozen=True):
    """One temporary setting that is no longer in force anywhere.

    Attributes:
        promise: The promise that was kept; closed.
        declared: What we had set.
        readings: One per place, at least one.
    """

    promise: Obligation
    declared: Resource
    baseline: Resource
    readings: tuple[Reading, ...]

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        set_at, restored_at = self.promise.changed_at, self.promise.closed_at
        assert set_at is not None and restored_at is not None, "only what was changed and put back is certified"
        return {
            "key": self.promise.key,
            "title": self.declared.title(),
            "weakens": self.promise.weakens,
            "original": values_of(self.baseline),
            "set": values_of(self.declared),
            "changed_at": _utc(set_at),
            "restored_at": _utc(restored_at),
            "live_seconds": round((restored_at - set_at).total_seconds(), 3),
            "read_back": [
                {"where": r.where, "at": _utc(r.at), "found": r.verdict, "value": values_of(r.observed)}
                for r in self.readings
            ],
        }


class Doubt(Struct, frozen=True):
    """Why there is no certificate: one thing that could not be read, or is not as it was.

    Attributes:
        key: The setting; empty where it is about a whole domain or controller.
        where: Controller, host or domain.
    """

    key: Key
    where: str
    what: str
    do: str = ""

    def __str__(self) -> str:
        return f"{self.key or 'every setting'} on {self.where}: {self.what}" if self.where else self.what


class Alarm(Struct, frozen=True):
    """A setting that was certified and is not so any more.

    Attributes:
        kind: ``reappeared`` where what we had set is there again, ``changed`` where it became something else.
        weakens: What is weaker again; empty where nothing is known to be.
        certified_at: When it was found put back.
    """

    key: Key
    title: str
    kind: Literal["reappeared", "changed"]
    weakens: str
    differs: tuple[Difference, ...]
    certified_at: str


class Closing(Struct, frozen=True):
    """What there is to say at the end about what was put back.

    Attributes:
        certificate: Facts about the certificate that covers everything; None where there is none.
        withheld: Why there is none, although there would be something to certify.
        unknown: What was certified and could not be observed now, by key.
    """

    certificate: Mapping[str, Any] | None = None
    withheld: tuple[Doubt, ...] = ()
    alarms: tuple[Alarm, ...] = ()
    unknown: Mapping[Key, ReconcileError] = field(default_factory=dict)


def judge(
    back: Resource, ours: Resource | None, observed: Resource, *, taken_along: bool
) -> tuple[Verdict | None, tuple[Difference, ...]]:
    """Decide whether a setting is put back, by what was read of it in one place.

    Args:
        back: What it went back to.
        ours: What was read after our last change, if that is known.
        taken_along: Our own way back took away what it stood on: then it may be gone as a whole.

    Returns:
        None and what differs where it is not.
    """
    differs = differences(back, observed)
    if not differs:
        return "as it was", ()
    if back.on_conflict == "keep" and ours is not None and (edits := conflicts(back, ours, observed)):
        rest = differences(keeping(back, edits, observed), observed)
        return (None, rest) if rest else ("kept", ())
    if taken_along and observed.ensure == "absent":
        return "gone", ()
    if taken_along and all(d.observed is None and d.field in back.unknowable for d in differs):
        return "gone", ()
    return None, differs


def reappeared(was: Resource, ours: Resource, now: Resource) -> bool:
    """Return whether what we had set is there again, in whole or in part.

    Args:
        was: What was certified.
        ours: What we had set: its managed fields are compared.
        now: What is there.
    """
    if now.ensure == "absent" or ours.ensure == "absent":
        return now.ensure == ours.ensure
    if was.ensure == "absent":
        return all(_again(None, getattr(ours, name), getattr(now, name)) for name in ours.managed() if name != "switch")
    moved = {d.field for d in differences(was, now)} & set(ours.managed())
    one = {name for name in ours.managed() if name in ours.together}
    if moved & one and not all(getattr(now, name) == getattr(ours, name) for name in one):
        moved -= one
    return any(_again(getattr(was, name), getattr(ours, name), getattr(now, name)) for name in moved)


def _again(was: Any, ours: Any, now: Any) -> bool:
    """Whether a field holds what we had set, or of a collection any part that we had put in or taken out."""
    if ours == now:
        return True
    if isinstance(ours, Mapping) and isinstance(now, Mapping):
        items = was if isinstance(was, Mapping) else {}
        return any(now.get(name) == value != items.get(name) for name, value in ours.items())
    if isinstance(ours, tuple | frozenset) and isinstance(now, tuple | frozenset):
        before = set(was) if isinstance(was, tuple | frozenset) else set()
        return bool((set(ours) - before) & set(now)) or bool((before - set(ours)) - set(now))
    return False


def values_of(resource: Resource) -> dict[str, Any]:
    """Return the fields that say how a thing is, as JSON values: absent is not null, secrets are references."""
    if resource.ensure == "absent":
        return {"ensure": "absent"}
    return {"ensure": "present", **{name: plain(getattr(resource, name)) for name in resource.managed()}}


class Making(Struct, frozen=True):
    """What a certificate says about itself."""

    state: str
    run: str
    made_at: datetime


def document(making: Making, settings: Sequence[PutBack], head: Head, key: str) -> dict[str, Any]:
    """Return what is to be signed, as JSON values.

    Args:
        head: Of the audit log at this moment, so that both are bound to each other.
        key: Fingerprint of the public key.
    """
    return {
        "v": VERSION,
        "kind": "Certificate",
        "state": making.state,
        "run": making.run,
        "made_at": _utc(making.made_at),
        "settings": [setting.as_json() for setting in settings],
        "audit": {"count": head.count, "hash": head.hash, "at": head.at},
        "key": key,
    }


def signed_bytes(body: Mapping[str, Any]) -> bytes:
    """Return what a signature covers: everything but itself."""
    return SIGNED_FOR + canonical({name: value for name, value in body.items() if name != "signature"}).encode("ascii")


def opened(content: bytes) -> dict[str, Any]:
    """Return what a certificate file holds, its signature not yet checked.

    Raises:
        ValueError: It is not a certificate exactly as we write it; says why.
    """
    found = exactly(content, "certificates")
    if found.get("v") != VERSION or found.get("kind") != "Certificate":
        raise ValueError("is no certificate, was written by another version of this program, or was altered")
    return found


def _utc(at: datetime) -> str:
    return at.astimezone(UTC).isoformat()

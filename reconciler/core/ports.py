"""The ports through which effects leave: the world, the journal, the clock. The edge implements them, and tests fake them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

from msgspec import Struct

from reconciler.core.drift import Sighting
from reconciler.core.errors import ReconcileError
from reconciler.core.query import Query, Rows
from reconciler.core.resource import Key
from reconciler.core.steps import Effect, ModifyEntry

Json = Mapping[str, Any]


class World(Protocol):
    """Everything out there. Safe to call from several threads."""

    def ask(self, query: Query) -> Rows:
        """Answer a query without changing anything.

        Raises:
            Unreachable: Nothing answered.
            AuthenticationFailed: The credential was not accepted.
            Refused: The target said no.
        """
        ...

    def controllers(self, domain: str) -> tuple[str, ...]:
        """Return the DNS names of every controller that holds a domain, as far as anybody knows, read-only ones too.

        Raises:
            Unreachable: None of them can be asked which others there are.
            UnexpectedAnswer: One is known that has no name.
        """
        ...

    def do(self, effect: Effect) -> Rows:
        """Carry out an effect and return what it answered.

        Raises:
            Unreachable: Outcome unknown where ``sent``; read again before repeating.
            Refused: The target said no; nothing was changed.
            Stale: A compare-and-set met another value.
        """
        ...


@runtime_checkable
class AsksTogether(Protocol):
    """A world that answers many queries at less cost than one after the other."""

    def ask_each(self, queries: Sequence[Query]) -> Iterator[tuple[int, Rows | ReconcileError]]:
        """Answer queries, each as `World.ask` does; yield the place of each and its rows, or the error that prevents them, as they come.

        All of them are answered; who stops before may wait until they are.
        """
        ...


@runtime_checkable
class DoesTogether(Protocol):
    """A world in which effects on different hosts may be under way at the same time."""

    def do_together(self, works: Sequence[Callable[[], None]]) -> None:
        """Do several pieces of work at the same time, and return when each has ended.

        Raises:
            BaseException: What the first of them raised, in their order, once all have ended.
        """
        ...


@runtime_checkable
class ModifiesTogether(Protocol):
    """A world that changes many entries of a directory at less cost than one after the other."""

    def modify_together(self, changes: Sequence[ModifyEntry]) -> list[ReconcileError | None]:
        """Carry out changes of one domain that do not build on each other; return for each what `World.do` would raise.

        Raises:
            ReconcileError: None of them was sent.
        """
        ...


class Obligation(Struct, frozen=True):
    """An open promise to put something back.

    Attributes:
        key: The resource.
        declared: It as it was declared when the promise was made (model dump, secrets as references).
        baseline: It as it was observed before our first change (model dump).
        requires: Keys that it required, so that the order of reverting is known without the state file.
        weakens: What is weaker meanwhile; empty for nothing.
        seen_at: When the baseline was observed.
        changed_at: When our first change to it was committed; None while we have not changed it.
        closed_at: When the baseline was read back; None while open.
        wanted_until: When its lease ends and it goes back whatever the phase; None for no lease.
        forecast_s: How many seconds it was foreseen to be live when it was changed; None where nothing was foreseen.
    """

    key: Key
    declared: Json
    baseline: Json
    requires: tuple[Key, ...]
    weakens: str
    seen_at: datetime
    changed_at: datetime | None = None
    closed_at: datetime | None = None
    wanted_until: datetime | None = None
    forecast_s: float | None = None


class Journal(Protocol):
    """The memory that must survive a crash. Every write is synced before it returns."""

    def facts(self, prefix: str) -> Mapping[str, Json]:
        """Return facts whose key starts with ``prefix``, in the order of their keys. Nobody changes a fact that was returned."""
        ...

    def note(self, facts: Mapping[str, Json], at: datetime) -> None:
        """Keep facts; a later one of the same key replaces the earlier."""
        ...

    def keep_baseline(self, obligation: Obligation) -> None:
        """Keep a baseline unless one is open for this key: the first one wins until it is closed."""
        ...

    def mark_changed(
        self, key: Key, at: datetime, *, until: datetime | None = None, forecast_s: float | None = None
    ) -> None:
        """Commit that we are about to change this resource, until when, and how long that is foreseen; the first time wins."""
        ...

    def want_until(self, key: Key, until: datetime | None) -> None:
        """Move the end of the lease of an open promise, as the state file now says."""
        ...

    def close(self, key: Key, at: datetime) -> None:
        """Close the promise: the baseline was read back."""
        ...

    def obligations(self) -> list[Obligation]:
        """Return the open ones, oldest first."""
        ...

    def closed(self) -> list[Obligation]:
        """Return the closed ones that had been changed, oldest first."""
        ...

    def record(self, event: str, at: datetime, *details: Json) -> None:
        """Append to the history, an entry for each detail; all or none."""
        ...

    def history(self, after: int = 0) -> Sequence[Json]:
        """Return the history, oldest first: ``{"id": int, "at": iso, "event": str, ...detail}``.

        Args:
            after: Only entries with a higher id.
        """
        ...

    def steps(self, latest: int, key: Key = "") -> Sequence[Json]:
        """Return the latest steps of the history, oldest first; where a key is given, those of that resource."""
        ...

    def forget_steps(self, before: datetime) -> None:
        """Drop steps from before this moment from the history, but none about what is still to be put back."""
        ...

    def runs(self, after: int, most: int) -> Sequence[Json]:
        """Return the entries of the history that say when runs began and ended, oldest first, at most so many.

        Args:
            after: Only entries with a higher id.
        """
        ...

    def forget_runs(self, upto: int) -> None:
        """Drop those entries up to this id."""
        ...

    def sight(self, sightings: Sequence[Sighting]) -> None:
        """Keep drifts, all or none: each replaces the open one of the same key and fields, or begins one."""
        ...

    def sightings(self, *, open_only: bool = False) -> list[Sighting]:
        """Return the drifts, those first seen first."""
        ...

    def forget_sightings(self, before: datetime) -> None:
        """Drop drifts that were closed before this moment."""
        ...


class Clock(Protocol):
    """Time, so that nothing inside reads it by itself."""

    def now(self) -> datetime:
        """Return the time, aware, in UTC."""
        ...

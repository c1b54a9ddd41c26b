"""What a watch keeps from one pass to the next: its connections, what tells of changes, and when to look again."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Self

from msgspec import Struct

from reconciler.cli import output as screen
from reconciler.core.errors import ReconcileError

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from reconciler.cli.loading import Loaded
    from reconciler.core.looks import LastLook
    from reconciler.core.ports import Clock
    from reconciler.core.targets import Targets
    from reconciler.edge.directory_events import DirectoryEvents
    from reconciler.edge.fence import Fence
    from reconciler.edge.secrets import Secrets
    from reconciler.edge.world import LiveWorld
    from reconciler.engine.pace import Pace, Rhythm
    from reconciler.engine.remembering import Memory, RememberingWorld

SHORTEST = timedelta(seconds=1)


def pace_of(every: str, hosts_every: str) -> Pace:
    """Read how often to look, as it is written on the command line."""
    from reconciler.engine.pace import Pace

    return Pace(_length("--every", every), _length("--hosts-every", hosts_every))


def _length(option: str, text: str) -> timedelta:
    from reconciler.core.lengths import duration

    seconds = re.fullmatch(r"(\d{1,6})s", text.strip())
    try:
        length = timedelta(seconds=int(seconds[1])) if seconds else duration(text)
    except ValueError as error:
        raise ReconcileError(f"{option} is {text!r}: {error}, or 30s") from error
    if length < SHORTEST:
        raise ReconcileError(f"{option} is {text!r}: it is at least a second")
    return length


class Keeper:
    """The connections of a watch; a context manager.

    Args:
        ring: Wakes the watch; from any thread.
        rhythm: When nothing is trusted that is remembered.
        chance: Returns a number from 0 to 1.

    Attributes:
        facts: What is kept of the journal while it is closed.
    """

    def __init__(
        self, ring: Callable[[str], None], rhythm: Rhythm, clock: Clock, chance: Callable[[], float] = random.random
    ) -> None:
        from reconciler.edge.journal_facts import FactCache

        self._ring = ring
        self._rhythm = rhythm
        self._clock = clock
        self._chance = chance
        self._kept: _Kept | None = None
        self.facts = FactCache()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    @property
    def secrets(self) -> Secrets:
        """What opened the secrets of these connections, and can strike them out of a text."""
        assert self._kept is not None
        return self._kept.secrets

    @property
    def looks(self) -> LastLook:
        """What is kept of the look before."""
        assert self._kept is not None
        return self._kept.memory.looks

    def attend(self, loaded: Loaded) -> None:
        """Listen to what this state file names; connections stay as they are where it names the same as before."""
        from reconciler.edge.directory_events import DirectoryEvents
        from reconciler.edge.secrets import Secrets
        from reconciler.edge.world import LiveWorld
        from reconciler.engine.remembering import Memory

        names = (loaded.targets, loaded.base)
        if self._kept is not None and self._kept.names == names:
            return
        self._close()
        secrets = Secrets(loaded.base)
        world = LiveWorld(loaded.targets, secrets, loaded.base)
        events = DirectoryEvents(world, loaded.targets.domains, self._ring, _say, self._chance)
        self._kept = _Kept(names, secrets, world, events.__enter__(), Memory())

    def begin(self, fence: Fence | None) -> RememberingWorld:
        """Return the world for one pass; from time to time one that remembers nothing."""
        from reconciler.engine.remembering import RememberingWorld

        assert self._kept is not None
        if self._rhythm.starts_afresh(self._clock.now()):
            self._kept.memory.forget()
        self._kept.world.begin(fence)
        return RememberingWorld(self._kept.world, self._kept.memory)

    def follow(self) -> None:
        """Listen to the controllers that were read from: what is heard must be what is read."""
        if self._kept is not None:
            self._kept.follow()

    def _close(self) -> None:
        kept, self._kept = self._kept, None
        if kept is not None:
            kept.events.__exit__(None, None, None)
            kept.world.close()


class _Kept(Struct, frozen=True):
    """What stays open for as long as the state file names the same domains, hosts and credentials."""

    names: tuple[Targets, Path]
    secrets: Secrets
    world: LiveWorld
    events: DirectoryEvents
    memory: Memory

    def follow(self) -> None:
        """Listen to the controllers that were read from: what is heard must be what is read."""
        for domain in self.names[0].domains:
            self.events.follow(domain, self.world.serving(domain)[0])


def _say(sentence: str) -> None:
    screen.stderr(sentence, "yellow")

"""The world behind whatever a run sees of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reconciler.edge.world import LiveWorld
    from reconciler.engine.run import Tools


def live(tools: Tools) -> LiveWorld | None:
    """Return the live world of a run, None for any other; a watch has it wrapped."""
    from reconciler.edge.world import LiveWorld
    from reconciler.engine.remembering import RememberingWorld

    world = tools.world.world if isinstance(tools.world, RememberingWorld) else tools.world
    return world if isinstance(world, LiveWorld) else None

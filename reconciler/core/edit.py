"""Where and when a field was last changed, as the directory itself tells it. It names a controller, never a person."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct


class Edit(Struct, frozen=True):
    """The last originating change of what holds a field.

    Attributes:
        field: Of the resource.
        attribute: What was changed in the directory; it may hold more than the field.
        on: Name of the controller on which it was changed; empty where only its invocation id is left.
        at: When, by that controller's clock, in whole seconds.
        version: How often it was changed so far.
        told_at: What time it was in the directory when it told.
    """

    field: str
    attribute: str
    on: str
    at: datetime
    version: int
    told_at: datetime

    def __str__(self) -> str:
        where = f" on {self.on}" if self.on else ""
        return f"{self.attribute} was last changed{where} at {self.at:%Y-%m-%d %H:%M:%S} UTC (version {self.version})"

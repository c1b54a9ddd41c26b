"""One drift: a managed setting that is not as the state file says, with everything that is known about how that came about."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from msgspec import Struct

from reconciler.core.policy import Policy
from reconciler.core.resource import Difference, Key

Class = Literal["intended", "corrective", "external", "transient", "unknown"]
"""Where a drift comes from.

``intended``: the state file asks for something that was not done yet, or no longer; ``external``: we had set it, and somebody
else moved it; ``corrective``: the same, and it is being set right again by itself; ``transient``: the migration itself moves it
for a while (ADMT fills and empties the group); ``unknown``: it could not be observed, or nothing is known of how it was.
"""
COUNTS: frozenset[Class] = frozenset({"external", "corrective", "unknown"})
"""Classes that are worth an alarm; the others are the migration itself at work."""


class Drift(Struct, frozen=True):
    """One setting that is not as declared.

    Attributes:
        where: ``file:line:column`` of the declaration that it contradicts; empty where only the journal knows it.
        because: Why it is of this class, in a few words.
        since: When it was changed, where the directory tells; aware, UTC.
        on: The controller on which it was changed, where the directory tells.
        first_seen: When a look first found it so.
        repair: What would be sent to set it right, one line per step; empty where that is not known.
        policy: What `watch` does about it.
        error: Why it could not be observed; then nothing else is known.
    """

    key: Key
    title: str
    where: str
    comes_from: Class
    because: str = ""
    differs: tuple[Difference, ...] = ()
    weakens: str = ""
    since: datetime | None = None
    on: str = ""
    first_seen: datetime | None = None
    repair: tuple[str, ...] = ()
    policy: Policy = "correct"
    error: str = ""


class Sighting(Struct, frozen=True):
    """A drift as the journal keeps it; at most one of a key and its fields is open.

    Attributes:
        fields: Which ones differed, sorted; empty where it could not be observed.
        first_seen: Aware, as all times here.
        closed_at: When a look first found it right again; None while it is open.
        repaired_by: ``us, run ...``, ``somebody else`` or ``the state file``; empty while it is open.
        since: When it was changed, where the directory tells.
        on: The controller on which that was.
        found: Digest of what was read in those fields: a settle time runs only while that stays the same.
    """

    key: Key
    fields: tuple[str, ...]
    comes_from: Class
    first_seen: datetime
    last_seen: datetime
    closed_at: datetime | None = None
    repaired_by: str = ""
    since: datetime | None = None
    on: str = ""
    found: str = ""

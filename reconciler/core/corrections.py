"""How often one thing is set right before somebody is asked: back-off, ceilings, and the end of a tug-of-war. Pure.

The law: what somebody keeps changing back is not fought over. No history of differences leads to more corrections than the
ceilings allow, and a difference that comes back again and again stops all further ones until a person says so.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Self

from msgspec import Struct
from msgspec.structs import replace

DAY, HOUR = timedelta(days=1), timedelta(hours=1)


class Rules(Struct, frozen=True):
    """What is allowed.

    Attributes:
        first: How long to wait after one correction; after each further one of the same day twice as long...
        longest: ...up to this.
        returns: How often the same difference has to come back in a row.
        soon: How early it has to be back to count. Longer than Group Policy takes at most: 90 minutes and up to 30 more.
    """

    first: timedelta = timedelta(minutes=1)
    longest: timedelta = timedelta(hours=4)
    per_hour: int = 4
    per_day: int = 12
    returns: int = 3
    soon: timedelta = timedelta(minutes=150)


RULES = Rules()


class Corrections(Struct, frozen=True):
    """What was set right of one resource, and whether it stayed so.

    Attributes:
        made: When, within the last day, oldest first.
        fields: What the last one set right.
        stands: The last one took, and nobody was seen to undo it.
        returns: How often in a row the same difference was back soon.
        stalled: Since when nothing more is tried; None while it is.
    """

    made: tuple[datetime, ...] = ()
    fields: tuple[str, ...] = ()
    stands: bool = False
    returns: int = 0
    stalled: datetime | None = None

    def plain(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "made": [at.isoformat() for at in self.made],
            "fields": list(self.fields),
            "stands": self.stands,
            "returns": self.returns,
            "stalled": self.stalled.isoformat() if self.stalled else None,
        }

    @classmethod
    def read(cls, value: Any) -> Self:
        """Return what was kept; nothing was done where nothing was kept."""
        if not value:
            return cls()
        stalled = value["stalled"]
        return cls(
            tuple(datetime.fromisoformat(at) for at in value["made"]), tuple(value["fields"]), bool(value["stands"]),
            int(value["returns"]), datetime.fromisoformat(stalled) if stalled else None,
        )  # fmt: skip


def found(state: Corrections, fields: tuple[str, ...], now: datetime, rules: Rules = RULES) -> Corrections:
    """Take note of a difference: the first look that finds it after a correction counts, and no other."""
    if state.stalled is not None or not state.stands:
        return state
    again = bool(set(fields) & set(state.fields)) and now - state.made[-1] <= rules.soon
    returns = state.returns + 1 if again else 0
    return replace(state, stands=False, returns=returns, stalled=now if returns >= rules.returns else None)


def due(state: Corrections, now: datetime, rules: Rules = RULES) -> datetime:
    """Return when the next correction may be made; not later than ``now`` where it may be made at once."""
    made = _recent(state, now)
    if not made:
        return now
    # A difference that stays away starts from the beginning a day later; 2**30 minutes are longer than anything.
    waits = [made[-1] + min(rules.longest, rules.first * (1 << min(len(made) - 1, 30)))]
    for most, span in ((rules.per_hour, HOUR), (rules.per_day, DAY)):
        if len(made) >= most:
            waits.append(made[-most] + span)
    return max(waits)


def correcting(state: Corrections, fields: tuple[str, ...], now: datetime) -> Corrections:
    """Take note of a correction before it is sent: it counts whatever becomes of it."""
    return replace(state, made=(*_recent(state, now), now), fields=fields, stands=False)


def corrected(state: Corrections) -> Corrections:
    """Take note that the last one was read back."""
    return replace(state, stands=bool(state.made))


def _recent(state: Corrections, now: datetime) -> tuple[datetime, ...]:
    """Return those of the last day. A clock that was set back leaves some in the future, which count for nothing."""
    return tuple(at for at in state.made if now - DAY < at <= now)

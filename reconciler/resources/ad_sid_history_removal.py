"""SID history that this migration added, removed value by value when it is no longer needed. There is no way back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple, Self

from msgspec import Struct
from pydantic import Field

from reconciler.core.query import Command, Query, Recall, Rows, Search
from reconciler.core.resource import Resource
from reconciler.core.steps import Portion, Step
from reconciler.core.targets import Name
from reconciler.core.values import Guid
from reconciler.resources import rows
from reconciler.resources.account_runs import prefix

RISK = "remove-sid-history"
# The value, or the account, is not there any more: that is what was wanted. Background knowledge, not looked up.
GONE = (
    "ActiveDirectoryServer:8202",
    "ActiveDirectoryCmdlet:Microsoft.ActiveDirectory.Management.ADIdentityNotFoundException",
)
NO_WAY_BACK = "cannot be undone: nobody may write a SID back, only migrating the account again brings it"


class Value(NamedTuple):
    """One value that is to be removed. The GUID names the account however it is called or moved meanwhile."""

    sam: str
    guid: Guid
    sid: str


class Left(Struct, frozen=True):
    """What the target has of SIDs of the source.

    Attributes:
        ours: Those that we added, to the accounts that still have them.
        strange: How many the journal does not know as ours.
    """

    ours: tuple[Value, ...] = ()
    strange: int = 0


class SidHistoryRemoval(Resource):
    """Old SIDs that this migration gave to accounts of the target, and that shall be there no more.

    Only values count of which the journal says that a run of ours added them, on the account that it was added to.
    A value that was there before, or that somebody else added, stays.
    """

    identity = ("source", "target")
    inputs = ("host",)
    restores = False
    typical_s = 0.5  # one account

    kind: Literal["ad.sid_history_removal"] = "ad.sid_history_removal"
    source: Name = Field(description="Name of the domain that the SIDs are of.")
    target: Name = Field(description="Name of the domain whose accounts have them.")
    host: Name = Field(description="Controller of that domain, on which `Set-ADObject` runs.")
    left: tuple[str, ...] = Field((), description="`account: SID` for each that is still there. Always empty.")

    def title(self) -> str:
        """Return one line for people; it says that there is no way back."""
        return f"SID history from {self.source} in {self.target}, removed for good"

    def managed(self) -> tuple[str, ...]:
        """Return the list; it is wanted empty, written or not."""
        return ("left",)

    def queries(self) -> tuple[Query, ...]:
        """Ask for everybody with a SID history, and for what we added ourselves."""
        asked = ("objectSid", "objectGUID", "sAMAccountName", "sIDHistory")
        return (
            Search(self.target, "", "(sIDHistory=*)", asked, "subtree", absent_ok=False),
            Recall(prefix(self.source)),
        )

    def parse(self, *answers: Rows) -> Self:
        """Read which of our values are still there."""
        holders, facts = answers
        found = _left(holders, _added(facts, self.source))
        return self.observed(left=tuple(f"{one.sam}: {one.sid}" for one in found.ours)).with_facts(found=found)

    def steps(self, observed: Self, differs: frozenset[str]) -> tuple[Step, ...]:
        """Remove each by value; what is refused for one account holds up no other."""
        found: Left = observed.facts["found"]
        whole = len(found.ours)
        return tuple(
            Step(
                # Windows lets a value be deleted over LDAP as well, Samba does not.
                Command(
                    self.host,
                    "Set-ADObject",
                    (("Identity", str(one.guid)), ("Remove", {"sIDHistory": one.sid})),
                    absent=GONE,
                ),
                f"remove the old SID {one.sid} from {one.sam}; this {NO_WAY_BACK}",
                risk=RISK,
                portion=Portion(number, 1, whole, "old SIDs"),
                apart=True,
            )
            for number, one in enumerate(found.ours)
        )

    def remarks(self, observed: Self) -> tuple[str, ...]:
        """Say what stays."""
        strange = observed.facts["found"].strange if observed.facts else 0
        if not strange:
            return ()
        values = "1 old SID stays" if strange == 1 else f"{strange:,} old SIDs stay"
        return (f"{values}: the journal does not say that a run of this migration added them",)


def _added(facts: Rows, source: str) -> dict[str, str]:
    """Return the account of the target, by SID, that a run of ours gave an old SID to; empty where it gave none that we know of."""
    found: dict[str, str] = {}
    for row in facts:
        sid, value = rows.text(row, "key").removeprefix(prefix(source)), row.get("value")
        if sid.startswith("S-1-") and isinstance(value, Mapping):
            found[sid] = str(value.get("target_sid") or "") if value.get("history") is True else ""
    return found


def _left(holders: Rows, added: Mapping[str, str]) -> Left:
    domains = {sid.rpartition("-")[0] for sid in added}
    ours: list[Value] = []
    strange = 0
    for row in holders:
        account = str(rows.sid(row, "objectSid"))
        for sid in map(str, rows.sids(row, "sIDHistory")):
            if added.get(sid) == account:
                ours.append(Value(rows.text(row, "sAMAccountName"), rows.guid(row, "objectGUID"), sid))
            elif sid.rpartition("-")[0] in domains:  # those of other domains are nothing to us
                strange += 1
    return Left(tuple(sorted(ours, key=lambda one: (one.sam.casefold(), one.sid))), strange)

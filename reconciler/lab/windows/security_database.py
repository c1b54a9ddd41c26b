"""The local groups of a member server: a database of its own, of SIDs, where a controller has its directory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

EVERYBODY = frozenset({"S-1-1-0", "S-1-5-11"})
"""Whoever logged on is Everyone and an Authenticated User."""
DOMAIN_ADMINS, DOMAIN_USERS = 512, 513


@dataclass(slots=True)
class StoredGroup:
    """One local group; members are SIDs."""

    name: str
    description: str
    members: list[str]


class SecurityDatabase:
    """The built-in groups of one member server, by SID, and the names of its own accounts. A controller's has none.

    Which groups there are and who is in them when a server has joined a domain is background knowledge. [K]
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        self.groups: dict[str, StoredGroup] = {}
        self.accounts: dict[str, str] = {}
        self._changed = changed

    def found(self, machine_sid: str, domain_sid: str) -> None:
        """Fill it as it is on a server that has just joined a domain."""
        administrator = f"{machine_sid}-500"
        self.accounts = {administrator: "Administrator"}
        members = {
            "S-1-5-32-544": [administrator, f"{domain_sid}-{DOMAIN_ADMINS}"],
            "S-1-5-32-545": ["S-1-5-11", f"{domain_sid}-{DOMAIN_USERS}"],
        }
        self.groups = {
            sid: StoredGroup(name, description, members.get(sid, [])) for sid, name, description in _BUILT_IN
        }

    def named(self, name: str) -> str | None:
        """Return the SID of a group by its name."""
        return next((sid for sid, group in self.groups.items() if group.name.lower() == name.lower()), None)

    def token(self, sids: frozenset[str]) -> frozenset[str]:
        """Return SIDs that come from outside, and the local groups that they bring."""
        held = sids | EVERYBODY
        return held | {sid for sid, group in self.groups.items() if not held.isdisjoint(group.members)}

    def add(self, group: str, member: str) -> None:
        """Add a member, given by SID, to a group."""
        self.groups[group].members.append(member)
        self._changed()

    def remove(self, group: str, member: str) -> None:
        """Take a member out of a group."""
        self.groups[group].members.remove(member)
        self._changed()

    def to_disk(self) -> dict[str, Any]:
        """Return everything as JSON can hold it."""
        groups = {sid: [one.name, one.description, one.members] for sid, one in self.groups.items()}
        return {"accounts": dict(self.accounts), "groups": groups}

    def from_disk(self, disk: Mapping[str, Any]) -> None:
        """Take everything from what ``to_disk`` returned; nothing where there is nothing."""
        self.accounts = dict(disk.get("accounts", {}))
        self.groups = {
            sid: StoredGroup(name, text, list(members)) for sid, (name, text, members) in disk.get("groups", {}).items()
        }


_BUILT_IN = (
    ("S-1-5-32-544", "Administrators", "Administrators have complete and unrestricted access to the computer/domain"),
    ("S-1-5-32-545", "Users", "Users are prevented from making accidental or intentional system-wide changes"),
    ("S-1-5-32-546", "Guests", "Guests have the same access as members of the Users group by default"),
    ("S-1-5-32-551", "Backup Operators", "Backup Operators can override security restrictions to back up files"),
    ("S-1-5-32-555", "Remote Desktop Users", "Members in this group are granted the right to logon remotely"),
    ("S-1-5-32-559", "Performance Log Users", "Members of this group may schedule logging of performance counters"),
    (
        "S-1-5-32-580",
        "Remote Management Users",
        "Members of this group can access WMI resources over management protocols",
    ),
)

"""What the steps of one migration share: both domains, the options, the log, the database, and what was looked up already."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from reconciler.lab.admt.database import Database, Kind, Migrated
from reconciler.lab.admt.domains import Side
from reconciler.lab.admt.export import Export
from reconciler.lab.admt.log import MigrationLog
from reconciler.lab.admt.names import GROUP_ATTRIBUTES, NEEDED, object_sid
from reconciler.lab.admt.options import Options
from reconciler.lab.windows.accounts import escape, escape_bytes, sid_bytes, sid_text
from reconciler.lab.windows.contract import Change, Entry

if TYPE_CHECKING:
    from reconciler.lab.windows.machine import Machine

USERS = "(&(objectCategory=person)(objectClass=user)(!(objectClass=computer)))"
GROUPS = "(objectClass=group)"
COMPUTERS = "(objectClass=computer)"
AT_ONCE = 50  # names in one filter: one search per name was a third of a run's time
_SEEN_IN_TARGET = (*NEEDED, "sIDHistory")
# Samba needs a quarter of a second for the members of a group of three thousand.
_OF_GROUPS = tuple(name for name in (*NEEDED, *GROUP_ATTRIBUTES) if name != "member")


@dataclass(slots=True)
class Run:
    """One run of ADMT after its preconditions were met."""

    machine: Machine
    options: Options
    log: MigrationLog
    database: Database
    source: Side
    target: Side
    source_base: str = ""  # where names are looked up
    target_base: str = ""  # where objects are created
    local_group: str = ""  # DN of SOURCE$$$, where SIDs are migrated
    export: Export | None = None
    succeeded: int = 0
    may_reset: bool = False  # seen in this run
    _existing: dict[str, Entry | None] = field(default_factory=dict)  # by lower-case SAM account name of the target
    _target_dns: dict[str, str] = field(default_factory=dict)  # by SID of the target
    _member_of: dict[str, frozenset[str]] = field(default_factory=dict)  # target DN -> groups, as it was when looked at
    _groups: dict[str, Entry] = field(default_factory=dict)  # of the source, by DN

    @property
    def merges(self) -> bool:
        """True where an object that exists already is merged with, not left alone."""
        return self.options.words("CONFLICTOPTIONS", "IGNORE")[0] == "MERGE"

    def remember(self, kind: Kind, source: Entry, target: Entry) -> None:
        """Note a migrated object, on the disk at once."""
        sid = object_sid(target)
        self._target_dns[sid] = target.dn
        self._member_of[target.dn.lower()] = frozenset(one.decode().lower() for one in target.all("memberOf"))
        names = (source.text("sAMAccountName") or "", target.text("sAMAccountName") or "")
        self.database.add(Migrated(kind, self.source.facts.netbios, object_sid(source), names[0], sid, names[1]))

    def is_known(self, source: Entry, target: Entry) -> bool:
        """Tell whether a target object is what this source object became, by its SID history or by the database."""
        if source.all("objectSid")[0] in target.all("sIDHistory"):
            return True
        known = self.database.find(self.source.facts.netbios, object_sid(source))
        return known is not None and known.target_sid == object_sid(target)

    def is_member(self, target_dn: str, group_dn: str) -> bool:
        """Tell whether an object of this run was in a group of the target when it was looked at."""
        return group_dn.lower() in self._member_of.get(target_dn.lower(), ())

    async def expect(self, names: Iterable[str]) -> None:
        """Look up what has these SAM account names in the target, for ``existing`` to use once each."""
        wanted = {name.lower() for name in names}
        rows = await self._targets(f"(sAMAccountName={escape(name)})" for name in wanted)
        found = {(row.text("sAMAccountName") or "").lower(): row for row in rows}
        self._existing = {name: found.get(name) for name in wanted}

    async def existing(self, sam: str) -> Entry | None:
        """Return what has a SAM account name in the target domain."""
        if sam.lower() in self._existing:
            return self._existing.pop(sam.lower())  # from now on it may be another one: one of this run's own
        rows = await self._targets([f"(sAMAccountName={escape(sam)})"])
        return rows[0] if rows else None

    async def target_entry(self, dn: str) -> Entry:
        """Return an object that is there."""
        return (await self.target.directory.search(dn, "base", "(objectClass=*)", _SEEN_IN_TARGET))[0]

    async def locate(self, source_sids: Sequence[str]) -> None:
        """Find where many source objects are now, for ``target_dn`` to know."""
        domain = self.source.facts.netbios
        sids = {known.target_sid for sid in source_sids if (known := self.database.find(domain, sid)) is not None}
        unknown = sorted(sids - set(self._target_dns))
        for start in range(0, len(unknown), AT_ONCE):
            tests = (f"(objectSid={escape_bytes(sid_bytes(sid))})" for sid in unknown[start : start + AT_ONCE])
            where = f"(|{''.join(tests)})"
            rows = await self.target.directory.search(self.target.facts.base_dn, "sub", where, ("objectSid",))
            self._target_dns.update({sid_text(row.all("objectSid")[0]): row.dn for row in rows})

    async def target_dn(self, source_sid: str, kind: str) -> str | None:
        """Return where a source object is now, or None if it was never migrated or is gone."""
        migrated = self.database.find(self.source.facts.netbios, source_sid)
        if migrated is None or migrated.kind != kind:
            return None
        await self.locate([source_sid])
        return self._target_dns.get(migrated.target_sid)

    async def source_group(self, dn: str) -> Entry | None:
        """Return a group of the source without its members; it is read once in a run."""
        if dn not in self._groups:
            rows = await self.source.remote.search(dn, "base", GROUPS, _OF_GROUPS)
            if not rows:
                return None
            self._groups[dn] = rows[0]
        return self._groups[dn]

    async def replace(self, dn: str, **values: str) -> None:
        """Set text attributes of a target object with the caller's own rights."""
        changes = [Change(name, "replace", (value.encode("utf-8"),)) for name, value in values.items()]
        await self.target.remote.modify(dn, changes)

    async def _targets(self, tests: Iterable[str]) -> list[Entry]:
        joined = "".join(tests)
        if not joined:
            return []
        return await self.target.remote.search(self.target.facts.base_dn, "sub", f"(|{joined})", _SEEN_IN_TARGET)

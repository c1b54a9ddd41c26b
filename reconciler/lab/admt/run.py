"""What the steps of one migration share: both domains, the options, the log and the database."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from reconciler.lab.admt.database import Database, Migrated
from reconciler.lab.admt.domains import Side
from reconciler.lab.admt.export import Export
from reconciler.lab.admt.include_file import Included
from reconciler.lab.admt.log import MigrationLog
from reconciler.lab.admt.names import NEEDED, USER_ATTRIBUTES, object_sid, unescape_rdn
from reconciler.lab.admt.options import Options
from reconciler.lab.windows.accounts import escape, escape_bytes, sid_bytes
from reconciler.lab.windows.contract import Change, Entry

if TYPE_CHECKING:
    from reconciler.lab.windows.machine import Machine

USERS = "(&(objectCategory=person)(objectClass=user)(!(objectClass=computer)))"
GROUPS = "(objectClass=group)"


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
    _target_dns: dict[str, str] = field(default_factory=dict)

    @property
    def merges(self) -> bool:
        """True where an object that exists already is merged with, not left alone."""
        return self.options.words("CONFLICTOPTIONS", "IGNORE")[0] == "MERGE"

    def remember(self, kind: str, source: Entry, target: Entry) -> None:
        """Note a migrated object; it reaches the disk with the log."""
        self.database.add(
            Migrated(
                "group" if kind == "group" else "user",
                self.source.facts.netbios,
                object_sid(source),
                source.text("sAMAccountName") or "",
                object_sid(target),
                target.text("sAMAccountName") or "",
            )
        )

    async def sources(self, included: Included, where: str) -> list[Entry]:
        """Return the source objects that a name means: by SAM account name, else by RDN."""
        name = included.source
        rdn = unescape_rdn(name[3:]) if name.lower().startswith("cn=") else name
        for test in (f"(sAMAccountName={escape(name)})", f"(cn={escape(rdn)})"):
            rows = await self.source.remote.search(
                self.source_base, "sub", f"(&{where}{test})", (*NEEDED, *USER_ATTRIBUTES)
            )
            if rows:
                return rows
        return []

    async def existing(self, sam: str) -> Entry | None:
        """Return what has a SAM account name in the target domain."""
        rows = await self.target.remote.search(
            self.target.facts.base_dn, "sub", f"(sAMAccountName={escape(sam)})", (*NEEDED, "sIDHistory")
        )
        return rows[0] if rows else None

    async def target_entry(self, dn: str) -> Entry:
        """Return an object that was just created."""
        return (await self.target.remote.search(dn, "base", "(objectClass=*)", (*NEEDED, "sIDHistory")))[0]

    async def target_dn(self, source_sid: str, kind: str) -> str | None:
        """Return where a source object is now, or None if it was never migrated or is gone."""
        migrated = self.database.find(self.source.facts.netbios, source_sid)
        if migrated is None or migrated.kind != kind:
            return None
        if migrated.target_sid not in self._target_dns:
            where = f"(objectSid={escape_bytes(sid_bytes(migrated.target_sid))})"
            rows = await self.target.directory.search(self.target.facts.base_dn, "sub", where, ("objectSid",))
            if not rows:
                return None
            self._target_dns[migrated.target_sid] = rows[0].dn
        return self._target_dns[migrated.target_sid]

    async def replace(self, dn: str, **values: str) -> None:
        """Set text attributes of a target object with the caller's own rights."""
        changes = [Change(name, "replace", (value.encode("utf-8"),)) for name, value in values.items()]
        await self.target.remote.modify(dn, changes)

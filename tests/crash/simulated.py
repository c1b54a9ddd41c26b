"""The simulated world: two directories and two hosts behind the port that the engine sends its effects through.

It answers the queries of the real kinds and carries out their effects, and at every effect it looks into the journal:
nothing may differ from what was found at first unless a promise to put it back was written down before, and nothing dangerous
unless its dead-man's switch is armed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from reconciler.core.errors import ReconcileError
from reconciler.core.ports import Journal
from reconciler.core.query import Command, Query, Rows, Search
from reconciler.core.steps import AddEntry, CopyFile, DeleteEntry, Effect, LogOn, ModifyEntry, Restart, RunTask
from reconciler.core.values import Sid
from reconciler.resources.dead_man import task_name
from tests.crash import simulated_directory as directory
from tests.crash.simulated_admt import log_on, migrate
from tests.crash.simulated_hosts import PES, Hosts
from tests.crash.simulated_start import MIGRATED, SIDS, Tables, start
from tests.one_by_one import one_by_one

Item = tuple[str, ...]
"""One thing that can be put back, such as ("registry", host, path, name)."""
_OPERATOR = r"TARGET\migrator"
_MEMBERS = {
    "CN=migrator": _OPERATOR,
    "CN=S-1-5-21-4-5-6-1105": _OPERATOR,
    "CN=S-1-1-0": "S-1-1-0",
    "CN=S-1-5-7": "S-1-5-7",
}
_GROUPS = {"Administrators": "S-1-5-32-544", "Pre-Windows 2000 Compatible Access": "S-1-5-32-554"}


DANGEROUS = ("AllowPasswordExport", "RunAsPPL", "RestrictAnonymous")


class Unpromised(AssertionError):
    """Something was changed that nobody could put back after a crash."""


class Unarmed(AssertionError):
    """Something dangerous was set before its dead-man's switch was armed, or outlived it."""


class SimulatedWorld:
    """Implements ``World``.

    Attributes:
        asked: Called before every query; may raise.
        before: Called before every effect; may raise, as a crash does.
        after: Called after every effect; what it raises is a lost reply, or a crash.
    """

    def __init__(self, tables: Tables, journal: Journal | None = None) -> None:
        self.tables = tables
        self.journal = journal
        self.asked: Callable[[Query], None] = lambda query: None
        self.before: Callable[[Effect], None] = lambda effect: None
        self.after: Callable[[Effect], None] = lambda effect: None
        self._hosts = Hosts(tables)
        self._turn = threading.Lock()

    def ask(self, query: Query) -> Rows:
        """Answer; nothing changes."""
        self.asked(query)
        with self._turn:
            if isinstance(query, Search):
                return directory.search(self.tables.entries, query)
            assert isinstance(query, Command), query
            return self._hosts.run(query)

    def controllers(self, domain: str) -> tuple[str, ...]:
        """Return the one controller that each domain has here."""
        return (f"dc1.{domain}.lab",)

    def do(self, effect: Effect) -> Rows:
        """Carry out an effect."""
        self.before(effect)
        with self._turn:
            rows = self._done(effect)
            if self.journal is not None:
                check_promises(self.tables, self.journal)
        self.after(effect)
        return rows

    def modify_together(self, changes: Sequence[ModifyEntry]) -> list[ReconcileError | None]:
        """Carry out changes one after the other; each may be refused, lost, or the last."""
        answers = one_by_one(self.do, changes)
        return [answer if isinstance(answer, ReconcileError) else None for answer in answers]

    def _done(self, effect: Effect) -> Rows:
        match effect:
            case AddEntry():
                directory.add_entry(self.tables.entries, effect, self._new_sid)
            case ModifyEntry():
                directory.modify_entry(self.tables.entries, effect)
            case DeleteEntry():
                directory.delete_entry(self.tables.entries, effect)
            case Command():
                return self._hosts.run(effect)
            case CopyFile():
                return self._hosts.copy(effect)
            case Restart():
                return self._hosts.restart(effect)
            case RunTask():
                return migrate(self.tables, effect)
            case LogOn():
                return log_on(self.tables, effect)
        return ()

    def _new_sid(self) -> Sid:
        self.tables.count["rid"] += 1
        return Sid(f"{SIDS['source']}-{self.tables.count['rid']}")


def items(tables: Tables) -> dict[Item, Any]:
    """Return everything that a migration sets for a while, one by one, so that it can be compared with the start."""
    found: dict[Item, Any] = {("registry", *key): value for key, value in tables.registry.items()}
    found |= {("audit", *key): value for key, value in tables.audit.items()}
    found |= {("file", *key): value for key, value in tables.files.items() if not _of_admt(*key)}
    found |= {("directory", *key): value for key, value in tables.directories.items()}
    found |= {("software", *key): value for key, value in tables.software.items()}
    found |= {("task", *key): True for key in tables.tasks}
    found |= {("service", *key): value for key, value in tables.services.items()}
    for (domain, _), entry in tables.entries.items():
        found |= _items_of(domain, entry)
    return found


@lru_cache(4096)
def _items_of(domain: str, entry: directory.Entry) -> dict[Item, Any]:
    classes, attributes = entry.texts("objectclass"), entry.attributes
    found: dict[Item, Any] = {}
    if "group" in classes:
        found["group", domain, entry.dn] = attributes.get("grouptype", ())
        found |= {("member", domain, entry.texts("samaccountname")[0], dn): True for dn in entry.texts("member")}
    if "trustedDomain" in classes:
        found["trust", domain] = attributes["trustattributes"]
    if "ntsecuritydescriptor" in attributes:
        found["rights", domain, entry.dn] = attributes["ntsecuritydescriptor"]
    return found


def leftovers(tables: Tables) -> list[str]:
    """Return the files of a run of ADMT that are still there."""
    return [path for host, path in tables.files if _of_admt(host, path)]


def people(tables: Tables) -> dict[str, tuple[Any, ...]]:
    """Return the migrated accounts: SID history, password, whether it must be changed."""
    there = (entry for (domain, _), entry in tables.entries.items() if domain == "target" and MIGRATED in entry.dn)
    return {
        entry.dn: (entry.attributes.get("sidhistory"), entry.texts("secret"), entry.texts("pwdlastset") == ("0",))
        for entry in there
        if entry.dn != MIGRATED
    }


def _of_admt(host: str, path: str) -> bool:
    return path.startswith("C:\\Windows\\ADMT\\reconcile-")


_START = items(start())


def check_promises(tables: Tables, journal: Journal, original: dict[Item, Any] | None = None) -> None:
    """Raise unless everything that is not as it was at first is promised to be put back."""
    first, now = original if original is not None else _START, items(tables)
    moved = {item for item in first.keys() | now.keys() if first.get(item) != now.get(item)}
    if not moved:
        return
    promised = {promise.key for promise in journal.obligations() if promise.changed_at is not None}
    armed = {name for _, name in tables.tasks}
    for item in moved:
        if item[0] == "task" and item[2] in map(task_name, promised):
            continue
        if item[-1] in DANGEROUS and task_name("/".join(("win.registry", *item[1:]))) not in armed:
            raise Unarmed(f"{item} was {first.get(item)!r} and is {now.get(item)!r}, and no dead-man's switch is armed")
        if promised.isdisjoint(promisers(item)):
            raise Unpromised(f"{item} was {first.get(item)!r} and is {now.get(item)!r}, and no promise says so")


def promisers(item: Item) -> set[str]:
    """Return the keys of the resources that may have moved something."""
    match item:
        case ("registry" | "audit", host, *rest):
            return {f"win.registry/{host}/{'/'.join(rest)}", f"win.audit_policy/{host}/account-management"}
        case ("file", host, path):
            return {f"win.file/{host}/{path}", f"pes.key/{host}/source"}
        case ("task", *_):
            return set()  # of a switch that no promise has
        case ("directory", host, path):
            return {f"win.directory/{host}/{path}"}
        case ("software", host, name):
            return {f"win.software/{host}/{'*Password Migration DLL*' if name == PES else name}"}
        case ("service", host, name):
            return {f"win.service/{host}/{name}", f"win.software/{host}/*Password Migration DLL*"}
        case ("group", domain, dn):
            return {f"ad.group/{domain}/{dn.split(',')[0].removeprefix('CN=')}"}
        case ("member", domain, group, dn):
            who, sid = _MEMBERS[dn.split(",")[0]], _GROUPS[group]
            return {f"ad.group_member/{domain}/{sid}/{who}", f"win.local_group_member/admt/{sid}/{who}"}
        case ("trust", _):
            return {"ad.trust/source/target"}
        case ("rights", domain, dn):
            return {f"ad.access/{domain}/{'' if dn.startswith('DC=') else dn}/{_OPERATOR}"}
    raise AssertionError(item)

"""ADMT in the simulated world: it moves accounts only while everything the article sets up is in place and effective."""

from __future__ import annotations

from collections.abc import Iterable

from reconciler.core.query import Rows
from reconciler.core.steps import LogOn, RunTask
from reconciler.core.values import Sid
from tests.crash.simulated_directory import FOREIGN, HEADS, Entry, add, canonical, entry, generated
from tests.crash.simulated_hosts import ADMT, PES
from tests.crash.simulated_start import ANONYMOUS, EVERYONE, LSA, MIGRATED, SIDS, STAFF, Tables

_TIME = "2026-01-01 10:00:00"
_MIGRATOR = Sid(f"{SIDS['target']}-1105")


def migrate(tables: Tables, task: RunTask) -> Rows:
    """Run ``admt user`` and return its exit code and log."""
    options = dict(str(argument).lstrip("/").split(":", 1) for argument in task.arguments[1:])
    names = tables.files[task.host, options["F"]].split("\n")
    wrong = list(_wrong(tables, task, options))
    log = [f"{_TIME} ERR2:7422 {what}" for what in wrong]
    if not wrong:
        for line in names[1:]:
            log += _move(tables, line.split(",")[0], options)
    log.append(f"{_TIME} Operation completed.")
    return ({"exit_code": 0}, *({"line": line} for line in log))


def log_on(tables: Tables, effect: LogOn) -> Rows:
    """Answer as a KDC of the target would."""
    there = tables.entries.get((effect.domain, canonical(f"CN={effect.account},{MIGRATED}")))
    if there is None:
        code = "KDC_ERR_C_PRINCIPAL_UNKNOWN"
    elif there.texts("secret") != (generated(effect.password).decode(),):
        code = "KDC_ERR_PREAUTH_FAILED"
    else:
        code = "KDC_ERR_KEY_EXPIRED" if there.texts("pwdlastset") == ("0",) else ""
    return ({"way": "kerberos", "code": code, "message": ""},)


def _move(tables: Tables, name: str, options: dict[str, str]) -> Iterable[str]:
    old = tables.entries["source", canonical(f"CN={name},{STAFF}")]
    where = ("target", canonical(f"CN={name},{MIGRATED}"))
    there = tables.entries.get(where)
    if there is not None and options["CO"] == "IGNORE":
        return [f"{_TIME} WRN1:7372 CN={name} exists"]
    if there is None:
        tables.count["rid"] += 1
        there = _created(old, name, tables.count["rid"])
    if options["MSS"] == "YES":
        there = there.having("sidhistory", old.attributes["objectsid"])
    if options["PO"] == "COPY":
        there = there.having("secret", old.attributes["secret"]).having("pwdlastset", (b"0",))
    add(tables.entries, "target", there)
    return [f"{_TIME} CN={name} - Created"]


def _created(old: Entry, name: str, number: int) -> Entry:
    made = entry(
        f"CN={name},{MIGRATED}", objectSid=Sid(f"{SIDS['target']}-{number}"), sAMAccountName=name, secret="random"
    )
    for attribute in ("objectclass", "objectcategory"):
        made = made.having(attribute, old.attributes[attribute])
    return made.having("pwdlastset", (b"0",))


def _wrong(tables: Tables, task: RunTask, options: dict[str, str]) -> Iterable[str]:
    """Say what is not in place. A setting that counts after a restart only is looked up as of the last one."""
    effective = tables.effective
    lsa = {
        name: effective.get(("source-pdc", LSA, name), ("", None))[1]
        for name in ("TcpipClientSupport", "AllowPasswordExport", "RunAsPPL")
    }
    groups = {domain: _members(tables, domain, "CN=Administrators,CN=Builtin") for domain in HEADS}
    anonymous = _members(tables, "target", "CN=Pre-Windows 2000 Compatible Access,CN=Builtin")
    trust = tables.entries.get(("source", canonical(f"CN=target.lab,CN=System,{HEADS['source']}")))
    migrator = (f"CN={_MIGRATOR},{FOREIGN},{HEADS['source']}", f"CN=migrator,CN=Users,{HEADS['target']}")
    rights = (
        tables.entries["target", canonical(dn)].attributes["ntsecuritydescriptor"][0]
        for dn in (MIGRATED, HEADS["target"])
    )
    facts = {
        "ADMT is not installed": (task.host, ADMT) in tables.software,
        "not run as the operator": task.credential == "migrator",
        "the trust is missing or filters": trust is not None and trust.texts("trustattributes") == ("0",),
        "the operator lacks rights": migrator[0] in groups["source"] and migrator[1] in groups["target"],
        "the operator lacks rights on the target": all(_MIGRATOR.to_bytes() in raw for raw in rights),
        "no group for auditing": ("source", canonical(f"CN=SOURCE$$$,CN=Users,{HEADS['source']}")) in tables.entries,
        "TcpipClientSupport is not effective": lsa["TcpipClientSupport"] == 1,
        "auditing is off": set(tables.audit.values()) == {"Success and Failure"},
    }  # fmt: skip
    if options["PO"] == "COPY":
        facts |= {
            "password export is not effective": lsa["AllowPasswordExport"] == 1,
            "the password filter is not loaded": ("source-pdc", PES) in effective and lsa["RunAsPPL"] in (None, 0),
            "PES does not run": tables.services.get(("source-pdc", "PesSvc"), ("",))[0] == "Running",
            "the keys differ": tables.pes_keys.get("source-pdc") == tables.admt_keys.get(task.host) is not None,
            "PES cannot read the target": {f"CN={sid},{FOREIGN},{HEADS['target']}" for sid in (EVERYONE, ANONYMOUS)} <= anonymous
            and tables.registry.get(("admt", LSA, "RestrictAnonymous"), ("", 0))[1] == 0,
        }  # fmt: skip
    return (what for what, right in facts.items() if not right)


def _members(tables: Tables, domain: str, rdn: str) -> set[str]:
    return set(tables.entries[domain, canonical(f"{rdn},{HEADS[domain]}")].texts("member"))

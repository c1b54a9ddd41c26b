"""Migrating computer accounts. An agent then works on each machine and joins it to the target domain; this lab has no such machines."""

from __future__ import annotations

from collections.abc import Sequence

from reconciler.lab.admt.errors import AccountRefused
from reconciler.lab.admt.include_file import Included
from reconciler.lab.admt.log import AGENTS
from reconciler.lab.admt.merging import create, merge
from reconciler.lab.admt.names import (
    COMPUTER_ATTRIBUTES,
    DISABLED,
    TargetNames,
    as_bytes,
    copied,
    first_rdn,
    is_built_in,
    target_names,
)
from reconciler.lab.admt.run import Run
from reconciler.lab.windows.contract import Entry

_WORKSTATION, _CONTROLLERS = 0x1000, 0x2000 | 0x4000000
_CLASSES = [b"top", b"person", b"organizationalPerson", b"user", b"computer"]
_TRANSLATIONS = {
    "TRANSLATEFILESANDFOLDERS": "files and folders",
    "TRANSLATELOCALGROUPS": "local groups",
    "TRANSLATEPRINTERS": "printers",
    "TRANSLATEREGISTRY": "registry",
    "TRANSLATESHARES": "shares",
    "TRANSLATEUSERPROFILES": "user profiles",
    "TRANSLATEUSERRIGHTS": "user rights",
}
_DEFAULT_DELAY = "5"  # minutes until the restart [cc974426]


async def migrate_computer(run: Run, included: Included, source: Entry) -> None:
    """Create the account of a computer in the target. It gets no SID history [DSADD], and no DNS name before it joins. [peters.com]

    Raises:
        AccountRefused: It was not migrated.
    """
    control = int(source.text("userAccountControl") or 0)
    if is_built_in(source) or control & _CONTROLLERS:
        raise AccountRefused(f"{first_rdn(source.dn)}: domain controllers cannot be migrated.")
    names = target_names(included, source, run.target.facts)
    before = await run.existing(names.sam)
    if before is None:
        target = await _create(run, names, source)
    elif b"computer" not in before.all("objectClass"):
        raise AccountRefused(f"{names.sam}: an object of another type has this name in the target domain.")
    elif run.merges:
        target = await merge(run, names.rdn, before, copied(source, COMPUTER_ATTRIBUTES, _left_out(run)))
    elif run.is_known(source, before):
        run.log.warning(9811, f"{first_rdn(before.dn)} - already exists. The account was not migrated again.")
        return
    else:
        raise AccountRefused(f"{names.sam}: a computer with this name already exists in the target domain.")
    run.remember("computer", source, target)
    run.succeeded += 1


def dispatch_agents(run: Run, computers: Sequence[Entry]) -> None:
    """Write what becomes of the agents of migrated computers into a log of their own, and that they were sent into the run's.

    The real tool does not wait for its agents: the run ends with the accounts, and what an agent met stands below Logs\\Agents.
    That, and the wording, is background knowledge. [K] No machine of the lab's population exists, so every agent meets the same.
    """
    if not computers:
        return
    chosen = [text for option, text in _TRANSLATIONS.items() if run.options.yes(option)]
    delay = run.options.text("RESTARTDELAY", _DEFAULT_DELAY)
    tasks = f"translate {', '.join(chosen)}; " if chosen else ""
    found = []
    for computer in computers:
        host = computer.text("dNSHostName") or (computer.text("sAMAccountName") or "").rstrip("$")
        run.log.line(f"Agent dispatched to {host}: {tasks}change domain affiliation; restart after {delay} minutes.")
        found.append(f"{host}: The agent could not be installed. The network path was not found. (Error code = 53).")
    path = f"{AGENTS}\\Dispatch {run.database.next_task():04d}.log"
    run.machine.files.write(path, b"\xff\xfe" + "\r\n".join([*found, ""]).encode("utf-16-le"), parents=True)
    run.log.line(f"Agent log file: {path}")


def _left_out(run: Run) -> str:
    return run.options.text("COMPUTERPROPERTIESTOEXCLUDE")


async def _create(run: Run, names: TargetNames, source: Entry) -> Entry:
    control = _WORKSTATION | (int(source.text("userAccountControl") or 0) & DISABLED)
    attributes = {
        "objectClass": _CLASSES,
        **as_bytes({"sAMAccountName": names.sam, "userAccountControl": str(control)}),
        **copied(source, COMPUTER_ATTRIBUTES, _left_out(run)),
    }
    return await create(run, names.rdn, attributes)

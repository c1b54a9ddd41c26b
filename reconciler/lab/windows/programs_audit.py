"""auditpol.exe and gpupdate.exe: the effective audit policy, and the Group Policy that overrules it."""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.lab.windows.audit import (
    AUDIT_CSV_HEADER,
    CATEGORIES,
    FAILURE,
    SUBCATEGORIES,
    SUCCESS,
    Category,
    Subcategory,
)
from reconciler.lab.windows.contract import Process
from reconciler.lab.windows.files import DriveNotFound, NoSuchPath
from reconciler.lab.windows.machine import Machine
from reconciler.lab.windows.switches import Switches, read_switches

INVALID_PARAMETER = 0x57
PRIVILEGE_NOT_HELD = 0x522


@dataclass(frozen=True, slots=True)
class _Texts:
    """What auditpol says in one language."""

    header: str
    settings: tuple[str, str, str, str]
    done: str
    error: str
    reasons: dict[int, str]
    table: tuple[str, str]


_ENGLISH = _Texts(
    header="Machine Name,Policy Target,Subcategory,Subcategory GUID,Inclusion Setting,Exclusion Setting",
    settings=("No Auditing", "Success", "Failure", "Success and Failure"),
    done="The command was successfully executed.",
    error="Error 0x{code:08X} occurred:",
    reasons={
        INVALID_PARAMETER: "The parameter is incorrect.",
        PRIVILEGE_NOT_HELD: "A required privilege is not held by the client.",
        3: "The system cannot find the path specified.",
    },
    table=("System audit policy", "Category/Subcategory                      Setting"),
)
_GERMAN = _Texts(
    header="Computername,Richtlinienziel,Unterkategorie,Unterkategorie-GUID,Aufnahmeeinstellung,Ausschlusseinstellung",
    settings=("Keine Überwachung", "Erfolg", "Fehler", "Erfolg und Fehler"),
    done="Der Befehl wurde erfolgreich ausgeführt.",
    error="Fehler 0x{code:08X}:",
    reasons={
        INVALID_PARAMETER: "Falscher Parameter.",
        PRIVILEGE_NOT_HELD: "Dem Client fehlt ein erforderliches Recht.",
        3: "Das System kann den angegebenen Pfad nicht finden.",
    },
    table=("Systemüberwachungsrichtlinie", "Kategorie/Unterkategorie                  Einstellung"),
)


class _Failed(Exception):
    """The command fails with a Win32 code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


async def auditpol(process: Process) -> int:
    """Run auditpol.exe: /get, /set, /list and /backup."""
    machine: Machine = process.machine
    texts = _GERMAN if machine.locale == "de" else _ENGLISH
    switches = read_switches(process.arguments)
    actions = {"get": _get, "set": _set, "list": _list, "backup": _backup}
    action = actions.get(next(iter(switches.values), ""))
    try:
        if action is None or switches.words:
            raise _Failed(INVALID_PARAMETER)
        if not process.logon.is_administrator:
            raise _Failed(PRIVILEGE_NOT_HELD)
        action(process, switches, texts)
    except _Failed as failed:
        process.err(texts.error.format(code=failed.code))
        process.err(texts.reasons[failed.code])
        return failed.code
    return 0


def _get(process: Process, switches: Switches, texts: _Texts) -> None:
    machine: Machine = process.machine
    if switches.unknown(("get", "category", "subcategory", "r", "user")):
        raise _Failed(INVALID_PARAMETER)
    chosen = _chosen(switches, machine.locale)
    if "r" in switches:
        process.out("")
        process.out(texts.header)
        for one in chosen:
            setting = texts.settings[machine.audit.get(one.guid)]
            process.out(f"{machine.name},System,{_name(one, machine.locale)},{one.guid},{setting},")
        return
    for line in texts.table:
        process.out(line)
    category = ""
    for one in chosen:
        if one.category != category:
            category = one.category
            process.out(next(_name(known, machine.locale) for known in CATEGORIES if known.guid == category))
        process.out(f"  {_name(one, machine.locale):<40}{texts.settings[machine.audit.get(one.guid)]}")


def _set(process: Process, switches: Switches, texts: _Texts) -> None:
    machine: Machine = process.machine
    if switches.unknown(("set", "category", "subcategory", "success", "failure")):
        raise _Failed(INVALID_PARAMETER)
    wanted = {SUCCESS: switches.get("success"), FAILURE: switches.get("failure")}
    if all(word is None for word in wanted.values()):
        wanted[SUCCESS] = "enable"
    if any(word is not None and word.lower() not in ("enable", "disable") for word in wanted.values()):
        raise _Failed(INVALID_PARAMETER)
    for one in _chosen(switches, machine.locale):
        setting = machine.audit.get(one.guid)
        for bit, word in wanted.items():
            if word is not None:
                setting = setting | bit if word.lower() == "enable" else setting & ~bit
        machine.audit.set(one.guid, setting)
    process.out(texts.done)


def _list(process: Process, switches: Switches, texts: _Texts) -> None:
    del texts
    machine: Machine = process.machine
    if switches.unknown(("list", "category", "subcategory", "v", "r")):
        raise _Failed(INVALID_PARAMETER)
    rows: tuple[Category | Subcategory, ...] = CATEGORIES if "category" in switches else tuple(SUBCATEGORIES)
    for row in rows:
        name = _name(row, machine.locale)
        process.out(f"{name:<40}{row.guid}" if "v" in switches else name)


def _backup(process: Process, switches: Switches, texts: _Texts) -> None:
    machine: Machine = process.machine
    path = switches.get("file")
    if not path:
        raise _Failed(INVALID_PARAMETER)
    lines = [AUDIT_CSV_HEADER]
    for one in SUBCATEGORIES:
        setting = machine.audit.get(one.guid)
        name, shown = _name(one, machine.locale), texts.settings[setting]
        lines.append(f"{machine.name},System,{name},{one.guid},{shown},,{setting}")
    try:
        machine.files.write(path, "\r\n".join([*lines, ""]).encode("utf-8"))
    except (NoSuchPath, DriveNotFound, IsADirectoryError):
        raise _Failed(3) from None
    process.out(texts.done)


def _chosen(switches: Switches, locale: str) -> list[Subcategory]:
    """Return the subcategories that /category and /subcategory name, by GUID or by name in the host's language."""
    found: list[Subcategory] = []
    for asked in _split(switches.get("category")):
        guids = [one.guid for one in CATEGORIES if asked in ("*", one.guid.lower(), _name(one, locale).lower())]
        if not guids:
            raise _Failed(INVALID_PARAMETER)
        found += [one for one in SUBCATEGORIES if one.category in guids]
    for asked in _split(switches.get("subcategory")):
        matching = [one for one in SUBCATEGORIES if asked in ("*", one.guid.lower(), _name(one, locale).lower())]
        if not matching:
            raise _Failed(INVALID_PARAMETER)
        found += matching
    if not found:
        raise _Failed(INVALID_PARAMETER)
    return found


def _split(value: str | None) -> list[str]:
    return [] if value is None else [part.strip().strip('"').lower() for part in value.split(",")]


def _name(one: Category | Subcategory, locale: str) -> str:
    return one.german if locale == "de" else one.english


async def gpupdate(process: Process) -> int:
    """Run gpupdate.exe: apply what Group Policy defines, now."""
    machine: Machine = process.machine
    german = machine.locale == "de"
    switches = read_switches(process.arguments)
    target = (switches.get("target") or "").lower()
    if switches.words or switches.unknown(("target", "force", "wait")) or target not in ("", "computer", "user"):
        process.err("Ungültige Syntax." if german else "Invalid syntax.")
        return 1
    process.out("Die Richtlinie wird aktualisiert..." if german else "Updating policy...")
    process.out("")
    if target in ("", "computer"):
        machine.refresh_policy()
        process.out(
            "Die Aktualisierung der Computerrichtlinie wurde erfolgreich abgeschlossen."
            if german
            else "Computer Policy update has completed successfully."
        )
    if target in ("", "user"):
        process.out(
            "Die Aktualisierung der Benutzerrichtlinie wurde erfolgreich abgeschlossen."
            if german
            else "User Policy update has completed successfully."
        )
    process.out("")
    return 0


PROGRAMS = {"auditpol.exe": auditpol, "gpupdate.exe": gpupdate}

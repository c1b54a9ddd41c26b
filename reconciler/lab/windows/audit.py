"""The audit policy of a simulated host: subcategories by GUID, and the Group Policy file that overrules them."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from reconciler.lab.windows.files import Files

NONE, SUCCESS, FAILURE, BOTH = 0, 1, 2, 3

ACCOUNT_MANAGEMENT = "{6997984E-797A-11D9-BED3-505054503030}"
POLICIES = r"C:\Windows\SYSVOL\domain\Policies"
DEFAULT_DOMAIN_POLICY = "{31B2F340-016D-11D2-945F-00C04FB984F9}"
DEFAULT_CONTROLLERS_POLICY = "{6AC1786C-016F-11D2-945F-00C04fB984F9}"
AUDIT_CSV = rf"{POLICIES}\{DEFAULT_CONTROLLERS_POLICY}\MACHINE\Microsoft\Windows NT\Audit\audit.csv"
AUDIT_CSV_HEADER = (
    "Machine Name,Policy Target,Subcategory,Subcategory GUID,Inclusion Setting,Exclusion Setting,Setting Value"
)


@dataclass(frozen=True, slots=True)
class Subcategory:
    """One audit subcategory with its names in English and German."""

    guid: str
    category: str
    english: str
    german: str


@dataclass(frozen=True, slots=True)
class Category:
    """One audit category with its names in English and German."""

    guid: str
    english: str
    german: str


CATEGORIES = (
    Category("{69979848-797A-11D9-BED3-505054503030}", "System", "System"),
    Category("{69979849-797A-11D9-BED3-505054503030}", "Logon/Logoff", "An-/Abmeldung"),
    Category("{6997984D-797A-11D9-BED3-505054503030}", "Policy Change", "Richtlinienänderung"),
    Category(ACCOUNT_MANAGEMENT, "Account Management", "Kontenverwaltung"),
    Category("{6997984F-797A-11D9-BED3-505054503030}", "DS Access", "DS-Zugriff"),
    Category("{69979850-797A-11D9-BED3-505054503030}", "Account Logon", "Kontoanmeldung"),
)


def _sub(number: str, category: int, english: str, german: str) -> Subcategory:
    return Subcategory(f"{{0CCE9{number}-69AE-11D9-BED3-505054503030}}", CATEGORIES[category].guid, english, german)


SUBCATEGORIES = (
    _sub("210", 0, "Security State Change", "Sicherheitsstatusänderung"),
    _sub("212", 0, "System Integrity", "Systemintegrität"),
    _sub("215", 1, "Logon", "Anmelden"),
    _sub("216", 1, "Logoff", "Abmelden"),
    _sub("217", 1, "Account Lockout", "Kontosperrung"),
    _sub("22F", 2, "Audit Policy Change", "Richtlinienänderungen überwachen"),
    _sub("230", 2, "Authentication Policy Change", "Authentifizierungsrichtlinienänderung"),
    _sub("235", 3, "User Account Management", "Benutzerkontenverwaltung"),
    _sub("236", 3, "Computer Account Management", "Computerkontoverwaltung"),
    _sub("237", 3, "Security Group Management", "Sicherheitsgruppenverwaltung"),
    _sub("238", 3, "Distribution Group Management", "Verteilergruppenverwaltung"),
    _sub("239", 3, "Application Group Management", "Anwendungsgruppenverwaltung"),
    _sub("23A", 3, "Other Account Management Events", "Andere Kontoverwaltungsereignisse"),
    _sub("23B", 4, "Directory Service Access", "Verzeichnisdienstzugriff"),
    _sub("23C", 4, "Directory Service Changes", "Verzeichnisdienständerungen"),
    _sub("23F", 5, "Credential Validation", "Überprüfung der Anmeldeinformationen"),
    _sub("242", 5, "Kerberos Authentication Service", "Kerberos-Authentifizierungsdienst"),
)

BY_GUID = {one.guid: one for one in SUBCATEGORIES}


class AuditPolicy:
    """The effective setting of every subcategory, by upper-case GUID in braces."""

    def __init__(self, files: Files, changed: Callable[[], None]) -> None:
        self._files = files
        self._changed = changed
        self._settings = {one.guid: NONE for one in SUBCATEGORIES}

    def get(self, guid: str) -> int:
        """Return a subcategory's setting: bit 1 is success, bit 2 failure.

        Raises:
            KeyError: No such subcategory.
        """
        return self._settings[guid.upper()]

    def set(self, guid: str, setting: int) -> None:
        """Change a subcategory's setting; raises as ``get`` does."""
        self.get(guid)
        self._settings[guid.upper()] = setting & BOTH
        self._changed()

    def in_category(self, guid: str) -> list[Subcategory]:
        """Return the subcategories of a category, [] for an unknown one."""
        return [one for one in SUBCATEGORIES if one.category == guid.upper()]

    def covers(self, category: str, setting: int = BOTH) -> bool:
        """Return whether every subcategory of a category has at least ``setting`` switched on."""
        members = self.in_category(category)
        return bool(members) and all(self._settings[one.guid] & setting == setting for one in members)

    def refresh(self) -> list[str]:
        """Apply what Group Policy defines; return the GUIDs whose setting it changed."""
        moved = []
        for guid, setting in self._from_policy().items():
            if self._settings.get(guid, setting) != setting:
                self.set(guid, setting)
                moved.append(guid)
        return moved

    def _from_policy(self) -> dict[str, int]:
        item = self._files.item(AUDIT_CSV)
        if item is None or item.content is None:
            return {}
        wanted = {}
        for row in csv.DictReader(decoded(item.content).splitlines()):
            guid, setting = (row.get("Subcategory GUID") or "").upper(), row.get("Setting Value") or ""
            if guid in BY_GUID and setting.strip() in ("0", "1", "2", "3"):
                wanted[guid] = int(setting)
        return wanted

    def to_disk(self) -> dict[str, int]:
        """Return every setting as JSON can hold it."""
        return dict(self._settings)

    def from_disk(self, disk: Mapping[str, Any]) -> None:
        """Take every setting from what ``to_disk`` returned."""
        self._settings.update({guid: int(setting) for guid, setting in disk.items() if guid in BY_GUID})


def decoded(content: bytes) -> str:
    """Return text by its byte order mark; without one it is UTF-8, or the ANSI code page where that fails."""
    for mark, name in ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"), (b"\xef\xbb\xbf", "utf-8")):
        if content.startswith(mark):
            return content[len(mark) :].decode(name, "replace")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace")

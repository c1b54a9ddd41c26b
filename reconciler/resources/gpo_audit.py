"""What Group Policy says about auditing on a domain controller, so that a local change that cannot last is not made."""

from __future__ import annotations

import csv
import re
from typing import Literal

from msgspec import Struct

from reconciler.core.errors import UnexpectedAnswer
from reconciler.core.query import Command, Row, Rows, Search
from reconciler.core.values import Guid
from reconciler.resources.rows import number_or_none, text, text_or_none
from reconciler.resources.windows_values import ABSENT_PATH

Setting = Literal["none", "success", "failure", "both"]
SETTINGS: tuple[Setting, ...] = ("none", "success", "failure", "both")  # by their number: bit 0 success, bit 1 failure

# The second is where SYSVOL lies since a migration from FRS to DFSR.
_FOLDERS = (r"C:\Windows\SYSVOL\domain\Policies", r"C:\Windows\SYSVOL_DFSR\domain\Policies")
_FILE = r"*\Machine\Microsoft\Windows NT\Audit\audit.csv"
_POLICY = re.compile(r"\\Policies\\(\{[0-9A-Fa-f-]{36}\})\\", re.IGNORECASE)
_LINK = re.compile(r"\[LDAP://cn=(\{[0-9A-Fa-f-]{36}\}),[^;\]]*;(\d+)\]", re.IGNORECASE)
_LINK_DISABLED = 1
_COMPUTER_PART_DISABLED = 2


class Ruling(Struct, frozen=True):
    """A Group Policy object that sets a subcategory."""

    policy: Guid
    name: str
    subcategory: Guid
    setting: Setting


def file_queries(host: str) -> tuple[Command, ...]:
    """Ask a controller for every line of an advanced audit policy; elsewhere there is no such folder."""
    search = (("Pattern", "{0CCE92"), ("SimpleMatch", True))
    return tuple(
        Command(host, "Select-String", (("Path", rf"{folder}\{_FILE}"), *search), absent=ABSENT_PATH)
        for folder in _FOLDERS
    )


def directory_queries(domain: str) -> tuple[Search, Search]:
    """Ask for the policies of a domain, and for what is linked where it concerns the controllers."""
    containers = "(|(objectClass=domainDNS)(&(objectClass=organizationalUnit)(ou=Domain Controllers)))"
    return (
        Search(domain, "", "(objectClass=groupPolicyContainer)", ("cn", "displayName", "flags"), scope="subtree"),
        Search(domain, "", f"(&(gPLink=*){containers})", ("gPLink",), scope="subtree"),
    )


def rulings(lines: Rows, policies: Rows, containers: Rows) -> tuple[Ruling, ...]:
    """Return what the policies say that are linked and switched on; the arguments are the answers, in order."""
    links = {Guid(found[1]) for row in containers for found in _LINK.finditer(text(row, "gPLink")) if _counts(found[2])}
    names = {
        Guid(text(row, "cn")): text_or_none(row, "displayName") or text(row, "cn")
        for row in policies
        if not (number_or_none(row, "flags") or 0) & _COMPUTER_PART_DISABLED
    }
    found = (_ruling(row, names) for row in lines)
    return tuple(ruling for ruling in found if ruling is not None and ruling.policy in links and ruling.policy in names)


def _counts(options: str) -> bool:
    return not int(options) & _LINK_DISABLED


def _ruling(row: Row, names: dict[Guid, str]) -> Ruling | None:
    path, line = text(row, "Path"), text(row, "Line")
    hit = _POLICY.search(path)
    columns = next(csv.reader([line]), [])
    if len(columns) > 1 and columns[1].upper().startswith("S-1-"):
        return None  # of one user, not of the host
    try:
        if hit is None:
            raise ValueError(path)
        policy, setting = Guid(hit[1]), SETTINGS[int(columns[-1])]
        return Ruling(policy, names.get(policy, hit[1]), Guid(columns[3]), setting)
    except (ValueError, IndexError):
        raise UnexpectedAnswer(f"a line of an audit policy cannot be read: {line!r}", where=path) from None

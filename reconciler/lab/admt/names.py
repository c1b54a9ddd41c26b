"""What a migrated object is called and which of its attributes come along. Nothing here asks a directory."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reconciler.lab.admt.errors import AccountRefused
from reconciler.lab.admt.include_file import Included
from reconciler.lab.windows.accounts import sid_text
from reconciler.lab.windows.contract import DomainFacts, Entry

DISABLED = 0x2
NORMAL_ACCOUNT = 0x200
DONT_EXPIRE_PASSWORD = 0x10000
SMARTCARD_REQUIRED = 0x40000
# DONT_EXPIRE_PASSWORD, SMARTCARD_REQUIRED, NOT_DELEGATED, DONT_REQ_PREAUTH
_KEPT_FLAGS = DONT_EXPIRE_PASSWORD | SMARTCARD_REQUIRED | 0x100000 | 0x400000

# Attributes of the base schema. Not in it: mail and proxyAddresses (excluded by default), and what is never migrated:
# objectGUID, objectSid, pwdLastSet, member, manager, managedBy, legacyExchangeDN ... [peters.com, facts 1.9]
USER_ATTRIBUTES = (
    "accountExpires",
    "businessCategory",
    "c",
    "co",
    "codePage",
    "comment",
    "company",
    "countryCode",
    "department",
    "description",
    "displayName",
    "division",
    "employeeID",
    "employeeNumber",
    "employeeType",
    "facsimileTelephoneNumber",
    "generationQualifier",
    "givenName",
    "homeDirectory",
    "homeDrive",
    "homePhone",
    "info",
    "initials",
    "ipPhone",
    "l",
    "logonHours",
    "middleName",
    "mobile",
    "otherFacsimileTelephoneNumber",
    "otherHomePhone",
    "otherIpPhone",
    "otherMobile",
    "otherPager",
    "otherTelephone",
    "pager",
    "personalTitle",
    "physicalDeliveryOfficeName",
    "postalAddress",
    "postalCode",
    "postOfficeBox",
    "preferredLanguage",
    "profilePath",
    "roomNumber",
    "scriptPath",
    "sn",
    "st",
    "street",
    "streetAddress",
    "telephoneNumber",
    "title",
    "url",
    "userParameters",
    "userWorkstations",
    "wWWHomePage",
)
GROUP_ATTRIBUTES = ("description", "displayName", "info")
# The machine itself writes its DNS name, service names and operating system when it has joined. [K]
COMPUTER_ATTRIBUTES = ("description", "displayName", "info", "location")
NEEDED = (
    "objectSid",
    "objectClass",
    "sAMAccountName",
    "userPrincipalName",
    "userAccountControl",
    "groupType",
    "isCriticalSystemObject",
    "member",
    "memberOf",
    "dNSHostName",
)

_ILLEGAL = re.compile(r'["*+,/:;<=>?\[\\\]|]')
_FIRST_RDN = re.compile(r"(?:\\.|[^,\\])+")
_FIRST_FREE_RID = 1000


@dataclass(frozen=True, slots=True)
class TargetNames:
    """The names of one object in the target domain; ``rdn`` is escaped, with ``CN=``."""

    rdn: str
    sam: str
    upn: str


def sanitised(name: str) -> str:
    """Replace what a SAM account name or UPN may not hold. [cc974359]"""
    cleaned = _ILLEGAL.sub("_", name)
    return cleaned[:-1] + "_" if cleaned.endswith(".") else cleaned


def first_rdn(dn: str) -> str:
    """Return the first component of a DN, escaped as it stands there."""
    found = _FIRST_RDN.match(dn)
    return found[0] if found else dn


def target_names(included: Included, source: Entry, target: DomainFacts) -> TargetNames:
    """Return what an object is to be called.

    Raises:
        AccountRefused: The include file asks for an RDN that is none.
    """
    source_sam = source.text("sAMAccountName") or ""
    sam = expected_sam(included, source)
    if included.name:
        return TargetNames(f"CN={escape_rdn(included.name)}", sam, f"{sam}@{target.dns}")
    if included.rdn and not re.match(r"CN=.", included.rdn, re.IGNORECASE):
        raise AccountRefused(f"The relative distinguished name '{included.rdn}' is not valid.")
    prefix, at, suffix = (included.upn or (source.text("userPrincipalName") or "").partition("@")[0]).rpartition("@")
    upn = f"{sanitised(prefix)}@{suffix}" if at else f"{sanitised(suffix or source_sam)}@{target.dns}"
    return TargetNames(included.rdn or first_rdn(source.dn), sam, upn)


def expected_sam(included: Included, source: Entry) -> str:
    """Return the SAM account name that an object is to have."""
    return sanitised(included.name or included.sam or source.text("sAMAccountName") or "")


def escape_rdn(value: str) -> str:
    """Escape a value for use inside a DN (RFC 4514)."""
    escaped = re.sub(r'([,+"\\<>;=])', r"\\\1", value)
    if escaped.startswith(("#", " ")):
        escaped = "\\" + escaped
    return escaped[:-1] + "\\ " if escaped.endswith(" ") else escaped


def unescape_rdn(value: str) -> str:
    """Return the plain value of an escaped RDN without its ``CN=``."""
    raw = re.sub(r"\\([0-9a-fA-F]{2})", lambda found: chr(int(found[1], 16)), value)
    return re.sub(r"\\(.)", r"\1", raw)


def copied(source: Entry, attributes: Sequence[str], excluded: str) -> dict[str, list[bytes]]:
    """Return the attributes that come along; ``excluded`` is ``*`` or a comma-separated list."""
    left_out = {name.strip().lower() for name in excluded.split(",")}
    if "*" in left_out:
        return {}
    return {name: source.all(name) for name in attributes if name.lower() not in left_out and source.all(name)}


def flags(source: Entry, *, enabled: bool) -> int:
    """Return the userAccountControl of a migrated account."""
    kept = int(source.text("userAccountControl") or 0) & _KEPT_FLAGS
    return NORMAL_ACCOUNT | kept | (0 if enabled else DISABLED)


def is_disabled(entry: Entry) -> bool:
    """Return whether an account is disabled."""
    return bool(int(entry.text("userAccountControl") or 0) & DISABLED)


def must_change_password(source: Entry) -> bool:
    """Return whether a copied password must be changed at the next logon. [cc974435]"""
    return not int(source.text("userAccountControl") or 0) & (DONT_EXPIRE_PASSWORD | SMARTCARD_REQUIRED)


def object_sid(entry: Entry) -> str:
    """Return an object's SID as text."""
    return sid_text(entry.all("objectSid")[0])


def is_built_in(entry: Entry) -> bool:
    """Return whether an object is one that cannot be migrated. [cc772776]"""
    sid = object_sid(entry)
    critical = (entry.text("isCriticalSystemObject") or "").upper() == "TRUE"
    return critical or sid.startswith("S-1-5-32-") or int(sid.rpartition("-")[2]) < _FIRST_FREE_RID


def as_bytes(values: Mapping[str, str]) -> dict[str, list[bytes]]:
    """Return text attributes as a directory takes them."""
    return {name: [value.encode("utf-8")] for name, value in values.items()}

"""What LDAP answers mean, as our errors. Pure."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterable, Mapping
from typing import Any

from ldap3.core.results import RESULT_CODES

from reconciler.core.errors import AuthenticationFailed, Refused, Stale, Unreachable, WorldError
from reconciler.core.steps import AddEntry, AttributeChange, DeleteEntry, ModifyEntry
from reconciler.edge.accounts import Account
from reconciler.edge.ldap_ber import Result

NO_SUCH_ATTRIBUTE = 16
ATTRIBUTE_OR_VALUE_EXISTS = 20
NO_SUCH_OBJECT = 32
INVALID_CREDENTIALS = 49
BUSY = 51
UNAVAILABLE = 52
UNWILLING_TO_PERFORM = 53
ENTRY_ALREADY_EXISTS = 68

# Win32 logon errors, as `data` in the diagnostic message of a failed bind.
LOGON_ERRORS = {
    "525": "the user is not known",
    "52e": "the username or the password is wrong",
    "52f": "an account restriction forbids it",
    "530": "the account may not log on at this time",
    "531": "the account may not log on from this computer",
    "532": "the password has expired",
    "533": "the account is disabled",
    "51f": "no logon server is available for the account",
    "568": "the account is in too many groups",
    "701": "the account has expired",
    "773": "the password must be changed before the first logon",
    "775": "the account is locked out",
}
_DATA = re.compile(r"\bdata ([0-9a-f]+)\b", re.IGNORECASE)


def logon_problem(message: str) -> str:
    """Say in words what the diagnostic message of a failed bind means; empty where it has no known code."""
    found = _DATA.search(message)
    return LOGON_ERRORS.get(found[1].lower(), "") if found else ""


def not_opened(domain: str, controller: str, address: str, error: BaseException) -> Unreachable:
    """Return the error for a connection that was never made."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return Unreachable(
            f"the certificate of {controller} is not accepted: {error.verify_message}",
            target=domain,
            where=f"{controller} ({address})",
            do="check `ca` of the domain, and that the certificate is valid and made for this name; nothing was sent",
        )
    return Unreachable(f"no LDAP connection to {controller}: {error}", target=domain, where=f"{controller} ({address})")


def not_bound(domain: str, controller: str, account: Account, result: Mapping[str, Any]) -> WorldError:
    """Return the error for a bind that was answered with anything but success."""
    code, name, message = result["result"], result["description"], text_of(result)
    if code == INVALID_CREDENTIALS:
        problem = logon_problem(message) or message or name
        return AuthenticationFailed(
            f"{controller} does not accept the credential '{account.name}' ({account.username}): {problem}",
            target=domain,
            do=f"check `credentials.{account.name}`",
        )
    if code in (BUSY, UNAVAILABLE):
        return Unreachable(f"{controller} is not ready: {name} {message}".rstrip(), target=domain)
    return Refused(f"{controller} refused the bind: {name} {message}".rstrip(), target=domain, code=name)


def lost(domain: str, controller: str, what: str, error: BaseException, *, sent: bool) -> Unreachable:
    """Return the error for a connection that broke in the middle."""
    do = "whether it was carried out is not known; it is read again before anything is repeated" if sent else ""
    return Unreachable(f"the connection to {controller} broke: {error}", target=domain, where=what, do=do, sent=sent)


def read_refused(domain: str, base: str, result: Mapping[str, Any]) -> Refused:
    """Return the error for a search that failed."""
    return Refused(
        f"the directory refused a search: {result['description']} {text_of(result)}".rstrip(),
        target=domain,
        where=base or domain,
        code=str(result["description"]),
    )


def described(result: Result) -> Mapping[str, Any]:
    """Return a result as ldap3 says it."""
    name = RESULT_CODES.get(result.code, f"result {result.code}")
    return {"result": result.code, "description": name, "message": result.message}


def write_refused(effect: AddEntry | ModifyEntry | DeleteEntry, result: Mapping[str, Any]) -> WorldError:
    """Return the error for a write that was answered with anything but success."""
    code, name = int(result["result"]), str(result["description"])
    if code in (BUSY, UNAVAILABLE):
        return Unreachable(
            f"the directory is not ready: {name} {text_of(result)}".rstrip(), target=effect.domain, where=effect.dn
        )
    what = f"the directory refused to {effect}: {name} {text_of(result)}".rstrip()
    if isinstance(effect, ModifyEntry) and is_stale(effect.changes, code, text_of(result)):
        return Stale(what, target=effect.domain, where=effect.dn, code=name)
    return Refused(what, target=effect.domain, where=effect.dn, code=name)


def is_stale(changes: Iterable[AttributeChange], code: int, text: str = "") -> bool:
    """Return whether a failed modify says that the object no longer is what was observed.

    A controller answers 16 or 20 where the old value is gone or the new one is there already. For `member` it may say
    68 (already a member) and 53 (not a member) instead. Samba says 68 also where it fails to make a foreign security
    principal for a ``<SID=...>``; its text then begins with the entry, and observing again would not help.
    """
    changes = tuple(changes)
    if code in (NO_SUCH_ATTRIBUTE, ATTRIBUTE_OR_VALUE_EXISTS):
        return any(change.operation in ("add", "delete") for change in changes)
    of_members = {change.operation for change in changes if change.attribute.lower() == "member"}
    return (code == ENTRY_ALREADY_EXISTS and "add" in of_members and not text.startswith("Entry ")) or (
        code == UNWILLING_TO_PERFORM and "delete" in of_members
    )


def text_of(result: Mapping[str, Any]) -> str:
    """Return the diagnostic message without its trailing NUL and line ends."""
    return " ".join(str(result.get("message") or "").replace("\0", "").split())

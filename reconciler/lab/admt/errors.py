"""Why ADMT refuses a run or gives up on one account, in the words that the documentation quotes."""

from __future__ import annotations

from reconciler.lab.windows.contract import DirectoryRefused

# System error texts: learn.microsoft.com "System Error Codes", 8200-8999 and 1300-1999.
ACCESS_DENIED = 5
INVALID_HANDLE = 6
LOGON_FAILURE = 1326
DOMAIN_NOT_FOUND = 1355
NO_SUCH_ALIAS = 1376
MEMBER_IN_ALIAS = 1378
RPC_UNAVAILABLE = 1722
TRUST_FAILURE = 1788
DESTINATION_AUDITING = 8536
NO_SOURCE_CONTROLLER = 8537
SID_EXISTS = 8539
CLASS_MISMATCH = 8540
SOURCE_AUDITING = 8552
NOT_ON_DESTINATION = 8558

TEXT = {
    ACCESS_DENIED: "Access is denied.",
    INVALID_HANDLE: "The handle is invalid",
    LOGON_FAILURE: "The user name or password is incorrect.",
    DOMAIN_NOT_FOUND: "The specified domain either does not exist or could not be contacted.",
    NO_SUCH_ALIAS: "The specified local group does not exist.",
    MEMBER_IN_ALIAS: "The specified account name is already a member of the group.",
    RPC_UNAVAILABLE: "The RPC server is unavailable.",
    TRUST_FAILURE: "The trust relationship between the primary domain and the trusted domain failed.",
    DESTINATION_AUDITING: "The operation requires that destination domain auditing be enabled.",
    NO_SOURCE_CONTROLLER: "The operation couldn't locate a DC for the source domain.",
    SID_EXISTS: "The source object's SID already exists in destination forest.",
    CLASS_MISMATCH: "The source and destination object must be of the same type.",
    SOURCE_AUDITING: "The operation requires that source domain auditing be enabled.",
    NOT_ON_DESTINATION: "For security reasons, the operation must be run on the destination DC.",
}

_SIDS = "Could not verify auditing and TcpipClientSupport on domains. Will not be able to migrate Sid's."
_SESSION = "Unable to establish a session with the password export server."

# LDAP result codes that mean "you may not", as the directory gives them.
_FORBIDDEN = frozenset({8, 49, 50})


class UsageRefused(Exception):
    """The command line is not one that ADMT accepts."""


class RunRefused(Exception):
    """The run does not start; nothing was changed."""

    def __init__(self, text: str, number: int = 9800) -> None:
        super().__init__(text)
        self.text = text
        self.number = number


class AccountRefused(Exception):
    """One account could not be migrated, or not completely."""


class CopyRefused(Exception):
    """One password could not be copied."""


def coded(code: int) -> str:
    """Return a system error with its number, as ADMT prints it."""
    return f"{TEXT[code].rstrip('.')} (Error code = {code})."


def sids_refused(code: int) -> RunRefused:
    """Return the refusal of a run that would migrate SIDs.

    Access denied and the missing local group are quoted without a number, everything else with one.

    Source: KB322970.
    """
    text = TEXT[code] if code in (ACCESS_DENIED, NO_SUCH_ALIAS) else coded(code)
    return RunRefused(f"{_SIDS} {text}")


def session_refused(text: str) -> RunRefused:
    """Return the refusal of a run that would copy passwords.

    Source: KB322981, KB4089459.
    """
    return RunRefused(f"{_SESSION} {text}", 9802)


def reason(error: DirectoryRefused | OSError) -> str:
    """Say what a directory's refusal is called on Windows."""
    if isinstance(error, OSError):
        return TEXT[RPC_UNAVAILABLE]
    if error.code in _FORBIDDEN:
        return TEXT[ACCESS_DENIED]
    return f"{error.text} (LDAP result {error.code})"

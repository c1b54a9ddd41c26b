"""Why a migrated account cannot log on, and what to do about it: by Kerberos error, or by the error of an LDAP bind.

Sources: RFC 4120, section 7.5.9, for what the errors mean; Win32 logon errors as in MS-ERREF. What follows from them for an
account that ADMT has just made is background knowledge where no other source is named.
"""

from __future__ import annotations

from collections.abc import Mapping

_UNKNOWN = (
    "the domain does not know the account: ADMT did not make it, or the controller that answered has not got it yet. "
    "List the controller that runs ADMT first under `controllers` of the target domain"
)
_WRONG = (
    "the password in the target is not that of the source: ADMT left a random one (WRN 7557: look at its log, at RestrictAnonymous, and at the "
    "Pre-Windows 2000 Compatible Access group of the target), or a password filter of the target changed it"
)
_EXPIRED = (
    "the password would have to be changed first: ADMT demands that after a copy, and pwdLastSet could not be set; "
    "or the target's policy holds it for too old"
)
_REVOKED = "the account is disabled, locked or expired in the target: look at DISABLEOPTION of ADMT's run and at the lockout policy"
_POLICY = "a policy of the target forbids it: logon hours, workstations, an authentication silo, or Protected Users"
_ETYPE = (
    "no kind of encryption that both sides know: a copied password brings a key for RC4 alone until it is changed. Allow RC4 in the target for the "
    "time of the migration, or plan for a password change"
)
_SKEW = "the clocks differ by more than five minutes: set the time on this machine and on the target's controllers"
_UNREACHABLE = "no controller of the target answered: open port 88 to them from this machine, and check `nameservers` or `controllers` of the target"
_BUSY = "a controller of the target is not ready: apply again"

_ADVICE: Mapping[str, str] = {
    "KDC_ERR_C_PRINCIPAL_UNKNOWN": _UNKNOWN,
    "KDC_ERR_WRONG_REALM": _UNKNOWN,
    "KDC_ERR_PREAUTH_FAILED": _WRONG,
    "KRB_AP_ERR_BAD_INTEGRITY": _WRONG,
    "KDC_ERR_KEY_EXPIRED": _EXPIRED,
    "KDC_ERR_CLIENT_REVOKED": _REVOKED,
    "KDC_ERR_CLIENT_NOTYET": _REVOKED,
    "KDC_ERR_NULL_KEY": "the account has no password in the target: the operator may not set one there",
    "KDC_ERR_POLICY": _POLICY,
    "KDC_ERR_ETYPE_NOSUPP": _ETYPE,
    "KRB_AP_ERR_SKEW": _SKEW,
    "KDC_ERR_SVC_UNAVAILABLE": _BUSY,
    "unreachable": _UNREACHABLE,
    "525": _UNKNOWN,
    "52e": _WRONG,
    "52f": _POLICY,
    "530": _POLICY,
    "531": _POLICY,
    "532": _EXPIRED,
    "773": _EXPIRED,
    "533": _REVOKED,
    "701": _REVOKED,
    "775": _REVOKED,
    "51f": _BUSY,
}


def advice(code: str) -> str:
    """Say what to do; empty where nobody knows."""
    return _ADVICE.get(code, "")

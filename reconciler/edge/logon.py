"""Whether a domain lets an account in: by Kerberos where its library is installed, else by a bind inside TLS. Nothing is kept of it."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec.structs import replace
from pydantic import SecretStr

from reconciler.core.errors import AuthenticationFailed, Unreachable, WorldError
from reconciler.core.query import Rows
from reconciler.edge.accounts import Account
from reconciler.edge.ldap_connection import Door, connect
from reconciler.edge.ldap_errors import LOGON_ERRORS

UNREACHABLE = "unreachable"
"""The code where nothing answered."""
_NOBODY = "no server of the domain answered"

# RFC 4120, section 7.5.9; the numbers are those of MIT Kerberos: -1765328384 and the RFC's.
_NAMES: Mapping[int, str] = {
    6: "KDC_ERR_C_PRINCIPAL_UNKNOWN",
    9: "KDC_ERR_NULL_KEY",
    12: "KDC_ERR_POLICY",
    14: "KDC_ERR_ETYPE_NOSUPP",
    18: "KDC_ERR_CLIENT_REVOKED",
    21: "KDC_ERR_CLIENT_NOTYET",
    23: "KDC_ERR_KEY_EXPIRED",
    24: "KDC_ERR_PREAUTH_FAILED",
    29: "KDC_ERR_SVC_UNAVAILABLE",
    31: "KRB_AP_ERR_BAD_INTEGRITY",
    37: "KRB_AP_ERR_SKEW",
    68: "KDC_ERR_WRONG_REALM",
    154: UNREACHABLE,  # KRB5_REALM_UNKNOWN: nobody knows where to ask
    156: UNREACHABLE,  # KRB5_KDC_UNREACH
}
_FIRST = -1765328384


def by_kerberos_possible() -> bool:
    """Return whether the package is there, which is in the extra ``kerberos``."""
    return importlib.util.find_spec("krb5") is not None


def by_kerberos(principal: str, password: SecretStr) -> Rows:
    """Ask a KDC of the domain for a ticket, and throw it away; the realms were declared before."""
    import krb5

    context = krb5.init_context()
    name = krb5.parse_name_flags(context, principal.encode())
    options = krb5.get_init_creds_opt_alloc(context)
    try:
        krb5.get_init_creds_password(context, name, options, password=password.get_secret_value().encode())
    except krb5.Krb5Error as error:
        return _row("kerberos", _kerberos_code(error), " ".join(str(error).split()))
    return _row("kerberos")


def _kerberos_code(error: Any) -> str:
    number = int(error.err_code) - _FIRST
    return _NAMES.get(number, f"Kerberos error {error.err_code}")


def by_bind(doors: Iterator[Door | Unreachable], account: Account) -> Rows:
    """Bind to the first controller that answers, with the password, inside TLS."""
    for door in doors:
        if isinstance(door, Unreachable):
            continue
        try:
            connection = connect(replace(door, auth="simple"), account)
        except Unreachable:
            continue
        except AuthenticationFailed as error:
            return _row("ldap", _ldap_code(error), error.what)
        except WorldError as error:
            return _row("ldap", "refused", error.what)
        connection.unbind()
        return _row("ldap")
    return _row("ldap", UNREACHABLE, _NOBODY)


def _ldap_code(error: AuthenticationFailed) -> str:
    return next((code for code, said in LOGON_ERRORS.items() if error.what.endswith(said)), "refused")


def _row(way: str, code: str = "", message: str = "") -> Rows:
    return ({"way": way, "code": code, "message": message},)

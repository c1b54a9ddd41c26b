"""What goes wrong between us and a Windows host, as our errors. Pure."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from msgspec import Struct

from reconciler.core.errors import AuthenticationFailed, Refused, UnexpectedAnswer, Unreachable, WorldError

if TYPE_CHECKING:
    from pypsrp.exceptions import WSManFaultError

SHELL_NOT_FOUND = 2150858843
ACCESS_DENIED = 5
NO_SUCH_CONFIGURATION = 2150858811
TOO_MANY_SHELLS = 2150859173
QUOTA = (TOO_MANY_SHELLS, 2150859174)
NATIVE_ERRORS = ("NativeCommandError", "NativeCommandErrorMessage")

# The host answered before it looked at the message: it did not run.
_NOT_TAKEN = (400, 401, 403, 404, 405, 408, 429, 502, 503)


class Failure(Struct, frozen=True):
    """One error record of a command, without secrets."""

    code: str
    text: str

    @classmethod
    def of(cls, record: object, scrub: Callable[[str], str]) -> Failure:
        """Read an ErrorRecord of pypsrp."""
        code = str(getattr(record, "fq_error", None) or "").partition(",")[0]
        return cls(code, scrub(" ".join(str(record).split())))


def refused(failures: Iterable[Failure], host: str, what: str) -> Refused:
    """Return the error for a command that wrote to its error stream."""
    failures = tuple(failures)
    texts = list(dict.fromkeys(failure.text or failure.code for failure in failures))
    more = f" (and {len(texts) - 3} more)" if len(texts) > 3 else ""
    return Refused("; ".join(texts[:3]) + more, target=host, where=f"{host}: {what}", code=failures[0].code)


def transport_error(error: BaseException, host: str, *, sent: bool) -> WorldError:
    """Return our error for one raised by pypsrp or below it.

    Args:
        sent: Whether the command may have reached the host by the time of the error.
    """
    import requests
    from pypsrp.exceptions import AuthenticationError, WinRMError, WinRMTransportError, WSManFaultError

    causes = tuple(_causes(error))
    if (
        certificate := next((cause for cause in causes if isinstance(cause, ssl.SSLCertVerificationError)), None)
    ) is not None:
        return Unreachable(
            f"the certificate of '{host}' is not accepted: {certificate.verify_message}",
            target=host,
            do="check `ca` of its domain, and that the certificate is valid and made for the host's DNS name; nothing was sent",
        )
    if isinstance(error, AuthenticationError):
        return AuthenticationFailed(
            f"'{host}' does not accept the credential", target=host, do="check the credential of the host or its domain"
        )
    if isinstance(error, WSManFaultError):
        return _fault(error, host, sent=sent)
    if isinstance(error, WinRMTransportError):
        return Unreachable(
            f"'{host}' answers HTTP {error.code}", target=host, sent=sent and error.code not in _NOT_TAKEN
        )
    if isinstance(error, requests.RequestException):
        never = isinstance(error, requests.ConnectTimeout) or any(
            type(cause).__name__ == "NewConnectionError" for cause in causes
        )
        return Unreachable(f"no answer from '{host}': {_short(error)}", target=host, sent=sent and not never)
    if _is_of(error, "spnego", "krb5", "gssapi"):
        return _no_logon(error, host)
    if isinstance(error, WinRMError | OSError):
        return Unreachable(f"the session with '{host}' broke: {_short(error)}", target=host, sent=sent)
    return UnexpectedAnswer(
        f"the answer of '{host}' cannot be read: {type(error).__name__}: {_short(error)}", target=host
    )


def _fault(error: WSManFaultError, host: str, *, sent: bool) -> WorldError:
    reason = " ".join(str(error.reason or error.provider_fault or "").split())
    if error.code == SHELL_NOT_FOUND:
        return Unreachable(
            f"'{host}' no longer knows the session (it was restarted, or the session idled)", target=host, sent=sent
        )
    if error.code == ACCESS_DENIED:
        return AuthenticationFailed(
            f"'{host}' does not let this credential use the session configuration: {reason}",
            target=host,
            do="use an administrator, or a `configuration` that the account may use",
        )
    if error.code == NO_SUCH_CONFIGURATION:
        return Refused(
            f"'{host}' does not have this session configuration: {reason}",
            target=host,
            code=str(error.code),
            do="check `winrm.configuration`",
        )
    if error.code in QUOTA:
        return Refused(
            f"'{host}' has too many sessions open: {reason}",
            target=host,
            code=str(error.code),
            do="wait until idle ones time out",
        )
    return Unreachable(f"'{host}' broke off the session: {reason or error.code}", target=host, sent=sent)


def _no_logon(error: BaseException, host: str) -> WorldError:
    text = _short(error)
    if "Cannot contact any KDC" in text or "Cannot find KDC" in text:
        return Unreachable(
            f"no Kerberos server answers for '{host}': {text}",
            target=host,
            do="check `nameservers` or `controllers` of its domain",
        )
    return AuthenticationFailed(
        f"no logon at '{host}': {text}", target=host, do="check the credential, and `winrm.auth` of the host"
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Walk everything that an exception carries: requests and urllib3 wrap theirs in arguments and in `reason`."""
    seen: set[int] = set()
    waiting: list[object] = [error]
    while waiting:
        found = waiting.pop(0)
        if not isinstance(found, BaseException) or id(found) in seen:
            continue
        seen.add(id(found))
        yield found
        waiting += [*found.args, getattr(found, "reason", None), found.__cause__, found.__context__]


def _is_of(error: BaseException, *packages: str) -> bool:
    return any(kind.__module__.partition(".")[0] in packages for kind in type(error).__mro__)


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__

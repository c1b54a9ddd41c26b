"""Set-ADObject, for what it is needed: taking single SIDs out of sIDHistory, which Windows allows and Samba refuses over LDAP. [KB322970]

Error ids and texts of "not found" and "insufficient rights" are as people have posted them; those of the other errors are background
knowledge. [K]
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from typing import Any, NoReturn

from reconciler.lab.windows.access import may_write
from reconciler.lab.windows.accounts import sid_bytes, sid_text
from reconciler.lab.windows.contract import Call, Cmdlet, DirectoryRefused, Entry, Parameter
from reconciler.lab.windows.failures import AUTOMATION
from reconciler.lab.windows.machine import Machine
from reconciler.lab.windows.trusts import is_domain

SID_HISTORY = "sIDHistory"
# schemaIDGUID of sIDHistory and the property set that it is in, General Information. [AD schema, SID-History]
_GUIDS = frozenset({"17eb4278-d167-11d0-b002-0000f80367c1", "59ba2f42-79a2-11d0-9020-00c04fc2d3cf"})
_GUID = re.compile(r"\{?[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\}?")
_MANAGEMENT = "Microsoft.ActiveDirectory.Management."
_NO_SUCH_OBJECT, _INVALID_DN = 32, 34
_ACCESS_DENIED, _NO_SUCH_VALUE, _INSUFFICIENT_RIGHTS = 5, 8202, 8344


async def set_object(call: Call) -> None:
    """Set-ADObject: take SIDs out of sIDHistory, all of those named or none; nobody may put any in."""
    machine: Machine = call.machine
    identity = str(call.arguments["Identity"])
    if not _is_here(machine, call.arguments.get("Server")):
        _server_down(call)
    _only_history(call)
    found = await _found(machine, identity)
    if found is None:
        _not_found(call, identity)
    if _given(call, "Add") or _given(call, "Replace"):
        _refused(call, "System.UnauthorizedAccessException", "Access is denied", _ACCESS_DENIED)
    present = [sid_text(value) for value in found.all(SID_HISTORY)]
    wanted = present if call.arguments.get("Clear") else _sids(call)
    if not any(may_write(one, call.logon.sids, _GUIDS) for one in found.all("nTSecurityDescriptor")):
        text = "Insufficient access rights to perform the operation"
        _refused(call, _MANAGEMENT + "ADException", text, _INSUFFICIENT_RIGHTS)
    if set(wanted) - set(present):
        text = "The specified directory service attribute or value does not exist"
        _refused(call, _MANAGEMENT + "ADException", text, _NO_SUCH_VALUE)
    if wanted and not call.what_if:
        await machine.directory.remove_sid_history(found.dn, wanted)


async def _found(machine: Machine, identity: str) -> Entry | None:
    """Return the object of a DN or an objectGUID, with what decides about it."""
    base = f"<GUID={identity.strip('{}')}>" if _GUID.fullmatch(identity) else identity
    wanted = (SID_HISTORY, "nTSecurityDescriptor", "objectClass")
    try:
        rows = await machine.directory.search(base, "base", "(objectClass=*)", wanted)
    except DirectoryRefused as refused:
        if refused.code in (_NO_SUCH_OBJECT, _INVALID_DN):
            return None
        raise
    return rows[0] if rows else None


def _is_here(machine: Machine, server: object) -> bool:
    """Tell whether a name means this controller: a session has no credential for another one."""
    name = str(server or "").lower()
    return name in ("", "localhost", machine.fqdn.lower(), machine.name.lower()) or is_domain(machine.facts, name)


def _only_history(call: Call) -> None:
    """End the statement where it is about attributes that are not simulated, or about nothing."""
    names = {str(name) for parameter in ("Add", "Remove", "Replace") for name in _given(call, parameter)}
    names |= set(call.arguments.get("Clear") or ())
    others = sorted(name for name in names if name.lower() != SID_HISTORY.lower())
    if others:
        text = f"The simulator's Set-ADObject knows {SID_HISTORY} only, not: {', '.join(others)}."
        raise call.throw(
            AUTOMATION + "PSNotImplementedException", text, "SimulatorAttributeNotSupported", "NotImplemented"
        )


def _given(call: Call, parameter: str) -> Mapping[Any, Any]:
    return call.arguments.get(parameter) or {}


def _sids(call: Call) -> list[str]:
    """Return the SIDs to remove, in the canonical form."""
    given = [
        value
        for values in _given(call, "Remove").values()
        for value in (values if isinstance(values, list) else [values])
    ]
    try:
        return [sid_text(sid_bytes(str(value))) for value in given]
    except (ValueError, OverflowError, struct.error):
        _not_a_sid(call)


def _not_a_sid(call: Call) -> NoReturn:
    exception, text = "System.ArgumentException", "Value was invalid.\nParameter name: sddlForm"
    raise call.throw(
        exception, text, f"ActiveDirectoryCmdlet:{exception}", "InvalidArgument", call.arguments["Identity"]
    )


def _not_found(call: Call, identity: str) -> NoReturn:
    exception = _MANAGEMENT + "ADIdentityNotFoundException"
    raise call.throw(
        exception, "Directory object not found", f"ActiveDirectoryCmdlet:{exception}", "ObjectNotFound", identity
    )


def _server_down(call: Call) -> NoReturn:
    text = (
        "Unable to contact the server. This may be because this server does not exist, it is currently down, "
        "or it does not have the Active Directory Web Services running."
    )
    raise call.throw(_MANAGEMENT + "ADServerDownException", text, "ActiveDirectoryServer:0", "ResourceUnavailable")


def _refused(call: Call, exception: str, text: str, code: int) -> NoReturn:
    category = "PermissionDenied" if code == _ACCESS_DENIED else "NotSpecified"
    raise call.throw(exception, text, f"ActiveDirectoryServer:{code}", category, call.arguments["Identity"])


CMDLETS = (
    Cmdlet(
        "Set-ADObject",
        (
            Parameter("Identity", position=0, mandatory=True, from_pipeline=True),
            Parameter("Add", "dictionary"),
            Parameter("Remove", "dictionary"),
            Parameter("Replace", "dictionary"),
            Parameter("Clear", "strings"),
            Parameter("Server"),
        ),
        set_object,
        class_name=_MANAGEMENT + "Commands.SetADObject",
    ),
)

"""Cmdlets for local groups: Get-LocalGroup, Get-, Add- and Remove-LocalGroupMember."""

from __future__ import annotations

from fnmatch import fnmatchcase

from reconciler.lab.windows.accounts import NoSuchAccount, find_account, sid_bytes
from reconciler.lab.windows.contract import Call, Cmdlet, DirectoryRefused, Parameter
from reconciler.lab.windows.failures import missing_parameter
from reconciler.lab.windows.localgroups import (
    AlreadyMember,
    LocalGroup,
    Member,
    NoSuchGroup,
    NotMember,
    add_member,
    all_groups,
    find_group,
    members_of,
    remove_member,
)
from reconciler.lab.windows.machine import Machine
from reconciler.lab.winrm.records import Record, enum_value, net_object

_COMMANDS = "Microsoft.PowerShell.Commands."
_SOURCE = _COMMANDS + "PrincipalSource"
_DOMAIN_SIDS = ("S-1-5-21-",)


async def get_group(call: Call) -> None:
    """Get-LocalGroup: all of them, by name with wildcards, or by SID."""
    machine: Machine = call.machine
    groups = await all_groups(machine)
    names, sids = call.arguments.get("Name"), call.arguments.get("SID")
    for asked in sids or names or ["*"]:
        found = [one for one in groups if (one.sid == asked if sids else fnmatchcase(one.name.lower(), asked.lower()))]
        for group in found:
            call.output(_group_object(group))
        if not found and not any(sign in asked for sign in "*?["):
            _group_missing(call, asked)


async def get_member(call: Call) -> None:
    """Get-LocalGroupMember: the direct members."""
    group = await _group(call)
    if group is None:
        return
    wanted = call.arguments.get("Member")
    members = await members_of(call.machine, group)
    for member in members:
        names = (member.name.lower(), member.name.rpartition("\\")[2].lower(), member.sid.lower())
        if not wanted or any(fnmatchcase(name, wanted.lower()) for name in names):
            call.output(_member_object(member))


async def add(call: Call) -> None:
    """Add-LocalGroupMember: each member on its own; one that fails does not keep the others out."""
    machine: Machine = call.machine
    group = await _group(call)
    for asked in call.arguments["Member"] if group is not None else ():
        try:
            principal = await find_account(machine, asked)
        except NoSuchAccount:
            _principal_missing(call, asked)
            continue
        if call.what_if or group is None or not _allowed(call, group):
            continue
        try:
            await add_member(machine, group, principal)
        except AlreadyMember:
            text = f"{principal.account} is already a member of group {group.name}."
            call.error(_COMMANDS + "MemberExistsException", text, "MemberExists", "ResourceExists", group.name)
        except DirectoryRefused as refused:
            _refused(call, group, refused)


async def remove(call: Call) -> None:
    """Remove-LocalGroupMember: each member on its own."""
    machine: Machine = call.machine
    group = await _group(call)
    for asked in call.arguments["Member"] if group is not None else ():
        try:
            sid = (await find_account(machine, asked)).sid
        except NoSuchAccount:
            if not asked.upper().startswith("S-1-"):
                _principal_missing(call, asked)
                continue
            sid = asked.upper()  # somebody who is no more, or whose domain is out of reach
        if call.what_if or group is None or not _allowed(call, group):
            continue
        try:
            await remove_member(machine, group, sid)
        except NotMember:
            text = f"Member {asked} was not found in group {group.name}."
            call.error(_COMMANDS + "MemberNotFoundException", text, "MemberNotFound", "ObjectNotFound", group.name)
        except DirectoryRefused as refused:
            _refused(call, group, refused)


async def _group(call: Call) -> LocalGroup | None:
    name, sid = call.arguments.get("Group") or call.arguments.get("Name"), call.arguments.get("SID")
    if not name and not sid:
        missing_parameter(call, "Group")
    try:
        return await find_group(call.machine, str(name or ""), str(sid or ""))
    except NoSuchGroup:
        _group_missing(call, str(name or sid))
        return None


def _group_missing(call: Call, asked: str) -> None:
    exception = _COMMANDS + "GroupNotFoundException"
    call.error(exception, f"Group {asked} was not found.", "GroupNotFound", "ObjectNotFound", asked)


def _principal_missing(call: Call, asked: str) -> None:
    exception = _COMMANDS + "PrincipalNotFoundException"
    call.error(exception, f"Principal {asked} was not found.", "PrincipalNotFound", "ObjectNotFound", asked)


def _allowed(call: Call, group: LocalGroup) -> bool:
    if not call.logon.is_administrator:
        exception = _COMMANDS + "AccessDeniedException"
        call.error(exception, "Access denied.", "AccessDenied", "PermissionDenied", group.name)
    return call.logon.is_administrator


def _refused(call: Call, group: LocalGroup, refused: DirectoryRefused) -> None:
    exception = _COMMANDS + "LocalAccountsException"
    call.error(exception, f"An unspecified error occurred: {refused}", "UnspecifiedError", "NotSpecified", group.name)


def _group_object(group: LocalGroup) -> Record:
    return net_object(
        (_COMMANDS + "LocalGroup", _COMMANDS + "LocalPrincipal"),
        text=group.name,
        Description=group.description,
        Name=group.name,
        SID=_sid_object(group.sid),
        PrincipalSource=enum_value(_SOURCE, "Local", 1),
        ObjectClass="Group",
    )


def _member_object(member: Member) -> Record:
    domain = member.sid.startswith(_DOMAIN_SIDS)
    source = enum_value(_SOURCE, "ActiveDirectory", 2) if domain else enum_value(_SOURCE, "Unknown", 0)
    return net_object(
        (_COMMANDS + "LocalPrincipal",),
        text=member.name,
        Name=member.name,
        SID=_sid_object(member.sid),
        PrincipalSource=source,
        ObjectClass="Group" if member.is_group else "User",
    )


def _sid_object(sid: str) -> Record:
    domain = sid.rpartition("-")[0] if sid.startswith(_DOMAIN_SIDS) else None
    return net_object(
        ("System.Security.Principal.SecurityIdentifier", "System.Security.Principal.IdentityReference"),
        text=sid,
        BinaryLength=len(sid_bytes(sid)),
        AccountDomainSid=domain,
        Value=sid,
    )


_GROUP = (
    Parameter("Group", position=0),
    Parameter("Name"),
    Parameter("SID"),
)
_MEMBERS = Parameter("Member", "strings", position=1, mandatory=True, from_pipeline=True)

CMDLETS = (
    Cmdlet(
        "Get-LocalGroup",
        (Parameter("Name", "strings", position=0, from_pipeline=True), Parameter("SID", "strings")),
        get_group,
        aliases=("glg",),
    ),
    Cmdlet("Get-LocalGroupMember", (*_GROUP, Parameter("Member", position=1)), get_member, aliases=("glgm",)),
    Cmdlet("Add-LocalGroupMember", (*_GROUP, _MEMBERS), add, aliases=("algm",)),
    Cmdlet("Remove-LocalGroupMember", (*_GROUP, _MEMBERS), remove, aliases=("rlgm",)),
)

"""All kinds in one place: the union that a state file is validated against, and the way back from the journal."""

from __future__ import annotations

from functools import cache
from typing import Annotated

from pydantic import Field, TypeAdapter

from reconciler.core.errors import JournalError
from reconciler.core.ports import Json
from reconciler.core.resource import Resource
from reconciler.resources.ad_access import Access
from reconciler.resources.ad_accounts import Accounts
from reconciler.resources.ad_canary import Canary
from reconciler.resources.ad_group import Group
from reconciler.resources.ad_group_member import GroupMember
from reconciler.resources.ad_memberships import Memberships
from reconciler.resources.ad_sid_history_removal import SidHistoryRemoval
from reconciler.resources.ad_trust import Trust
from reconciler.resources.admt_leftovers import Leftovers
from reconciler.resources.pes_key import PesKey
from reconciler.resources.pes_key_import import PesKeyImport
from reconciler.resources.win_audit_policy import AuditPolicy
from reconciler.resources.win_directory import Directory
from reconciler.resources.win_file import File
from reconciler.resources.win_local_group_member import LocalGroupMember
from reconciler.resources.win_registry import Registry
from reconciler.resources.win_restart import HostRestart
from reconciler.resources.win_service import Service
from reconciler.resources.win_software import Software

AnyResource = Annotated[
    Access
    | Accounts
    | Canary
    | Group
    | GroupMember
    | Memberships
    | SidHistoryRemoval
    | Trust
    | Leftovers
    | PesKey
    | PesKeyImport
    | AuditPolicy
    | Directory
    | File
    | LocalGroupMember
    | Registry
    | HostRestart
    | Service
    | Software,
    Field(discriminator="kind"),
]

KINDS: dict[str, type[Resource]] = {
    cls.model_fields["kind"].default: cls
    for cls in (
        Access,
        Accounts,
        Canary,
        Group,
        GroupMember,
        Memberships,
        SidHistoryRemoval,
        Trust,
        Leftovers,
        PesKey,
        PesKeyImport,
        AuditPolicy,
        Directory,
        File,
        LocalGroupMember,
        Registry,
        HostRestart,
        Service,
        Software,
    )
}


@cache
def _adapter() -> TypeAdapter[Resource]:
    return TypeAdapter(AnyResource)  # as much work as half of the models above: only who reads a journal pays it


def revive(written: Json) -> Resource:
    """Turn a resource from the journal back into one.

    Raises:
        JournalError: This version cannot read it.
    """
    try:
        return _adapter().validate_python(dict(written))
    except ValueError as error:
        raise JournalError(
            f"the journal holds a resource that this version cannot read: {written.get('kind')}",
            do=f"use the version that wrote it\n{error}",
        ) from error

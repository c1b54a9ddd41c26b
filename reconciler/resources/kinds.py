"""All kinds in one place: the union that a state file is validated against, and the way back from the journal.

A kind is imported when it is first met: a state file names a few of them, and building all their models takes longer than to check
a thousand accounts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache, reduce
from importlib import import_module
from operator import or_
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from reconciler.core.errors import JournalError
from reconciler.core.ports import Json
from reconciler.core.resource import Resource
from reconciler.resources.late import Late

_PLACES = {
    "ad.access": "ad_access:Access",
    "ad.accounts": "ad_accounts:Accounts",
    "ad.canary": "ad_canary:Canary",
    "ad.group": "ad_group:Group",
    "ad.group_member": "ad_group_member:GroupMember",
    "ad.memberships": "ad_memberships:Memberships",
    "ad.sid_history_removal": "ad_sid_history_removal:SidHistoryRemoval",
    "ad.trust": "ad_trust:Trust",
    "admt.leftovers": "admt_leftovers:Leftovers",
    "pes.key": "pes_key:PesKey",
    "pes.key_import": "pes_key_import:PesKeyImport",
    "win.audit_policy": "win_audit_policy:AuditPolicy",
    "win.directory": "win_directory:Directory",
    "win.file": "win_file:File",
    "win.local_group_member": "win_local_group_member:LocalGroupMember",
    "win.registry": "win_registry:Registry",
    "win.restart": "win_restart:HostRestart",
    "win.service": "win_service:Service",
    "win.software": "win_software:Software",
}
"""Module in this package, and class, of each kind."""


class _Kinds(Mapping[str, type[Resource]]):
    """The class of each kind."""

    def __getitem__(self, kind: str) -> type[Resource]:
        return _imported(_PLACES[kind])

    def __iter__(self) -> Iterator[str]:
        return iter(_PLACES)

    def __len__(self) -> int:
        return len(_PLACES)


@cache
def _imported(place: str) -> type[Resource]:
    module, _, name = place.partition(":")
    found: type[Resource] = getattr(import_module(f"reconciler.resources.{module}"), name)
    return found


KINDS: Mapping[str, type[Resource]] = _Kinds()


def _of_its_kind(value: object) -> object | None:
    """Validate a resource by its kind alone; None where it is none, or is wrong: what is wrong is told by the union of all."""
    kind = value.get("kind") if isinstance(value, dict) else getattr(value, "kind", None)
    if not isinstance(kind, str) or kind not in _PLACES:
        return None
    try:
        return KINDS[kind].model_validate(value)
    except ValidationError:
        return None


def _any_kind() -> TypeAdapter[Any]:
    every: Any = reduce(or_, KINDS.values())
    return TypeAdapter(Annotated[every, Field(discriminator="kind")])


_RESOURCE = Late(_any_kind, _of_its_kind)
AnyResource = Annotated[Resource, _RESOURCE]


def revive(written: Json) -> Resource:
    """Turn a resource from the journal back into one.

    Raises:
        JournalError: This version cannot read it.
    """
    try:
        found = _RESOURCE.validate(dict(written))
    except ValueError as error:
        raise JournalError(
            f"the journal holds a resource that this version cannot read: {written.get('kind')}",
            do=f"use the version that wrote it\n{error}",
        ) from error
    assert isinstance(found, Resource)
    return found

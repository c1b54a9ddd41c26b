"""Whether a token holds the *Migrate SID History* right on a domain, read from the domain's security descriptor."""

from __future__ import annotations

from winacl.dtyp.ace import AceFlags, ACEType
from winacl.dtyp.security_descriptor import SECURITY_DESCRIPTOR

from reconciler.lab.windows.contract import Directory

MIGRATE_SID_HISTORY = "ba33815a-4f93-4c76-87f3-57574bff8109"

_CONTROL_ACCESS = 0x100
_DOMAIN_ADMINS = 512
_ALLOW = ACEType.ACCESS_ALLOWED_OBJECT_ACE_TYPE
_DENY = ACEType.ACCESS_DENIED_OBJECT_ACE_TYPE


async def may_migrate_sid_history(directory: Directory, token: frozenset[str]) -> bool:
    """Return whether a token may add SIDs to accounts of this domain.

    DSADD hard-codes Domain Admins; since Windows Server 2003 the right can be delegated on the domain object
    [KB322970]. Only an entry that names the right counts here: BUILTIN\\Administrators, who hold every extended right
    by the default descriptor, are not enough, because the sources that were read do not agree about them.
    """
    if f"{directory.facts.sid}-{_DOMAIN_ADMINS}" in token:
        return True
    rows = await directory.search(directory.facts.base_dn, "base", "(objectClass=*)", ("nTSecurityDescriptor",))
    stored = rows[0].all("nTSecurityDescriptor") if rows else []
    return bool(stored) and names_right(stored[0], token)


def names_right(descriptor: bytes, token: frozenset[str]) -> bool:
    """Return what the first entry says that names the right and a SID of the token, in the order of the list."""
    dacl = SECURITY_DESCRIPTOR.from_bytes(descriptor).Dacl
    for ace in dacl.aces if dacl is not None else ():
        if ace.AceType not in (_ALLOW, _DENY) or ace.AceFlags & AceFlags.INHERIT_ONLY_ACE:
            continue
        if str(ace.ObjectType or "").lower() != MIGRATE_SID_HISTORY or not int(ace.Mask) & _CONTROL_ACCESS:
            continue
        if str(ace.Sid) in token:
            return bool(ace.AceType == _ALLOW)
    return False

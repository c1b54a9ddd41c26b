"""Whether a token may write an attribute of a directory object, read from the object's security descriptor."""

from __future__ import annotations

from winacl.dtyp.ace import AceFlags, ACEType
from winacl.dtyp.security_descriptor import SECURITY_DESCRIPTOR

_WRITE_PROPERTY, _GENERIC_WRITE, _GENERIC_ALL = 0x20, 0x40000000, 0x10000000
_ALLOW = (ACEType.ACCESS_ALLOWED_ACE_TYPE, ACEType.ACCESS_ALLOWED_OBJECT_ACE_TYPE)
_DENY = (ACEType.ACCESS_DENIED_ACE_TYPE, ACEType.ACCESS_DENIED_OBJECT_ACE_TYPE)


def may_write(descriptor: bytes, token: frozenset[str], attribute: frozenset[str]) -> bool:
    """Return what the first entry says that is about writing the attribute, and about somebody in the token.

    Args:
        attribute: The attribute's schemaIDGUID and that of its property set, in lower case without braces.
    """
    dacl = SECURITY_DESCRIPTOR.from_bytes(descriptor).Dacl
    for ace in dacl.aces if dacl is not None else ():
        if ace.AceType not in (*_ALLOW, *_DENY) or ace.AceFlags & AceFlags.INHERIT_ONLY_ACE:
            continue
        about = str(getattr(ace, "ObjectType", None) or "").lower()
        if about and about not in attribute:
            continue
        if int(ace.Mask) & (_WRITE_PROPERTY | _GENERIC_WRITE | _GENERIC_ALL) and str(ace.Sid) in token:
            return ace.AceType in _ALLOW
    return False

"""What the Samba half of a bridge does about sIDHistory: write it, take it away, and make tokens really carry the old SIDs.

Samba never puts sIDHistory into a token. It does put in the SID of every group, so a universal group whose SID *is* the old one,
with the migrated account as its only member, has the effect that history has on Windows: a shadow.

Imported by samba_side.py in the system's Python; imports nothing of ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ldb
from samba.dcerpc import security
from samba.ndr import ndr_pack

UNIVERSAL_SECURITY_GROUP = "-2147483640"
NO_SUCH_OBJECT = 32


def add(sam: Any, dn: str, sid: str, *, honoured: bool) -> bool:
    """Write an old SID; False where another object has it."""
    if sam.search(sam.domain_dn(), ldb.SCOPE_SUBTREE, f"(sIDHistory={sid})", ["cn"]):
        return False
    with _transaction(sam):
        _modify(sam, dn, [sid], ldb.FLAG_MOD_ADD)
        _shadow(sam, sid, dn if honoured else None)
    return True


def remove(sam: Any, dn: str, sids: list[str]) -> None:
    """Take old SIDs away, and out of tokens."""
    with _transaction(sam):
        _modify(sam, dn, sids, ldb.FLAG_MOD_DELETE)
        for sid in sids:
            if _found(sam, _name(sam, sid)):
                sam.delete(_name(sam, sid))


def honour(sam: Any, *, honoured: bool) -> int:
    """Let the old SIDs into tokens, or keep them out as SID filtering does; return how many changed."""
    changed = 0
    for one in sam.search(sam.domain_dn(), ldb.SCOPE_SUBTREE, "(sIDHistory=*)", ["sIDHistory"]):
        for packed in one["sIDHistory"]:
            changed += _shadow(sam, sid_text(packed), str(one.dn) if honoured else None)
    return changed


def sid_text(packed: bytes) -> str:
    """Return a binary SID as S-1-..."""
    revision, count = packed[0], packed[1]
    parts = [str(int.from_bytes(packed[8 + 4 * n : 12 + 4 * n], "little")) for n in range(count)]
    return "-".join(["S", str(revision), str(int.from_bytes(packed[2:8], "big")), *parts])


@contextmanager
def _transaction(sam: Any) -> Iterator[None]:
    """Do several things or none."""
    sam.transaction_start()
    try:
        yield
    except BaseException:
        sam.transaction_cancel()
        raise
    sam.transaction_commit()


def _modify(sam: Any, dn: str, sids: list[str], how: int) -> None:
    message = ldb.Message(ldb.Dn(sam, dn))
    message["h"] = ldb.MessageElement([ndr_pack(security.dom_sid(sid)) for sid in sids], how, "sIDHistory")
    sam.modify(message)


def _name(sam: Any, sid: str) -> str:
    return f"CN=sidhist-{sid},CN=System,{sam.domain_dn()}"


def _found(sam: Any, name: str) -> Any:
    try:
        return sam.search(name, ldb.SCOPE_BASE, attrs=["member"])
    except ldb.LdbError as error:
        if error.args[0] != NO_SUCH_OBJECT:
            raise
        return []


def _shadow(sam: Any, sid: str, member: str | None) -> bool:
    """Bring the group that stands for an old SID in line; return whether anything changed."""
    name = _name(sam, sid)
    wanted = [member.encode()] if member is not None else []
    found = _found(sam, name)
    if found:
        present = [bytes(value) for value in found[0]["member"]] if "member" in found[0] else []
        if present == wanted:
            return False
        change = ldb.Message(found[0].dn)
        change["m"] = ldb.MessageElement(wanted, ldb.FLAG_MOD_REPLACE, "member")
        sam.modify(change)
        return True
    group = {
        "dn": name,
        "objectClass": "group",
        "sAMAccountName": f"sh-{sid.split('-', 4)[-1]}",
        "groupType": UNIVERSAL_SECURITY_GROUP,
        "objectSid": ndr_pack(security.dom_sid(sid)),
        "showInAdvancedViewOnly": "TRUE",
    }
    sam.add({**group, "member": wanted} if wanted else group, controls=["relax:0"])
    return True

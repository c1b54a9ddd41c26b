"""The half of a bridge that can import samba: one domain's directory, with the rights of whoever owns its files.

Started as ``/usr/bin/python3 samba_side.py <smb.conf>``. One JSON line in, one out, in order; byte values travel as
base64. It ends when its stdin does. Imports nothing of ours.
"""

from __future__ import annotations

import json
import os
import sys
import time
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any

import ldb
import samba
from samba import NTSTATUSError, WERRORError, auth, param, werror
from samba.dcerpc import security
from samba.ndr import ndr_pack
from samba.samdb import SamDB

sys.path.append(str(Path(__file__).parent))  # last, so that nothing here stands in front of the system's modules
import samba_rpc  # type: ignore[import-not-found]

BYPASS_PASSWORD_HASH = "local_oid:1.3.6.1.4.1.7165.4.3.12:0"
ALL_PARTITIONS = "search_options:1:2"  # Everyone and its like stand in the configuration partition
IN_CHAIN = "1.2.840.113556.1.4.1941"
NT_EPOCH_SECONDS = 11644473600
UNIVERSAL_SECURITY_GROUP = "-2147483640"
SCOPES = {"base": ldb.SCOPE_BASE, "one": ldb.SCOPE_ONELEVEL, "sub": ldb.SCOPE_SUBTREE}
OPERATIONS = {"add": ldb.FLAG_MOD_ADD, "replace": ldb.FLAG_MOD_REPLACE, "delete": ldb.FLAG_MOD_DELETE}
NO_SUCH_OBJECT, INVALID_CREDENTIALS, INSUFFICIENT_RIGHTS, EXISTS, OTHER = 32, 49, 50, 68, 80

Arguments = dict[str, Any]


class Refused(Exception):
    """An answer that is an error; ``code`` is an LDAP result code."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class Side:
    """Every public method is an operation; it takes and returns JSON-ready values."""

    def __init__(self, smb_conf: str) -> None:
        self._lp = param.LoadParm()
        self._lp.load(smb_conf)
        url = self._lp.private_path("sam.ldb")
        self._sam = SamDB(url=url, session_info=auth.system_session(self._lp), lp=self._lp)

    def search(self, base: str, scope: str, where: str, attributes: list[str]) -> list[Any]:
        found = self._sam.search(base, SCOPES[scope], where or None, attributes or ["*"])
        return [[str(one.dn), {name: _encoded(one[name]) for name in one if name != "dn"}] for one in found]

    def add(self, dn: str, attributes: Arguments) -> None:
        message = ldb.Message(ldb.Dn(self._sam, dn))
        for name, values in attributes.items():
            message[name] = ldb.MessageElement(_decoded(values), ldb.FLAG_MOD_ADD, name)
        self._sam.add(message)

    def modify(self, dn: str, changes: list[Any]) -> None:
        message = ldb.Message(ldb.Dn(self._sam, dn))
        for number, (attribute, operation, values) in enumerate(changes):
            # Two changes of one attribute are two elements; the key only has to be different.
            message[str(number)] = ldb.MessageElement(_decoded(values), OPERATIONS[operation], attribute)
        self._sam.modify(message)

    def delete(self, dn: str) -> None:
        self._sam.delete(dn)

    def token_sids(self, dn: str) -> list[str]:
        flags = auth.AUTH_SESSION_INFO_DEFAULT_GROUPS | auth.AUTH_SESSION_INFO_AUTHENTICATED
        if not self._sam.search(dn, ldb.SCOPE_BASE, attrs=["objectSid"]):
            raise Refused(NO_SUCH_OBJECT, f"no such account: {dn}")
        session = auth.user_session(self._sam, lp_ctx=self._lp, dn=ldb.Dn(self._sam, dn), session_info_flags=flags)
        return [str(sid) for sid in session.security_token.sids]

    def foreign_token_sids(self, sids: list[str]) -> list[str]:
        """Add what foreignSecurityPrincipals, and SIDs of ours in somebody's history, are members of."""
        result = set(sids)
        for sid in sids:
            for one in self._sam.search(
                "", ldb.SCOPE_SUBTREE, f"(objectSid={sid})", ["objectSid"], controls=[ALL_PARTITIONS]
            ):
                dn = ldb.binary_encode(str(one.dn))
                groups = self._sam.search(
                    self._sam.domain_dn(), ldb.SCOPE_SUBTREE, f"(member:{IN_CHAIN}:={dn})", ["objectSid"]
                )
                result.update(_sid(group["objectSid"][0]) for group in groups)
        return sorted(result)

    def add_sid_history(self, dn: str, sid: str, honoured: bool) -> None:
        """Write sIDHistory, and make tokens really carry the old SID.

        Samba never puts sIDHistory into a token. It does put in the SID of every group, so a universal group whose SID
        *is* the old one, with the migrated account as its only member, has the effect that history has on Windows.
        """
        holders = self._sam.search(self._sam.domain_dn(), ldb.SCOPE_SUBTREE, f"(sIDHistory={sid})", ["cn"])
        if holders:
            raise Refused(EXISTS, f"{sid} is already in the history of {holders[0].dn}")
        message = ldb.Message(ldb.Dn(self._sam, dn))
        message["h"] = ldb.MessageElement(ndr_pack(security.dom_sid(sid)), ldb.FLAG_MOD_ADD, "sIDHistory")
        self._sam.transaction_start()
        try:
            self._sam.modify(message)
            self._shadow(sid, dn if honoured else None)
        except BaseException:
            self._sam.transaction_cancel()
            raise
        self._sam.transaction_commit()

    def honour_history(self, honoured: bool) -> int:
        """Let the old SIDs into tokens, or keep them out as SID filtering does; return how many changed."""
        changed = 0
        for one in self._sam.search(self._sam.domain_dn(), ldb.SCOPE_SUBTREE, "(sIDHistory=*)", ["sIDHistory"]):
            for packed in one["sIDHistory"]:
                changed += self._shadow(_sid(packed), str(one.dn) if honoured else None)
        return changed

    def write_password(self, dn: str, nt_hash: str, supplemental: str | None, must_change: bool) -> None:
        message = ldb.Message(ldb.Dn(self._sam, dn))
        now = int((time.time() + NT_EPOCH_SECONDS) * 10_000_000)
        values = {
            "unicodePwd": [b64decode(nt_hash)],
            # Without new ones the old AES keys must go, or the old password would keep working for Kerberos.
            "supplementalCredentials": [b64decode(supplemental)] if supplemental else [],
            "pwdLastSet": ["0" if must_change else str(now)],
        }
        for name, value in values.items():
            message[name] = ldb.MessageElement(value, ldb.FLAG_MOD_REPLACE, name)
        self._sam.modify(message, controls=[BYPASS_PASSWORD_HASH])

    def random_password(self, dn: str, must_change: bool) -> None:
        password = samba.generate_random_password(24, 32)
        message = ldb.Message(ldb.Dn(self._sam, dn))
        quoted = f'"{password}"'.encode("utf-16-le")
        message["p"] = ldb.MessageElement(quoted, ldb.FLAG_MOD_REPLACE, "unicodePwd")
        self._sam.modify(message)
        if must_change:
            late = ldb.Message(ldb.Dn(self._sam, dn))
            late["s"] = ldb.MessageElement("0", ldb.FLAG_MOD_REPLACE, "pwdLastSet")
            self._sam.modify(late)

    def create_trust(
        self, partner: dict[str, str], direction: int, attributes: int, incoming: str, outgoing: str
    ) -> None:
        """Create our half of a trust by LSA, as the system; needs the controller to run."""
        if not self._trust(partner["dns"]):
            self._drop_trust_account(partner["netbios"])  # an orphan would make LSA say that the domain exists
        secrets = (b64decode(incoming), b64decode(outgoing))
        samba_rpc.create_trust(self._lp, partner, direction, attributes, secrets)

    def set_trust(self, partner: str, attributes: int | None, direction: int | None) -> None:
        """Change a trustedDomain in place; neither LDAP nor LSA would allow most of it."""
        found = self._trust(partner)
        if not found:
            raise Refused(NO_SUCH_OBJECT, f"no trust with {partner}")
        message = ldb.Message(found[0].dn)
        for name, value in (("trustAttributes", attributes), ("trustDirection", direction)):
            if value is not None:
                message[name] = ldb.MessageElement(str(value), ldb.FLAG_MOD_REPLACE, name)
        if len(message):
            self._sam.modify(message)

    def delete_trust(self, partner: str) -> None:
        """Remove the trustedDomain and the account that belongs to it."""
        found = self._trust(partner)
        if not found:
            raise Refused(NO_SUCH_OBJECT, f"no trust with {partner}")
        self._sam.delete(found[0].dn)
        self._drop_trust_account(str(found[0]["flatName"]))

    def read_secrets(
        self, address: str, controller: str, username: str, domain: str, realm: str, password: str, dn: str
    ) -> list[str | None]:
        """Replicate one account from another controller with the given person's rights; NTLM at home, else Kerberos."""
        account = {"username": username, "domain": domain, "realm": realm, "password": password}
        found = samba_rpc.replicate_secrets(self._lp, address, controller, account, dn)
        if found is None:
            raise Refused(NO_SUCH_OBJECT, f"no such account, or it has no password: {dn}")
        return [b64encode(value).decode() if value is not None else None for value in found]

    def _shadow(self, sid: str, member: str | None) -> bool:
        """Bring the group that stands for an old SID in line; return whether anything changed."""
        name = f"CN=sidhist-{sid},CN=System,{self._sam.domain_dn()}"
        wanted = [member.encode()] if member is not None else []
        found = self._sam.search(
            f"CN=System,{self._sam.domain_dn()}", ldb.SCOPE_ONELEVEL, f"(cn=sidhist-{sid})", ["member"]
        )
        if found:
            present = [bytes(value) for value in found[0]["member"]] if "member" in found[0] else []
            if present == wanted:
                return False
            change = ldb.Message(found[0].dn)
            change["m"] = ldb.MessageElement(wanted, ldb.FLAG_MOD_REPLACE, "member")
            self._sam.modify(change)
            return True
        group = {
            "dn": name,
            "objectClass": "group",
            "sAMAccountName": f"sh-{sid.split('-', 4)[-1]}",
            "groupType": UNIVERSAL_SECURITY_GROUP,
            "objectSid": ndr_pack(security.dom_sid(sid)),
            "showInAdvancedViewOnly": "TRUE",
        }
        self._sam.add({**group, "member": wanted} if wanted else group, controls=["relax:0"])
        return True

    def _trust(self, partner: str) -> Any:
        return self._sam.search(
            f"CN=System,{self._sam.domain_dn()}", ldb.SCOPE_ONELEVEL,
            f"(&(objectClass=trustedDomain)(trustPartner={ldb.binary_encode(partner)}))", ["flatName"],
        )  # fmt: skip

    def _drop_trust_account(self, netbios: str) -> None:
        name = ldb.binary_encode(f"{netbios}$")
        for account in self._sam.search(
            f"CN=Users,{self._sam.domain_dn()}", ldb.SCOPE_ONELEVEL,
            f"(&(sAMAccountName={name})(sAMAccountType=805306370))", ["cn"],
        ):  # fmt: skip
            self._sam.delete(account.dn)


def _sid(packed: bytes) -> str:
    revision, count = packed[0], packed[1]
    parts = [str(int.from_bytes(packed[8 + 4 * n : 12 + 4 * n], "little")) for n in range(count)]
    return "-".join(["S", str(revision), str(int.from_bytes(packed[2:8], "big")), *parts])


def _encoded(values: Any) -> list[str]:
    return [b64encode(bytes(value)).decode() for value in values]


def _decoded(values: list[str]) -> list[bytes]:
    return [b64decode(value) for value in values]


def _refusal(error: Exception) -> tuple[int, str]:
    """Translate Samba's own errors; names are matched because the numbers differ between the two families."""
    if isinstance(error, Refused):
        return error.code, error.text
    if isinstance(error, ldb.LdbError):
        return int(error.args[0]), str(error.args[1])
    text = str(error.args[1]) if len(error.args) > 1 else str(error)
    if isinstance(error, WERRORError):
        if error.args[0] in (werror.WERR_DS_DRA_ACCESS_DENIED, werror.WERR_ACCESS_DENIED):
            return INSUFFICIENT_RIGHTS, text
        if error.args[0] in (werror.WERR_DS_DRA_BAD_DN, werror.WERR_DS_OBJ_NOT_FOUND):
            return NO_SUCH_OBJECT, text
    status = error.args[0] & 0xFFFFFFFF if error.args and isinstance(error.args[0], int) else 0
    codes = {
        0xC000006D: INVALID_CREDENTIALS,  # logon failure
        0xC0000064: INVALID_CREDENTIALS,  # no such user
        0xC000005E: INVALID_CREDENTIALS,  # no logon servers
        0xC0000022: INSUFFICIENT_RIGHTS,  # access denied
        0xC0000035: EXISTS,  # object name collision
        0xC00000DC: EXISTS,  # invalid server state
        0xC00000DD: EXISTS,  # invalid domain state
        0xC00000E0: EXISTS,
        0xC00000DE: EXISTS,  # domain exists
    }
    return codes.get(status, OTHER), text


def main() -> None:
    """Serve until stdin ends. What Samba prints goes to stderr, never between the answers."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    side = Side(sys.argv[1])
    for line in sys.stdin:
        request = json.loads(line)
        answer: dict[str, Any] = {"id": request["id"]}
        try:
            answer["value"] = getattr(side, request["operation"])(**request["arguments"])
        except (Refused, ldb.LdbError, NTSTATUSError, WERRORError, RuntimeError) as error:
            answer["refused"] = _refusal(error)
        except Exception as error:
            answer["refused"] = (OTHER, f"{type(error).__name__}: {error}")
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()

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
from samba.samdb import SamDB

sys.path.append(str(Path(__file__).parent))  # last, so that nothing here stands in front of the system's modules
import samba_history  # type: ignore[import-not-found]
import samba_rpc  # type: ignore[import-not-found]

VANISH_LINKS = "local_oid:1.3.6.1.4.1.7165.4.3.29:0"
BYPASS_PASSWORD_HASH = "local_oid:1.3.6.1.4.1.7165.4.3.12:0"
ALL_PARTITIONS = "search_options:1:2"  # Everyone and its like stand in the configuration partition
IN_CHAIN = "1.2.840.113556.1.4.1941"
NT_EPOCH_SECONDS = 11644473600
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
        self._replicas: dict[str, Any] = {}

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

    def forget_members(self, dn: str) -> None:
        """Delete the links to former members for good; Samba keeps them as tombstones and reads all of them at each change."""
        found = self._sam.search(dn, ldb.SCOPE_BASE, attrs=["member"], controls=["reveal_internals:0"])
        if (
            not found
            or "member" not in found[0]
            or "member" in self._sam.search(dn, ldb.SCOPE_BASE, attrs=["member"])[0]
        ):
            return
        message = ldb.Message(found[0].dn)
        message["m"] = ldb.MessageElement([], ldb.FLAG_MOD_DELETE, "member")
        self._sam.modify(message, controls=[VANISH_LINKS])

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
                result.update(samba_history.sid_text(group["objectSid"][0]) for group in groups)
        return sorted(result)

    def add_sid_history(self, dn: str, sid: str, honoured: bool) -> None:
        if not samba_history.add(self._sam, dn, sid, honoured=honoured):
            raise Refused(EXISTS, f"{sid} is already in the history of another object")

    def remove_sid_history(self, dn: str, sids: list[str]) -> None:
        samba_history.remove(self._sam, dn, sids)

    def honour_history(self, honoured: bool) -> int:
        return int(samba_history.honour(self._sam, honoured=honoured))

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
        self, session: str, address: str, controller: str, account: dict[str, str], dn: str
    ) -> list[str | None]:
        """Replicate one account from another controller with the given person's rights; NTLM at home, else Kerberos.

        Args:
            session: Whatever has the same name shares one session, until ``end_session``.
        """
        if session not in self._replicas:
            self._replicas[session] = samba_rpc.Replica(self._lp, address, controller, account)
        try:
            found = self._replicas[session].secrets(dn)
        except BaseException:
            self.end_session(session)
            raise
        if found is None:
            raise Refused(NO_SUCH_OBJECT, f"no such account, or it has no password: {dn}")
        return [b64encode(value).decode() if value is not None else None for value in found]

    def end_session(self, session: str) -> None:
        """End a session of ``read_secrets``; one that is not there is as good as ended."""
        self._replicas.pop(session, None)

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

"""The failure table: what a line of ADMT's log means, and what to do about it.

By fragments of the documented English text where they are unmistakable, then by the system error code that the line has in every language,
then by what is left of the text.
Sources: KB322970 and KB322981 (SID history, passwords), KB4089459 (support policy and known issues), KB2266373 (database), the ADMT
Guide, and the Windows system error codes 8200-8999. What is background knowledge says so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

NO_SAME_KEY = ("do not have the same encryption key", "does not have an encryption key for source domain")
"""Fragments of the two lines that say that ADMT and PES do not share a key."""
_SYSTEM_CODE = re.compile(r"(?:Error code\s*=\s*|rc\s*=\s*|hr\s*=\s*|\((?=0x))(0x[0-9a-f]{8}|\d+)\b", re.IGNORECASE)
_SESSION = "Unable to establish a session with the password export server"
_SUFFIX = "the computer keeps its primary DNS suffix: set SyncDomainWithMembership to 1 on it, or remove its service principal names"
_DATABASE = (
    "SQL Server Express on a controller lacks the group SQLServerMSSQLUser$<HOST>$<INSTANCE>: make it, give it rights on %windir%\\ADMT\\Data, "
    "and install ADMT again"
)
_TLS = "TLS 1.0 is off for the SQL client: ADMT 3.2 needs it on its host for as long as it runs there"
_POLICY = "the password breaks the policy of the target: while passwords are copied, that policy must not ask for more than the source's"

_BY_CODE: Mapping[int, str] = {
    5: "the operator lacks rights in one of the domains",
    6: "TcpipClientSupport is missing on the source PDC emulator, or it was not restarted since; or a name does not resolve",
    1325: _POLICY,
    1326: "the operator's password is wrong, or the secrets of the trust do not match",
    1332: "the source trusts domains that the target does not know: make those trusts in the target as well",
    1355: "the source domain cannot be found: DNS or the trust",
    1376: "something that is no domain local group has the name <NETBIOS>$$$, or nothing has",
    1378: "<NETBIOS>$$$ in the source has a leftover member",
    1722: "PES is stopped, LSA protection is on, or a firewall is between",
    1788: "the trust does not work",
    8344: "the operator lacks rights in one of the domains",
    8533: "the connection is not encrypted: packet privacy between the controllers is off",
    8534: "both domains are in the same forest",
    8535: "the target controller is none of the target forest: look at TARGETDOMAINCONTROLLER",
    8536: "auditing of account management is off in the target, or a Group Policy sets it back",
    8537: "no controller of the source can be found: DNS or a firewall",
    8538: "SIDs of users and groups alone can be migrated",
    8539: "the SID is already in the target forest: look who has it in objectSid or sIDHistory",
    8540: "the existing object is of another class or scope",
    8552: "auditing of account management is off in the source, or a Group Policy sets it back",
    8558: "ADMT has to run on a controller of the target domain to migrate SIDs",
    8559: "the source controller is too old",
    8332: "the account has child objects (ActiveSync, licences of terminal servers, Citrix): delete those, or leave it out",
    0x8009030E: "the operator is marked as sensitive, or Credential Guard is on; run ADMT on a target controller",
    0x8000500D: _SUFFIX,
    0x80040154: "the component is a 32-bit one: ADMT is called by the 32-bit PowerShell",
}
_BY_TEXT: tuple[tuple[tuple[str, ...], str], ...] = (
    *(((one,), "the host that runs ADMT and PES have different keys: import the key file where ADMT runs") for one in NO_SAME_KEY),
    (("Password Export Service is not running",), "start PES on the export server; PES of ADMT 2 does not answer newer ones"),
    ((_SESSION, "RPC server is unavailable"), "PES is stopped, its controller was not restarted since it was installed, LSA protection is on, or a firewall is between"),
    # That a session is refused in these words is background knowledge.
    ((_SESSION, "Access is denied"), "AllowPasswordExport is not 1 on the export server, or it was not restarted since"),
    (("Failed to copy the password", "RPC server is unavailable"), "names do not resolve between the export server and the target, by DNS and by NetBIOS; or PES was stopped"),
    (("Unable to copy password. Access is denied",), "RestrictAnonymous and the Pre-Windows 2000 group of the target keep PES out"),
    (("Invalid Password!",), "whoever installs PES has to be a built-in administrator, from an elevated prompt; or it is another key's password"),
    (("Domain name lookup failed",), _BY_CODE[1332]),
    (("child objects exist",), _BY_CODE[8332]),
    (("Post-check failed",), _SUFFIX),
    (("Unable to verify", "belongs to domain"), _SUFFIX),
    (('Cannot open database "ADMT"',), _DATABASE),
    (("E1975D70-3F8E-11D3-99EE-00C04F39BD92",), f"{_DATABASE}; or {_TLS}"),
    (("DBNETLIB",), _TLS),
    (("Unable to check for failed actions",), _TLS),
    (("Unable to store default excluded system properties",), "the list is longer than ADMT's database holds: set SystemPropertiesToExclude once through COM"),
)  # fmt: skip
_BY_WORDS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("specified local group does not exist",), _BY_CODE[1376]),
    (("already a member of the group",), _BY_CODE[1378]),
    (("RPC server is unavailable",), _BY_CODE[1722]),
    (("No credentials are available",), _BY_CODE[0x8009030E]),
    (("password does not meet",), _POLICY),
    (("Access is denied",), _BY_CODE[5]),
)


def advice(text: str) -> str:
    """Say what to look at for one line; empty where nobody knows."""
    folded = text.casefold()
    codes = (_BY_CODE.get(_win32(code), "") for code in _SYSTEM_CODE.findall(text))
    return _said(_BY_TEXT, folded) or next(filter(None, codes), "") or _said(_BY_WORDS, folded)


def _said(table: tuple[tuple[tuple[str, ...], str], ...], folded: str) -> str:
    return next((said for parts, said in table if all(part.casefold() in folded for part in parts)), "")


def _win32(text: str) -> int:
    """Return a system error code; an HRESULT that only wraps one is that one."""
    code = int(text, 16) if text.lower().startswith("0x") else int(text)
    return code & 0xFFFF if code & 0xFFFF0000 == 0x80070000 else code

"""Every row of the failure table that a log can show has its advice; the texts are those that Microsoft's pages quote."""

from __future__ import annotations

import pytest

from reconciler.resources.admt_failures import advice

ROWS = {
    "1 keys differ": ("The server \\\\S does not have… do not have the same encryption key for the source domain X.", "import the key file"),
    "2 no key": ("The target server \\\\S does not have an encryption key for source domain X", "import the key file"),
    "3 session": ("Unable to establish a session with the password export server. The RPC server is unavailable.", "LSA protection"),
    "4 anonymous": ("Failed to copy the password for ann. Unable to copy password. Access is denied.", "RestrictAnonymous"),
    "5 names": ("Failed to copy the password for ann. Unable to copy password. The RPC server is unavailable.", "names do not resolve"),
    "6 installer": ("Invalid Password! The supplied password does not match this encryption key's password", "elevated prompt"),
    "7 service": ("Password Export Service is not running", "start PES"),
    "8 handle": ("The handle is invalid (Error code = 6).", "TcpipClientSupport"),
    "9 group": ("Could not verify auditing and TcpipClientSupport on domains. The specified local group does not exist.", "<NETBIOS>$$$"),
    "10 rights": ("Could not verify auditing and TcpipClientSupport on domains. Access is Denied.", "lacks rights"),
    "11 trusts": ("Domain name lookup failed, rc=1332", "trusts domains"),
    "12 source": ("No (Error code = 8552).", "off in the source"),
    "12 target": ("No (Error code = 8536).", "off in the target"),
    "13 forest": ("No (Error code = 8534).", "same forest"),
    "14 exists": ("No (Error code = 8539).", "already in the target forest"),
    "15 class": ("No (Error code = 8540).", "another class"),
    "16 place": ("No (Error code = 8558).", "controller of the target"),
    "17 privacy": ("No (Error code = 8533).", "not encrypted"),
    "18 controller": ("No (Error code = 8537).", "DNS or a firewall"),
    "18 domain": ("No (Error code = 1355).", "cannot be found"),
    "19 delegation": ("Failed to move source object. Verify that the account is not marked sensitive. hr=0x8009030e No credentials are available", "Credential Guard"),
    "20 children": ("Error 7422: Failed. hr=0x8007208c The operation cannot be performed because child objects exist.", "child objects"),
    "21 suffix": ("Error 7711: DNS hostname hr=0x8000500d", "SyncDomainWithMembership"),
    "22 check": ("Error 7709: Post-check failed on the computer", "SyncDomainWithMembership"),
    "23 belongs": ("Error 7675: Unable to verify that the computer belongs to domain X. hr=0x80070005 Access is denied.", "SyncDomainWithMembership"),
    "24 database": ('Cannot open database "ADMT" requested by the login.', "SQLServerMSSQLUser"),
    "25 snap-in": ("MMC could not create the snap-in. CLSID: {E1975D70-3F8E-11D3-99EE-00C04F39BD92}", "TLS 1.0"),
    "26 tls": ("Unable to check for failed actions. :DBManager.IManageDB.1 [DBNETLIB] SSL Security error", "TLS 1.0"),
    "27 excluded": ("Unable to store default excluded system properties in database. Unspecified error (0x80004005)", "SystemPropertiesToExclude"),
    "30 policy": ("Unable to copy password. hr=0x8007052d", "policy of the target"),
    "31 bits": ("Class not registered (0x80040154)", "32-bit"),
    "session": ("Unable to establish a session with the password export server. Access is denied.", "AllowPasswordExport"),
    "in another language": ("Zugriff verweigert (Error code = 5).", "lacks rights"),
    "wrapped": ("Etwas ging schief, hr=0x80072168", "off in the source"),
}  # fmt: skip
"""By number in the table; rows that no log shows (what happens afterwards) are not among them."""


@pytest.mark.parametrize("row", ROWS)
def test_row_has_its_advice(row: str) -> None:
    text, expected = ROWS[row]
    assert expected in advice(text)


@pytest.mark.parametrize(
    "text", ["", "Operation completed.", "(6) accounts", "rc = 0", "CN=ann - Created", "hr=0x00000000"]
)
def test_what_says_nothing_has_none(text: str) -> None:
    assert advice(text) == ""

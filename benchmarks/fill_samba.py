"""Fills the directory of a domain of the lab with accounts, past its server: a thousand in a second. Runs in the system's Python.

    /usr/bin/python3 -I benchmarks/fill_samba.py SMB_CONF NUMBER
"""

from __future__ import annotations

import sys
import time

from samba import param
from samba.auth import system_session
from samba.crypto import md4_hash_blob
from samba.samdb import SamDB

NT_EPOCH_SECONDS = 11644473600
BYPASS_PASSWORD_HASH = "local_oid:1.3.6.1.4.1.7165.4.3.12:0"
IN_ONE_TRANSACTION = 2000


def main() -> None:
    settings, number = sys.argv[1], int(sys.argv[2])
    lp = param.LoadParm()
    lp.load(settings)
    sam = SamDB(url=lp.private_path("sam.ldb"), session_info=system_session(lp), lp=lp, options=["batch_mode:1"])
    head = str(sam.domain_dn())
    domain = ".".join(part.partition("=")[2] for part in head.split(","))
    sam.add({"dn": f"OU=Bench,{head}", "objectClass": "organizationalUnit"})
    hashed = md4_hash_blob("of nobody, who never logs on".encode("utf-16-le"))
    for start in range(0, number, IN_ONE_TRANSACTION):
        sam.transaction_start()
        for place in range(start, min(number, start + IN_ONE_TRANSACTION)):
            name = f"bench{place}"
            account = {
                "dn": f"CN={name},OU=Bench,{head}", "objectClass": "user", "sAMAccountName": name, "userPrincipalName": f"{name}@{domain}",
                "userAccountControl": "512", "unicodePwd": hashed, "pwdLastSet": str(int((time.time() + NT_EPOCH_SECONDS) * 10_000_000)),
            }  # fmt: skip
            sam.add(account, controls=[BYPASS_PASSWORD_HASH])
        sam.transaction_commit()


if __name__ == "__main__":
    main()

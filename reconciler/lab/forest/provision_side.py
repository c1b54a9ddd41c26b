"""Creates one domain offline: provisions Samba, fills its directory, exports keys. Runs in the system's Python.

python3-samba is installed for the system's interpreter only, hence a program of its own that imports nothing of ours:
one JSON document on stdin (see provision.py), one JSON line on stdout.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import ldb
from samba import param
from samba.auth import system_session
from samba.crypto import md4_hash_blob
from samba.dsdb import DS_DOMAIN_FUNCTION_2008_R2
from samba.ndr import ndr_pack
from samba.net import Net
from samba.provision import provision
from samba.provision.sambadns import ARecord
from samba.samdb import SamDB

NEVER = -0x8000000000000000
SERVICE_CLASSES = ("host", "HTTP", "WSMAN")
BACKEND_BYTES = 1 << 33  # of addresses; the file is as large as what is in it
NT_EPOCH_SECONDS = 11644473600
BYPASS_PASSWORD_HASH = "local_oid:1.3.6.1.4.1.7165.4.3.12:0"
# Measured: three times as fast as adding without; one process fills a directory that nobody else has open.
QUICKLY = ["batch_mode:1"]
IN_ONE_TRANSACTION = 2000


def create(order: dict[str, Any]) -> dict[str, Any]:
    """Carry out the whole order; return the domain's SID and the DN of every account by sAMAccountName."""
    lp = param.LoadParm()
    lp.load(order["smb_conf"])
    _provision(order, lp)
    subprocess.run(
        ["samba_spnupdate", "-s", order["smb_conf"]],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    sam = SamDB(url=lp.private_path("sam.ldb"), session_info=system_session(lp), lp=lp, options=QUICKLY)
    principals = _register_services(sam, order)
    dns = _populate(sam, order)
    for member in order["members"]:
        principals += _join(sam, member, order["dns"])
    enable_export()
    net = Net(None, lp)
    for principal in principals:
        net.export_keytab(keytab=order["keytab"], principal=principal)
    return {"sid": str(sam.get_domain_sid()), "dns": dns}


def enable_export() -> None:
    """Give Net its export_keytab method."""
    from samba import enable_net_export_keytab

    enable_net_export_keytab()


def _provision(order: dict[str, Any], lp: Any) -> None:
    log = logging.getLogger("provision")
    log.addHandler(logging.StreamHandler(sys.stderr))
    log.setLevel(logging.INFO)
    provision(
        log,
        system_session(),
        smbconf=order["smb_conf"],
        lp=lp,
        realm=order["dns"].upper(),
        domain=order["netbios"],
        hostname=order["host"],
        hostip=order["address"],
        adminpass=order["admin_password"],
        serverrole="active directory domain controller",
        dns_backend="SAMBA_INTERNAL",
        dom_for_fun_level=DS_DOMAIN_FUNCTION_2008_R2,
        use_rfc2307=True,
        skip_sysvolacl=True,  # needs root and xattrs; nothing in the lab reads sysvol over SMB
        batch_mode=True,
        backend_store="mdb",
        backend_store_size=BACKEND_BYTES,
    )


def _register_services(sam: Any, order: dict[str, Any]) -> list[str]:
    """Make the controller answer for WinRM's service names; return them as exportable principals."""
    fqdn = f"{order['host']}.{order['dns']}"
    account = sam.search(
        sam.domain_dn(), ldb.SCOPE_SUBTREE, f"(sAMAccountName={order['host'].upper()}$)", ["servicePrincipalName"]
    )[0]
    present = {bytes(name).decode().lower() for name in account["servicePrincipalName"]}
    wanted = [f"{service}/{fqdn}" for service in SERVICE_CLASSES]
    missing = [name for name in wanted if name.lower() not in present]
    change = ldb.Message(account.dn)
    change["spn"] = ldb.MessageElement(missing, ldb.FLAG_MOD_ADD, "servicePrincipalName")
    sam.modify(change)
    return wanted


def _populate(sam: Any, order: dict[str, Any]) -> dict[str, str]:
    population = order["population"]
    base = sam.domain_dn()
    policy = ldb.Message(ldb.Dn(sam, base))
    # Passwords may be changed at once, and a lab that is left standing for two months still lets people in.
    policy["min"] = ldb.MessageElement("0", ldb.FLAG_MOD_REPLACE, "minPwdAge")
    policy["max"] = ldb.MessageElement(str(NEVER), ldb.FLAG_MOD_REPLACE, "maxPwdAge")
    sam.modify(policy)
    for unit in population["units"]:
        sam.add({"dn": f"{unit},{base}", "objectClass": "organizationalUnit"})
    dns: dict[str, str] = {}

    def add_account(one: dict[str, Any]) -> None:
        dns[one["sam_account_name"]] = _add_account(sam, one, order["dns"])

    def add_group(one: dict[str, Any]) -> None:
        dns[one["sam_account_name"]] = _add_group(sam, one, dns)

    _in_transactions(sam, population["accounts"], add_account)
    _in_transactions(sam, population["groups"], add_group)
    _in_transactions(sam, population["computers"], lambda one: _add_computer(sam, one, order["dns"]))
    for group_sid, member_sid in population["foreign_members"]:
        group = sam.search(f"<SID={group_sid}>", ldb.SCOPE_BASE, attrs=["cn"])[0]
        change = ldb.Message(group.dn)
        change["member"] = ldb.MessageElement(f"<SID={member_sid}>", ldb.FLAG_MOD_ADD, "member")
        sam.modify(change)
    return dns


def _in_transactions(sam: Any, rows: Sequence[Any], add: Callable[[Any], None]) -> None:
    for start in range(0, len(rows), IN_ONE_TRANSACTION):
        sam.transaction_start()
        for one in rows[start : start + IN_ONE_TRANSACTION]:
            add(one)
        sam.transaction_commit()


def _child(sam: Any, parent: str, common_name: str) -> Any:
    dn = ldb.Dn(sam, f"CN=x,{parent},{sam.domain_dn()}")
    dn.set_component(0, "CN", common_name)
    return dn


def _add_account(sam: Any, account: dict[str, Any], domain: str) -> str:
    dn = _child(sam, account["parent"], account["common_name"])
    message = {
        "dn": dn,
        "objectClass": "user",
        "sAMAccountName": account["sam_account_name"],
        "userPrincipalName": f"{account['sam_account_name']}@{domain}",
        "displayName": account["common_name"],
        "givenName": account["given_name"],
        "sn": account["surname"],
        "userAccountControl": "512",
    }
    if account["department"]:
        message["department"] = account["department"]
    password = account["password"].encode("utf-16-le")
    if account["old_keys"]:
        # The NT hash alone: Samba takes 20 ms to make all the keys of a password, and 1 ms to add an account.
        now = int((time.time() + NT_EPOCH_SECONDS) * 10_000_000)
        hashed = {"unicodePwd": md4_hash_blob(password), "pwdLastSet": str(now)}
        sam.add({**message, **hashed}, controls=[BYPASS_PASSWORD_HASH])
    else:
        quote = '"'.encode("utf-16-le")
        sam.add({**message, "unicodePwd": quote + password + quote})
    return str(dn)


def _add_computer(sam: Any, computer: dict[str, str], domain: str) -> None:
    name = computer["name"]
    fqdn = f"{name.lower()}.{domain}"
    # The service names that a workstation registers when it joins. Nobody knows a password of it: it never joined.
    services = [f"{service}/{host}" for service in ("HOST", "RestrictedKrbHost", "TERMSRV") for host in (fqdn, name)]
    sam.add(
        {
            "dn": _child(sam, computer["parent"], name),
            "objectClass": "computer",
            "sAMAccountName": f"{name}$",
            "userAccountControl": "4096",
            "dNSHostName": fqdn,
            "operatingSystem": computer["operating_system"],
            "operatingSystemVersion": computer["version"],
            "servicePrincipalName": services,
        }
    )


def _join(sam: Any, member: dict[str, str], domain: str) -> list[str]:
    """Make the computer account of a member server and its address in DNS; return its exportable principals."""
    fqdn = f"{member['name']}.{domain}"
    names = [f"{service}/{fqdn}" for service in SERVICE_CLASSES]
    quote = '"'.encode("utf-16-le")
    sam.add(
        {
            "dn": f"CN={member['name'].upper()},CN=Computers,{sam.domain_dn()}",
            "objectClass": "computer",
            "sAMAccountName": f"{member['name'].upper()}$",
            "userAccountControl": "4096",
            "dNSHostName": fqdn,
            "operatingSystem": "Windows Server 2019 Standard",
            "operatingSystemVersion": "10.0 (17763)",
            "servicePrincipalName": names,
            "unicodePwd": quote + member["password"].encode("utf-16-le") + quote,
        }
    )
    zone = f"DC={domain},CN=MicrosoftDNS,DC=DomainDnsZones,{sam.domain_dn()}"
    sam.add(
        {
            "dn": f"DC={member['name']},{zone}",
            "objectClass": ["top", "dnsNode"],
            "dnsRecord": ndr_pack(ARecord(member["address"])),
        }
    )
    return names


def _add_group(sam: Any, group: dict[str, Any], dns: dict[str, str]) -> str:
    dn = _child(sam, group["parent"], group["common_name"])
    group_type = group["group_type"]
    message = {
        "dn": dn,
        "objectClass": "group",
        "sAMAccountName": group["sam_account_name"],
        "groupType": str(group_type - (1 << 32) if group_type >= 1 << 31 else group_type),
    }
    if group["members"]:
        message["member"] = [dns[name] for name in group["members"]]
    sam.add(message)
    return str(dn)


def main() -> None:
    """Read the order, carry it out, answer; everything Samba prints goes to stderr."""
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    result = create(json.load(sys.stdin))
    answer.write(json.dumps(result) + "\n")
    answer.flush()


if __name__ == "__main__":
    main()

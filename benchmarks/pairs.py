"""The drift check of whole populations on OpenLDAP's own server: what a look costs where the directory is as fast as one can be.

    python benchmarks/pairs.py --pairs 1000 10000 100000          # Debian: slapd, ldap-utils

Starts two slapd, one for each domain, with as many accounts on each side as Active Directory would hold after a migration, and
lets `benchmarks/accounts.py` look at them, in a process of its own for its peak memory. Samba's figures come from the lab.
"""

from __future__ import annotations

import argparse
import base64
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from read import NUMBER, OCTETS, TEXT, TRUTH, wait_for

SIDES = ("source", "target")
PASSWORD = "benchmark"  # of a server that lives for this run on loopback
SID = bytes((1, 5, 0, 0, 0, 0, 0, 5)) + (21).to_bytes(4, "little")
# As in Active Directory, as far as the check reads it; the numbers are from the arc for examples.
ATTRIBUTES = {
    "sAMAccountName": (TEXT, "EQUALITY caseIgnoreMatch", True), "userPrincipalName": (TEXT, "EQUALITY caseIgnoreMatch", True),
    "objectCategory": (TEXT, "EQUALITY caseIgnoreMatch", True), "objectSid": (OCTETS, "EQUALITY octetStringMatch", True),
    "objectGUID": (OCTETS, "EQUALITY octetStringMatch", True), "sIDHistory": (OCTETS, "EQUALITY octetStringMatch", False),
    "pwdLastSet": (NUMBER, "", True), "accountExpires": (NUMBER, "", True), "lockoutTime": (NUMBER, "", True),
    "userAccountControl": (NUMBER, "", True), "isCriticalSystemObject": (TRUTH, "", True), "dNSHostName": (TEXT, "", True),
    "fSMORoleOwner": (TEXT, "", True), "defaultNamingContext": (TEXT, "", True), "configurationNamingContext": (TEXT, "", True),
}  # fmt: skip


def main() -> None:
    looks("slapd", two_domains, "--only-whole")


def looks(server: str, domains: Callable[[int, int], AbstractContextManager[Path]], *more: str) -> None:
    """Let `benchmarks/accounts.py` look at populations of each size, in a process of its own.

    Args:
        domains: Runs both domains, with so many accounts, in 127.0.x.0.
    """
    options = argparse.ArgumentParser()
    options.add_argument("--pairs", type=int, nargs="+", default=[1000, 10_000])
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--network", type=int, default=79)
    given = options.parse_args()
    for pairs in given.pairs:
        with domains(pairs, given.network) as state:
            print(f"{server}, {pairs:,} pairs", flush=True)
            command = [sys.executable, Path(__file__).with_name("accounts.py"), "--state", state, "--rounds", str(given.rounds), *more]  # fmt: skip
            subprocess.run(command, check=True)


@contextmanager
def two_domains(pairs: int, network: int) -> Iterator[Path]:
    """Run both servers; yield the state file of a population with everybody in it."""
    binary = shutil.which("slapd") or "/usr/sbin/slapd"
    if not Path(binary).exists():
        sys.exit("slapd is not installed: apt-get install slapd ldap-utils")
    addresses = {side: f"127.0.{network}.{210 + number}" for number, side in enumerate(SIDES)}
    with tempfile.TemporaryDirectory(prefix="bench-pairs-") as place, ExitStack() as stack:
        directory = Path(place)
        certificate(directory, list(addresses.values()))
        (directory / "password").write_text(PASSWORD)
        (directory / "password").chmod(0o600)
        for side, address in addresses.items():
            stack.enter_context(serving(binary, directory / side, side, address, pairs))
        yield written(directory, addresses)


@contextmanager
def serving(binary: str, directory: Path, side: str, address: str, accounts: int) -> Iterator[None]:
    (directory / "data").mkdir(parents=True)
    (directory / "slapd.conf").write_text(configuration(directory, side), encoding="ascii")
    (directory / "rootdse.ldif").write_text(
        f"dn:\ndefaultNamingContext: DC={side},DC=lab\nconfigurationNamingContext: CN=Configuration,DC={side},DC=lab\n"
    )
    (directory / "accounts.ldif").write_text(ldif(side, accounts), encoding="ascii")
    common = ["-f", directory / "slapd.conf"]
    subprocess.run(
        [Path(binary).with_name("slapadd"), "-q", *common, "-l", directory / "accounts.ldif"], check=True, stderr=subprocess.DEVNULL
    )  # fmt: skip
    run = subprocess.Popen([binary, "-d", "0", *common, "-h", f"ldaps://{address}:636"])
    try:
        wait_for(address, 636)
        yield
    finally:
        run.terminate()
        run.wait(30)


def configuration(directory: Path, side: str) -> str:
    lines = ["include /etc/ldap/schema/core.schema", "include /etc/ldap/schema/cosine.schema"]
    for number, (name, (syntax, matching, single)) in enumerate(ATTRIBUTES.items(), 1):
        lines.append(
            f"attributetype ( 2.25.71.1.{number} NAME '{name}' {matching} SYNTAX {syntax} {'SINGLE-VALUE' if single else ''} )"
        )
    may = " $ ".join([*ATTRIBUTES, "description", "cn", "ou"])
    for number, (name, kind) in enumerate([("user", "STRUCTURAL"), ("computer", "STRUCTURAL"), ("server", "STRUCTURAL"), ("benchThing", "STRUCTURAL"), ("benchHead", "AUXILIARY")], 1):  # fmt: skip
        lines.append(f"objectclass ( 2.25.71.2.{number} NAME '{name}' SUP top {kind} MAY ( {may} ) )")
    pki = directory.parent
    lines += [
        "modulepath /usr/lib/ldap", "moduleload back_mdb", f"pidfile {directory}/pid", "sizelimit unlimited", "threads 4",
        f"rootDSE {directory}/rootdse.ldif", f"TLSCertificateFile {pki}/ca.pem", f"TLSCertificateKeyFile {pki}/key.pem",
        "database mdb", f"suffix dc={side},dc=lab", f"rootdn cn=bench,dc={side},dc=lab", f"rootpw {PASSWORD}",
        f"directory {directory}/data", "maxsize 4294967296", "dbnosync", "index objectClass eq",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def ldif(side: str, accounts: int) -> str:
    """Return the accounts of a domain; those of the target have the SIDs of the source in their history."""

    def coded(data: bytes) -> str:
        return base64.b64encode(data).decode()

    def sid(of: str, number: int) -> bytes:
        return SID + of.encode().ljust(12)[:12] + (1000 + number).to_bytes(4, "little")

    head = f"dc={side},dc=lab"
    server = f"cn=DC1,cn=Servers,cn=Sites,cn=Configuration,{head}"
    found = [
        f"dn: {head}\nobjectClass: dcObject\nobjectClass: organization\nobjectClass: benchHead\no: {side}\ndc: {side}\n"
        f"objectSid:: {coded(bytes((1, 4)) + SID[2:] + side.encode().ljust(12)[:12])}\nfSMORoleOwner: cn=NTDS Settings,{server}\n",
        f"dn: ou=Bench,{head}\nobjectClass: organizationalUnit\nou: Bench\n",
        *(f"dn: {dn}\nobjectClass: benchThing\n{dn.partition(',')[0].replace('=', ': ')}\n" for dn in (f"cn=Configuration,{head}", f"cn=Sites,cn=Configuration,{head}", f"cn=Servers,cn=Sites,cn=Configuration,{head}")),
        f"dn: {server}\nobjectClass: server\ncn: DC1\ndNSHostName: dc1.{side}.lab\n",
    ]  # fmt: skip
    for number in range(accounts):
        history = f"sIDHistory:: {coded(sid('source', number))}\n" if side == "target" else ""
        found.append(
            f"dn: cn=Account {number:06},ou=Bench,{head}\nobjectClass: user\nobjectCategory: person\ncn: Account {number:06}\n"
            f"sAMAccountName: acc{number:06}\nuserPrincipalName: acc{number:06}@{side}.lab\nobjectSid:: {coded(sid(side, number))}\n"
            f"objectGUID:: {coded(os.urandom(16))}\n{history}pwdLastSet: {133_000_000_000_000_000 + number * 7919}\n"
            f"userAccountControl: 512\naccountExpires: 9223372036854775807\nlockoutTime: 0\nisCriticalSystemObject: FALSE\n"
            f"description: account {number} of the benchmark\n"
        )
    return "\n".join(found)


def certificate(directory: Path, addresses: list[str]) -> None:
    """Write a certificate that both servers use, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "benchmark")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(one)) for one in addresses]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    (directory / "ca.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    coded = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (directory / "key.pem").write_bytes(key.private_bytes(*coded))


def written(directory: Path, addresses: dict[str, str]) -> Path:
    """Write the state file: everybody of the source is an account of the same name in the target."""
    secret = {"file": str(directory / "password")}
    document = {
        "apiVersion": "reconciler/v1", "kind": "Migration", "metadata": {"name": "bench"}, "phase": "migrate",
        "journal": str(directory / "journal"),
        "credentials": {side: {"username": f"cn=bench,dc={side},dc=lab", "password": secret} for side in SIDES},
        "domains": {
            side: {"dns": f"{side}.lab", "netbios": side.upper(), "credential": side, "ca": str(directory / "ca.pem"), "controllers": [address], "nameservers": [address]}
            for side, address in addresses.items()
        },
        "hosts": {"admt": {"domain": "target", "address": addresses["target"]}},
        "resources": [{
            "kind": "ad.accounts", "source": "source", "source_dns": "source.lab", "target": "target", "target_dns": "target.lab",
            "base": "OU=Bench,DC=source,DC=lab", "into": "OU=Bench,DC=target,DC=lab", "host": "admt", "credential": "target",
            "passwords": False, "sid_history": False,
        }],
    }  # fmt: skip
    path = directory / "bench.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


if __name__ == "__main__":
    main()

"""Builds both forests from nothing: certificates, secrets, two domains in parallel, their people, a snapshot."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from reconciler.lab.forest.bridge import SYSTEM_PYTHON
from reconciler.lab.forest.ca import Authority
from reconciler.lab.forest.population import Population, new_password, source_population, target_population
from reconciler.lab.forest.server import make_private, write_configuration
from reconciler.lab.settings import (
    PASSWORDS,
    ROLES,
    LabError,
    LabSettings,
    Role,
    controller_name,
    domain_facts,
    write_private,
)

KEYTAB_HEADER = b"\x05\x02"
SIDE_PROGRAM = Path(__file__).with_name("provision_side.py")
Say = Callable[[str], None]


async def provision(settings: LabSettings, forwarder: str, say: Say) -> dict[Role, str]:
    """Create both domains offline, replacing whatever was there.

    Returns:
        The SID of each domain, as also kept in ``<dir>/<role>/sid``.
    """
    paths = settings.paths
    for directory in (*(paths.domain(role) for role in ROLES), paths.snapshot, paths.hosts, paths.journal):
        shutil.rmtree(directory, ignore_errors=True)
    say("writing certificates and secrets")
    for name in PASSWORDS:
        write_private(paths.secret(name), new_password(20))
    _write_certificates(settings)
    write_configuration(settings, forwarder)
    source = source_population(settings.users, settings.groups, settings.computers, settings.units)
    people: dict[Role, Population] = {
        "source": source,
        "target": target_population(source, paths.password("migrator"), awkward=settings.awkward),
    }
    say("provisioning SOURCE.LAB and TARGET.LAB")
    results = await asyncio.gather(*(_provision_one(settings, role, people[role]) for role in ROLES))
    sids: dict[Role, str] = {}
    for role, result in zip(ROLES, results, strict=True):
        sids[role] = result["sid"]
        write_private(paths.domain(role) / "sid", result["sid"])
        make_private(paths.domain(role))
    _merge_keytabs(settings)
    _write_users(settings, source, results[0]["dns"])
    return sids


def read_sid(settings: LabSettings, role: Role) -> str:
    """Return the SID that a domain was built with."""
    return (settings.paths.domain(role) / "sid").read_text(encoding="utf-8").strip()


async def _provision_one(settings: LabSettings, role: Role, people: Population) -> dict[str, Any]:
    paths = settings.paths
    directory = paths.domain(role)
    for name in ("etc", "run", "cache", "ncalrpc", "private/tls", "state/sysvol", "bind-dns"):
        (directory / name).mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, origin in (("cert", paths.certificate(role)), ("key", paths.private_key(role)), ("ca", paths.ca_file)):
        write_private(directory / "private" / "tls" / f"{name}.pem", origin.read_bytes())
    order = {
        "smb_conf": str(paths.smb_conf(role)),
        "dns": f"{role}.lab",
        "netbios": role.upper(),
        "host": controller_name(role),
        "address": settings.address(role),
        "admin_password": paths.password(f"{role}-admin"),
        "keytab": str(directory / "winrm.keytab"),
        "members": [{**asdict(one), "password": new_password(40)} for one in settings.members]
        if role == "target"
        else [],
        "population": people.document(),
    }
    log = directory / "provision.log"
    with log.open("ab") as errors:
        child = await asyncio.create_subprocess_exec(
            SYSTEM_PYTHON, "-I", str(SIDE_PROGRAM), stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE, stderr=errors,
        )  # fmt: skip
    answer, _ = await child.communicate(json.dumps(order).encode())
    if child.returncode != 0:
        last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
        raise LabError(f"{role}: provisioning failed: {' '.join(last)}\n  see: {log}")
    result: dict[str, Any] = json.loads(answer)
    return result


def _write_certificates(settings: LabSettings) -> None:
    authority = Authority()
    write_private(settings.paths.ca_file, authority.certificate)
    for role in ROLES:
        issued = authority.issue(domain_facts(settings, role, "").controller, settings.address(role))
        write_private(settings.paths.certificate(role), issued.certificate)
        write_private(settings.paths.private_key(role), issued.private_key)
    for member in settings.members:
        issued = authority.issue(member.fqdn, member.address)
        write_private(settings.paths.certificate(member.name), issued.certificate)
        write_private(settings.paths.private_key(member.name), issued.private_key)


def _merge_keytabs(settings: LabSettings) -> None:
    """Join the keys of the hosts of both domains: a keytab is a two-byte header and records that do not know of each other."""
    records = b""
    for role in ROLES:
        part = (settings.paths.domain(role) / "winrm.keytab").read_bytes()
        if not part.startswith(KEYTAB_HEADER):
            raise LabError(f"{role}: unexpected keytab format {part[:2].hex()}")
        records += part[len(KEYTAB_HEADER) :]
    write_private(settings.paths.keytab, KEYTAB_HEADER + records)


def _write_users(settings: LabSettings, people: Population, dns: dict[str, str]) -> None:
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(("sam_account_name", "dn", "password"))
    for account in people.accounts:
        writer.writerow((account.sam_account_name, dns[account.sam_account_name], account.password))
    write_private(settings.paths.users_file, table.getvalue())

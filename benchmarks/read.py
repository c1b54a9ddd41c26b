"""What it costs to read many accounts: ours, C's ldapsearch in pages of 1000, and ldap3's own reading.

    python benchmarks/read.py --entries 1000 10000 100000        on a throw-away slapd (Debian: slapd, ldap-utils)
    python benchmarks/read.py --samba --entries 1000              on the lab's Samba

Every reading is a process of its own; ldapsearch writes to /dev/null. CPU is the client's: all of ldapsearch; of the Python
programs from connecting on, because a run of the program reads many times and starts once. Figures are medians.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

ATTRIBUTES = (
    "objectClass", "objectSid", "sAMAccountName", "userPrincipalName", "pwdLastSet", "isCriticalSystemObject", "sIDHistory",
    "userAccountControl", "accountExpires", "lockoutTime", "objectGUID", "description",
)  # fmt: skip
SINGLE = tuple(name.lower() for name in ATTRIBUTES if name not in ("objectClass", "sIDHistory"))
WHERE = "(sAMAccountName=*)"
HEAD = "dc=bench,dc=lab"
ENVIRONMENT = os.environ | {"LDAPTLS_REQCERT": "never"}
# Attributes as Active Directory has them; the numbers are from the arc for examples (RFC 4512 uses none).
TEXT, NUMBER, OCTETS, TRUTH = (f"1.3.6.1.4.1.1466.115.121.1.{end}" for end in (15, 27, 40, 7))
SCHEMA = {
    "sAMAccountName": (TEXT, "EQUALITY caseIgnoreMatch"), "userPrincipalName": (TEXT, "EQUALITY caseIgnoreMatch"),
    "objectSid": (OCTETS, "EQUALITY octetStringMatch"), "objectGUID": (OCTETS, "EQUALITY octetStringMatch"),
    "sIDHistory": (OCTETS, "EQUALITY octetStringMatch"), "pwdLastSet": (NUMBER, ""), "accountExpires": (NUMBER, ""),
    "lockoutTime": (NUMBER, ""), "userAccountControl": (NUMBER, ""), "isCriticalSystemObject": (TRUTH, ""),
}  # fmt: skip


class Place(NamedTuple):
    """Where to read; without a CA anonymously and in clear."""

    address: str
    port: int
    base: str
    name: str = ""
    ca: str = ""
    user: str = ""
    password: str = ""


class Cost(NamedTuple):
    """Seconds, and what reading added to the peak of the process in MB (0 for ldapsearch, which keeps nothing)."""

    wall: float
    cpu: float
    peak: float
    rows: int


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--entries", type=int, nargs="+", default=[1000, 10_000])
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--ldap3-rounds", type=int, default=None, help="of ldap3's own reading, which takes long")
    options.add_argument("--samba", action="store_true")
    options.add_argument("--network", type=int, default=71)
    options.add_argument("--child", help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.child:
        child(given.child, Place(*json.loads(sys.stdin.read())))
        return
    for entries in given.entries:
        with (samba if given.samba else slapd)(entries, given.network) as place:
            compare(place, "Samba" if given.samba else "slapd", given.rounds, given.ldap3_rounds or given.rounds)


def compare(place: Place, server: str, rounds: int, ldap3_rounds: int) -> None:
    readings: dict[str, tuple[Callable[[Place], Cost], int]] = {
        "ldapsearch": (ldapsearch, rounds),
        "ours": (lambda place: of_child("ours", place), rounds),
        "ours, two answers kept": (lambda place: of_child("twice", place), 1),
        "ours, every value": (lambda place: of_child("records", place), rounds),
        "ldap3": (lambda place: of_child("ldap3", place), ldap3_rounds),
    }
    costs: dict[str, list[Cost]] = {name: [] for name in readings}
    for turn in range(rounds):  # in turns, so that the noise of the machine is in all of them
        for name, (read, times) in readings.items():
            if turn < times:
                costs[name].append(read(place))
    middle = {
        name: Cost(*(statistics.median(part) for part in zip(*found, strict=True))) for name, found in costs.items()
    }
    entries = counted(place)
    limit, default = middle["ldapsearch"], middle["ldap3"]
    print(
        f"\n{server}, {entries:,} entries | wall s | CPU s | peak MB | wall x ldapsearch | CPU x ldapsearch | CPU less than ldap3 | rounds"
    )
    print("|---" * 8)
    for name, cost in middle.items():
        assert name == "ldapsearch" or cost.rows == entries, (name, cost.rows, entries)
        print(
            f"{name} | {cost.wall:.2f} | {cost.cpu:.2f} | {cost.peak:.0f} | {cost.wall / limit.wall:.2f} | {cost.cpu / limit.cpu:.2f} | {default.cpu / cost.cpu:.1f} | {len(costs[name])}"
        )


def ldapsearch(place: Place) -> Cost:
    began = time.perf_counter()
    run = subprocess.Popen(command(place), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=ENVIRONMENT)
    _, status, usage = os.wait4(run.pid, 0)
    wall = time.perf_counter() - began
    run.returncode = os.waitstatus_to_exitcode(status)
    assert run.returncode == 0, run.returncode
    return Cost(wall, usage.ru_utime + usage.ru_stime, 0, 0)


def counted(place: Place) -> int:
    """Return how many entries ldapsearch finds."""
    ran = subprocess.run(command(place), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=ENVIRONMENT, check=True)
    return sum(line.startswith(b"dn:") for line in ran.stdout.splitlines())


def command(place: Place) -> list[str]:
    url = f"{'ldaps' if place.ca else 'ldap'}://{place.address}:{place.port}"
    bind = ["-D", place.user, "-w", place.password] if place.user else []
    return ["ldapsearch", "-x", "-LLL", "-o", "ldif-wrap=no", "-H", url, *bind, "-E", "pr=1000/noprompt", "-b", place.base, WHERE, *ATTRIBUTES]  # fmt: skip


def of_child(how: str, place: Place) -> Cost:
    ran = subprocess.run(
        [sys.executable, __file__, "--child", how], input=json.dumps(place), capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return Cost(*json.loads(ran.stdout))


def child(how: str, place: Place) -> None:
    """Read once and print what it cost."""
    import ldap3
    from pydantic import SecretStr

    from reconciler.core.query import Search
    from reconciler.edge.accounts import Account
    from reconciler.edge.ldap_connection import Door, connect
    from reconciler.edge.ldap_search import search
    from tests.edge.ldap_peer import Plain

    before = peak_mb()
    began, cpu = time.perf_counter(), time.process_time()
    rows: Any
    if how == "ldap3":
        rows = [one for one in default_reading(place) if one["type"] == "searchResEntry"]
    else:
        if place.ca:
            connection = connect(
                Door("d", place.name, place.address, Path(place.ca), port=place.port),
                Account("a", place.user, SecretStr(place.password)),
            )
        else:
            server = ldap3.Server(place.address, port=place.port, get_info=ldap3.NONE)
            connection = ldap3.Connection(server, auto_bind=True, check_names=False, receive_timeout=60)
            connection.socket = Plain(connection.socket)  # the program has TLS there
        asked = Search("d", place.base, WHERE, ATTRIBUTES, "subtree")
        rows = search(connection, asked, place.base)
        second = search(connection, asked, place.base) if how == "twice" else ()
        if how == "records":
            assert sum(1 for _ in rows.records(SINGLE, ("objectclass", "sidhistory"))) == len(rows)
        del second
    print(json.dumps([time.perf_counter() - began, time.process_time() - cpu, peak_mb() - before, len(rows)]))


def default_reading(place: Place) -> list[dict[str, Any]]:
    """ldap3 as its documentation shows it."""
    import ssl

    import ldap3

    tls = ldap3.Tls(validate=ssl.CERT_NONE) if place.ca else None
    server = ldap3.Server(place.address, port=place.port, use_ssl=bool(place.ca), tls=tls)
    connection = ldap3.Connection(server, place.user or None, place.password or None, auto_bind=True)
    found: list[dict[str, Any]] = connection.extend.standard.paged_search(
        place.base, WHERE, attributes=list(ATTRIBUTES), paged_size=1000, generator=False
    )
    return found


def peak_mb() -> float:
    """Return the peak of this process; that of rusage begins with what the parent had."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


@contextmanager
def slapd(entries: int, network: int) -> Iterator[Place]:
    """Run a slapd with so many accounts."""
    binary = shutil.which("slapd") or "/usr/sbin/slapd"
    if not Path(binary).exists():
        sys.exit("slapd is not installed: apt-get install slapd ldap-utils")
    with tempfile.TemporaryDirectory(prefix="bench-slapd-") as place:
        directory = Path(place)
        (directory / "data").mkdir()
        (directory / "slapd.conf").write_text(configuration(directory), encoding="ascii")
        (directory / "accounts.ldif").write_text(ldif(entries), encoding="ascii")
        added = Path(binary).with_name("slapadd")
        subprocess.run(
            [added, "-q", "-f", directory / "slapd.conf", "-l", directory / "accounts.ldif"],
            check=True,
            stderr=subprocess.DEVNULL,
        )
        address, port = f"127.0.{network}.210", 3890
        run = subprocess.Popen([binary, "-d", "0", "-f", directory / "slapd.conf", "-h", f"ldap://{address}:{port}"])
        try:
            wait_for(address, port)
            yield Place(address, port, HEAD)
        finally:
            run.terminate()
            run.wait(30)


def wait_for(address: str, port: int) -> None:
    end = time.monotonic() + 30
    while True:
        try:
            socket.create_connection((address, port), 1).close()
            return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


def configuration(directory: Path) -> str:
    lines = ["include /etc/ldap/schema/core.schema", "include /etc/ldap/schema/cosine.schema"]
    for number, (name, (syntax, matching)) in enumerate(SCHEMA.items(), 1):
        single = "" if name == "sIDHistory" else "SINGLE-VALUE"
        lines.append(f"attributetype ( 2.25.71.1.{number} NAME '{name}' {matching} SYNTAX {syntax} {single} )")
    lines.append(
        f"objectclass ( 2.25.71.2.1 NAME 'benchAccount' SUP top STRUCTURAL MUST cn MAY ( {' $ '.join(SCHEMA)} $ description ) )"
    )
    lines += [
        "modulepath /usr/lib/ldap",
        "moduleload back_mdb",
        f"pidfile {directory}/pid",
        "sizelimit unlimited",
        "threads 4",
    ]
    lines += ["database mdb", f"suffix {HEAD}", f"directory {directory}/data", "maxsize 4294967296", "dbnosync"]
    return "\n".join(lines) + "\n"


def ldif(entries: int) -> str:
    import base64

    def coded(data: bytes) -> str:
        return base64.b64encode(data).decode()

    authority = bytes((1, 5, 0, 0, 0, 0, 0, 5)) + (21).to_bytes(4, "little") + os.urandom(12)
    found = [
        f"dn: {HEAD}\nobjectClass: dcObject\nobjectClass: organization\no: bench\ndc: bench\n",
        f"dn: ou=Staff,{HEAD}\nobjectClass: organizationalUnit\nou: Staff\n",
    ]
    for number in range(entries):
        sid = authority + (1000 + number).to_bytes(4, "little")
        found.append(
            f"dn: cn=Account {number:06},ou=Staff,{HEAD}\nobjectClass: benchAccount\ncn: Account {number:06}\nsAMAccountName: acc{number:06}\n"
            f"userPrincipalName: acc{number:06}@bench.lab\nobjectSid:: {coded(sid)}\nobjectGUID:: {coded(os.urandom(16))}\n"
            f"sIDHistory:: {coded(sid[:-5] + sid[-4:] + b'1')}\npwdLastSet: {133_000_000_000_000_000 + number * 7919}\n"
            f"userAccountControl: 512\naccountExpires: 9223372036854775807\nlockoutTime: 0\nisCriticalSystemObject: FALSE\n"
            f"description: account {number} of the benchmark\n"
        )
    return "\n".join(found)


@contextmanager
def samba(entries: int, network: int) -> Iterator[Place]:
    """Run the lab with so many accounts in its source."""
    from tests.e2e.lab import Lab

    with tempfile.TemporaryDirectory() as states:
        directory = Path(tempfile.mkdtemp(prefix="rl-br-"))
        lab = Lab(directory, Path(states), f"127.0.{network}.201", f"127.0.{network}.202")
        try:
            lab.up(entries)
            yield Place(
                lab.source_address,
                636,
                "DC=source,DC=lab",
                "srcdc1.source.lab",
                str(directory / "ca.pem"),
                "Administrator@SOURCE.LAB",
                lab.secret("source-admin"),
            )
        finally:
            lab.down()
            shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()

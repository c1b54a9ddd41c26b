"""Ten thousand users, five hundred nested groups and two hundred computers, in three waves by one state file, judged by other tools.

    python benchmarks/waves.py                       # takes about half an hour on two cores
    python benchmarks/waves.py --users 400 --groups 40 --computers 20

Builds a lab of its own, kills the program in the middle of a batch, lets it go on to the end, and then looks: who can log on with
which password, who is there twice, what a second apply writes, and whom the next run touches after passwords were changed and
users were created in the source. Every figure is printed, and whatever is not as it should be ends it with an error.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import ldap3
import yaml
from labs import lab_of_its_own

from tests.e2e.directory import Directory
from tests.e2e.lab import PROGRAM, Lab

STAFF, GROUPS, COMPUTERS = (f"OU={name},DC=source,DC=lab" for name in ("Staff", "Groups", "Workstations"))
MIGRATED = "OU=Migrated,DC=target,DC=lab"
PAGED = "pr=1000/noprompt"
PEOPLE = "(&(objectCategory=person)(objectClass=user))"
ALWAYS_GROUPS = 6  # those that every lab has
CHANGED, NEW = 25, 10


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--users", type=int, default=10_000)
    options.add_argument("--groups", type=int, default=500)
    options.add_argument("--computers", type=int, default=200)
    options.add_argument("--network", type=int, default=75)
    given = options.parse_args()
    more = ("--groups", given.groups - ALWAYS_GROUPS, "--computers", given.computers, "--units", 20)
    with lab_of_its_own(given.network, given.users, *more) as lab:
        judged(lab, written(lab, given.users), given.users + given.groups + given.computers)


def judged(lab: Lab, state: Path, whole: int) -> None:
    passwords = dict(lab.users)
    told("killed in the middle of a batch", lambda: killed(lab, state))
    told("migrated to the end", lambda: applied(lab, state))
    logged_on(lab, passwords)
    nobody_twice(lab, whole)
    verdicts(lab, state, whole)
    nested(lab)
    before = lab.source.usn(), lab.target.usn()
    told("a second apply", lambda: applied(lab, state))
    must((lab.source.usn(), lab.target.usn()) == before, "a second apply wrote something")
    stamps = touched(lab)
    changed = told("passwords changed and users created in the source", lambda: change(lab, passwords))
    told("picked up by the next run", lambda: applied(lab, state))
    after = touched(lab)
    moved = {name for name, usn in after.items() if stamps.get(name) != usn}
    must(moved == changed, f"{len(moved)} accounts were written to, and {len(changed)} had changed")
    print(f"{len(moved)} accounts written to: those {CHANGED} whose passwords were changed, and {NEW} new ones")
    logged_on(lab, passwords)
    verdicts(lab, state, whole + NEW)


def told(what: str, act: object) -> object:
    began = time.monotonic()
    found = act()  # type: ignore[operator]
    print(f"{what}: {time.monotonic() - began:.1f} s", flush=True)
    return found


def must(holds: bool, otherwise: str) -> None:  # noqa: FBT001
    if not holds:
        raise SystemExit(f"NOT AS IT SHOULD BE: {otherwise}")


def written(lab: Lab, users: int) -> Path:
    """Groups and computers, then a tenth of the users by list, then everybody else once nearly all of those can log on."""
    path = lab.state("migrate", canary=True)
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    pilots = sorted(lab.users)[: max(1, users // 10)]
    (lab.work / "pilots.csv").write_text("SourceName\n" + "".join(f"{name}\n" for name in pilots), encoding="utf-8")
    document["migration"]["waves"] = [{"name": "things"}, {"name": "pilots"}, {"name": "everybody", "after": "98 %"}]
    document["migration"]["accounts"] = [
        {"name": "groups", "of": "groups", "from": GROUPS, "wave": "things", "into": MIGRATED, "batch": 500},
        {"name": "computers", "of": "computers", "from": COMPUTERS, "wave": "things", "into": MIGRATED, "batch": 500},
        {"name": "pilots", "from": STAFF, "names": {"file": "pilots.csv"}, "wave": "pilots", "into": MIGRATED, "batch": 200},
        {"name": "everybody", "from": STAFF, "wave": "everybody", "into": MIGRATED, "batch": 500},
    ]  # fmt: skip
    path.write_text(yaml.safe_dump(document, allow_unicode=True), encoding="utf-8")
    return path


def killed(lab: Lab, state: Path) -> None:
    """Kill the program once some of the accounts of the second batch of the last wave are there."""
    run = subprocess.Popen([PROGRAM, "apply", state], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=lab.work)  # fmt: skip
    assert run.stdout is not None
    batches = 0
    for line in run.stdout:
        batches += "migrate 500 accounts" in line
        if batches == 2 or "migrated" in line and "everybody" in line:
            break
    there = count(lab)
    until = time.monotonic() + 60
    while count(lab) <= there and time.monotonic() < until:
        time.sleep(0.2)
    run.send_signal(signal.SIGKILL)
    run.wait(20)
    run.stdout.close()
    print(f"  killed with {count(lab)} people in the target")


def count(lab: Lab) -> int:
    return len(lab.target.search(MIGRATED, PEOPLE, "1.1", control=PAGED))


def applied(lab: Lab, state: Path) -> None:
    ran = subprocess.run([PROGRAM, "apply", state, "--output", "json"], capture_output=True, text=True, check=False, cwd=lab.work)  # fmt: skip
    must(ran.returncode == 0, f"apply ended with {ran.returncode}: {ran.stdout[-3000:]} {ran.stderr[-3000:]}")
    print("  changed:", ", ".join(one["key"] for one in json.loads(ran.stdout)["outcomes"] if one["status"] == "changed") or "nothing")  # fmt: skip


def logged_on(lab: Lab, passwords: Mapping[str, str]) -> None:
    """Log on with every account, one after the other on one connection."""
    domain = lab.target
    tls = ldap3.Tls(ca_certs_file=str(domain.ca), validate=2)
    server = ldap3.Server(domain.url, tls=tls, get_info=ldap3.NONE)
    began, failed = time.monotonic(), []
    with ldap3.Connection(server, domain.admin, domain.password_file.read_text().strip(), auto_bind=True) as connection:
        for name, password in passwords.items():
            if not connection.rebind(f"TARGET\\{name}", password):
                failed.append(name)
        must(not connection.rebind(f"TARGET\\{next(iter(passwords))}", "not-the-password"), "any password lets in")
    must(not failed, f"{len(failed)} cannot log on: {failed[:10]}")
    print(
        f"{len(passwords)} of {len(passwords)} log on with the old password: {time.monotonic() - began:.1f} s",
        flush=True,
    )


def nobody_twice(lab: Lab, whole: int) -> None:
    rows = lab.target.search(MIGRATED, "(objectSid=*)", "sAMAccountName", "sIDHistory", control=PAGED)
    names = Counter(row["sAMAccountName"][0] for row in rows)
    past = Counter(sid for row in rows for sid in row.get("sIDHistory", ()))
    must(len(rows) == len(names) == whole, f"{len(rows)} objects, {len(names)} names, {whole} expected")
    must(set(past.values()) == {1}, "an old SID is there twice")
    people = lab.source.search(STAFF, PEOPLE, "objectSid", control=PAGED)
    must({row["objectSid"][0] for row in people} <= set(past), "somebody lacks the old SID")
    print(f"{whole} objects in the target, none twice, {len(past)} old SIDs", flush=True)


def verdicts(lab: Lab, state: Path, whole: int) -> None:
    ran = subprocess.run([PROGRAM, "accounts", state, "--output", "csv"], capture_output=True, text=True, check=False, cwd=lab.work)  # fmt: skip
    found = Counter(row["verdict"] for row in csv.DictReader(io.StringIO(ran.stdout)))
    print("verdicts:", dict(found), "in all", found.total(), flush=True)
    must(found.total() == whole, f"the verdicts do not add up to {whole}")


def nested(lab: Lab) -> None:
    """Compare who is in which group on both sides, by name."""

    def members(side: Directory, base: str) -> Iterator[tuple[bytes, frozenset[str]]]:
        for row in side.search(base, "(objectClass=group)", "sAMAccountName", "member", control=PAGED):
            yield row["sAMAccountName"][0], frozenset(dn.decode().partition(",OU=")[0] for dn in row.get("member", ()))

    old, new = dict(members(lab.source, GROUPS)), dict(members(lab.target, MIGRATED))
    must(old == new, f"the members of {[name for name in old if old[name] != new.get(name)][:5]} are others")
    print(f"{len(old)} groups with {sum(map(len, old.values()))} members, as in the source", flush=True)


def touched(lab: Lab) -> dict[str, bytes]:
    """Return the number of the last change by name."""
    rows = lab.target.search(MIGRATED, PEOPLE, "sAMAccountName", "uSNChanged", control=PAGED)
    return {row["sAMAccountName"][0].decode(): row["uSNChanged"][0] for row in rows}


def change(lab: Lab, passwords: dict[str, str]) -> set[str]:
    """Change some passwords in the source and create some users; return whom that concerns."""
    chosen = random.Random(5).sample(sorted(passwords), CHANGED)
    places = {row["sAMAccountName"][0].decode(): row["dn"][0].decode() for row in lab.source.search(STAFF, PEOPLE, "sAMAccountName", control=PAGED)}  # fmt: skip
    for name in chosen:
        passwords[name] = f"Changed-{name}-1"
        lab.source.set_password(places[name], passwords[name])
    new = [f"late.comer{number}" for number in range(NEW)]
    for name in new:
        passwords[name] = f"Secret-{name}-1"
        dn = f"CN={name},{STAFF}"
        lab.source.modify(f"dn: {dn}\nchangetype: add\nobjectClass: user\nsAMAccountName: {name}\n")
        lab.source.set_password(dn, passwords[name])
        lab.source.modify(f"dn: {dn}\nchangetype: modify\nreplace: userAccountControl\nuserAccountControl: 512\n-\n")
    return {*chosen, *new}


if __name__ == "__main__":
    main()

"""How fast attributes are put right, against OpenLDAP's own ldapmodify on the same server.

    python benchmarks/writes.py --users 1000 --rounds 5

Builds a lab of its own with as many users on each side. In each round ``ldapmodify`` gives every user of the target another
description, in one run, and then ``reconcile apply`` puts back those of the source: as many writes of one attribute to the same
entries. Its writes are timed by its audit log, from the first that was announced to the last that was acknowledged; so what the
journal and the audit log cost per write is in it, and what the looks before and after cost is not. Medians.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from datetime import datetime
from pathlib import Path

import yaml
from labs import lab_of_its_own
from watch import HEADS, entered, populate, written

from tests.e2e.lab import Lab


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--users", type=int, default=1000)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--network", type=int, default=79)
    given = options.parse_args()
    with lab_of_its_own(given.network, 4) as lab:
        state = prepared(lab, given.users)
        theirs, ours, whole = [], [], []
        for number in range(given.rounds + 1):
            theirs.append(by_ldapmodify(lab, given.users, f"round {number}"))
            seconds, wall = by_apply(lab, state, given.users)
            ours.append(seconds)
            whole.append(wall)
    # The first round is left out: pages of the database and of the program are cold.
    peer, own = statistics.median(theirs[1:]), statistics.median(ours[1:])
    print(f"ldapmodify: {given.users / peer:7.0f} writes/s")
    print(f"apply:      {given.users / own:7.0f} writes/s; {peer / own:.2f} x ldapmodify")
    print(f"apply, the whole program, looks and all: {statistics.median(whole[1:]):.2f} s; ldapmodify {peer:.2f} s")


def prepared(lab: Lab, users: int) -> Path:
    """Make users on both sides, and a state file by which those of the target are described as those of the source."""
    for side, head in HEADS.items():
        connection = entered(lab, side)
        populate(connection, users, head)
        for number in range(users):
            connection.modify(
                f"CN=bench{number},OU=Bench,{head}", {"description": [("MODIFY_REPLACE", ["as declared"])]}
            )
            assert connection.result["result"] == 0, connection.result
    path = written(lab)
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    population = document["resources"][-1] | {"attributes": ["description"]}
    document["resources"] = [population]
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


def by_ldapmodify(lab: Lab, users: int, value: str) -> float:
    """Write another description to every user of the target; return the seconds of the process."""
    changes = "".join(
        f"dn: CN=bench{number},OU=Bench,{HEADS['target']}\nchangetype: modify\nreplace: description\ndescription: {value}\n\n"
        for number in range(users)
    )
    began = time.perf_counter()
    lab.target.modify(changes)
    return time.perf_counter() - began


def by_apply(lab: Lab, state: Path, users: int) -> tuple[float, float]:
    """Put every description back; return the seconds from the first write to the last, and those of the program."""
    before = time.perf_counter()
    ran = lab.apply(state)
    wall = time.perf_counter() - before
    if ran.code:
        sys.exit(str(ran))
    (log,) = lab.directory.rglob("*.audit.jsonl")
    records = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    mine = [record for record in records if record.get("run") == ran.document["run"] and record.get("step")]
    times = [datetime.fromisoformat(record["at"]) for record in mine]
    assert len([record for record in mine if record["event"] == "done"]) >= users, len(mine)
    return (max(times) - min(times)).total_seconds(), wall


if __name__ == "__main__":
    main()

"""What a look at a whole population costs, against OpenLDAP's own client on the same server, and what a plan of many costs.

    python benchmarks/accounts.py --state states/big.yaml --rounds 5      # a lab that is up, with accounts that were migrated
    python benchmarks/accounts.py --plan 100000                           # in memory: nothing is asked of anybody

The first prints the wall time of a drift check of every population (read both sides, match, compare) as a ratio to two
`ldapsearch` dumps of the same attributes, its CPU to theirs, a pass after ten changes to a full one, and the peak memory.
The second makes up accounts that are missing in the target, and times observing, planning and the text of the plan.
"""

from __future__ import annotations

import argparse
import gc
import os
import resource
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from reconciler.cli.loading import load
from reconciler.cli.main import CYCLES
from reconciler.core.plan import Plan
from reconciler.core.query import Search
from reconciler.core.report import Report
from reconciler.core.table import Table
from reconciler.edge.clock import SystemClock
from reconciler.edge.journal_file import JournalFile
from reconciler.edge.secrets import Secrets
from reconciler.edge.world import LiveWorld
from reconciler.engine.converge import plan_only
from reconciler.engine.intents import Scope, scope
from reconciler.engine.remembering import Memory, RememberingWorld
from reconciler.engine.run import Tools
from reconciler.reports.text import PlanText
from reconciler.resources.ad_accounts import Accounts
from reconciler.resources.kinds import revive
from tests.resources.test_ad_accounts import WANTED, answers, source


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--state", type=Path)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--plan", type=int, default=0)
    options.add_argument(
        "--only-whole", action="store_true", help="no passes with a memory, which need a controller that counts"
    )
    given = options.parse_args()
    gc.set_threshold(*CYCLES)  # as the program does
    if given.plan:
        made_up(given.plan)
    if given.state:
        live(given.state, given.rounds, following=not given.only_whole)


def timed(act: Callable[[], object]) -> tuple[float, float]:
    """Return wall and own CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    act()
    return time.perf_counter() - wall, time.process_time() - cpu


def live(path: Path, rounds: int, *, following: bool) -> None:
    loaded = load(path)
    journal = JournalFile.read_only(loaded.journal)
    whole = scope(loaded.graph, "migrate", journal, revive)
    chosen = {key: intent for key, intent in whole.intents.items() if isinstance(intent.wanted, Accounts)}
    only = whole.only(chosen)
    searches = [
        q for one in chosen.values() for q in one.wanted.queries() if isinstance(q, Search) and q.scope == "subtree"
    ]
    container = str(next(one.wanted.base for one in chosen.values() if isinstance(one.wanted, Accounts)))
    ours, theirs, full, quiet, first, later = [], [], [], [], [], []
    with LiveWorld(loaded.targets, Secrets(loaded.base), loaded.base) as world:
        look(only, world, journal)
        for _ in range(rounds):
            ours.append(timed(lambda: look(only, world, journal)))
            theirs.append(dumped(path, loaded, searches))
        memory = Memory()
        remembering = RememberingWorld(world, memory)
        for _ in range(rounds if following else 0):
            memory.forget()
            full.append(timed(lambda: look(only, remembering, journal, memory))[0])
            quiet.append(timed(lambda: look(only, remembering, journal, memory))[0])
            for passes in (first, later):  # the first one makes the index that later ones use
                touched(loaded, container)
                passes.append(timed(lambda: look(only, remembering, journal, memory))[0])
    median = statistics.median
    wall, cpu = median(one for one, _ in ours), median(one for _, one in ours)
    ldap, ldap_cpu = median(one for one, _ in theirs), median(one for _, one in theirs)
    print(
        f"drift check of every population: {wall:.2f} s wall, {cpu:.2f} s CPU; {len(set(searches))} dumps by ldapsearch: {ldap:.2f} s, {ldap_cpu:.2f} s CPU: {wall / ldap:.2f} x and {cpu / ldap_cpu:.2f} x"
    )
    if following:
        said = [
            f"{when} {median(passes):.3f} s ({100 * median(passes) / median(full):.1f} %)"
            for when, passes in (("after 10 changes", first), ("after 10 more", later), ("after none", quiet))
        ]
        print(f"with memory: full {median(full):.2f} s, {', '.join(said)}")
    here = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory: {peak_of_a_run(path):.0f} MB of one run of `reconcile drift`, {here:.0f} MB of this program")


def peak_of_a_run(path: Path) -> float:
    """Run a drift check as a user does; return how many MB it took at its peak."""
    # From a small process: Linux counts for a new program what the one that started it had at its peak.
    small = (
        "import os, subprocess, sys; run = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL);"
        "_, status, used = os.wait4(run.pid, 0); assert status == 0, status; print(used.ru_maxrss)"
    )
    command = [sys.executable, "-c", small, Path(sys.executable).with_name("reconcile"), "drift", path]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout) / 1024


def look(only: Scope, world: object, journal: JournalFile, memory: Memory | None = None) -> Plan:
    """Make one pass; with a memory as a watch makes it."""
    kept = memory.looks if memory else None
    plan = plan_only(only, Tools(world, journal, SystemClock(), "bench", looks=kept))  # type: ignore[arg-type]
    assert not plan.errors, plan.errors
    assert not plan.changes, plan.changes
    return plan


def dumped(path: Path, loaded: object, searches: list[Search]) -> tuple[float, float]:
    """Dump what the searches ask for, each once, with ldapsearch; wall and CPU seconds."""
    wall, cpu = 0.0, 0.0
    for query in dict.fromkeys(searches):
        domain = loaded.targets.domains[query.domain]  # type: ignore[attr-defined]
        credential = loaded.targets.credentials[domain.credential]  # type: ignore[attr-defined]
        base = query.base or ",".join(f"DC={label}" for label in domain.dns.split("."))
        if base.startswith("config:"):
            base = (
                base.removeprefix("config:") + "CN=Configuration," + ",".join(f"DC={x}" for x in domain.dns.split("."))
            )
        password = (loaded.base / str(credential.password.file)).resolve()  # type: ignore[attr-defined]
        command = ["ldapsearch", "-LLL", "-x", "-H", f"ldaps://{domain.nameservers[0]}:636", "-D", credential.username, "-y", str(password),
                   "-E", "pr=1000/noprompt", "-b", base, "-s", "sub", query.where, *query.attributes]  # fmt: skip
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        began = time.perf_counter()
        environment = {**os.environ, "LDAPTLS_CACERT": str(loaded.base / domain.ca), "LDAPTLS_REQCERT": "allow"}  # type: ignore[attr-defined]
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True, env=environment)
        wall += time.perf_counter() - began
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu += after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, cpu


def touched(loaded: object, base: str) -> None:
    """Change ten users of a container of the source."""
    domain = loaded.targets.domains["source"]  # type: ignore[attr-defined]
    credential = loaded.targets.credentials[domain.credential]  # type: ignore[attr-defined]
    password = (loaded.base / str(credential.password.file)).resolve()  # type: ignore[attr-defined]
    environment = {**os.environ, "LDAPTLS_CACERT": str(loaded.base / domain.ca), "LDAPTLS_REQCERT": "allow"}  # type: ignore[attr-defined]
    common = ["-x", "-H", f"ldaps://{domain.nameservers[0]}:636", "-D", credential.username, "-y", str(password)]
    found = subprocess.run(["ldapsearch", "-LLL", "-o", "ldif-wrap=no", *common, "-z", "10", "-b", base, "(&(objectClass=user)(sAMAccountType=805306368))", "dn"],
                           capture_output=True, text=True, env=environment)  # fmt: skip
    dns = [line for line in found.stdout.splitlines() if line.startswith("dn:")][:10]
    assert len(dns) == 10, found
    text = "\n".join(
        f"{dn}\nchangetype: modify\nreplace: description\ndescription: {time.time_ns()}\n-\n" for dn in dns
    )
    subprocess.run(
        ["ldapmodify", *common], input=text, text=True, check=True, stdout=subprocess.DEVNULL, env=environment
    )


def made_up(number: int) -> None:
    """Plan accounts that are all missing."""
    like = source("x", 1104)
    sid = like["objectsid"][0][:-4]  # type: ignore[index]
    rows = tuple(
        {**like, "dn": f"CN=User {n:06d},OU=Staff,DC=source,DC=lab", "samaccountname": (b"user%06d" % n,), "objectsid": (sid + struct.pack("<I", 1200 + n),)}
        for n in range(number)
    )  # fmt: skip
    given = answers(Table.of(rows), ())
    from reconciler.core.plan import Change
    from reconciler.core.resource import differences

    def planned() -> None:
        observed = WANTED.parse(*given)
        differs = differences(WANTED, observed)
        steps = WANTED.steps(observed, frozenset(one.field for one in differs))
        change = Change(WANTED.key, "apply", WANTED, observed, differs, steps)
        now = SystemClock().now()
        report = Report("plan", "bench", "bench", "migrate", now, now, plan=Plan("migrate", (change,)))
        with open(os.devnull, "w") as sink:
            Console(file=sink, width=1000).print(PlanText(report))

    times = [timed(planned)[0] for _ in range(3)]
    print(f"plan of {number} missing accounts, observed, planned and printed: {statistics.median(times):.2f} s")


if __name__ == "__main__":
    main()

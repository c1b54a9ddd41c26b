"""How fast a watch hears of a change, what a look costs after ten changes, and what it costs to wait.

    python benchmarks/watch.py --users 10000 --idle-minutes 30

Builds a lab of its own with so many users on each side, and takes it down again. The state file wants these users migrated
(by name, so that they count as migrated), forty groups to be there, and one registry value. Every figure is a ratio or a
median; the machine's noise is in both parts.

*At rest* is: a group is deleted once the watch has put the one before it right and looks no more. *Load* is: the next group
is deleted as soon as the last one was told, in the middle of the pass that puts it right, while somebody else changes users
of the same domain twenty times a second.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import ldap3
import yaml
from labs import lab_of_its_own

from reconciler.cli.loading import load
from reconciler.core.query import Search
from reconciler.edge.accounts import Account
from reconciler.edge.clock import SystemClock
from reconciler.edge.journal_file import JournalFile
from reconciler.edge.ldap_connection import Door, connect
from reconciler.edge.psrp_session import Session
from reconciler.edge.secrets import Secrets
from reconciler.edge.world import LiveWorld
from reconciler.engine.converge import plan_only
from reconciler.engine.intents import scope
from reconciler.engine.remembering import Memory, RememberingWorld
from reconciler.engine.run import Tools
from reconciler.resources.kinds import revive
from pydantic import SecretStr
from tests.e2e.lab import PROGRAM, Lab

HEADS = {"source": "DC=source,DC=lab", "target": "DC=target,DC=lab"}
HEAD = HEADS["source"]
GROUPS = [f"Watched{number:02d}" for number in range(40)]
LOAD_S = 1 / 20
"""How long somebody else waits between two changes under load."""


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--users", type=int, default=3000)
    options.add_argument("--idle-minutes", type=float, default=3)
    options.add_argument("--network", type=int, default=69)
    given = options.parse_args()
    with lab_of_its_own(given.network, 4) as lab:
        connection = entered(lab)
        for side in HEADS:
            populate(entered(lab, side), given.users, HEADS[side])
        state = written(lab)
        passes(state, connection, given.users)
        looks(lab, connection, given.users)
        hears(lab, state, connection)
        if given.idle_minutes:
            waits(state, given.idle_minutes)


def entered(lab: Lab, side: str = "source") -> ldap3.Connection:
    account = Account("admin", f"Administrator@{side.upper()}.LAB", SecretStr(lab.secret(f"{side}-admin")))
    controller, address = {
        "source": ("srcdc1.source.lab", lab.source_address),
        "target": ("tgtdc1.target.lab", lab.target_address),
    }[side]
    return connect(Door(side, controller, address, lab.directory / "ca.pem"), account)


def populate(connection: ldap3.Connection, users: int, head: str) -> None:
    connection.add(f"OU=Bench,{head}", "organizationalUnit")
    for number in range(users):
        connection.add(f"CN=bench{number},OU=Bench,{head}", "user", {"sAMAccountName": f"bench{number}"})
        assert connection.result["result"] == 0, connection.result


def touch(connection: ldap3.Connection, number: int) -> None:
    connection.modify(f"CN=bench{number},OU=Bench,{HEAD}", {"description": [("MODIFY_REPLACE", [f"{time.time_ns()}"])]})
    assert connection.result["result"] == 0, connection.result


def timed(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def passes(state: Path, connection: ldap3.Connection, users: int) -> None:
    """A whole look, observation and plan: of everything, after ten changes, and where nothing moved."""
    loaded = load(state)
    with LiveWorld(loaded.targets, Secrets(loaded.base), loaded.base) as world:
        memory, journal = Memory(), JournalFile.read_only(loaded.journal)
        whole_scope = scope(loaded.whole(journal), loaded.state.phase, journal, revive)
        tools = Tools(RememberingWorld(world, memory), journal, SystemClock(), "bench", looks=memory.looks)

        def look() -> None:
            plan = plan_only(whole_scope, tools)
            assert not plan.errors, plan.errors
            assert not any(change.key.startswith("ad.accounts") for change in plan.changes), plan.changes

        def after_ten() -> float:
            for number in range(10):
                touch(connection, number)
            return timed(look)

        look()
        whole, first, some, none = [], [], [], []
        for _ in range(5):
            memory.forget()
            whole.append(timed(look))
            first.append(after_ten())  # builds what the later ones go by
            some.append(after_ten())
            none.append(timed(look))
    full, one, ten, quiet = (statistics.median(each) for each in (whole, first, some, none))
    print(
        f"a whole pass over {users} users on each side: {full:.3f} s; the first after 10 changes {one:.4f} s, {full / one:.0f} times cheaper"
    )
    print(
        f"every later one after 10 changes {ten:.4f} s, {full / ten:.0f} times cheaper; after none {quiet:.4f} s, {full / quiet:.0f} times"
    )


def looks(lab: Lab, connection: ldap3.Connection, users: int) -> None:
    """What is read of a directory: everything, what ten changes moved, and nothing where nothing moved."""
    loaded = load(lab.state())
    queries = [
        Search("source", "", "(sAMAccountName=*)", ("objectClass", "objectSid", "sAMAccountName", "sIDHistory"), "subtree"),
        Search("source", f"OU=Bench,{HEAD}", "(&(objectCategory=person)(objectClass=user))", ("objectSid", "sAMAccountName"), "subtree"),
        Search("source", "", "(sAMAccountName=Domain Admins)", ("objectClass", "member"), "subtree"),
        Search("source", "", attributes=("objectSid", "fSMORoleOwner")),
    ]  # fmt: skip
    with LiveWorld(loaded.targets, Secrets(loaded.base), loaded.base) as world:
        memory = Memory()
        remembering = RememberingWorld(world, memory)
        whole, some, none, plain = [], [], [], []
        list(world.ask_each(queries))
        for _ in range(7):
            plain.append(timed(lambda: list(world.ask_each(queries))))
            memory.forget()
            whole.append(timed(lambda: list(remembering.ask_each(queries))))
            none.append(timed(lambda: list(remembering.ask_each(queries))))
            for number in range(10):
                touch(connection, number)
            some.append(timed(lambda: list(remembering.ask_each(queries))))
        fresh = {place: sorted(map(str, rows)) for place, rows in world.ask_each(queries)}
        assert {place: sorted(map(str, rows)) for place, rows in remembering.ask_each(queries)} == fresh
    full, ten, quiet = (statistics.median(one) for one in (plain, some, none))
    print(
        f"reading {users} accounts twice, without memory: {full:.3f} s (with GUIDs to remember: {statistics.median(whole):.3f} s)"
    )
    print(
        f"after 10 changes: {ten:.4f} s, {full / ten:.0f} times cheaper; after none: {quiet:.4f} s, {full / quiet:.0f} times"
    )
    hosts(loaded)


def hosts(loaded: object) -> None:
    """How many messages a look at the hosts of the example takes."""
    from reconciler.core.query import Command, Recall

    asked = dict.fromkeys(q for d in loaded.graph.declarations.values() for q in d.resource.queries() if not isinstance(q, Recall))  # type: ignore[attr-defined]  # fmt: skip
    commands = [query for query in asked if isinstance(query, Command)]
    sent = 0
    run = Session._run

    def counted(self: Session, *rest: object) -> object:
        nonlocal sent
        sent += 1
        return run(self, *rest)

    Session._run = counted
    with LiveWorld(loaded.targets, Secrets(loaded.base), loaded.base) as world:  # type: ignore[attr-defined]
        for query in commands[:1]:
            list(world.ask_each([query]))

        def one_by_one() -> None:
            for query in commands:
                list(world.ask_each([query]))

        list(world.ask_each(commands))
        alone, together = [], []
        for _ in range(5):
            alone.append(timed(one_by_one))
            sent = 0
            together.append(timed(lambda: list(world.ask_each(commands))))
            messages = sent
    Session._run = run
    ratio = statistics.median(alone) / statistics.median(together)
    names = len({query.host for query in commands})
    print(
        f"{len(commands)} commands on {names} hosts: {messages} messages instead of {len(commands)}, {ratio:.1f} times faster"
    )


def written(lab: Lab) -> Path:
    document = yaml.safe_load(lab.state().read_text(encoding="utf-8"))
    del document["migration"]
    document |= {"metadata": {"name": "bench"}, "phase": "migrate"}
    document["resources"] = [
        *({"kind": "ad.group", "domain": "source", "name": name, "members": []} for name in GROUPS),
        {"kind": "win.registry", "host": "source-pdc", "path": "HKLM:\\SOFTWARE\\Bench", "name": "Bench", "type": "DWord", "value": 1},
        {"kind": "ad.accounts", "source": "source", "source_dns": "source.lab", "base": f"OU=Bench,{HEAD}",
         "target": "target", "target_dns": "target.lab", "into": f"OU=Bench,{HEADS['target']}", "host": "admt",
         "credential": "migrator", "sid_history": False, "passwords": False},
    ]  # fmt: skip
    path = lab.work / "bench.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


def hears(lab: Lab, state: Path, connection: ldap3.Connection) -> None:
    """From the moment a change is acknowledged to the watch's own word that it puts it right."""
    run = subprocess.Popen([PROGRAM, "watch", state, "--every", "1h"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)  # fmt: skip
    said: list[tuple[float, str]] = []
    news = threading.Condition()

    def read() -> None:
        assert run.stdout is not None
        for line in run.stdout:
            with news:
                said.append((time.monotonic(), line))
                news.notify_all()

    threading.Thread(target=read, daemon=True).start()

    def heard(word: str, since: int) -> float:
        with news:
            news.wait_for(lambda: any(word in line for _, line in said[since:]), 30)
            return next(at for at, line in said[since:] if word in line)

    def delete(group: str) -> float:
        """Delete a group; return when that was acknowledged."""
        connection.delete(f"CN={group},CN=Users,{HEAD}")
        assert connection.result["result"] == 0, connection.result
        return time.monotonic()

    heard("converged in", 0)
    at_rest, loaded = [], []
    for group in GROUPS[:20]:
        time.sleep(1.0)  # the look that follows what the watch itself did is over as well
        since = len(said)
        committed = delete(group)
        at_rest.append(heard(f"create the global group {group}", since) - committed)
        heard("converged in", since)
    with changing(lab) as made:
        for group in GROUPS[20:]:
            since = len(said)
            committed = delete(group)
            loaded.append(heard(f"create the global group {group}", since) - committed)
        took = made()
    run.terminate()
    run.wait(20)
    for what, found in (("at rest", at_rest), (f"under load ({took})", loaded)):
        print(
            f"a change in the directory is told, {what}: median {statistics.median(found):.2f} s, worst of {len(found)} {max(found):.2f} s"
        )


@contextmanager
def changing(lab: Lab) -> Iterator[Callable[[], str]]:
    """Change users of the source all the time; yields what says how often that was so far."""
    connection, stop, count, began = entered(lab), threading.Event(), 0, time.monotonic()

    def change() -> None:
        nonlocal count
        while not stop.wait(LOAD_S):
            touch(connection, count % 10)
            count += 1

    writer = threading.Thread(target=change)
    writer.start()
    try:
        yield lambda: f"{count / (time.monotonic() - began):.0f} other changes a second"
    finally:
        stop.set()
        writer.join()


def waits(state: Path, minutes: float) -> None:
    """CPU and memory of a watch that has nothing to do, with its hosts every 30 s."""
    run = subprocess.Popen(
        [PROGRAM, "watch", state, "--every", "1h"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    time.sleep(15)
    begin, began = cpu_s(run.pid), time.monotonic()
    sizes = [rss_kb(run.pid)]
    while time.monotonic() - began < minutes * 60:
        time.sleep(10)
        sizes.append(rss_kb(run.pid))
    used, took = cpu_s(run.pid) - begin, time.monotonic() - began
    run.terminate()
    run.wait(20)
    sixths = [sizes[(len(sizes) - 1) * part // 6] for part in range(7)]
    print(f"waiting {minutes:g} min: {100 * used / took:.2f} % of a core; memory at each sixth of the time: {', '.join(map(str, sixths))} KB")


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_kb(pid: int) -> int:
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1])


if __name__ == "__main__":
    main()

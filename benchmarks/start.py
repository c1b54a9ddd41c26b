"""How long the program takes before it does anything: `--version`, and `validate` of a state file with many resources.

    python benchmarks/start.py --resources 1000 --runs 10

What is compared with is an interpreter that does nothing, and one that only imports yaml. All are started in turn, so that
whatever else the machine does is in every figure. Wall time counts what a person waits; CPU time is what other work on the
machine disturbs least. Modules are compiled before, as they are once a package is installed. Nobody reads what is said, so
nothing is styled: on a terminal rich comes on top, about 40 ms.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

PROGRAM = str(Path(sys.executable).with_name("reconcile"))
HEAD = """\
apiVersion: reconciler/v1
kind: Migration
metadata: {name: many}
phase: migrate
credentials:
  admin: {username: Administrator@SOURCE.LAB, password: {env: NO_SUCH_PASSWORD}}
domains:
  source: {dns: source.lab, netbios: SOURCE, credential: admin}
hosts:
  source-pdc: {domain: source, role: pdc-emulator}
resources:
"""
KINDS = (
    """\
  - kind: ad.group
    domain: source
    name: Group {n}
    scope: domain-local
    members: ['CN=User {n},OU=Staff,DC=source,DC=lab']
""",
    """\
  - kind: ad.group_member
    domain: source
    group: Group {before}
    member: SOURCE\\user{n}
    during: [prepare, migrate]
    after: [ad.group/source/Group {before}]
""",
    """\
  - kind: win.registry
    host: source-pdc
    path: HKLM:\\SOFTWARE\\Vendor\\Part{n}
    name: Enabled
    type: DWord
    value: {n}
""",
    """\
  - kind: win.service
    host: source-pdc
    name: Service{n}
    status: running
    start_mode: automatic
""",
)


@dataclass(frozen=True)
class Contender:
    """A command line that is timed."""

    name: str
    command: tuple[str, ...]


class Took(NamedTuple):
    """How long one start took, seconds."""

    wall: float
    cpu: float


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--resources", type=int, default=1000)
    options.add_argument("--runs", type=int, default=10)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        state = Path(directory) / "many.yaml"
        state.write_text(written(given.resources), encoding="utf-8")
        nothing = Contender("python -c pass", (sys.executable, "-c", "pass"))
        contenders = (
            nothing,
            Contender("python -c 'import yaml'", (sys.executable, "-c", "import yaml")),
            Contender("reconcile --version", (PROGRAM, "--version")),
            Contender("reconcile --help", (PROGRAM, "--help")),
            Contender(f"reconcile validate, {given.resources} resources", (PROGRAM, "validate", str(state))),
        )
        found = measure(contenders, given.runs, Path(directory) / "compiled")
    least = found[nothing]
    for contender, (wall, cpu) in found.items():
        ratios = f"{wall / least.wall:5.1f} x of doing nothing in wall time, {cpu / least.cpu:5.1f} x in CPU time"
        print(f"{contender.name:38} {1000 * wall:6.0f} ms wall, {1000 * cpu:6.0f} ms CPU; {ratios}")


def written(resources: int) -> str:
    """Return a state file with so many resources of four kinds."""
    return HEAD + "".join(KINDS[n % len(KINDS)].format(n=n, before=n - 1) for n in range(resources))


def measure(contenders: tuple[Contender, ...], runs: int, compiled: Path) -> dict[Contender, Took]:
    """Start each in turn; return the medians. The first start of each only compiles, and warms the disk up."""
    found: dict[Contender, list[Took]] = {contender: [] for contender in contenders}
    for turn in range(runs + 1):
        for contender in contenders:
            took = start(contender, compiled)
            if turn:
                found[contender].append(took)
    return {one: Took(*(statistics.median(column) for column in zip(*took))) for one, took in found.items()}


def start(contender: Contender, compiled: Path) -> Took:
    """Start a program, wait for its end, and tell how long it took."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(compiled)
    began = time.perf_counter()
    run = subprocess.Popen(contender.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    _, status, used = os.wait4(run.pid, 0)
    wall = time.perf_counter() - began
    run.returncode = os.waitstatus_to_exitcode(status)
    assert run.returncode == 0, (contender.command, run.returncode)
    return Took(wall, used.ru_utime + used.ru_stime)


if __name__ == "__main__":
    main()

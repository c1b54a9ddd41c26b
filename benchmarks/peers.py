"""A drift check of many items as one run of a program: ours, which asks a directory, beside bundlewrap, pyinfra and Ansible.

    python -m venv /tmp/peers && /tmp/peers/bin/pip install ansible python-ldap pyinfra bundlewrap    # python-ldap needs libldap2-dev, libsasl2-dev
    python benchmarks/peers.py --peers /tmp/peers

Builds a lab of its own. Ours checks as many groups of its directory, each a resource, and then as many accounts as one population,
of the lab (Samba) and of two slapd (Debian: slapd). Ansible checks an attribute of the same groups with
``community.general.ldap_attrs``, of fewer of them, since it takes long. bundlewrap and pyinfra check as many local items that are as
they shall be. Wall seconds of whole processes, medians; the programs take turns, for the machine is not as fast at all times.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import yaml
from labs import lab_of_its_own
from pairs import two_domains
from watch import HEADS, entered, populate, written

from tests.e2e.lab import PROGRAM, Lab


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--peers", type=Path, required=True, help="a virtual environment with the other programs")
    options.add_argument("--items", type=int, default=1000)
    options.add_argument("--ansible-items", type=int, default=50)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--network", type=int, default=79)
    given = options.parse_args()
    with lab_of_its_own(given.network, 4) as lab, two_domains(given.items, given.network - 1) as pairs:
        groups, accounts = ours(lab, given.items)
        commands = {
            f"ours, {given.items} groups": [PROGRAM, "drift", groups],
            f"ours, a population of {given.items}": [PROGRAM, "drift", accounts],
            f"ours, a population of {given.items} on slapd": [PROGRAM, "drift", pairs],
            f"bundlewrap verify, {given.items} files": bundlewrap(given.peers, lab.work, given.items),
            f"pyinfra, {given.items} files, dry": pyinfra(given.peers, lab.work, given.items),
            f"Ansible, ldap_attrs on {given.ansible_items} groups": ansible(
                given.peers, lab.work, lab, given.ansible_items
            ),
        }
        once = {what for what in commands if "Ansible" in what}
        taken: dict[str, list[float]] = {what: [] for what in commands}
        for turn in range(given.rounds + 1):
            for what, command in commands.items():
                if turn == 0 or what not in once:
                    taken[what].append(timed(command, lab.work))
        # Of the first turn each compiles its modules, and does not count; of what runs once nothing else is known.
        found = {what: statistics.median(some[1:] or some) for what, some in taken.items()}
        for what, seconds in found.items():
            print(f"{what:45} {seconds:7.2f} s, {min(taken[what]):7.2f} at best")


def timed(command: Sequence[str | Path], work: Path) -> float:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment |= {
        "PYTHONPYCACHEPREFIX": str(work / "compiled"),
        "LDAPTLS_REQCERT": "never",
        "ANSIBLE_LOCALHOST_WARNING": "0",
    }
    began = time.perf_counter()
    ran = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=work, env=environment, stdin=subprocess.DEVNULL
    )
    took = time.perf_counter() - began
    if ran.returncode:
        sys.exit(f"{command[0]} ended with {ran.returncode}: {ran.stdout[-2000:]} {ran.stderr[-2000:]}")
    return took


def ours(lab: Lab, items: int) -> tuple[Path, Path]:
    """Write a state file of groups and one of a population; everything is as it shall be."""
    for side in HEADS:
        populate(entered(lab, side), items, HEADS[side])
    connection = entered(lab)
    for number in range(items):
        connection.add(
            f"CN=item{number},OU=Bench,{HEADS['source']}",
            "group",
            {"sAMAccountName": f"item{number}", "description": "d"},
        )
        assert connection.result["result"] == 0, connection.result
    document = yaml.safe_load(written(lab).read_text(encoding="utf-8"))
    for domain in document["domains"].values():  # as Ansible, which is told where to ask
        domain["controllers"] = domain.pop("nameservers")
    population = document["resources"][-1]
    paths = []
    for name, resources in (
        ("groups", [{"kind": "ad.group", "domain": "source", "name": f"item{number}"} for number in range(items)]),
        ("accounts", [population]),
    ):
        document["metadata"]["name"], document["resources"] = name, resources
        paths.append(lab.work / f"{name}.yaml")
        paths[-1].write_text(yaml.safe_dump(document), encoding="utf-8")
    return paths[0], paths[1]


def bundlewrap(peers: Path, work: Path, items: int) -> list[str | Path]:
    repository = work / "bw"
    (repository / "bundles" / "items").mkdir(parents=True)
    (work / "files").mkdir(exist_ok=True)
    for number in range(items):
        (work / "files" / str(number)).write_text("x\n")
    (repository / "requirements.txt").write_text("")
    (repository / "groups.py").write_text("groups = {}\n")
    (repository / "nodes.py").write_text(
        "nodes = {'here': {'hostname': 'localhost', 'bundles': ['items'], 'os': 'debian'}}\n"
    )
    (repository / "bundles" / "items" / "items.py").write_text(
        f"actions = {{f'a{{n}}': {{'command': 'true', 'interactive': False}} for n in range(0)}}\n"
        f"directories = {{f'{work}/files/d{{n}}': {{'mode': '0755', 'owner': None, 'group': None}} for n in range(0)}}\n"
        f"files = {{f'{work}/files/{{n}}': {{'content': 'x\\n', 'mode': None, 'owner': None, 'group': None}} for n in range({items})}}\n"
    )
    return [peers / "bin" / "bw", "-r", repository, "verify", "here"]


def pyinfra(peers: Path, work: Path, items: int) -> list[str | Path]:
    deploy = work / "deploy.py"
    deploy.write_text(
        f"from pyinfra.operations import files\nfor n in range({items}):\n    files.file(path=f'{work}/files/{{n}}', present=True)\n"
    )
    return [peers / "bin" / "pyinfra", "@local", deploy, "-y", "--dry"]


def ansible(peers: Path, work: Path, lab: Lab, items: int) -> list[str | Path]:
    domain = lab.source
    task = {
        "community.general.ldap_attrs": {
            "dn": f"CN=item{{{{ item }}}},OU=Bench,{HEADS['source']}", "attributes": {"description": "d"}, "state": "exact",
            "server_uri": domain.url, "bind_dn": domain.admin, "bind_pw": domain.password_file.read_text().strip(), "validate_certs": False,
        },
        "loop": f"{{{{ range({items}) | list }}}}",
    }  # fmt: skip
    play = [{"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": [task]}]
    path = work / "play.yaml"
    path.write_text(yaml.safe_dump(play), encoding="utf-8")
    return [
        peers / "bin" / "ansible-playbook",
        "--check",
        "-e",
        f"ansible_python_interpreter={peers / 'bin' / 'python'}",
        path,
    ]


if __name__ == "__main__":
    main()

"""The lab as a test sees it: the installed program in a process of its own, and other tools to judge what it did."""

from __future__ import annotations

import csv
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from tests.e2e.directory import Directory
from tests.e2e.windows import Windows

PROGRAM = Path(sys.executable).parent / "reconcile"
EXAMPLE = Path(__file__).parents[2] / "states" / "lab.yaml"
RESTART_SECONDS = "0.3"
_WITHOUT_KERBEROS = {name: value for name, value in os.environ.items() if name != "KRB5_CONFIG"}
"""A configuration of whoever runs the tests is left alone by the program, and does not know the lab."""

Role = Literal["source", "target"]
ROLES: tuple[Role, Role] = ("source", "target")

# Where the number of accounts does not matter: an umlaut with a comma, a trailing $, every sign that a DN escapes, a plain one.
FEW = ("juergen.mueller", "svc-backup$", "oneil.buero", "alice.adler")
EVERYBODY = "filter: (objectClass=user)"
ONLY_FEW = f"filter: '(|{''.join(f'(sAMAccountName={name})' for name in FEW)})'"


@dataclass(frozen=True)
class Ran:
    """The program, after it ended."""

    code: int
    out: str
    err: str

    @cached_property
    def document(self) -> dict[str, Any]:
        """What ``--output json`` wrote."""
        found: dict[str, Any] = json.loads(self.out)
        return found

    @property
    def keys(self) -> set[str]:
        """The resources that a plan or drift report says differ or cannot be observed."""
        return {one["key"] for one in (*self.document["changes"], *self.document["errors"])}

    def outcomes(self, *statuses: str) -> set[str]:
        """The resources that ended an apply in one of these ways."""
        return {outcome["key"] for outcome in self.document["outcomes"] if outcome["status"] in statuses}

    def error(self, key: str) -> str:
        """Everything that an apply says about why a resource did not get there."""
        (outcome,) = (outcome for outcome in self.document["outcomes"] if outcome["key"] == key)
        return json.dumps(outcome["error"], ensure_ascii=False)

    def __str__(self) -> str:
        return f"exit {self.code}\n{self.out}\n{self.err}"


@dataclass
class Lab:
    """A running lab, and a directory for state files."""

    directory: Path
    work: Path
    source_address: str
    target_address: str
    condition: str = ""
    runs: list[Ran] = field(default_factory=list)

    def up(self, users: int, *more: str) -> None:
        """Build and start it."""
        finished = subprocess.run(
            [PROGRAM, "lab", "up", "--users", str(users), *more, "--dir", self.directory, "--source-address", self.source_address,
             "--target-address", self.target_address, "--restart-seconds", RESTART_SECONDS],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert finished.returncode == 0, finished.stderr

    def down(self) -> None:
        """Stop it."""
        subprocess.run([PROGRAM, "lab", "down", "--dir", self.directory], capture_output=True, check=False)

    def reset(self) -> None:
        """Put it back to its pristine snapshot; the journal goes too."""
        finished = subprocess.run(
            [PROGRAM, "lab", "reset", "--dir", self.directory], capture_output=True, text=True, check=False
        )
        assert finished.returncode == 0, finished.stderr
        self.condition = "pristine"

    @cached_property
    def document(self) -> dict[str, Any]:
        """lab.json."""
        found: dict[str, Any] = json.loads((self.directory / "lab.json").read_text(encoding="utf-8"))
        return found

    @cached_property
    def source(self) -> Directory:
        return Directory.of(self.document["domains"]["source"])

    @cached_property
    def target(self) -> Directory:
        return Directory.of(self.document["domains"]["target"])

    @cached_property
    def users(self) -> dict[str, str]:
        """Password by sAMAccountName."""
        with Path(self.document["users_file"]).open(encoding="utf-8", newline="") as table:
            return {row["sam_account_name"]: row["password"] for row in csv.DictReader(table)}

    @cached_property
    def migrator_sid(self) -> str:
        """The operator's SID as text."""
        raw = self.target.one(self.target.base_dn, "(sAMAccountName=migrator)", "objectSid")["objectSid"][0]
        return f"{self.target.sid}-{int.from_bytes(raw[-4:], 'little')}"

    def secret(self, name: str) -> str:
        """Read one of the lab's secrets."""
        return (self.directory / "secrets" / name).read_text(encoding="utf-8").strip()

    @property
    def secrets(self) -> dict[str, str]:
        """Every password that must never be seen, by what it is."""
        own = {path.name: path.read_text(encoding="utf-8").strip() for path in (self.directory / "secrets").iterdir()}
        return own | {f"password of {name}": password for name, password in self.users.items()}

    def windows(self, role: Role) -> Windows:
        """Return a session with a domain's host, to be used with ``with``."""
        return self.session(self.document["domains"][role]["controller"])

    def session(self, name: str) -> Windows:
        """Return the same for a host by its DNS name."""
        host = self.document["hosts"][name]
        return Windows(host["address"], host["user"], Path(host["password_file"]).read_text(encoding="utf-8").strip())

    def restart(self, role: Role) -> None:
        """Restart a domain's host and wait until it is back, as somebody at the machine would."""
        self._restart({"domain": role})

    def restart_member(self, name: str) -> None:
        """Do the same with a member server, by its DNS name."""
        self._restart({"host": name})

    def _restart(self, which: dict[str, str]) -> None:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(60)
            connection.connect(self.document["control_socket"])
            connection.sendall(json.dumps({"operation": "restart-host", "arguments": which}).encode() + b"\n")
            answer = json.loads(connection.makefile("rb").readline())
        assert "done" in answer, answer

    def commands(self, role: Role) -> list[dict[str, Any]]:
        """Return what a domain's host was sent so far."""
        return self.sent_to(self.document["domains"][role]["controller"])

    def sent_to(self, name: str) -> list[dict[str, Any]]:
        """Return the same for a host by its DNS name."""
        path = Path(self.document["hosts"][name]["command_log"])
        if not path.exists():
            return []
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]

    def disk(self, role: Role) -> dict[str, Any]:
        """Return the disk of a host, as it lies on ours."""
        path = self.directory / "hosts" / self.document["domains"][role]["controller"] / "disk.json"
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return found

    def state(self, phase: str = "migrate", *edits: tuple[str, str], name: str = "state", canary: bool = False) -> Path:
        """Write the example state for this lab.

        Args:
            edits: (what stands there, what shall stand there); each must be found.
            canary: Let a throw-away account go first. Whatever else is tested, a run with it is also about it.
        """
        text = EXAMPLE.read_text(encoding="utf-8")
        if not canary:
            text = text.replace("\n  accounts:\n", "\n  canary: off\n  accounts:\n")
        for old, new in (
            ("../.lab", str(self.directory)),
            ("[127.0.0.21]", f"[{self.source_address}]"),
            ("[127.0.0.22]", f"[{self.target_address}]"),
            ("phase: migrate", f"phase: {phase}"),
            *edits,
        ):
            assert old in text, f"the example has no {old!r}"
            text = text.replace(old, new)
        path = self.work / f"{name}.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    def reconcile(self, *arguments: str | Path, environment: dict[str, str] | None = None) -> Ran:
        """Run the installed program; whatever it says, no secret is in it."""
        finished = subprocess.run(
            [PROGRAM, *arguments], capture_output=True, text=True, check=False, timeout=300, stdin=subprocess.DEVNULL,
            env={**_WITHOUT_KERBEROS, "NO_COLOR": "1", **(environment or {})}, cwd=self.work,
        )  # fmt: skip
        ran = Ran(finished.returncode, finished.stdout, finished.stderr)
        self.runs.append(ran)
        assert self.seen_in(ran.out + ran.err) == []
        return ran

    def apply(self, state: Path) -> Ran:
        """Apply, and have the result as JSON."""
        return self.reconcile("apply", state, "--output", "json")

    def drift(self, state: Path) -> Ran:
        """Look for drift, and have the result as JSON."""
        return self.reconcile("drift", state, "--output", "json")

    def seen_in(self, text: str) -> list[str]:
        """Name the secrets that stand in a text."""
        return [name for name, secret in self.secrets.items() if secret in text]

    def not_migrated(self, *names: str) -> dict[str, str]:
        """Say what is wrong with each of these accounts (all of them without names): logon, SID history."""
        asked = ("sAMAccountName", "objectSid", "sIDHistory")
        old = _by_name(self.source.search("OU=Staff,DC=source,DC=lab", "(objectClass=user)", *asked))
        new = _by_name(self.target.search("OU=Migrated,DC=target,DC=lab", "(objectClass=user)", *asked))
        wrong = {}
        for name in names or self.users:
            if name not in new:
                wrong[name] = "is not there"
            elif new[name].get("sIDHistory") != old[name]["objectSid"]:
                wrong[name] = "does not carry the old SID"
            elif not self.target.can_log_on(name, self.users[name]):
                wrong[name] = "cannot log on with the old password"
        return wrong


def _by_name(entries: list[dict[str, list[bytes]]]) -> dict[str, dict[str, list[bytes]]]:
    return {entry["sAMAccountName"][0].decode(): entry for entry in entries}


@contextmanager
def lab_of_its_own(work: Path, source: str, target: str, users: int, *more: str) -> Iterator[Lab]:
    """Run a lab for one purpose alone, and leave nothing of it.

    Args:
        work: For state files.
        source: Address of the source; ``target`` likewise.
        more: Further arguments of ``reconcile lab up``.
    """
    directory = Path(tempfile.mkdtemp(prefix="rl-"))  # a short name: Samba's sockets lie below it
    lab = Lab(directory, work, source, target)
    try:
        lab.up(users, *more)
        yield lab
    finally:
        lab.down()
        shutil.rmtree(directory, ignore_errors=True)

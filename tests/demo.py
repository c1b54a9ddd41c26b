"""The main job on the lab, from nothing to everything put back: what ``make demo`` runs.

It shows each command and what it prints, and stops at the first one that does not end as it should.
"""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RECONCILE = str(Path(sys.executable).parent / "reconcile")
LAB = ROOT / ".lab-demo"  # not the one that somebody may be working with
ADDRESSES = {"127.0.0.21": "127.0.0.23", "127.0.0.22": "127.0.0.24"}


def main() -> int:
    """Run the demonstration; return 0 where all of it went as it should."""
    users = "12"
    with tempfile.TemporaryDirectory(prefix="reconcile-demo-") as scratch:
        state = Path(scratch) / "states" / "lab.yaml"
        state.parent.mkdir()
        try:
            headline("An embedded lab: two real AD forests, simulated Windows hosts")
            run("lab", "down", "--dir", str(LAB))
            shutil.rmtree(LAB, ignore_errors=True)
            source, target = ADDRESSES.values()
            where = ("--source-address", source, "--target-address", target)
            run("lab", "up", "--users", users, "--dir", str(LAB), *where, quiet=True)
            write_state(state, "migrate")
            headline("What would change, in order, and why")
            run("plan", str(state), expect=2, inside=True)
            headline("Apply: observe, diff, apply in dependency order, again, until nothing differs")
            run("apply", str(state), inside=True)
            headline("Does the world still match?")
            run("drift", str(state), inside=True)
            headline("Users log on in the target domain with the passwords they had in the source")
            log_on()
            headline("The migration is complete: every temporary setting goes back to exactly what it was")
            write_state(state, "complete")
            run("apply", str(state), inside=True)
            run("drift", str(state), inside=True)
            headline("What was reverted, and for how long each weakening was live")
            run("status", str(state), inside=True)
            headline("The users still log on")
            log_on()
        finally:
            run("lab", "down", "--dir", str(LAB), expect=None)
    headline("Done")
    return 0


def headline(text: str) -> None:
    """Say what comes next."""
    say(f"\n=== {text}")


def say(text: str) -> None:
    """Print at once, so that it stands before what the next command prints."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def write_state(path: Path, phase: str) -> None:
    """Write the example state with this phase, pointing at the demonstration's lab."""
    text = (ROOT / "states" / "lab.yaml").read_text(encoding="utf-8")
    text = text.replace("../.lab", str(LAB)).replace("phase: migrate  ", f"phase: {phase}  ")
    for example, ours in ADDRESSES.items():
        text = text.replace(example, ours)
    path.write_text(text, encoding="utf-8")


def run(*arguments: str, expect: int | None = 0, inside: bool = False, quiet: bool = False) -> None:
    """Run the program and check its exit code.

    Args:
        inside: Where the lab can be reached; an ordinary user's lab has a network of its own.
        quiet: Leave out what it prints to standard output.
    """
    say("$ reconcile " + " ".join(arguments))
    command = [RECONCILE, *arguments]
    if inside:
        command = [RECONCILE, "lab", "exec", "--dir", str(LAB), "--", *command]
    code = subprocess.run(command, check=False, stdout=subprocess.DEVNULL if quiet else None).returncode
    if expect is not None and code != expect:
        sys.exit(f"exit code {code}, expected {expect}")


def log_on() -> None:
    """Bind to the target's directory as each migrated user, with the password of users.csv."""
    with (LAB / "users.csv").open(encoding="utf-8", newline="") as file:
        people = list(csv.DictReader(file))
    missing = [person["sam_account_name"] for person in people if not logs_on(person)]
    say(f"{len(people) - len(missing)} of {len(people)} users of OU=Staff log on in TARGET.LAB with their old password")
    if missing:
        sys.exit("these do not: " + ", ".join(missing))


def logs_on(person: dict[str, str]) -> bool:
    """Return whether one user can log on; judged by ldapwhoami's sibling ldapsearch, not by the program."""
    with tempfile.NamedTemporaryFile("w", encoding="utf-8") as secret:
        secret.write(person["password"])
        secret.flush()
        search = [
            "ldapsearch",
            "-LLL",
            "-o",
            f"tls_cacert={LAB / 'ca.pem'}",
            "-H",
            f"ldaps://{ADDRESSES['127.0.0.22']}",
        ]
        search += ["-D", person["sam_account_name"] + "@TARGET.LAB", "-y", secret.name]
        search += ["-s", "base", "-b", "DC=target,DC=lab", "dn"]
        command = [RECONCILE, "lab", "exec", "--dir", str(LAB), "--", *search]
        return subprocess.run(command, check=False, capture_output=True).returncode == 0


if __name__ == "__main__":
    sys.exit(main())

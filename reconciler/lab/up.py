"""Starts, stops and resets a lab: what ``reconcile lab`` calls. Every error is a LabError with a sentence to read."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from reconciler.lab.forest import network, snapshot
from reconciler.lab.forest.control import ask
from reconciler.lab.settings import LONGEST_DIRECTORY, LabError, LabPaths, LabSettings

POLL_SECONDS = 0.02
STOP_SECONDS = 15.0
LOG_LINES = 5

# What has to be there -> the Debian package that brings it.
PROGRAMS = {
    "samba": "samba",
    "samba_spnupdate": "samba",
    "samba-tool": "samba-common-bin",
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "setsid": "util-linux",
}
FILES = {
    "/usr/share/samba/setup/provision.ldif": "samba-ad-provision",
    "/usr/bin/python3": "python3",
    "/usr/lib/python3/dist-packages/samba/__init__.py": "python3-samba",
}
LIBRARIES = {
    "samba/ldb/samldb.so": "samba-dsdb-modules",
    "samba/vfs/acl_xattr.so": "samba-vfs-modules",
    "libgssapi_krb5.so.2": "libgssapi-krb5-2",
}

Say = Callable[[str], None]


def up(settings: LabSettings, say: Say = lambda text: None) -> dict[str, Any]:
    """Start a lab, building it first if it is not there; return lab.json's content.

    A lab that runs is left alone. One that was stopped, or that crashed, goes on from its disks.

    Args:
        say: Told what happens, for people.
    """
    directory = settings.directory.expanduser().absolute()
    settings = replace(settings, directory=directory)
    check_machine(settings)
    paths = settings.paths
    if is_running(directory):
        _refuse_other_settings(settings)
        say(f"the lab in {directory} runs already")
        return read_lab_json(directory)
    if snapshot.exists(paths):
        _refuse_other_settings(settings)
    for private in (directory, paths.run):
        private.mkdir(mode=0o700, parents=True, exist_ok=True)
        private.chmod(0o700)
    settings.write()
    return _launch(settings, say)


def down(directory: Path) -> bool:
    """Stop a lab and wait until all of it is gone; its disks stay. Return whether one was running."""
    directory = directory.expanduser().absolute()
    paths = LabPaths(directory)
    if not is_running(directory):
        return False
    try:
        ask(paths.control_socket, "stop", timeout_s=STOP_SECONDS)
    except LabError:
        _signal(paths, signal.SIGTERM)  # it is still starting, or hangs
    deadline = time.monotonic() + STOP_SECONDS
    while is_running(directory):
        if time.monotonic() > deadline:
            _signal(paths, signal.SIGKILL)  # its children die with it
            deadline += STOP_SECONDS
        time.sleep(POLL_SECONDS)
    return True


def status(directory: Path) -> dict[str, Any]:
    """Return what is known of a lab, running or not."""
    directory = directory.expanduser().absolute()
    paths = LabPaths(directory)
    if is_running(directory):
        try:
            return {"directory": str(directory), **ask(paths.control_socket, "status")}
        except LabError:
            return {"directory": str(directory), "running": True, "ready": False}
    return {"directory": str(directory), "running": False, "built": snapshot.exists(paths)}


def reset(directory: Path) -> dict[str, Any]:
    """Put a lab back to its snapshot; one that runs, runs again afterwards. Return ``{"seconds": ...}``."""
    directory = directory.expanduser().absolute()
    paths = LabPaths(directory)
    if is_running(directory):
        answer: dict[str, Any] = ask(paths.control_socket, "reset", timeout_s=180)
        return answer
    started = time.monotonic()
    snapshot.restore(paths)
    return {"seconds": round(time.monotonic() - started, 2)}


def exec_(directory: Path, argv: Sequence[str]) -> int:
    """Run a command where the lab can be reached, with KRB5_CONFIG set; return its exit code."""
    directory = directory.expanduser().absolute()
    if not is_running(directory):
        raise LabError(f"no lab runs in {directory}\n  do: start it with `reconcile lab up`")
    document = read_lab_json(directory)
    command = list(argv)
    if document["network"] == network.NAMESPACE:
        entered = ("nsenter", "--preserve-credentials", "--user", "--net", f"--target={document['pid']}", "--")
        command = [*entered, *command]
    environment = {**os.environ, "KRB5_CONFIG": str(document["krb5_config"])}
    try:
        return subprocess.run(command, check=False, env=environment).returncode
    except FileNotFoundError:
        raise LabError(f"no such command: {command[0]}") from None


def is_running(directory: Path) -> bool:
    """Return whether a supervisor holds this lab's lock; a process id alone could be somebody else's by now."""
    try:
        with LabPaths(directory).lock_file.open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def read_lab_json(directory: Path) -> dict[str, Any]:
    """Return lab.json's content."""
    try:
        document: dict[str, Any] = json.loads(LabPaths(directory).lab_json.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise LabError(f"the lab in {directory} is still starting") from None
    return document


def check_machine(settings: LabSettings) -> None:
    """Say everything this machine lacks, in one go, and what of the settings cannot be."""
    if (wrong := settings.problem()) is not None:
        raise LabError(wrong)
    if len(os.fsencode(settings.directory)) > LONGEST_DIRECTORY:
        raise LabError(
            f"the lab's directory has a name of more than {LONGEST_DIRECTORY} characters: {settings.directory}\n"
            "  why: Samba's sockets lie in it, and their names must not be longer than 107\n"
            "  do: choose a shorter one with --dir"
        )
    missing = missing_packages()
    if missing:
        raise LabError(
            f"the lab needs these Debian packages: {', '.join(missing)}\n"
            f"  do: sudo apt-get install --no-install-recommends {' '.join(missing)}"
        )
    if network.kind() == network.NAMESPACE:
        allowed = subprocess.run(
            ["unshare", "--user", "--map-root-user", "--net", "true"],
            check=False,
            capture_output=True,
            text=True,
        )
        if allowed.returncode != 0:
            raise LabError(
                f"this user may not have a network namespace: {allowed.stderr.strip()}\n"
                "  do: run as root, or allow it: sysctl kernel.unprivileged_userns_clone=1"
            )


def missing_packages() -> list[str]:
    """Return the Debian packages that have to be installed for the lab."""
    missing = {package for program, package in PROGRAMS.items() if _which(program) is None}
    missing |= {package for path, package in FILES.items() if not Path(path).exists()}
    missing |= {package for pattern, package in LIBRARIES.items() if not any(Path("/usr/lib").glob(f"*/{pattern}"))}
    return sorted(missing)


def _which(program: str) -> str | None:
    return shutil.which(program, path=_path_with_sbin())


def _path_with_sbin() -> str:
    """Return PATH with the places where Debian puts samba; an ordinary user's PATH lacks them."""
    return os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])


def _refuse_other_settings(settings: LabSettings) -> None:
    built = LabSettings.read(settings.directory)
    if built is not None and (differences := settings.differences(built)):
        raise LabError(
            f"the lab in {settings.directory} was built differently: {', '.join(differences)}\n"
            "  do: stop it and delete that directory, or choose another one with --dir"
        )


def _launch(settings: LabSettings, say: Say) -> dict[str, Any]:
    kind = network.kind()
    command = [sys.executable, "-m", "reconciler.lab.supervisor", str(settings.directory), kind]
    if kind == network.NAMESPACE:
        command = ["unshare", "--user", "--map-root-user", "--net", "--", *command]
    # setsid forks: the lab is nobody's child, so it neither ends with us nor stays behind as a zombie.
    command = ["setsid", "--fork", *command]
    with settings.paths.log_file.open("ab") as log:
        settings.paths.log_file.chmod(0o600)
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            cwd="/",
            env=_environment(),
        )
    assert child.stdout is not None
    with child, child.stdout as reports:
        for line in reports:
            report: Mapping[str, Any] = json.loads(line)
            if "ready" in report:
                document: dict[str, Any] = report["ready"]
                return document
            if "error" in report:
                raise LabError(report["error"])
            say(report["progress"])
    raise LabError(f"the lab ended while starting{_last_words(settings.paths)}\n  see: {settings.paths.log_file}")


def _environment() -> dict[str, str]:
    return {**os.environ, "PATH": _path_with_sbin()}


def _last_words(paths: LabPaths) -> str:
    with contextlib.suppress(OSError):
        lines = paths.log_file.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:]
        return "".join(f"\n  {line}" for line in lines)
    return ""


def _signal(paths: LabPaths, number: int) -> None:
    with contextlib.suppress(OSError, ValueError):
        os.kill(int(paths.pid_file.read_text(encoding="utf-8")), number)

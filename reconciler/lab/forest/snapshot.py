"""The pristine copy of a freshly built lab, and the way back to it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from reconciler.lab.settings import ROLES, LabError, LabPaths, write_private

COMPLETE = "complete"


def take(paths: LabPaths) -> None:
    """Copy both stopped domains; the copy counts only once it is complete."""
    shutil.rmtree(paths.snapshot, ignore_errors=True)
    paths.snapshot.mkdir(mode=0o700)
    _copy([paths.domain(role) for role in ROLES], paths.snapshot)
    write_private(paths.snapshot / COMPLETE, "")


def exists(paths: LabPaths) -> bool:
    """Return whether there is a complete snapshot."""
    return (paths.snapshot / COMPLETE).exists()


def restore(paths: LabPaths) -> None:
    """Put both domains and the simulated hosts back to how they were built; nothing may be running."""
    if not exists(paths):
        raise LabError(f"there is no snapshot in {paths.snapshot}\n  do: build the lab with `reconcile lab up`")
    for directory in (*(paths.domain(role) for role in ROLES), paths.hosts, paths.journal, paths.restoring):
        shutil.rmtree(directory, ignore_errors=True)
    paths.restoring.mkdir(mode=0o700)
    _copy([paths.snapshot / role for role in ROLES], paths.restoring)
    for role in ROLES:  # a domain is there whole or not at all, also after a crash in between
        (paths.restoring / role).rename(paths.domain(role))
    paths.restoring.rmdir()


def _copy(sources: Sequence[Path], into: Path) -> None:
    # The databases are sparse: 1 GB each to look at, some 30 MB on the disk. shutil would fill them up.
    command = ["cp", "--archive", "--sparse=always", "--", *map(str, sources), str(into)]
    outcome = subprocess.run(command, check=False, capture_output=True, text=True)
    if outcome.returncode != 0:
        raise LabError(f"cannot copy the lab's disks: {outcome.stderr.strip()}")

"""Keeps saved plans in files: written whole or not at all, for their owner alone, and read once."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reconciler.core.errors import DesiredStateError, Problem, ReconcileError, UnsafePlan
from reconciler.core.limits import PLAN_AGAIN
from reconciler.core.saved_plan import KIND, SavedPlan, read_value
from reconciler.edge.regular_file import read_regular
from reconciler.edge.whole_file import replace_whole

MAX_BYTES = 64 * 1024 * 1024
MARKS = (f'"{KIND}"'.encode(), b'"steps_sha256"')  # a file that has both is meant to be a saved plan, damaged or not


def write(path: Path, value: Mapping[str, Any]) -> None:
    """Write a saved plan with mode 0600; a crash leaves the old file or the new one.

    Raises:
        UnsafePlan: It is too large, or what is there is not a saved plan and would be lost.
        ReconcileError: It cannot be written.
    """
    # ASCII only, so that no name in it can play tricks on a terminal.
    content = (json.dumps(value, indent=2, ensure_ascii=True, allow_nan=False) + "\n").encode("ascii")
    if len(content) > MAX_BYTES:
        raise UnsafePlan(f"the plan has {len(content)} bytes, and at most {MAX_BYTES} can be read", where=str(path))
    try:
        _spare(path)
        replace_whole(path, content)
    except OSError as error:
        raise ReconcileError(
            f"the plan cannot be written: {error.strerror}", where=str(path), do="check the path and its permissions"
        ) from error


def read(path: Path) -> SavedPlan | None:
    """Read a saved plan; None where the file is something else, such as a state file.

    Raises:
        DesiredStateError: It is a saved plan that cannot be read, or of another version.
        UnsafePlan: It was altered, or others can write to it.
    """
    opened: list[os.stat_result] = []
    try:
        content = read_regular(path, MAX_BYTES, opened.append)
    except OSError:
        return None  # who reads it as a state file says what is wrong with it
    if not all(mark in content for mark in MARKS):
        return None
    mode = stat.S_IMODE(opened[0].st_mode)
    if mode & 0o022:
        raise UnsafePlan(f"others can write to the saved plan (mode {mode:04o})", where=str(path), do=PLAN_AGAIN)
    if len(content) > MAX_BYTES:
        raise _unreadable(path, f"it is larger than {MAX_BYTES} bytes")
    try:
        value = json.loads(content.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise _unreadable(path, str(error)) from error
    return read_value(value, str(path))


def _spare(path: Path) -> None:
    """Refuse to write over anything but an older plan: `--out state.yaml` must not cost the state file."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return
    if stat.S_ISREG(status.st_mode):
        content = read_regular(path, MAX_BYTES, lambda status: None)
        if not content or all(mark in content for mark in MARKS):
            return
    raise UnsafePlan(
        "there is something else already, and it would be lost", where=str(path), do="name another file for the plan"
    )


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):  # readers disagree about which of two counts
        raise ValueError("a name stands twice in the same place")
    return found


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _unreadable(path: Path, why: str) -> DesiredStateError:
    return DesiredStateError((Problem(f"the saved plan cannot be read: {why}", str(path), PLAN_AGAIN),))

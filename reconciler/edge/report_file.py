"""Writes reports to files: whole or not at all, so that a CI never picks up half of one."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from reconciler.core.errors import ReconcileError


def write(path: Path, text: str) -> None:
    """Write a report, in place of an older one; to a device or a pipe as it is.

    Raises:
        ReconcileError: It cannot be written.
    """
    content = text.encode("utf-8")
    try:
        if path.exists() and not stat.S_ISREG(path.stat().st_mode):
            path.write_bytes(content)
        else:
            _replace(path, content)
    except OSError as error:
        do = "check the path and its permissions"
        raise ReconcileError(
            f"the report cannot be written: {error.strerror or error}", where=str(path), do=do
        ) from error


def _replace(path: Path, content: bytes) -> None:
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    beside = Path(name)  # readable by its owner alone: a report names what is weakened right now
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise

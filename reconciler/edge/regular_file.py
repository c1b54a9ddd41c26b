"""Reads a file that is opened once: what is checked is what is read."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path


def read_regular(path: Path, limit: int, check: Callable[[os.stat_result], None] = lambda status: None) -> bytes:
    """Return the content of a regular file, at most ``limit + 1`` bytes of it.

    Args:
        check: Raises what it likes about the opened file, before anything of it is read.

    Raises:
        OSError: It cannot be opened, or is no regular file.
    """
    # Without O_NONBLOCK a named pipe would wait for a writer for ever.
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except ValueError as error:  # a NUL in the path
        raise OSError(0, str(error)) from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(0, "not a regular file")
        check(status)
        with os.fdopen(descriptor, "rb", closefd=False) as stream:
            return stream.read(limit + 1)
    finally:
        os.close(descriptor)

"""What several of these tests stand on."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def memory_disk() -> Iterator[Path]:
    """A directory that no real disk slows down, where there is one."""
    shared = Path("/dev/shm")
    where = Path(tempfile.mkdtemp(dir=shared if os.access(shared, os.W_OK) else None))
    yield where
    shutil.rmtree(where)

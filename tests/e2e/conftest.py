"""One lab for all end-to-end tests of a process: built once, put back between the modules, taken down at the end."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.lab import EVERYBODY, FEW, ONLY_FEW, Lab

USERS = 40


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the tests that share the migrated lab come one after the other, so that it is migrated once."""
    items.sort(key=lambda item: item.path.parent == Path(__file__).parent and "migrated" in _fixtures(item))


def _fixtures(item: pytest.Item) -> list[str]:
    return item.fixturenames if isinstance(item, pytest.Function) else []


@pytest.fixture(scope="session")
def built(worker_id: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A running lab in whatever condition the last module left it."""
    place = 0 if worker_id == "master" else int(worker_id.removeprefix("gw"))
    directory = Path(tempfile.mkdtemp(prefix="rl-"))  # a short name: Samba's sockets lie below it
    lab = Lab(directory, tmp_path_factory.mktemp("states"), f"127.0.60.{2 * place + 1}", f"127.0.60.{2 * place + 2}")
    try:
        lab.up(USERS)
        lab.condition = "pristine"
        yield lab
    finally:
        lab.down()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="module")
def lab(built: Lab) -> Lab:
    """A lab that nobody has touched."""
    if built.condition != "pristine":
        built.reset()
    built.condition = "in use"
    return built


@pytest.fixture(scope="module")
def migrated(built: Lab) -> Lab:
    """A lab in which a few accounts were migrated and everything is still open."""
    if built.condition != "migrated":
        built.reset()
        done = built.apply(built.state("migrate", (EVERYBODY, ONLY_FEW)))
        assert done.code == 0, done
        assert built.not_migrated(*FEW) == {}
        built.condition = "migrated"
    return built

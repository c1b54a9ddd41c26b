"""What holds for every test: properties are judged by what they find, never by how long a busy machine takes."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

from tests.soak import examples

settings.register_profile(
    "house", deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=examples(100)
)
settings.load_profile("house")

LONGEST = ("e2e", "lab")
"""Folders whose tests need a lab."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest. A file is run by one worker, in its order: its tests share a lab."""
    items.sort(key=lambda item: item.path.parent.name not in LONGEST)

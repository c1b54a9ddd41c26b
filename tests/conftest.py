"""What holds for every test: properties are judged by what they find, never by how long a busy machine takes."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

from tests.soak import examples

settings.register_profile(
    "house", deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=examples(100)
)
settings.load_profile("house")

ONE_AT_A_TIME = ("e2e", "lab")
"""Folders whose tests share a lab, and so one worker; they come first because they take longest."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep what shares a lab together when the tests run in parallel."""
    for item in items:
        folder, name = item.path.parent.name, item.path.name
        if folder in ONE_AT_A_TIME and item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(name))
    items.sort(key=lambda item: item.path.parent.name not in ONE_AT_A_TIME)

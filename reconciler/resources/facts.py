"""Reading single facts of the journal: a question is a prefix, an answer may hold longer keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reconciler.core.query import Rows

ACCOUNTS = "account/"
"""What the keys of all facts about accounts begin with."""


def fact(rows: Rows, key: str) -> Mapping[str, Any]:
    """Return the fact of exactly this key; empty where there is none."""
    value = next((row["value"] for row in rows if row["key"] == key), None)
    return value if isinstance(value, Mapping) else {}

"""The example state file as plain values, to be changed by a test and turned into resources; nothing is contacted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from reconciler.core.graph import Graph
from reconciler.edge.yaml_document import compose
from reconciler.resources.resolve import declarations
from reconciler.resources.state import State

ROOT = Path(__file__).parents[1]
LAB = ROOT / "states" / "lab.yaml"
LSA = r"HKLM:\SYSTEM\CurrentControlSet\Control\Lsa"


def lab(phase: str = "migrate", *, resources: list[dict[str, Any]] | None = None, **migration: Any) -> dict[str, Any]:
    """Return a fresh copy; ``migration`` replaces parts of that block, None takes one away."""
    document: dict[str, Any] = compose(LAB.read_text(encoding="utf-8")).value
    document["phase"] = phase
    block = {**document["migration"], **migration}
    document["migration"] = {name: value for name, value in block.items() if value is not None}
    document["resources"] = resources or []
    return document


def passwords(**fields: Any) -> dict[str, Any]:
    """Return the `passwords:` block with other fields; None takes one away."""
    block = {**lab()["migration"]["passwords"], **fields}
    return {name: value for name, value in block.items() if value is not None}


def registry(host: str = "admt", name: str = "Extra", **fields: Any) -> dict[str, Any]:
    """Return a registry value that could stand below `resources:`."""
    return {"kind": "win.registry", "host": host, "path": r"HKLM:\SOFTWARE\Extra", "name": name, "type": "DWord", "value": 1, **fields}  # fmt: skip


def graph(document: dict[str, Any]) -> Graph:
    """Resolve it."""
    return Graph(declarations(State.model_validate(document)))


def write(directory: Path, document: dict[str, Any] | str) -> Path:
    """Write it as a state file."""
    path = directory / "state.yaml"
    text = document if isinstance(document, str) else yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
    path.write_text(text, encoding="utf-8")
    return path

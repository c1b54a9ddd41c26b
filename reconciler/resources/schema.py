"""The JSON Schema of a state file, generated from the models: 2020-12, and a draft-07 copy for editors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from reconciler.resources.state import State

Draft = Literal["2020-12", "draft-07"]
FILES: dict[Draft, str] = {"2020-12": "v1/state.json", "draft-07": "v1/state.draft-07.json"}
DIALECTS: dict[Draft, str] = {
    "2020-12": "https://json-schema.org/draft/2020-12/schema",
    "draft-07": "http://json-schema.org/draft-07/schema#",
}


def render(draft: Draft) -> str:
    """Return one schema, with a final newline."""
    document: dict[str, Any] = State.model_json_schema(by_alias=True)
    if draft == "draft-07":
        document = _draft_07(document)
    return (
        json.dumps(
            {"$schema": DIALECTS[draft], "title": "reconcile state file", **document}, indent=2, ensure_ascii=False
        )
        + "\n"
    )


def write_all(directory: Path) -> list[Path]:
    """Write every schema below a directory; return their paths."""
    written = []
    for draft, name in FILES.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(render(draft), encoding="utf-8")
        written.append(path)
    return written


def _draft_07(node: Any) -> Any:
    """Rename what draft-07 calls otherwise: ``$defs`` is ``definitions`` and ``prefixItems`` is ``items``."""
    if isinstance(node, list):
        return [_draft_07(item) for item in node]
    if not isinstance(node, dict):
        return node
    out: dict[str, Any] = {}
    for key, value in node.items():
        if key == "$defs":
            out["definitions"] = {name: _draft_07(item) for name, item in value.items()}
        elif key == "$ref":
            out[key] = value.replace("#/$defs/", "#/definitions/")
        elif key == "mapping" and isinstance(value, dict):
            out[key] = {name: ref.replace("#/$defs/", "#/definitions/") for name, ref in value.items()}
        elif key == "prefixItems":
            out["items"] = _draft_07(value)
        else:
            out[key] = _draft_07(value)
    return out

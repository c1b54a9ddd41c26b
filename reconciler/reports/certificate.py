"""Render a certificate for a person."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from reconciler.reports.plain import printable
from reconciler.reports.text import length


def table(body: Mapping[str, Any]) -> RenderableType:
    """Return what a certificate says, for a person."""
    rows = Table("setting", "weakened", "original", "set to", "live for", "put back", "read back", box=None, pad_edge=False)  # fmt: skip
    for setting in body["settings"]:
        read = ", ".join(f"{one['where']}: {one['found']}" for one in setting["read_back"])
        cells = (setting["key"], setting["weakens"] or "-", _values(setting["original"]), _values(setting["set"]), length(timedelta(seconds=setting["live_seconds"])), setting["restored_at"], read)  # fmt: skip
        rows.add_row(*(Text(printable(str(cell))) for cell in cells))
    audit = body["audit"]
    head = (
        f"{body['state']}: everything that was set for a while is put back; made {body['made_at']} by run {body['run']}"
    )
    foot = f"audit log up to record {audit['count']}, {audit['hash']}\nkey {body['key']}"
    return Group(Text(printable(head), style="bold"), rows, Text(foot, style="dim"))


def _values(fields: Mapping[str, Any]) -> str:
    if fields.get("ensure") == "absent":
        return "absent"
    return ", ".join(f"{name}={json.dumps(value)}" for name, value in fields.items() if name != "ensure") or "present"

"""Render a Report as SARIF 2.1.0, for code scanning: each drift is a finding at the line that declares the resource."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC, datetime
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from reconciler import __version__
from reconciler.core.drift import Drift
from reconciler.core.report import Report
from reconciler.reports.plain import printable
from reconciler.reports.standing import drifts_of, set_right
from reconciler.reports.undo import show

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def render(report: Report) -> str:
    """Return the document, with a final newline."""
    return json.dumps(document(report), indent=2, ensure_ascii=False) + "\n"


def document(report: Report) -> dict[str, Any]:
    """Return the document as JSON values."""
    drifts = drifts_of(report)
    kinds = sorted({_kind(drift) for drift in drifts})
    run = {
        "tool": {"driver": {"name": "reconcile", "version": __version__, "rules": [_rule(kind) for kind in kinds]}},
        "automationDetails": {"id": f"reconcile/{printable(report.state)}/"},
        "invocations": [
            {
                "executionSuccessful": not report.interrupted and not any(drift.error for drift in drifts),
                "exitCode": int(report.exit_code),
                "startTimeUtc": _utc(report.started),
                "endTimeUtc": _utc(report.ended),
            }
        ],
        "results": [_result(drift, kinds.index(_kind(drift)), report) for drift in drifts],
        "columnKind": "unicodeCodePoints",
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def fingerprint(drift: Drift) -> str:
    """Return what makes a drift the same alert in every run: the resource and the fields, never values or times."""
    about = json.dumps([drift.key, sorted(one.field for one in drift.differs), bool(drift.error)])
    return hashlib.sha256(about.encode("ascii")).hexdigest()[:32]


def _rule(kind: str) -> dict[str, Any]:
    return {
        "id": kind,
        "shortDescription": {"text": f"{kind} is not as declared"},
        "help": {"text": "Look at `reconcile plan`, then let `reconcile apply` set it right, or declare what it shall be."},
        "defaultConfiguration": {"level": "warning"},
    }  # fmt: skip


def _result(drift: Drift, rule: int, report: Report) -> dict[str, Any]:
    found: dict[str, Any] = {
        "ruleId": _kind(drift),
        "ruleIndex": rule,
        "level": "note" if drift.key in set_right(report) else _level(drift),
        "message": {"text": _text(says(drift))},
        "locations": [_location(drift, report)],
        # GitHub looks at the first name only, others look at ours.
        "partialFingerprints": {
            "primaryLocationLineHash": f"{fingerprint(drift)}:1",
            "reconcile/v1": fingerprint(drift),
        },
        "properties": _properties(drift),
    }
    if drift.policy == "ignore":
        found["suppressions"] = [{"kind": "external", "justification": "the state file says to ignore it"}]
    return found


def says(drift: Drift) -> str:
    """Return a drift as one sentence."""
    title = printable(drift.title)
    if drift.error:
        return f"{title}: could not be observed: " + " ".join(printable(line.strip()) for line in drift.error.splitlines())  # fmt: skip
    fields = [f"{one.field} is {show(one.observed)}, declared is {show(one.wanted)}" for one in drift.differs]
    parts = [*fields, *([f"weakens: {printable(drift.weakens)}"] if drift.weakens else []), f"comes from: {drift.comes_from}"]  # fmt: skip
    if drift.because:
        parts.append(" ".join(printable(line.strip()) for line in drift.because.splitlines()))
    return f"{title}: {'; '.join(parts)}"


def _text(words: str) -> str:
    """A message may hold links and placeholders; nothing that was read shall become one."""
    return re.sub(r"\{(\d+)\}", r"{{\1}}", words.replace("](", "] ("))


def _level(drift: Drift) -> str:
    if drift.error or drift.weakens:
        return "error"
    return "note" if drift.comes_from == "transient" or drift.policy == "ignore" else "warning"


def _location(drift: Drift, report: Report) -> dict[str, Any]:
    where = drift.where or report.where.get(drift.key, "")
    found: dict[str, Any] = {"logicalLocations": [{"fullyQualifiedName": printable(drift.key), "kind": "resource"}]}
    # Code scanning refuses a finding without a file: what only the journal knows is shown at the top of the state file.
    shown = where or next(iter(report.where.values()), "")
    if not shown:
        return found
    file, line, column = shown.rsplit(":", 2)
    found["physicalLocation"] = {"artifactLocation": _artifact(file)}
    if where:
        found["physicalLocation"]["region"] = {"startLine": int(line), "startColumn": int(column)}
    return found


def _artifact(file: str) -> dict[str, str]:
    path = PurePath(file)
    if path.is_absolute():
        return {"uri": path.as_uri()}
    return {"uri": quote(path.as_posix()), "uriBaseId": "%SRCROOT%"}


def _properties(drift: Drift) -> dict[str, Any]:
    facts = {
        "comesFrom": drift.comes_from,
        "weakens": drift.weakens,
        "since": _utc(drift.since) if drift.since else "",
        "on": drift.on,
        "firstSeen": _utc(drift.first_seen) if drift.first_seen else "",
        "repair": list(drift.repair),
        "policy": drift.policy,
    }
    return {name: value for name, value in facts.items() if value}


def _kind(drift: Drift) -> str:
    return printable(drift.key.partition("/")[0])


def _utc(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

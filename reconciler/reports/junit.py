"""Render a Report as JUnit XML, for the test view of a CI: each resource is a test that it is as declared."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC
from typing import Literal
from xml.etree import ElementTree as ET

from reconciler.core.drift import Drift
from reconciler.core.report import Report
from reconciler.reports.plain import printable
from reconciler.reports.sarif import says
from reconciler.reports.standing import SAYS, Standing, standings

Verdict = Literal["passed", "failure", "error", "skipped"]


def render(report: Report) -> str:
    """Return the document, with a final newline."""
    found = standings(report)
    took = f"{(report.ended - report.started).total_seconds():.3f}"
    root = ET.Element("testsuites", {"name": printable(f"reconcile {report.verb} {report.state}"), "time": took, **_counts(found)})  # fmt: skip
    for place in dict.fromkeys(standing.place for standing in found):
        root.append(_suite(place, [standing for standing in found if standing.place == place], report))
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _suite(place: str, found: Sequence[Standing], report: Report) -> ET.Element:
    started = report.started.astimezone(UTC).isoformat(timespec="seconds")
    skipped = str(sum(1 for standing in found if verdict(standing) == "skipped"))
    about = {"name": printable(place) or "everywhere", "timestamp": started, "skipped": skipped}
    suite = ET.Element("testsuite", {**about, **_counts(found)})
    for standing in found:
        suite.append(_case(standing))
    return suite


def _counts(found: Sequence[Standing]) -> dict[str, str]:
    verdicts = [verdict(standing) for standing in found]
    return {"tests": str(len(found)), "failures": str(verdicts.count("failure")), "errors": str(verdicts.count("error"))}  # fmt: skip


def verdict(standing: Standing) -> Verdict:
    """Return what the test says: a failure is a drift, an error is what could not be observed or done."""
    if standing.state in ("unknown", "failed"):
        return "error"
    if standing.state in ("skipped", "idle"):
        return "skipped"
    if standing.state in ("differs", "waiting"):
        return "skipped" if standing.drift is not None and standing.drift.policy == "ignore" else "failure"
    return "passed"


def _case(standing: Standing) -> ET.Element:
    case = ET.Element("testcase", name=printable(f"{standing.title} [{standing.key}]"), classname=printable(standing.kind))  # fmt: skip
    if (found := verdict(standing)) != "passed":
        short = says(standing.drift) if standing.drift else SAYS[standing.state]
        told = ET.SubElement(case, found, message=short, type=standing.drift.comes_from if standing.drift else standing.state)  # fmt: skip
        told.text = "\n".join(printable(line) for line in _details(standing))
    return case


def _details(standing: Standing) -> list[str]:
    lines = [standing.because] if standing.because else []
    drift: Drift | None = standing.drift
    if drift is not None:
        lines += [*drift.error.splitlines(), *drift.because.splitlines()]
        lines += [f"do: {step}" for step in drift.repair]
        lines += [f"changed at {drift.since.isoformat()}{f' on {drift.on}' if drift.on else ''}"] if drift.since else []
        lines += [f"first seen at {drift.first_seen.isoformat()}"] if drift.first_seen else []
    return [*lines, *([f"at {standing.where}"] if standing.where else [])]

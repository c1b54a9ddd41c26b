"""What sums a report up in words, without a terminal's colours."""

from __future__ import annotations

from reconciler.core.certificate import Closing
from reconciler.core.report import Report


def quiet(report: Report) -> bool:
    """Whether its summary is all that a look has to say."""
    plan = report.plan
    return (
        plan is not None
        and plan.quiet
        and report.exit_code == 0
        and not (plan.edits or plan.errors or plan.exposure or report.drifts or report.remarks)
        and not (report.closing.alarms or report.closing.unknown)
    )


def nothing_differs(report: Report) -> str:
    """Return the summary of a look that found nothing to do."""
    plan = report.plan
    assert plan is not None
    return f"{report.state}: phase {plan.phase}, nothing differs ({len(plan.unchanged)} resources){alarmed(report.closing)}."


def alarmed(closing: Closing) -> str:
    """Return the end of a summary's sentence; empty where there is no alarm."""
    count = len(closing.alarms)
    words = f", {count} alarm{'s' if count != 1 else ''}" if count else ""
    return words + (f", {len(closing.unknown)} of what was certified unknown" if closing.unknown else "")

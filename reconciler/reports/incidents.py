"""What of a report is an incident: a drift that nobody asked for, a lease that ended, a certificate withheld, an alarm."""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.core.certificate import Alarm
from reconciler.core.notice import INCIDENT, Incident
from reconciler.core.report import Report

TOLD = ("external", "corrective", "unknown")
"""Classes of drift that are incidents: what the state file asks for, and what the migration itself moves, are not."""


def incidents(report: Report) -> list[Incident]:
    """Return what goes on at the end of a run."""
    return [*_drifts(report), *_leases(report), *_certificate(report), *_alarms(report)]


def unjudged(report: Report) -> list[str]:
    """Return the facts, or prefixes of facts, of incidents on which this run cannot say that they are over."""
    if report.interrupted:
        return [INCIDENT]
    # What could not be looked at, or not be set right, is not over: a host that restarts ends no drift.
    failed = [f"{INCIDENT}drift/{outcome.key}" for outcome in report.outcomes if outcome.status == "failed"]
    return [*failed, *(f"{INCIDENT}alarm/{key}" for key in report.closing.unknown)]


def made(report: Report) -> Incident | None:
    """Return the certificate that this very run made, as something to tell once."""
    certificate = report.closing.certificate
    if certificate is None or not certificate.get("new"):
        return None
    return Incident("certificate", str(certificate["file"]), "completion certificate", "made", since=report.ended)


def _drifts(report: Report) -> Iterator[Incident]:
    for drift in report.drifts:
        if drift.comes_from in TOLD and drift.policy != "ignore":
            since = drift.since or drift.first_seen
            yield Incident("drift", drift.key, drift.title, drift.comes_from, drift.where, since)


def _leases(report: Report) -> Iterator[Incident]:
    titles = {outcome.key: outcome.title for outcome in report.outcomes}
    late = {
        p.key: p.wanted_until for p in report.open if p.changed_at and p.wanted_until and p.wanted_until <= report.ended
    }
    for key, until in late.items():
        yield Incident("lease", key, titles.get(key, key), "past its lease", report.where.get(key, ""), until)
    for outcome in report.outcomes:
        if outcome.lapsed is not None and outcome.key not in late:
            where = report.where.get(outcome.key, "")
            yield Incident("lease", outcome.key, outcome.title, "lease ended", where, outcome.lapsed)


def _certificate(report: Report) -> Iterator[Incident]:
    if report.closing.withheld:
        yield Incident("certificate", "", "completion certificate", "withheld", since=report.ended)


def _alarms(report: Report) -> Iterator[Incident]:
    for alarm in report.closing.alarms:
        yield _alarm(alarm, report)


def _alarm(alarm: Alarm, report: Report) -> Incident:
    return Incident("alarm", alarm.key, alarm.title, alarm.kind, report.where.get(alarm.key, ""))

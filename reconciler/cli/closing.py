"""The end of a migration: what was certified is looked at again, and what was put back is certified."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from reconciler.core.errors import ReconcileError
from reconciler.core.exit_codes import ExitCode

if TYPE_CHECKING:
    from reconciler.core.certificate import Closing, PutBack
    from reconciler.core.ports import Journal
    from reconciler.core.report import Report
    from reconciler.engine.certify import Sources
    from reconciler.engine.intents import Scope
    from reconciler.engine.run import Tools

CERTIFICATE = "certificate/"
"""Prefix of the facts about the certificates that were made, by the name of the file."""


def watched(scope: Scope, tools: Tools) -> Closing:
    """Look again at what was certified; nothing is written."""
    from reconciler.engine.alarm import watch

    return watch(scope, _sources(tools))


def closed(report: Report, scope: Scope, tools: Tools, beside: Path) -> Report:
    """End a run: look again at what was certified, and certify what was put back since, if everything was.

    Args:
        report: How the run ended.
        beside: The journal's file.
    """
    closing = watched(scope, tools)
    if scope.phase == "complete":
        closing = _concluded(closing, report, scope, tools, beside)
    return replace(report, closing=closing)


def _concluded(closing: Closing, report: Report, scope: Scope, tools: Tools, beside: Path) -> Closing:
    from reconciler.core.certificate import Doubt
    from reconciler.engine.certify import pending, read_back

    made = _intact(tools.journal, beside)
    due = pending(scope, tools.journal, made)
    if not due and not report.open:
        return replace(closing, certificate=_newest(tools.journal, beside, made))
    if report.open or report.interrupted or report.exit_code != ExitCode.OK:
        why = f"{len(report.open)} settings are still to be put back" if report.open else "the run did not end well"
        return replace(closing, withheld=(Doubt("", "", why, "see above, and apply again"),))
    found = read_back(due, scope, _sources(tools))
    doubts = found.doubts
    if not doubts:
        try:
            return replace(closing, certificate=_made(found.settings, report, tools, beside))
        except ReconcileError as error:
            doubts = (Doubt("", error.where, error.what, error.do),)
    reasons = [str(doubt) for doubt in doubts]
    tools.journal.record("certificate withheld", tools.clock.now(), {"run": tools.run, "because": reasons})
    return replace(closing, withheld=doubts)


def _made(settings: tuple[PutBack, ...], report: Report, tools: Tools, beside: Path) -> dict[str, Any]:
    """Sign, write, and then remember a certificate: a crash in between makes it once more under another name."""
    from reconciler.core.audit import AuditError
    from reconciler.core.certificate import Making, document
    from reconciler.edge.audit_file import AuditFile
    from reconciler.edge.certificate_file import keep, sha256
    from reconciler.engine.alarm import certified_fact
    from reconciler.engine.certify import CERTIFIED

    if not isinstance(tools.audit, AuditFile):
        raise AuditError("the audit log cannot be used, so there is no key to sign with", do="apply again once it can")
    at = tools.clock.now()
    making = Making(report.state, tools.run, at)
    content = tools.audit.certify(lambda head, key: document(making, settings, head, key))
    path = keep(beside, content)
    about = {"file": path.name, "sha256": sha256(content), "made_at": at.isoformat(), "settings": len(settings)}
    facts = {CERTIFIED + s.promise.key: certified_fact(s, at.isoformat(), path.name) for s in settings}
    tools.journal.note({**facts, CERTIFICATE + path.name: about}, at)
    tools.journal.record("certificate", at, {"run": tools.run, **about})
    return {"path": os.fspath(path), **about, "new": True}


def _intact(journal: Journal, beside: Path) -> set[str]:
    """Return the names of the certificates that are still there as they were made."""
    from reconciler.core.audit import AuditError
    from reconciler.edge.certificate_file import read, sha256

    found = set()
    for fact in journal.facts(CERTIFICATE).values():
        try:
            if sha256(read(beside.with_name(str(fact["file"])))) == fact["sha256"]:
                found.add(str(fact["file"]))
        except AuditError:
            continue
    return found


def _newest(journal: Journal, beside: Path, made: set[str]) -> dict[str, Any] | None:
    facts = [fact for fact in journal.facts(CERTIFICATE).values() if fact["file"] in made]
    newest = max(facts, key=lambda fact: str(fact["made_at"]), default=None)
    if newest is None:
        return None
    return {"path": os.fspath(beside.with_name(str(newest["file"]))), **newest, "new": False}


def _sources(tools: Tools) -> Sources:
    from reconciler.engine.certify import Sources
    from reconciler.resources.kinds import revive

    return Sources(tools.world, tools.journal, tools.clock, revive)

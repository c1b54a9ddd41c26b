"""The end of a whole migration in the simulated world: the certificate on disk, why there is none, and the verbs about it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from cyclopts import App

from reconciler.cli import certificate
from reconciler.cli.closing import closed, watched
from reconciler.cli.main import exit_code_of
from reconciler.cli.running import carry_out
from reconciler.core.errors import ReconcileError, Unreachable
from reconciler.core.graph import Graph
from reconciler.core.ports import Json
from reconciler.core.query import Query, Rows, Search
from reconciler.core.report import Report
from reconciler.core.resource import Declaration
from reconciler.core.values import Phase
from reconciler.edge.audit_check import audit_path
from reconciler.edge.audit_file import AuditFile
from reconciler.edge.certificate_file import certificates
from reconciler.edge.journal_file import JournalFile
from reconciler.engine.certify import CERTIFIED
from reconciler.engine.intents import scope
from reconciler.engine.run import Tools
from reconciler.reports.json_report import document
from reconciler.resources.kinds import revive
from tests.cli.test_audit import STATE
from tests.crash.schedules import article
from tests.crash.simulated import SimulatedWorld
from tests.crash.simulated_start import LSA, Tables, start
from tests.fake_world import FakeClock

EXPORT = f"win.registry/source-pdc/{LSA}/AllowPasswordExport"

app = App(name="reconcile")
app.command(certificate.certificate)


def run(*arguments: str | Path) -> int:
    try:
        given = [str(argument) for argument in ("certificate", *arguments)]
        return int(app(given, exit_on_error=False, print_error=True, result_action="return_value"))
    except ReconcileError as error:
        return exit_code_of(error)


class World(SimulatedWorld):
    """One in which a second controller of the source may be listed that does not answer."""

    silent = False

    def controllers(self, domain: str) -> tuple[str, ...]:
        found = super().controllers(domain)
        return (*found, "dc2.source.lab") if self.silent and domain == "source" else found

    def ask(self, query: Query) -> Rows:
        if isinstance(query, Search) and query.controller == "dc2.source.lab":
            raise Unreachable("dc2.source.lab does not answer", target="source")
        return super().ask(query)


class Torn(JournalFile):
    """One whose writer dies at the moment at which it would learn of a certificate."""

    def note(self, facts: Mapping[str, Json], at: datetime) -> None:
        if any(key.startswith(CERTIFIED) for key in facts):
            raise KeyboardInterrupt
        super().note(facts, at)


class Migration:
    """The article's migration, in a world of its own, with the journal and audit log of a state file on disk."""

    def __init__(self, directory: Path, tables: Tables) -> None:
        self.world = World(tables)
        self.clock = FakeClock()
        self.path = directory / "journal" / "demo.db"
        self.graph = article()
        self.runs = 0
        self.journal: type[JournalFile] = JournalFile

    def apply(self, phase: Phase = "complete") -> Report:
        with ExitStack() as stack:
            tools = self._tools(stack)
            whole = scope(self.graph, phase, tools.journal, revive)
            return closed(carry_out("apply", "demo", whole, tools, {}, {}), whole, tools, self.path)

    def drift(self) -> Report:
        with ExitStack() as stack:
            tools = self._tools(stack)
            closing = watched(scope(self.graph, "complete", tools.journal, revive), tools)
            now = self.clock.now()
            return Report("drift", "run", "demo", "complete", now, now, closing=closing)

    def history(self) -> list[str]:
        return [str(entry["event"]) for entry in JournalFile.read_only(self.path).history()]

    def _tools(self, stack: ExitStack) -> Tools:
        self.runs += 1
        journal = stack.enter_context(self.journal.open(self.path, "demo", holder="test"))
        audit = stack.enter_context(AuditFile.open(audit_path(self.path)))
        return Tools(self.world, journal, self.clock, f"run{self.runs}", audit=audit)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Migration:
    """Return a migration that is done, and not yet completed."""
    found = Migration(tmp_path_factory.mktemp("done"), start())
    assert found.apply("migrate").exit_code == 0
    return found


@pytest.fixture
def migration(done: Migration, tmp_path: Path) -> Migration:
    """Return a copy of it for one test, with a state file beside the journal's directory."""
    (tmp_path / "state.yaml").write_text(STATE)
    shutil.copytree(done.path.parent, tmp_path / "journal")
    found = Migration(tmp_path, done.world.tables.copy())
    found.clock.at = done.clock.at
    return found


def state_of(migration: Migration) -> Path:
    return migration.path.parent.parent / "state.yaml"


def test_complete_certifies_every_setting_of_the_article(migration: Migration) -> None:
    report = migration.apply()
    assert (report.exit_code, report.closing.withheld) == (0, ())
    assert report.closing.certificate is not None
    path = migration.path.with_suffix(".certificate.json")
    assert report.closing.certificate["path"] == str(path)
    body = json.loads(path.read_text())
    assert {setting["key"] for setting in body["settings"]} == {promise.key for promise in report.closed}
    assert len(body["settings"]) > 10
    assert all(setting["read_back"] for setting in body["settings"])
    assert body["audit"]["count"] > 0
    assert migration.history()[-1] == "certificate"


def test_a_second_apply_makes_no_other_one(migration: Migration) -> None:
    first, content = migration.apply(), migration.path.with_suffix(".certificate.json").read_bytes()
    second = migration.apply()
    assert first.closing.certificate and second.closing.certificate
    assert first.closing.certificate["sha256"] == second.closing.certificate["sha256"]
    assert [path.name for path in migration.path.parent.glob("*.certificate.json")] == ["demo.certificate.json"]
    assert migration.path.with_suffix(".certificate.json").read_bytes() == content
    assert migration.history().count("certificate") == 1


def test_a_controller_that_does_not_answer_withholds_it_until_it_is_gone(migration: Migration) -> None:
    migration.world.silent = True
    report = migration.apply()
    assert (report.exit_code, report.open, report.closing.certificate) == (9, (), None)
    assert [doubt.where for doubt in report.closing.withheld] == ["dc2.source.lab"]
    assert list(migration.path.parent.glob("*.certificate.json")) == []
    assert migration.history()[-1] == "certificate withheld"
    migration.world.silent = False
    report = migration.apply()
    assert (report.exit_code, report.closing.certificate is not None) == (0, True)


def test_a_run_that_leaves_something_open_makes_none_and_keeps_its_own_exit_code(migration: Migration) -> None:
    def refuse(effect: object) -> None:
        raise Unreachable("not now", target="source-pdc")

    migration.world.before = refuse
    report = migration.apply()
    assert report.open
    assert (report.exit_code, report.closing.certificate) == (9, None)
    assert "still to be put back" in report.closing.withheld[0].what


def test_a_certificate_that_was_altered_is_kept_and_made_anew(migration: Migration) -> None:
    migration.apply()
    path = migration.path.with_suffix(".certificate.json")
    path.write_bytes(path.read_bytes().replace(b"demo", b"demi"))
    altered = path.read_bytes()
    report = migration.apply()
    assert report.closing.certificate
    assert report.closing.certificate["file"] == "demo.2.certificate.json"
    assert path.read_bytes() == altered


def test_a_crash_before_the_journal_knows_of_it_leaves_one_more_and_never_a_claim_without_one(
    migration: Migration,
) -> None:
    migration.journal = Torn
    with pytest.raises(KeyboardInterrupt):
        migration.apply()
    assert JournalFile.read_only(migration.path).facts("certified/") == {}
    migration.journal = JournalFile
    report = migration.apply()
    assert report.closing.certificate
    assert [path.name for path in certificates(migration.path)] == ["demo.certificate.json", "demo.2.certificate.json"]
    assert report.closing.certificate["file"] == "demo.2.certificate.json"


def test_a_second_migration_certifies_what_it_set_and_keeps_the_first(migration: Migration) -> None:
    migration.apply()
    only = migration.graph[EXPORT].model_copy(update={"after": ()})
    migration.graph = Graph([Declaration(only.model_copy(update={"dead_mans_switch": None, "restart": False}))])
    assert migration.apply("migrate").exit_code == 0
    report = migration.apply()
    assert report.exit_code == 0
    assert report.closing.certificate
    assert (report.closing.certificate["file"], report.closing.certificate["settings"]) == (
        "demo.2.certificate.json",
        1,
    )
    assert run("verify", migration.path.with_suffix(".certificate.json")) == 0
    assert run("verify", state_of(migration)) == 0


def test_what_reappears_is_an_alarm_of_drift_and_of_apply(migration: Migration) -> None:
    migration.apply()
    assert migration.drift().exit_code == 0
    migration.world.tables.registry["source-pdc", LSA, "AllowPasswordExport"] = ("REG_DWORD", 1)
    for report in (migration.drift(), migration.apply()):
        assert report.exit_code == 2
        (alarm,) = document(report)["alarms"]
        assert (alarm["key"], alarm["alarm"]) == (EXPORT, "reappeared")
        assert alarm["weakens"] == "password hashes can be exported from the source domain"
    assert migration.world.tables.registry["source-pdc", LSA, "AllowPasswordExport"] == ("REG_DWORD", 1)


def test_without_a_usable_audit_log_nothing_is_signed(migration: Migration) -> None:
    with JournalFile.open(migration.path, "demo", holder="test") as journal:
        tools = Tools(migration.world, journal, migration.clock, "run")
        whole = scope(migration.graph, "complete", journal, revive)
        report = closed(carry_out("revert", "demo", whole, tools, {}, {}), whole, tools, migration.path)
    assert (report.exit_code, report.open) == (9, ())
    assert "no key to sign with" in report.closing.withheld[0].what


def test_it_is_verified_by_state_file_by_name_and_as_a_copy(
    migration: Migration, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    migration.apply()
    path = migration.path.with_suffix(".certificate.json")
    assert run("verify", state_of(migration)) == 0
    assert run("verify", path) == 0
    out, err = capsys.readouterr()
    assert "is as it was signed" in out
    assert "the key beside it was used" in err
    copy = tmp_path / "copy.certificate.json"
    copy.write_bytes(path.read_bytes())
    assert run("verify", copy) == 1  # no key beside it
    assert run("verify", copy, "--public-key", migration.path.with_suffix(".audit.pub")) == 0
    copy.write_bytes(copy.read_bytes().replace(b"AllowPasswordExport", b"AllowPasswordImport"))
    capsys.readouterr()
    assert run("verify", copy, "--public-key", migration.path.with_suffix(".audit.pub")) == 1
    assert capsys.readouterr().out == "was altered: the signature is not for what it says\n"


@pytest.mark.parametrize("verb", ["verify", "show"])
def test_where_there_is_none_that_is_said(migration: Migration, verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(verb, state_of(migration)) == 1


def test_show_says_it_as_text_and_as_json(migration: Migration, capsys: pytest.CaptureFixture[str]) -> None:
    migration.apply()
    assert run("show", state_of(migration)) == 0
    text = capsys.readouterr().out
    assert EXPORT in text
    assert "password hashes can be exported from the source domain" in text
    assert run("show", state_of(migration), "--output", "json") == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert (found["apiVersion"], found["kind"], found["faults"]) == ("reconciler/v1", "Certificate", [])
    assert EXPORT in {setting["key"] for setting in found["settings"]}

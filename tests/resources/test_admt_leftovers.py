"""Files that ADMT's runs left are removed also where no accounts are migrated any more."""

from __future__ import annotations

from datetime import UTC, datetime

from reconciler.core.graph import Graph
from reconciler.core.query import Command
from reconciler.core.values import Phase
from reconciler.resources.account_runs import file_key, note_files
from reconciler.resources.admt_leftovers import Leftovers
from reconciler.resources.facts import ACCOUNTS
from reconciler.resources.leftovers import with_leftovers
from tests.declared import graph, lab
from tests.fake_journal import MemoryJournal

AT = datetime(2026, 11, 20, 18, tzinfo=UTC)
PATH = "C:\\Windows\\ADMT\\reconcile-1.txt"
LEFTOVERS = Leftovers(host="admt", domain="source")


def journal(*paths: str, host: str = "admt") -> MemoryJournal:
    made = MemoryJournal()
    for note in note_files("ad.accounts/source/OU=Staff", "source", host, paths):
        made.note({note.key: note.value}, AT)
    return made


def added(phase: Phase, kept: MemoryJournal, found: Graph) -> set[str]:
    return set(with_leftovers(found, phase, kept.facts(ACCOUNTS)).declarations) - set(found.declarations)


def test_it_is_looked_for_where_nothing_else_tidies_up() -> None:
    kept, found = journal(PATH), graph(lab())
    assert added("complete", kept, found) == {LEFTOVERS.key}
    assert added("prepare", kept, found) == {LEFTOVERS.key}
    assert added("migrate", kept, found) == set()
    assert added("complete", kept, Graph([])) == {LEFTOVERS.key}


def test_where_nothing_was_left_there_is_nothing_to_look_for() -> None:
    kept = journal(PATH)
    kept.note({file_key("source", PATH): {}}, AT)
    assert added("complete", kept, graph(lab())) == set()
    assert added("complete", MemoryJournal(), graph(lab())) == set()


def test_each_file_is_removed_and_then_forgotten() -> None:
    facts = tuple({"key": key, "value": value} for key, value in journal(PATH, "C:\\a.csv").facts(ACCOUNTS).items())
    observed = LEFTOVERS.parse(facts)
    assert set(observed.files) == {PATH, "C:\\a.csv"}
    steps = LEFTOVERS.steps(observed, frozenset({"files"}))
    effects = [step.effect for step in steps]
    assert all(isinstance(effect, Command) and effect.name == "Remove-Item" for effect in effects)
    learned = [fact for step in steps for fact in LEFTOVERS.learns(step, ()).items()]
    assert dict(learned) == {file_key("source", PATH): {}, file_key("source", "C:\\a.csv"): {}}


def test_files_on_another_host_are_not_its_own() -> None:
    facts = tuple({"key": key, "value": value} for key, value in journal(PATH, host="other").facts(ACCOUNTS).items())
    assert LEFTOVERS.parse(facts).files == ()


def test_of_several_hosts_each_is_tidied_up_by_what_runs_on_it() -> None:
    document = lab(also_admt_hosts=["admt2"], sid_history=False)
    document["hosts"]["admt2"] = {"domain": "target", "address": "tgt2.target.lab", "member_server": True}
    kept = journal(PATH, host="admt2")
    assert added("migrate", kept, graph(document)) == set()
    assert added("complete", kept, graph(document)) == {Leftovers(host="admt2", domain="source").key}

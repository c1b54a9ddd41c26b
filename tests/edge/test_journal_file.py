"""The journal: one contract for memory and disk, and what only a disk can get wrong."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import apsw
import pytest
from msgspec.structs import replace

from reconciler.core.drift import Sighting
from reconciler.core.errors import JournalError
from reconciler.core.facts import Facts
from reconciler.core.ports import Journal, Obligation
from reconciler.edge import journal_schema
from reconciler.edge.clock import SystemClock
from reconciler.edge.journal_facts import FactCache
from reconciler.edge.journal_file import JournalFile
from tests.fake_journal import MemoryJournal

T0 = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
T1, T2, T3 = (T0 + timedelta(minutes=n) for n in (1, 2, 3))
KEY = "win.registry/source-pdc/HKLM:\\SYSTEM/AllowPasswordExport"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journals" / "demo.journal"


@pytest.fixture(params=["memory", "disk"])
def journal(request: pytest.FixtureRequest, path: Path) -> Iterator[Journal]:
    if request.param == "memory":
        yield MemoryJournal()
        return
    with opened(path) as found:
        yield found


def opened(path: Path, state: str = "demo", facts: FactCache | None = None) -> JournalFile:
    return JournalFile.open(path, state, holder="reconcile apply demo.yaml", facts=facts)


def promise(key: str = KEY, value: int = 0, at: datetime = T0) -> Obligation:
    return Obligation(key, {"value": 1}, {"value": value, "name": "ü'\"\n"}, ("ad.trust/a/b",), "passwords", at)


# The contract, for every implementation.


def test_facts_are_found_by_prefix_and_replaced_by_key(journal: Journal) -> None:
    journal.note({"restart/a": {"n": 1}, "restart/b": {"n": 2}, "rest%": {"n": 3}}, T0)
    journal.note({"restart/a": {"n": 4}}, T1)
    assert journal.facts("restart/") == {"restart/a": {"n": 4}, "restart/b": {"n": 2}}
    assert journal.facts("rest%") == {"rest%": {"n": 3}}
    assert len(journal.facts("")) == 3
    assert journal.facts("RESTART/") == {}


def test_noting_nothing_is_allowed(journal: Journal) -> None:
    journal.note({}, T0)
    assert journal.facts("") == {}


SEEN = Sighting(KEY, ("type", "value"), "external", T0, T0, since=T0, on="DC2", found="a1")


def test_a_drift_that_goes_on_is_one_drift(journal: Journal) -> None:
    journal.sight([SEEN])
    journal.sight([replace(SEEN, last_seen=T2, found="b2"), replace(SEEN, fields=(), comes_from="unknown")])
    assert journal.sightings() == [
        replace(SEEN, last_seen=T2, found="b2"),
        replace(SEEN, fields=(), comes_from="unknown"),
    ]


def test_a_drift_that_is_over_begins_anew_when_it_is_back(journal: Journal) -> None:
    over = replace(SEEN, last_seen=T1, closed_at=T1, repaired_by="us, run 1")
    journal.sight([SEEN])
    journal.sight([over])
    assert journal.sightings(open_only=True) == []
    again = replace(SEEN, first_seen=T2, last_seen=T2)
    journal.sight([again])
    assert journal.sightings() == [over, again]
    assert journal.sightings(open_only=True) == [again]


def test_a_drift_may_begin_and_end_in_one_look(journal: Journal) -> None:
    over = replace(SEEN, closed_at=T1, repaired_by="us, run 1")
    journal.sight([over])
    journal.sight([])
    assert journal.sightings() == [over]


def test_only_drifts_that_are_over_are_forgotten(journal: Journal) -> None:
    over = replace(SEEN, closed_at=T1, repaired_by="us, run 1")
    journal.sight([over])
    journal.sight([SEEN])
    journal.forget_sightings(T1)
    assert journal.sightings() == [over, SEEN]
    journal.forget_sightings(T2)
    assert journal.sightings() == [SEEN]


def test_first_baseline_wins_while_it_is_open(journal: Journal) -> None:
    journal.keep_baseline(promise(value=0))
    journal.keep_baseline(promise(value=1, at=T1))
    assert journal.obligations() == [promise(value=0)]


def test_end_of_a_lease_and_the_forecast_are_kept_with_the_promise(journal: Journal) -> None:
    journal.keep_baseline(promise())
    journal.mark_changed(KEY, T1, until=T3, forecast_s=90.5)
    journal.mark_changed(KEY, T2, until=None)
    (kept,) = journal.obligations()
    assert (kept.changed_at, kept.wanted_until, kept.forecast_s) == (T1, T3, 90.5)
    journal.want_until(KEY, T2)
    assert journal.obligations()[0].wanted_until == T2
    journal.want_until(KEY, None)
    assert journal.obligations()[0].wanted_until is None


def test_new_baseline_is_kept_after_the_former_was_closed(journal: Journal) -> None:
    journal.keep_baseline(promise(value=0))
    journal.mark_changed(KEY, T1)
    journal.close(KEY, T2)
    journal.keep_baseline(promise(value=7, at=T3))
    assert [kept.baseline["value"] for kept in journal.obligations()] == [7]
    assert [(kept.baseline["value"], kept.changed_at, kept.closed_at) for kept in journal.closed()] == [(0, T1, T2)]


def test_first_change_wins(journal: Journal) -> None:
    journal.keep_baseline(promise())
    journal.mark_changed(KEY, T1)
    journal.mark_changed(KEY, T2)
    assert journal.obligations()[0].changed_at == T1


def test_what_was_never_changed_is_not_among_the_closed(journal: Journal) -> None:
    journal.keep_baseline(promise())
    journal.close(KEY, T1)
    assert (journal.obligations(), journal.closed()) == ([], [])


def test_closing_and_marking_what_is_not_open_changes_nothing(journal: Journal) -> None:
    journal.mark_changed(KEY, T1)
    journal.close(KEY, T1)
    assert (journal.obligations(), journal.closed()) == ([], [])


def test_obligations_come_oldest_first(journal: Journal) -> None:
    for name in ("b", "a", "c"):
        journal.keep_baseline(promise(name))
    assert [kept.key for kept in journal.obligations()] == ["b", "a", "c"]


def test_history_comes_oldest_first_and_details_cannot_shadow_it(journal: Journal) -> None:
    journal.record("apply", T0, {"phase": "migrate", "id": 7, "at": "x", "event": "y"})
    journal.record("done", T1, {})
    assert journal.history() == [
        {"id": 1, "at": T0.isoformat(), "event": "apply", "phase": "migrate"},
        {"id": 2, "at": T1.isoformat(), "event": "done"},
    ]


def test_times_are_kept_in_utc_and_naive_ones_refused(journal: Journal) -> None:
    journal.keep_baseline(promise(at=T0.astimezone(timezone(timedelta(hours=5)))))
    assert journal.obligations()[0].seen_at.isoformat() == T0.isoformat()
    with pytest.raises(ValueError, match="time zone"):
        journal.note({"a": {}}, T0.replace(tzinfo=None))


def test_system_clock_is_aware() -> None:
    assert SystemClock().now().utcoffset() == timedelta(0)


# What only a disk can get wrong.


def test_everything_is_there_after_reopening(path: Path) -> None:
    with opened(path) as journal:
        journal.keep_baseline(promise())
        journal.note({"a": {"n": 1}}, T0)
        journal.record("apply", T0, {"n": 1})
        before = (journal.obligations(), journal.facts(""), journal.history())
    with opened(path) as journal:
        assert (journal.obligations(), journal.facts(""), journal.history()) == before


def test_notes_are_kept_all_or_none(path: Path) -> None:
    with opened(path) as journal:
        with pytest.raises(TypeError):
            journal.note({"a": {"n": 1}, "b": {"n": object()}}, T0)
        with pytest.raises(JournalError):
            journal._write("INSERT INTO facts VALUES (?, ?, ?)", [("a", "{}", "t"), ("b", "not json", "t")])
        assert journal.facts("") == {}


def test_settings_are_those_that_lose_nothing(path: Path) -> None:
    with opened(path) as journal:
        assert journal._connection.pragma("journal_mode") == "truncate"
        assert journal._connection.pragma("synchronous") == 2


def test_only_the_owner_can_read_it(path: Path) -> None:
    old = os.umask(0)
    try:
        with opened(path) as journal:
            journal.note({"a": {}}, T0)
            modes = {entry.name: stat.S_IMODE(entry.stat().st_mode) for entry in path.parent.iterdir()}
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert set(modes) == {"demo.journal", "demo.journal-journal", "demo.journal.lock"}
    assert set(modes.values()) == {0o600}


def test_directory_that_others_can_write_to_is_refused(path: Path) -> None:
    path.parent.mkdir()
    path.parent.chmod(0o770)
    with pytest.raises(JournalError, match="others can write") as caught:
        opened(path)
    assert "chmod 700" in caught.value.do
    assert list(path.parent.iterdir()) == []


def test_file_that_others_can_write_to_is_refused_and_a_readable_one_tightened(path: Path) -> None:
    opened(path).shut()
    path.chmod(0o622)
    with pytest.raises(JournalError, match="others can write"):
        opened(path)
    path.chmod(0o644)
    opened(path).shut()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_symbolic_link_is_not_followed(path: Path, tmp_path: Path) -> None:
    opened(path).shut()
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(JournalError, match="not a regular file"):
        opened(path)


def test_second_writer_is_refused_and_told_who_holds_it(path: Path) -> None:
    with opened(path):
        with pytest.raises(JournalError, match="another writer") as caught:
            opened(path)
        assert f"reconcile apply demo.yaml (process {os.getpid()} on " in caught.value.what
        assert "since 20" in caught.value.what
    opened(path).shut()


def test_refused_journal_leaves_no_lock_behind(path: Path) -> None:
    opened(path).shut()
    for _ in range(2):
        with pytest.raises(JournalError, match="journal of 'demo', not of 'other'"):
            opened(path, "other")


def test_read_only_creates_nothing(path: Path, tmp_path: Path) -> None:
    with JournalFile.read_only(path) as journal:
        assert (journal.obligations(), journal.facts(""), journal.closed(), journal.history()) == ([], {}, [], [])
        with pytest.raises(JournalError, match="reading only"):
            journal.note({"a": {}}, T0)
    assert list(tmp_path.iterdir()) == []


def test_read_only_changes_no_byte(path: Path) -> None:
    with opened(path) as journal:
        journal.note({"a": {"n": 1}}, T0)
    before = {entry: (entry.read_bytes(), entry.stat().st_mtime_ns) for entry in path.parent.iterdir()}
    with JournalFile.read_only(path) as journal:
        assert journal.facts("") == {"a": {"n": 1}}
        with pytest.raises(apsw.ReadOnlyError):
            journal._connection.execute("DELETE FROM facts")
    assert {entry: (entry.read_bytes(), entry.stat().st_mtime_ns) for entry in path.parent.iterdir()} == before


def test_file_without_tables_reads_as_empty(path: Path) -> None:
    path.parent.mkdir(mode=0o700)
    path.touch(0o600)
    with JournalFile.read_only(path) as journal:
        assert journal.obligations() == []
    assert path.stat().st_size == 0
    opened(path).shut()


def test_reading_works_while_another_thread_writes(path: Path) -> None:
    with opened(path) as writer, JournalFile.read_only(path) as reader:

        def write() -> None:
            for n in range(100):
                writer.note({f"k{n}": {"n": n}}, T0)

        thread = threading.Thread(target=write)
        thread.start()
        seen = [len(reader.facts("k")) for _ in range(50)]
        thread.join()
        assert seen == sorted(seen)
        assert len(reader.facts("k")) == 100


def test_one_journal_serves_several_threads(path: Path) -> None:
    with opened(path) as journal:

        def write(name: int) -> None:
            for n in range(10):
                journal.note({f"{name}/{n}": {}}, T0)
                journal.facts(f"{name}/")

        threads = [threading.Thread(target=write, args=(name,)) for name in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(journal.facts("")) == 40


@pytest.mark.parametrize("damage", [b"not a database at all" * 500, b"SQLite format 3\0" + b"\xff" * 9000])
def test_damaged_file_says_what_to_do(path: Path, damage: bytes) -> None:
    opened(path).shut()
    path.write_bytes(damage)
    for attempt in (opened, JournalFile.read_only):
        with pytest.raises(JournalError) as caught:
            attempt(path)
        assert "do not delete it" in caught.value.do
        assert caught.value.where == str(path)


def test_damaged_page_is_noticed_when_opened(path: Path) -> None:
    with opened(path) as journal:
        for n in range(200):
            journal.record("event", T0, {"n": n, "text": "x" * 100})
    content = bytearray(path.read_bytes())
    content[-8192:-4096] = b"\xa5" * 4096
    path.write_bytes(content)
    with pytest.raises(JournalError, match="damaged"):
        opened(path)


def test_foreign_database_and_newer_journal_are_refused(path: Path, tmp_path: Path) -> None:
    foreign = path.parent / "foreign"
    opened(path).shut()
    apsw.Connection(str(foreign)).execute("CREATE TABLE facts (a)")
    foreign.chmod(0o600)
    with pytest.raises(JournalError, match="not a journal"):
        opened(foreign)
    apsw.Connection(str(path)).execute("INSERT INTO schema_version VALUES (99, 't')")
    for attempt in (opened, JournalFile.read_only):
        with pytest.raises(JournalError, match="newer version"):
            attempt(path)


def test_older_journal_is_migrated_and_readable_before_that(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(path) as journal:
        journal.keep_baseline(promise())
    later = (*journal_schema.MIGRATIONS, "CREATE TABLE extra (a TEXT) STRICT")
    for module in ("journal_storage", "journal_file"):
        monkeypatch.setattr(f"reconciler.edge.{module}.VERSION", len(later))
    monkeypatch.setattr("reconciler.edge.journal_storage.MIGRATIONS", later)
    before = path.read_bytes()
    with JournalFile.read_only(path) as journal:
        assert journal.obligations() == [promise()]
    assert path.read_bytes() == before
    with opened(path) as journal:
        assert journal.obligations() == [promise()]
        assert journal._connection.execute("SELECT max(version) FROM schema_version").get == len(later)


# Crashes.

WRITER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from reconciler.core.ports import Obligation
from reconciler.edge.journal_file import JournalFile
journal = JournalFile.open(Path(sys.argv[1]), "demo", holder="the doomed one")
at = datetime(2026, 1, 1, tzinfo=UTC)
if sys.argv[2] == "half":
    journal.note({"before": {}}, at)
    connection = journal._connection
    connection.execute("PRAGMA cache_size=2")
    connection.execute("BEGIN IMMEDIATE")
    for n in range(3000):
        connection.execute("INSERT INTO facts VALUES (?, ?, ?)", (f"half/{n}", '{"x": "' + "y" * 200 + '"}', "t"))
    print("half", flush=True)
    sys.stdin.read()
n = 0
while True:
    journal.keep_baseline(Obligation(f"k{n}", {}, {"n": n}, (), "", at))
    journal.mark_changed(f"k{n}", at)
    print(n, flush=True)
    n += 1
"""


@contextmanager
def doomed(path: Path, how: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", WRITER, str(path), how]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        try:
            yield child
        finally:
            child.send_signal(signal.SIGKILL)
            child.wait()


def test_lock_goes_with_a_killed_process(path: Path) -> None:
    with doomed(path, "loop") as child:
        assert child.stdout is not None
        child.stdout.readline()
        with pytest.raises(JournalError, match=f"the doomed one \\(process {child.pid} "):
            opened(path)
        with JournalFile.read_only(path) as journal:
            assert journal.obligations()
    opened(path).shut()


def test_what_was_acknowledged_survives_kill_9(path: Path) -> None:
    with doomed(path, "loop") as child:
        assert child.stdout is not None
        for _ in range(30):
            child.stdout.readline()
        child.send_signal(signal.SIGKILL)
        acknowledged = 30 + len([line for line in child.stdout if line.endswith("\n")])
    with opened(path) as journal:
        kept = journal.obligations()
    assert acknowledged <= len(kept) <= acknowledged + 1
    assert [one.baseline["n"] for one in kept] == list(range(len(kept)))
    assert all(one.changed_at for one in kept[:acknowledged])


@pytest.mark.parametrize("reader", ["read_only", "open"])
def test_half_a_transaction_of_a_killed_writer_is_rolled_back(path: Path, reader: str) -> None:
    with doomed(path, "half") as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "half\n"
    assert path.with_name("demo.journal-journal").stat().st_size > 0
    with JournalFile.read_only(path) if reader == "read_only" else opened(path) as journal:
        assert journal.facts("") == {"before": {}}


# What a look reads does not grow with what lies in the journal.


def plan_of(journal: JournalFile, sql: str, *values: object) -> str:
    return "; ".join(str(row[3]) for row in journal._connection.execute(f"EXPLAIN QUERY PLAN {sql}", values))


def test_steps_are_the_latest_of_all_or_of_one_resource(journal: Journal) -> None:
    for number in range(5):
        journal.record("step", T0, {"key": "ab"[number % 2], "number": number})
        journal.record("apply", T0, {"run": "r"})
    assert [one["number"] for one in journal.steps(3)] == [2, 3, 4]
    assert [one["number"] for one in journal.steps(1, "b")] == [3]
    assert [one["event"] for one in journal.history(after=8)] == ["step", "apply"]


def test_old_steps_are_forgotten_but_not_those_about_what_is_still_open(journal: Journal) -> None:
    journal.keep_baseline(promise("open"))
    for key in ("open", "closed"):
        journal.record("step", T0, {"key": key})
    journal.record("apply", T0, {"run": "r"})
    journal.record("step", T2, {"key": "closed"})
    journal.forget_steps(T1)
    assert [(one["event"], one.get("key")) for one in journal.history()] == [
        ("step", "open"), ("apply", None), ("step", "closed"),
    ]  # fmt: skip


def test_entries_about_runs_are_read_from_a_place_and_dropped_up_to_one(journal: Journal) -> None:
    for event in ("apply", "step", "apply ended", "pause", "revert", "revert ended"):
        journal.record(event, T0, {"run": "r", "key": "k"})
    assert [(one["id"], one["event"]) for one in journal.runs(1, 2)] == [(3, "apply ended"), (5, "revert")]
    journal.forget_runs(5)
    assert [(one["id"], one["event"]) for one in journal.history()] == [(2, "step"), (4, "pause"), (6, "revert ended")]


def test_no_number_is_given_twice_whatever_is_forgotten(journal: Journal) -> None:
    journal.record("step", T0, {"key": "k"}, {"key": "k"})
    journal.forget_steps(T1)
    journal.record("apply", T0, {"run": "r"}, {"run": "s"})
    assert [one["id"] for one in journal.runs(0, 9)] == [3, 4]
    journal.forget_runs(9)
    journal.record("apply", T1, {"run": "t"})
    assert journal.history()[-1]["id"] == 5


def asked(journal: JournalFile) -> list[tuple[str, tuple[object, ...]]]:
    """Return what SQLite is asked from now on, without what only asks whether somebody else wrote."""
    found: list[tuple[str, tuple[object, ...]]] = []

    def heard(cursor: apsw.Cursor, sql: str, values: Any) -> bool:
        if not sql.startswith(("PRAGMA", "pragma")):
            found.append((sql, values or ()))
        return True

    journal._connection.exec_trace = heard
    return found


def test_facts_and_steps_are_found_by_index(path: Path) -> None:
    with opened(path) as journal:
        questions = asked(journal)
        journal.facts("error/")
        journal.facts("error/one")
        journal.steps(1, "a")
        journal.steps(2000)
        journal.forget_steps(T0)
        journal.runs(1, 1)
        journal._connection.exec_trace = None
        plans = [plan_of(journal, sql, *values) for sql, values in questions]
    assert all("SEARCH facts USING INDEX" in plan for plan in plans[:2])
    assert "USING INDEX steps_of" in plans[2]
    assert plans[3] == "SCAN history"  # backwards by id, and it stops at the limit
    assert "USING INDEX steps_since" in plans[4]
    assert "USING INTEGER PRIMARY KEY (rowid>?)" in plans[5]  # from there on, and it stops at the limit


def test_a_collection_of_facts_is_read_once_and_what_is_noted_is_in_it(path: Path) -> None:
    with opened(path) as journal:
        journal.note({f"account/{domain}/{n}": {"n": n} for domain in "ba" for n in range(3)}, T0)
        assert list(journal.facts("account/")) == sorted(journal.facts("account/"))
        questions = asked(journal)
        assert list(journal.facts("account/b/")) == ["account/b/0", "account/b/1", "account/b/2"]
        assert questions == []
        journal.note({"account/a/1": {"n": (7,)}, "account/a/00": {}, "accounts": {}}, T1)
        written = len(questions)
        found = journal.facts("account/")
        assert found["account/a/1"] == {"n": [7]}  # as it would be read back
        assert list(found) == sorted(found)
        assert len(journal.facts("account/a/")) == 4
        assert len(questions) == written
    with opened(path) as journal:
        assert journal.facts("account/") == found


def test_a_fact_that_somebody_else_noted_is_seen_at_once(path: Path) -> None:
    with opened(path) as writer, JournalFile.read_only(path) as reader:
        writer.note({"a/b": {"n": 1}}, T0)
        assert reader.facts("a/") == {"a/b": {"n": 1}}
        writer.note({"a/b": {"n": 2}, "a/c": {}}, T1)
        assert reader.facts("a/") == {"a/b": {"n": 2}, "a/c": {}}


def test_facts_that_were_given_out_stay_as_they_were(journal: Journal) -> None:
    journal.note({"a/b": {}}, T0)
    before = journal.facts("a/")
    journal.note({"a/b": {"n": 1}, "a/c": {}}, T0)
    assert before == {"a/b": {}}
    assert journal.facts("a/") == {"a/b": {"n": 1}, "a/c": {}}


def test_facts_say_what_changed_since_they_were_last_given_out(path: Path) -> None:
    with opened(path) as journal:
        journal.note({"a/b": {}, "a/c": {}}, T0)
        before = journal.facts("a/")
        journal.note({"b/b": {"n": 1}}, T0)
        assert journal.facts("a/") is before
        journal.note({"a/c": {"n": 1}}, T0)
        journal.note({"a/d": {}}, T0)
        after = journal.facts("a/")
    assert isinstance(before, Facts)
    assert isinstance(after, Facts)
    assert after.since(before) == frozenset({"a/c", "a/d"})
    assert before.since(after) is None


def test_the_next_writer_of_a_process_reads_only_what_it_does_not_know(path: Path) -> None:
    cache = FactCache()
    with opened(path, facts=cache) as journal:
        journal.note({"a/b": {"n": 1}}, T0)
        before = journal.facts("a/")
    with opened(path, facts=cache) as journal:
        assert journal.facts("a/") is before
    with opened(path) as somebody_else:
        somebody_else.note({"a/b": {"n": 2}}, T0)
    with opened(path, facts=cache) as journal:
        assert journal.facts("a/") == {"a/b": {"n": 2}}


def test_another_file_in_its_place_is_read(path: Path) -> None:
    cache = FactCache()
    with opened(path, facts=cache) as journal:
        journal.note({"a/b": {"n": 1}}, T0)
        journal.facts("a/")
    path.rename(path.with_name("elsewhere"))
    with opened(path, facts=cache) as journal:
        assert journal.facts("a/") == {}


def test_facts_that_could_not_be_written_are_not_answered(path: Path) -> None:
    with opened(path) as journal:
        journal.note({"a/b": {"n": 1}}, T0)
        journal.facts("a/")
        journal._connection.execute("PRAGMA query_only=ON")
        with pytest.raises(JournalError):
            journal.note({"a/b": {"n": 2}}, T1)
        assert journal.facts("a/") == {"a/b": {"n": 1}}


def test_a_thousand_facts_are_one_transaction(path: Path) -> None:
    with opened(path) as journal:
        questions = asked(journal)
        journal.note({f"a/{n}": {} for n in range(1000)}, T0)
        said = [sql for sql, _ in questions]
    assert (said.count("BEGIN IMMEDIATE"), said.count("COMMIT")) == (1, 1)


def test_a_prefix_means_what_it_did(journal: Journal) -> None:
    journal.note({key: {} for key in ("a", "a/b", "a/b/\U0010fffd", "a0", "b")}, T0)
    assert sorted(journal.facts("a/")) == ["a/b", "a/b/\U0010fffd"]
    assert len(journal.facts("")) == 5

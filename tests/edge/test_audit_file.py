"""The audit log on disk: private, synced, signed; whole after a crash at any point; and nothing can be changed unseen."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePath
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.core.audit import AuditError, Origin, Record
from reconciler.core.audit_chain import opened
from reconciler.core.plan import Change
from reconciler.core.query import Command
from reconciler.core.resource import differences
from reconciler.core.secret import SecretRef
from reconciler.core.steps import Step
from reconciler.edge.audit_check import Files, audit_path, inspect, read_lines
from reconciler.edge.audit_file import AuditFile
from reconciler.edge.secrets import Secrets
from tests.fake_world import Setting
from tests.soak import examples

T0 = datetime(2026, 11, 20, 18, 0, tzinfo=UTC)
shared = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=examples(60))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal" / "demo.audit.jsonl"


def record(number: int, text: str = "") -> Record:
    wanted, observed = Setting(name=f"s{number}", value=1, text=text), Setting(name=f"s{number}", value=0, text="")
    change = Change(wanted.key, "apply", wanted, observed, differences(wanted, observed))
    step = Step(Command("h", "set", arguments=(f"s{number}",)), says=f"set s{number} {text}")
    origin = Origin("run", "plan", T0 + timedelta(seconds=number), "a@X")
    return Record.about(change, (step, "sending", origin))[0]


def filled(path: Path, count: int) -> Files:
    with AuditFile.open(path) as log:
        for number in range(count):
            log.append(record(number))
    return Files.of(path)


def numbers(path: Path) -> list[str]:
    return [str(opened(line)["key"]).rpartition("/s")[2] for line in read_lines(path)]


def faults(path: Path, *kept: Path) -> list[str]:
    return [str(fault) for fault in inspect(path, kept=kept).faults]


# What it is.


def test_log_is_beside_the_journal() -> None:
    assert audit_path(Path("j/source-to-target.db")) == Path("j/source-to-target.audit.jsonl")


def test_records_are_there_after_reopening_and_the_chain_goes_on(path: Path) -> None:
    filled(path, 2)
    with AuditFile.open(path) as log:
        assert log.head.count == 2
        log.append(record(2))
        verdict = inspect(path)
        assert (verdict.faults, verdict.count, verdict.head) == ((), 3, log.head)
    assert numbers(path) == ["0", "1", "2"]
    assert verdict.head is not None
    assert verdict.head.at == (T0 + timedelta(seconds=2)).isoformat()


def test_everything_is_private(path: Path) -> None:
    before = os.umask(0)
    try:
        files = filled(path, 1)
    finally:
        os.umask(before)
    modes = {one.name: oct(stat.S_IMODE(one.stat().st_mode)) for one in path.parent.iterdir()}
    assert modes == {
        files.log.name: "0o600", files.head.name: "0o600", files.key.name: "0o600", files.public.name: "0o600",
    }  # fmt: skip
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_log_that_others_can_read_is_made_private_and_one_they_can_write_refused(path: Path) -> None:
    files = filled(path, 1)
    files.log.chmod(0o600)
    AuditFile.open(path).close()
    assert stat.S_IMODE(files.log.stat().st_mode) == 0o600
    files.log.chmod(0o620)
    with pytest.raises(AuditError, match="written to by others"):
        AuditFile.open(path)


def test_key_that_others_can_read_is_refused(path: Path) -> None:
    filled(path, 1).key.chmod(0o640)
    with pytest.raises(AuditError, match="others can read or change the key"):
        AuditFile.open(path)


def test_link_and_pipe_are_refused_in_place_of_the_log(path: Path, tmp_path: Path) -> None:
    files = filled(path, 0)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(AuditError, match="cannot be used"):
        AuditFile.open(path)
    files.log.unlink()
    os.mkfifo(path, 0o600)
    with pytest.raises(AuditError, match="regular file"):
        AuditFile.open(path)


def test_nothing_is_added_once_closed(path: Path) -> None:
    log = AuditFile.open(path)
    log.close()
    log.close()
    with pytest.raises(AuditError):
        log.append(record(0))


def test_secret_that_was_looked_up_is_struck_out(path: Path, tmp_path: Path) -> None:
    (tmp_path / "s").write_text("Tr0ub4dor&3\n")
    (tmp_path / "s").chmod(0o600)
    secrets = Secrets(tmp_path)
    secrets.reveal(SecretRef(file=PurePath("s")))
    with AuditFile.open(path, scrub=secrets.scrub) as log:
        log.append(record(0, "Tr0ub4dor&3"), record(1), record(2, "Tr0ub4dor&3"))
    found = b"".join(one.read_bytes() for one in path.parent.iterdir())
    assert b"Tr0ub4dor" not in found
    assert faults(path) == []


# What was changed is found.


def copied(files: Files, directory: Path) -> Path:
    directory.mkdir(exist_ok=True)
    for file in (files.log, files.head, files.public):
        shutil.copy(file, directory)
    return directory / files.log.name


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the log of a copy without the key, for changing and putting back."""
    base = tmp_path_factory.mktemp("audit")
    return copied(filled(base / "journal" / "demo.audit.jsonl", 5), base / "copy")


@contextmanager
def changed(file: Path, content: bytes) -> Iterator[None]:
    before = file.read_bytes()
    file.write_bytes(content)
    try:
        yield
    finally:
        file.write_bytes(before)


def test_copy_is_checked_without_the_key(copy: Path) -> None:
    assert faults(copy) == []
    assert not Files.of(copy).key.exists()


@shared
@given(st.sampled_from(["log", "head"]), st.integers(0), st.integers(1, 255))
def test_any_flipped_byte_of_log_or_head_is_found(copy: Path, which: str, place: int, flip: int) -> None:
    file: Path = getattr(Files.of(copy), which)
    content = bytearray(file.read_bytes())
    content[place % len(content)] ^= flip
    with changed(file, bytes(content)):
        found = inspect(copy).faults
    assert any(fault.number == 0 for fault in found) if which == "head" else found


@shared
@given(st.sampled_from(["log", "head"]), st.integers(0))
def test_log_or_head_cut_off_anywhere_is_found(copy: Path, which: str, length: int) -> None:
    file: Path = getattr(Files.of(copy), which)
    content = file.read_bytes()
    with changed(file, content[: length % len(content)]):
        assert faults(copy)


@shared
@given(st.permutations(range(5)), st.integers(0, 5))
def test_records_in_any_other_order_or_number_are_found(copy: Path, order: list[int], count: int) -> None:
    lines = copy.read_bytes().splitlines(keepends=True)
    with changed(copy, b"".join(lines[place] for place in order[:count])):
        assert bool(faults(copy)) == (order[:count] != list(range(5)))


def test_head_of_another_key_is_not_ours(copy: Path, path: Path) -> None:
    other = filled(path, 5)
    with changed(Files.of(copy).head, other.head.read_bytes()):
        assert "signed by another key" in faults(copy)[0]
    with changed(Files.of(copy).public, other.public.read_bytes()):
        assert "signed by another key" in faults(copy)[0]
    assert inspect(copy, Files.of(copy).public).faults == ()


def test_log_set_back_with_its_head_is_found_by_a_head_kept_elsewhere(path: Path, tmp_path: Path) -> None:
    old = copied(filled(path, 2), tmp_path / "old")
    with AuditFile.open(path) as log:
        log.append(record(2))
    kept = tmp_path / "kept.head"
    shutil.copy(Files.of(path).head, kept)
    assert faults(path, kept, Files.of(old).head) == []
    for file in (path, Files.of(path).head):
        shutil.copy(old.parent / file.name, file)
    assert faults(path) == []
    assert faults(path, kept) == ["record 3: missing at the end: the head that was kept elsewhere names it"]


def test_lost_head_is_a_fault_unless_one_was_kept(path: Path, tmp_path: Path) -> None:
    files = filled(path, 2)
    kept = files.head.rename(tmp_path / "kept.head")
    assert faults(path) == ["head: there is none: nothing says where the log ends"]
    assert faults(path, kept) == []
    with pytest.raises(AuditError, match="nothing says where the log ends"):
        AuditFile.open(path)


def test_forged_head_from_elsewhere_is_refused(copy: Path, tmp_path: Path) -> None:
    forged = tmp_path / "forged"
    forged.write_bytes(Files.of(copy).head.read_bytes().replace(b'"count":5', b'"count":4'))
    with pytest.raises(AuditError, match="the signature is not for what it says"):
        inspect(copy, kept=[forged])


@pytest.mark.parametrize("gone", ["log", "public"])
def test_missing_file_is_named(copy: Path, tmp_path: Path, gone: str) -> None:
    there = copied(Files.of(copy), tmp_path / "part")
    missing: Path = getattr(Files.of(there), gone)
    missing.unlink()
    with pytest.raises(AuditError, match="not there") as caught:
        inspect(there)
    assert str(missing) in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"junk", b"x" * 100_000])
def test_what_is_no_public_key_is_refused(copy: Path, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "k").write_bytes(content)
    with pytest.raises(AuditError):
        inspect(copy, tmp_path / "k")


def _flip(files: Files) -> None:
    files.log.write_bytes(files.log.read_bytes().replace(b"s1", b"s9"))


def _append(files: Files) -> None:
    files.log.write_bytes(files.log.read_bytes() + files.log.read_bytes().splitlines(keepends=True)[0])


def _tear(files: Files) -> None:
    files.log.write_bytes(files.log.read_bytes()[:-5])


@pytest.mark.parametrize(
    ("tamper", "says"),
    [
        (_flip, "record 2: was altered"),
        (_append, "record 1: stands twice"),
        (_tear, "record 3: is cut off"),
        (lambda files: files.log.unlink(), "records 1 to 3: missing at the end"),
        (lambda files: files.key.unlink(), "key of this audit log is gone"),
        (lambda files: files.public.write_bytes(b"other"), "not that of the signing key"),
        (lambda files: files.key.write_bytes(b"other"), "not an Ed25519 key"),
    ],
)
def test_nothing_is_added_to_a_log_that_is_not_what_was_signed(
    path: Path, tamper: Callable[[Files], object], says: str
) -> None:
    tamper(filled(path, 3))
    with pytest.raises(AuditError, match=says):
        AuditFile.open(path)


def test_lost_public_key_is_exported_again(path: Path) -> None:
    files = filled(path, 1)
    before = files.public.read_bytes()
    files.public.unlink()
    AuditFile.open(path).close()
    assert files.public.read_bytes() == before


def test_records_that_are_added_at_once_are_records_like_others(path: Path, tmp_path: Path) -> None:
    with AuditFile.open(path) as log:
        log.append(record(0), record(1), record(2))
        log.append(record(3), record(4))
        assert log.head.count == 5
    assert numbers(path) == ["0", "1", "2", "3", "4"]
    assert faults(path) == []
    one_by_one = filled(tmp_path / "other" / "demo.audit.jsonl", 5)
    assert path.read_bytes() == one_by_one.log.read_bytes()


@shared
@given(st.integers(0), st.integers(1, 3))
def test_what_is_cut_off_between_records_that_were_announced_together_is_dropped(
    tmp_path: Path, length: int, before: int
) -> None:
    """A crash may leave any part of what was written at once; what was acknowledged before stays."""
    path = tmp_path / f"{before}-{length}" / "demo.audit.jsonl"
    files = filled(path, before)
    kept = {file: file.read_bytes() for file in (files.log, files.head)}
    with AuditFile.open(path) as log:
        log.append(*(record(number) for number in range(before, before + 4)))
    added = files.log.read_bytes()[len(kept[files.log]) :]
    files.head.rename(files.coming)
    files.head.write_bytes(kept[files.head])
    files.log.write_bytes(kept[files.log] + added[: length % len(added)])
    assert faults(path) == []
    assert inspect(path).count == before
    AuditFile.open(path).close()
    assert files.log.read_bytes() == kept[files.log]
    assert not files.coming.exists()


def test_records_beyond_what_was_announced_are_refused(path: Path) -> None:
    files = filled(path, 1)
    old = files.head.read_bytes()
    with AuditFile.open(path) as log:
        log.append(record(1), record(2))
        announced = files.head.read_bytes()
        log.append(record(3))
    files.head.write_bytes(old)
    files.coming.write_bytes(announced)
    with pytest.raises(AuditError, match="records 2 to 4: beyond the signed head"):
        AuditFile.open(path)


def test_other_records_than_those_that_were_announced_are_refused(path: Path, tmp_path: Path) -> None:
    files = filled(path, 1)
    old = {file: file.read_bytes() for file in (files.log, files.head)}
    with AuditFile.open(path) as log:
        log.append(record(1), record(2))
    announced = files.head.read_bytes()
    for file, content in old.items():
        file.write_bytes(content)
    with AuditFile.open(path) as log:
        log.append(record(7), record(8))
    files.head.write_bytes(old[files.head])
    files.coming.write_bytes(announced)
    with pytest.raises(AuditError, match="record 3: is not the one that the signed head names"):
        AuditFile.open(path)


def test_second_writer_is_noticed(path: Path) -> None:
    with AuditFile.open(path) as one, AuditFile.open(path) as other:
        one.append(record(0))
        with pytest.raises(AuditError, match="something else wrote"):
            other.append(record(1))
        path.rename(path.with_name("moved"))
        with pytest.raises(AuditError):
            one.append(record(2))


# Crashes and failures.


class Crash(BaseException):
    """The end of the process."""


@dataclass
class Failing:
    """Lets the n-th call into the system go wrong: before it, after it, or half way through a write."""

    nth: int
    how: str
    error: BaseException
    calls: int = 0

    def wrapped(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def run(*given: Any, **named: Any) -> Any:
            self.calls += 1
            if self.calls != self.nth:
                return call(*given, **named)
            if self.how == "after":
                call(*given, **named)
            elif self.how == "half" and call.__name__ == "write":
                call(given[0], bytes(given[1])[: len(given[1]) // 2])
            raise self.error

        return run


@contextmanager
def failing(nth: int, how: str, error: BaseException) -> Iterator[Failing]:
    found = Failing(nth, how, error)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("open", "write", "fsync", "replace", "unlink", "ftruncate", "fchmod"):
            patch.setattr(os, name, found.wrapped(getattr(os, name)))
        yield found


CALLS = 40  # more than opening a fresh log and adding a record take


@pytest.mark.parametrize("how", ["before", "half", "after"])
@pytest.mark.parametrize("already", [0, 2])
@pytest.mark.parametrize("at_once", [1, 5])
def test_crash_at_any_point_loses_nothing_acknowledged_and_is_no_tampering(
    tmp_path: Path, how: str, already: int, at_once: int
) -> None:
    done = 0
    for nth in range(1, CALLS):
        path = tmp_path / f"{nth}" / "demo.audit.jsonl"
        if already:
            filled(path, already)
        acknowledged = already
        with failing(nth, how, Crash()) as calls, suppress(Crash):
            with AuditFile.open(path) as log:
                log.append(*(record(already + number) for number in range(at_once)))
            acknowledged += at_once
            done += 1
        if path.exists() and Files.of(path).public.exists() and acknowledged:
            assert faults(path) == [], nth
        _crash_again_and_go_on(path, nth % 7 + 1, {acknowledged, already + at_once})
    assert done, calls.calls  # the last ones met no failure: every point was tried


def _crash_again_and_go_on(path: Path, nth: int, possible: set[int]) -> None:
    with failing(nth, "after", Crash()), suppress(Crash):
        AuditFile.open(path).close()
    with AuditFile.open(path) as log:
        assert log.head.count in possible  # all of them or none
        log.append(record(99))
    found = numbers(path)
    assert found == [*(str(number) for number in range(len(found) - 1)), "99"]
    assert faults(path) == []
    assert {one.name.partition(".audit.")[2] for one in path.parent.iterdir()} >= {"jsonl", "head", "key", "pub"}
    assert not Files.of(path).coming.exists()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EMFILE])
def test_failure_of_any_call_is_said_and_the_log_goes_on_later(tmp_path: Path, code: int) -> None:
    for nth in range(1, CALLS):
        path = tmp_path / f"{nth}" / "demo.audit.jsonl"
        acknowledged, log = 0, None
        with failing(nth, "half", OSError(code, os.strerror(code))):
            try:
                log = AuditFile.open(path)
                log.append(record(0))
                acknowledged = 1
            except AuditError as error:
                assert os.strerror(code) in str(error)
                assert "do:" in str(error)
        if log is not None and not acknowledged:
            with pytest.raises(AuditError, match="after a failure"):
                log.append(record(1))
        with AuditFile.open(path) as again:
            assert acknowledged <= again.head.count <= 1
            again.append(record(1))
        assert faults(path) == []


def test_head_is_signed_before_the_record_and_each_is_synced_before_the_next(path: Path) -> None:
    names: dict[int, str] = {}
    seen: list[str] = []

    def opening(file: Any, *given: Any, **named: Any) -> int:
        found = real["open"](file, *given, **named)
        names[found] = Path(file).name.partition(".audit.")[2] or "directory"
        return int(found)

    def noted(name: str) -> Callable[..., Any]:
        def run(first: Any, *given: Any, **named: Any) -> Any:
            seen.append(
                f"{name} {names[first] if isinstance(first, int) else Path(first).name.partition('.audit.')[2]}"
            )
            return real[name](first, *given, **named)

        return run

    real = {name: getattr(os, name) for name in ("open", "write", "fsync", "replace")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "open", opening)
        for name in ("write", "fsync", "replace"):
            patch.setattr(os, name, noted(name))
        with AuditFile.open(path) as log:
            seen.clear()
            log.append(record(0))
    assert seen == [
        "write head.next", "fsync head.next", "fsync directory",
        "write jsonl", "fsync jsonl",
        "replace head.next", "fsync directory",
    ]  # fmt: skip


def test_program_in_the_documentation_checks_a_log(path: Path) -> None:
    document = (Path(__file__).parents[2] / "docs" / "audit.md").read_text(encoding="utf-8")
    program = document.partition("```python\n")[2].partition("```")[0]
    files = filled(path, 3)

    def check() -> subprocess.CompletedProcess[str]:
        given = [sys.executable, "-W", "ignore", "-c", program, *map(str, (files.log, files.head, files.public))]
        return subprocess.run(given, capture_output=True, text=True, check=False)

    assert check().stdout == "intact: 3 records\n"
    _flip(files)
    assert check().returncode == 1


ENDLESS = """
import sys
from pathlib import Path
from tests.edge.test_audit_file import AuditFile, record
log = AuditFile.open(Path(sys.argv[1]))
for number in range(100_000):
    log.append(record(number))
    print(number, flush=True)
"""


@pytest.mark.parametrize("lines", [1, 20])
def test_killed_writer_loses_no_acknowledged_record(path: Path, lines: int) -> None:
    child = subprocess.Popen([sys.executable, "-c", ENDLESS, str(path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    for _ in range(lines):
        child.stdout.readline()
    assert faults(path) == []  # beside the writer at work
    child.send_signal(signal.SIGKILL)
    acknowledged = lines + len([line for line in child.stdout if line.endswith("\n")])
    child.wait()
    child.stdout.close()
    assert faults(path) == []
    with AuditFile.open(path) as log:
        assert acknowledged <= log.head.count <= acknowledged + 1
    assert numbers(path) == [str(number) for number in range(log.head.count)]


def test_head_that_was_signed_for_a_record_never_written_is_dropped(path: Path) -> None:
    files = filled(path, 1)
    shutil.copy(files.head, files.coming)
    AuditFile.open(path).close()
    assert not files.coming.exists()
    assert faults(path) == []


def test_chained_record_that_nobody_signed_is_refused(path: Path, tmp_path: Path) -> None:
    """A record beyond the head could be anybody's: the chain alone needs no key."""
    files = filled(path, 1)
    old = files.head.read_bytes()
    with AuditFile.open(path) as log:
        log.append(record(1))
    files.head.write_bytes(old)
    with pytest.raises(AuditError, match="record 2: beyond the signed head"):
        AuditFile.open(path)

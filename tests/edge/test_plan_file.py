"""Saved plans on disk: whole or not at all, private, and never read as anything they are not."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.core.errors import DesiredStateError, ReconcileError, UnsafePlan
from reconciler.core.saved_plan import SavedPlan, read_value
from reconciler.edge import plan_file, state_file
from reconciler.resources.state import State
from tests.core.test_saved_plan import plan_of, value_of
from tests.soak import examples

VALUE = value_of(plan_of({"a": {"level": "grün \x1b"}, "b": {"people": ("ann",)}}), owed=("x",))
CONTENT = (json.dumps(VALUE, indent=2) + "\n").encode()
ONE_PATH = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=examples(200), deadline=None
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "plan.json"
    plan_file.write(found, VALUE)
    return found


def read(path: Path) -> SavedPlan | type[Exception] | None:
    try:
        return plan_file.read(path)
    except (DesiredStateError, UnsafePlan) as error:
        assert str(path) in str(error)
        return type(error)


def test_what_was_written_is_read_and_only_its_owner_can(path: Path) -> None:
    assert plan_file.read(path) == read_value(VALUE)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_bytes() == CONTENT
    assert CONTENT.isascii()
    assert list(path.parent.iterdir()) == [path]


def judge(path: Path, content: bytes) -> None:
    """Assert that these bytes are refused, as a plan or as a state file, or read as the same plan."""
    path.write_bytes(content)
    found = read(path)
    if found is None:
        with pytest.raises(DesiredStateError):
            state_file.read(path, State)
    else:
        assert found in (DesiredStateError, UnsafePlan, read_value(VALUE))


@ONE_PATH
@given(data=st.data())
def test_any_altered_byte_is_refused_or_reads_as_the_same_plan(path: Path, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(CONTENT) - 1))
    judge(path, CONTENT[:place] + data.draw(st.binary(min_size=1, max_size=1)) + CONTENT[place + 1 :])


@pytest.mark.parametrize("mask", [0x01, 0x20, 0x80])
def test_every_single_flipped_bit_is_refused_or_reads_as_the_same_plan(path: Path, mask: int) -> None:
    for place, byte in enumerate(CONTENT):
        judge(path, CONTENT[:place] + bytes([byte ^ mask]) + CONTENT[place + 1 :])


@ONE_PATH
@given(start=st.integers(0, 10_000), length=st.integers(0, 200), instead=st.binary(max_size=20))
def test_any_altered_stretch_is_refused_or_reads_as_the_same_plan(
    path: Path, start: int, length: int, instead: bytes
) -> None:
    start %= len(CONTENT)
    judge(path, CONTENT[:start] + instead + CONTENT[start + length :])


def test_a_file_cut_anywhere_is_refused(path: Path) -> None:
    whole = path.read_bytes().rstrip()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert read(path) in (None, DesiredStateError)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"owed": [', b'"owed": [], "owed": ['),
        (b'"run": "run"', b'"run": NaN'),
        (b'"run": "run"', b'"run": "\xff"'),
        (b'"run": "run"', b'"run": ' + b"[" * 100_000),
        (b'"run": "run"', b'"run": ' + b"9" * 5_000),
        (b"{", b"[{"),
    ],
    ids=["twice", "constant", "not-utf-8", "deep", "long-number", "not-json"],
)
def test_what_readers_could_disagree_about_is_refused_in_words(path: Path, old: bytes, new: bytes) -> None:
    path.write_bytes(path.read_bytes().replace(old, new, 1))
    with pytest.raises(DesiredStateError) as refusal:
        plan_file.read(path)
    assert "the saved plan cannot be read" in str(refusal.value)


def test_a_state_file_is_not_taken_for_a_plan(tmp_path: Path) -> None:
    for text in ("apiVersion: reconciler/v1\nkind: Migration\n", '{"kind": "Migration"}', '# "SavedPlan"\n', ""):
        (tmp_path / "state.yaml").write_text(text)
        assert plan_file.read(tmp_path / "state.yaml") is None


def test_what_cannot_be_opened_is_left_to_the_reader_of_state_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("missing", "pipe", "."):
        assert plan_file.read(tmp_path / name) is None


def test_a_plan_that_others_can_write_is_refused(path: Path) -> None:
    path.chmod(0o620)
    with pytest.raises(UnsafePlan, match="mode 0620"):
        plan_file.read(path)
    path.chmod(0o644)
    assert plan_file.read(path)


def test_a_plan_that_is_too_large_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_file, "MAX_BYTES", path.stat().st_size - 1)
    assert read(path) is DesiredStateError
    with pytest.raises(UnsafePlan, match="at most"):
        plan_file.write(path, VALUE)


def test_an_older_plan_is_replaced_and_nothing_else(path: Path) -> None:
    plan_file.write(path, value_of(plan_of({})))
    found = plan_file.read(path)
    assert found is not None
    assert found.planned == ()
    state = path.with_name("state.yaml")
    state.write_text("kind: Migration\n")
    for precious in (state, path.parent):
        with pytest.raises(UnsafePlan, match="would be lost"):
            plan_file.write(precious, VALUE)
    assert state.read_text() == "kind: Migration\n"


def test_a_link_is_not_followed(path: Path) -> None:
    link = path.with_name("link")
    link.symlink_to(path)
    with pytest.raises(UnsafePlan, match="would be lost"):
        plan_file.write(link, VALUE)


def test_a_failed_write_leaves_the_old_plan_and_no_litter(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ReconcileError, match="No space left on device"):
        plan_file.write(path, value_of(plan_of({})))
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_directory_that_is_missing_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ReconcileError, match="cannot be written"):
        plan_file.write(tmp_path / "no" / "plan.json", VALUE)

"""Certificates on disk: private, never written over, and nothing in one can be changed unseen."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.core.audit import AuditError
from reconciler.core.audit_chain import written
from reconciler.core.certificate import Making, PutBack, Reading, document
from reconciler.core.ports import Obligation
from reconciler.edge.audit_check import Files
from reconciler.edge.audit_file import AuditFile
from reconciler.edge.audit_key import fingerprint, public_pem
from reconciler.edge.certificate_file import certificates, check, keep, key_beside, read, sha256, signed_certificate
from reconciler.engine.intents import freeze
from tests.fake_world import Setting

T0 = datetime(2026, 11, 20, 18, 0, tzinfo=UTC)
shared = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)


def put_back(text: str = "before") -> PutBack:
    declared, baseline = Setting(name="a", value=1), Setting(name="a", value=0, text=text)
    frozen = freeze(declared, declared=True), freeze(baseline, declared=False)
    promise = Obligation(declared.key, *frozen, (), "open", T0, T0, T0 + timedelta(seconds=9))
    return PutBack(promise, declared, baseline, (Reading("dc1", T0, "as it was", baseline),))


def content(journal: Path, text: str = "before", **log: Any) -> bytes:
    with AuditFile.open(journal.with_suffix(".audit.jsonl"), **log) as audit:
        return audit.certify(lambda head, key: document(Making("demo", "run1", T0), (put_back(text),), head, key))


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "journal" / "demo.db"


@pytest.fixture
def made(journal: Path) -> Path:
    return keep(journal, content(journal))


def faults(path: Path) -> tuple[str, ...]:
    return check(path, key_beside(path)).faults


def test_it_lies_beside_the_journal_for_its_owner_alone(journal: Path, made: Path) -> None:
    assert made == journal.parent / "demo.certificate.json"
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    assert [path.name for path in journal.parent.glob("*certificate*")] == [made.name]


def test_it_is_what_was_signed(journal: Path, made: Path) -> None:
    checked = check(made, journal.with_suffix(".audit.pub"))
    assert (checked.faults, checked.body["state"]) == ((), "demo")
    assert [setting["key"] for setting in checked.body["settings"]] == ["test.setting/h/a"]
    assert checked.body["audit"]["count"] == 0
    assert sha256(read(made)) == sha256(content(journal))  # nothing in it depends on when it is written


def test_a_later_one_takes_another_name_and_both_stay(journal: Path, made: Path) -> None:
    second = keep(journal, content(journal))
    third = keep(journal, content(journal))
    assert [path.name for path in (second, third)] == ["demo.2.certificate.json", "demo.3.certificate.json"]
    assert certificates(journal) == [made, second, third]
    assert [faults(path) for path in certificates(journal)] == [(), (), ()]


def test_a_name_with_a_number_has_its_own_key(tmp_path: Path) -> None:
    assert key_beside(tmp_path / "a.b.certificate.json").name == "a.b.audit.pub"
    assert key_beside(tmp_path / "a.2.certificate.json").name == "a.audit.pub"


def test_every_changed_byte_is_found(made: Path) -> None:
    whole = made.read_bytes()
    for place in range(len(whole)):
        for bit in (1, 32):  # 32 turns letters into capitals
            made.write_bytes(whole[:place] + bytes([whole[place] ^ bit]) + whole[place + 1 :])
            assert faults(made), (place, bit)
    made.write_bytes(whole)
    assert faults(made) == ()


@shared
@given(st.data())
def test_whatever_is_cut_out_or_put_in_is_found(made: Path, data: st.DataObject) -> None:
    whole = made.read_bytes()
    first = data.draw(st.integers(0, len(whole)))
    last = data.draw(st.integers(first, len(whole)))
    altered = whole[:first] + data.draw(st.binary(max_size=20)) + whole[last:]
    try:
        made.write_bytes(altered)
        assert bool(faults(made)) == (altered != whole)
    finally:
        made.write_bytes(whole)


def test_another_key_is_told_from_a_changed_byte(journal: Path, made: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.pub"
    other.write_bytes(public_pem(Ed25519PrivateKey.generate().public_key()))
    (fault,) = check(made, other).faults
    assert "was signed by another key" in fault


def test_a_forger_with_a_key_of_their_own_is_found(journal: Path, made: Path) -> None:
    body = {name: value for name, value in check(made, key_beside(made)).body.items() if name != "signature"}
    forger = Ed25519PrivateKey.generate()
    made.write_bytes(signed_certificate(body, forger))  # in the name of our key
    assert faults(made) == ("was altered: the signature is not for what it says",)
    made.write_bytes(signed_certificate({**body, "key": fingerprint(forger.public_key())}, forger))
    assert "was signed by another key" in faults(made)[0]


def test_the_signature_of_a_head_of_the_log_is_not_one_of_a_certificate(journal: Path, made: Path) -> None:
    files = Files.of(journal.with_suffix(".audit.jsonl"))
    body = dict(check(made, key_beside(made)).body)
    with AuditFile.open(files.log) as audit:
        body["signature"] = audit._key.sign(audit.head.signed()).hex()
    made.write_bytes(written(body))
    assert faults(made) == ("was altered: the signature is not for what it says",)


def test_no_secret_that_was_looked_up_is_in_it(journal: Path) -> None:
    found = content(journal, text="it was Pa55wörd", scrub=lambda text: text.replace("Pa55wörd", "***"))
    assert b"it was ***" in found
    assert b"Pa55" not in found


def test_it_is_written_whole_or_not_at_all(journal: Path, made: Path) -> None:
    before = sorted(path.name for path in journal.parent.iterdir())
    with pytest.raises(AuditError, match="cannot be written"):
        keep(journal.parent / "missing" / "demo.db", b"x")
    assert sorted(path.name for path in journal.parent.iterdir()) == before


@pytest.mark.parametrize("kind", ["missing", "pipe", "directory"])
def test_what_is_no_file_is_refused_in_words(journal: Path, made: Path, kind: str) -> None:
    made.unlink()
    if kind == "pipe":
        os.mkfifo(made)
    elif kind == "directory":
        made.mkdir()
    with pytest.raises(AuditError, match="cannot be read"):
        faults(made)


def test_it_is_checked_without_this_program_as_the_guide_says(journal: Path, made: Path, tmp_path: Path) -> None:
    guide = (Path(__file__).parents[2] / "docs" / "certificate.md").read_text("utf-8")
    program = guide.partition("```python\n")[2].partition("```")[0]
    script = tmp_path / "check.py"
    script.write_text(program)
    command = list(map(str, (sys.executable, script, made, journal.with_suffix(".audit.pub"))))
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (finished.returncode, finished.stdout) == (0, "as it was signed: 1 settings\n"), finished.stderr
    made.write_bytes(made.read_bytes().replace(b'"value":0', b'"value":1'))
    assert subprocess.run(command, capture_output=True, check=False).returncode != 0

"""From a path to everything a verb needs: places, journal, targets; nothing is contacted or written."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from reconciler.cli.loading import load
from reconciler.core.errors import DesiredStateError
from tests.declared import LAB, lab, registry, write


def test_example_loads_with_the_place_of_every_resource() -> None:
    loaded = load(LAB)
    text = LAB.read_text(encoding="utf-8").splitlines()
    assert set(loaded.where) == set(loaded.graph.order)
    for key, origin in ((key, loaded.graph.declarations[key].origin) for key in loaded.graph.order):
        path, line, column = loaded.where[key].rsplit(":", 2)
        assert path == str(LAB)
        assert 1 <= int(column) <= len(text[int(line) - 1])
        assert origin
    assert text[int(loaded.where["ad.trust/source/target"].rsplit(":", 2)[1]) - 1].strip().startswith("trust:")


def test_digest_and_directory_are_those_of_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, lab())
    loaded = load(path)
    assert loaded.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert loaded.base == tmp_path


def test_journal_is_named_for_the_state_and_lies_beside_the_file(tmp_path: Path) -> None:
    document = lab()
    del document["journal"]
    loaded = load(write(tmp_path, document))
    assert loaded.journal == tmp_path / ".reconcile" / "source-to-target.db"
    assert list(tmp_path.iterdir()) == [tmp_path / "state.yaml"], "loading writes nothing"


def test_journal_may_lie_elsewhere(tmp_path: Path) -> None:
    document = lab()
    document["journal"] = "/var/lib/reconcile"
    assert load(write(tmp_path, document)).journal == Path("/var/lib/reconcile/source-to-target.db")


def test_relative_path_starts_where_the_program_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, lab())
    monkeypatch.chdir(tmp_path)
    loaded = load(Path("state.yaml"))
    assert loaded.base == tmp_path
    assert loaded.where["ad.trust/source/target"].startswith("state.yaml:")


def test_targets_are_what_the_file_names() -> None:
    targets = load(LAB).targets
    assert (sorted(targets.domains), sorted(targets.hosts)) == (["source", "target"], ["admt", "source-pdc"])
    assert targets.credentials["migrator"].username == r"TARGET\migrator"


def test_phase_is_kept_and_the_graph_holds_what_is_no_longer_wanted(tmp_path: Path) -> None:
    loaded = load(write(tmp_path, lab("complete")))
    assert loaded.state.phase == "complete"
    assert len(loaded.graph) == len(load(LAB).graph)


def test_unknown_name_and_its_place(tmp_path: Path) -> None:
    with pytest.raises(DesiredStateError) as caught:
        load(write(tmp_path, lab(resources=[registry("nowhere")])))
    (problem,) = caught.value.problems
    line = (tmp_path / "state.yaml").read_text(encoding="utf-8").splitlines().index("  host: nowhere") + 1
    assert problem.where == f"{tmp_path / 'state.yaml'}:{line}:9"


def test_two_faults_of_the_graph_are_told_at_once(tmp_path: Path) -> None:
    resources = [registry(name="A", after=["win.restart/x"]), registry(name="B"), registry(name="B")]
    with pytest.raises(DesiredStateError) as caught:
        load(write(tmp_path, lab(resources=resources)))
    whats = [problem.what for problem in caught.value.problems]
    assert whats == [
        r"the resource 'win.registry/admt/HKLM:\SOFTWARE\Extra/B' is declared twice",
        "no resource has the key 'win.restart/x'",
    ]
    assert all(problem.where.startswith(f"{tmp_path}/state.yaml:") for problem in caught.value.problems)


def test_what_is_declared_beside_the_migration_cannot_repeat_it(tmp_path: Path) -> None:
    group = {"kind": "ad.group", "domain": "source", "name": "SOURCE$$$", "scope": "domain-local"}
    with pytest.raises(DesiredStateError, match=r"declared twice"):
        load(write(tmp_path, lab(resources=[group])))

"""Tests of lists of accounts beside a state file."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.cli.loading import load
from reconciler.core.errors import DesiredStateError
from reconciler.edge.name_list import read_names
from tests.declared import lab, write


@pytest.mark.parametrize(
    ("content", "names"),
    [
        (b"ann\nbob\n", ["ann", "bob"]),
        (b"# pilots\r\n\r\n ann \r\n", ["ann"]),
        ("\ufeffjürgen\n".encode(), ["jürgen"]),
        ("ann\n".encode("utf-16"), ["ann"]),
        (b'SourceName,TargetRDN\n"Monster, Cookie","CN=Monster\\, Cookie"\n', ["Monster, Cookie"]),
    ],
)
def test_lists_of_every_form(content: bytes, names: list[str], tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_bytes(content)
    lines, wrong = read_names(tmp_path / "l.csv")
    assert [line["name"] for line in lines] == names
    assert wrong == []


def test_columns_are_those_of_an_include_file(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text(
        "targetsam,SourceName,TargetUPN,TargetRDN\nAnna,ann,a@t,CN=Anna\n", encoding="utf-8"
    )
    assert read_names(tmp_path / "l.csv")[0] == [{"sam": "Anna", "name": "ann", "upn": "a@t", "rdn": "CN=Anna"}]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "the list is empty"),
        (b"# nobody\n", "the list is empty"),
        (b"ann\nANN\n", "ANN stands in line 1 already"),
        (b"SourceName,Colour\nann,red\n", "no column is called 'colour'"),
        (b"ann,x\n", "more fields than the header"),
        (b"SourceName,TargetSAM\n,x\n", "a line has no name"),
        (b"\xff\xfeann", "neither UTF-8 nor UTF-16"),
        (b'"ann\n', "no CSV"),
    ],
)
def test_a_wrong_list_is_told_with_its_place(content: bytes, says: str, tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_bytes(content)
    _, (problem,) = read_names(tmp_path / "l.csv")
    assert says in problem.what
    assert problem.where.startswith(str(tmp_path / "l.csv"))


def test_a_list_that_is_not_there_makes_the_state_file_invalid(tmp_path: Path) -> None:
    accounts = [{"from": "OU=Staff,DC=source,DC=lab", "into": "OU=M,DC=target,DC=lab", "names": {"file": "gone.csv"}}]
    with pytest.raises(DesiredStateError) as caught:
        load(write(tmp_path, lab(accounts=accounts)))
    assert "the list cannot be read: No such file or directory" in str(caught.value)
    (tmp_path / "gone.csv").write_text("ann\n", encoding="utf-8")
    loaded = load(write(tmp_path, lab(accounts=accounts)))
    (key,) = [key for key in loaded.graph.declarations if key.startswith("ad.accounts/")]
    assert [one.name for one in loaded.graph[key].listed] == ["ann"]  # type: ignore[attr-defined]

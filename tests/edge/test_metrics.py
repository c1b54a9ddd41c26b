"""Metrics as Prometheus gets them: over HTTP on this machine, and as a file."""

from __future__ import annotations

import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from reconciler.core.errors import ReconcileError
from reconciler.edge.metrics import address, serving, write
from reconciler.reports.metrics import Family, Spread

OWN = (("state", "cutover"),)
FAMILIES = [
    Family("reconcile_open", "Open.", "gauge", ((OWN, 3.0),)),
    Family("reconcile_passes", "Passes.", "counter", ((OWN, 7.0),)),
    Family("reconcile_took_seconds", "Took.", "histogram", ((OWN, Spread((("1.0", 1.0), ("+Inf", 2.0)), 9.5)),)),
]
SAMPLES = {
    ("reconcile_open", "cutover", None): 3.0,
    ("reconcile_passes_total", "cutover", None): 7.0,
    ("reconcile_took_seconds_bucket", "cutover", "1.0"): 1.0,
    ("reconcile_took_seconds_bucket", "cutover", "+Inf"): 2.0,
    ("reconcile_took_seconds_count", "cutover", None): 2.0,
    ("reconcile_took_seconds_sum", "cutover", None): 9.5,
}


def samples(text: str) -> dict[tuple[str, str, str | None], float]:
    found = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {(one.name, one.labels["state"], one.labels.get("le")): one.value for one in found}


def test_prometheus_reads_what_is_measured_at_that_moment() -> None:
    now = list(FAMILIES)
    with serving(("127.0.0.1", 0), lambda: now) as port:
        url = f"http://127.0.0.1:{port}/metrics"
        with urllib.request.urlopen(url) as answer:
            assert samples(answer.read().decode()) == SAMPLES
        now[:] = [Family("reconcile_open", "Open.", "gauge", ((OWN, 0.0),))]
        with urllib.request.urlopen(url) as answer:
            assert samples(answer.read().decode()) == {("reconcile_open", "cutover", None): 0.0}
    with pytest.raises(OSError):
        urllib.request.urlopen(url)


def test_a_port_that_is_taken_is_said() -> None:
    with serving(("127.0.0.1", 0), list) as port:
        with pytest.raises(ReconcileError, match="no endpoint"), serving(("127.0.0.1", port), list):
            pass
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            assert answer.status == 200


def test_a_file_is_replaced_as_a_whole_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "reconcile.prom"
    path.write_text("old", encoding="utf-8")
    with path.open(encoding="utf-8") as reader:
        write(path, lambda: FAMILIES)
        assert reader.read() == "old"
    assert samples(path.read_text(encoding="utf-8")) == SAMPLES
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(ReconcileError, match="cannot be written"):
        write(tmp_path / "nowhere" / "x.prom", lambda: FAMILIES)


@pytest.mark.parametrize(
    ("text", "where"), [("127.0.0.1:9464", ("127.0.0.1", 9464)), ("[::1]:9464", ("::1", 9464)), ("127.1.2.3:0", ("127.1.2.3", 0))]
)  # fmt: skip
def test_an_address_of_this_machine_alone_is_taken(text: str, where: tuple[str, int]) -> None:
    assert address(text, anywhere=False) == where


@pytest.mark.parametrize("text", ["0.0.0.0:9464", "[::]:9464", "10.0.0.5:9464"])
def test_an_address_that_others_reach_has_to_be_meant(text: str) -> None:
    with pytest.raises(ReconcileError, match="other machines"):
        address(text, anywhere=False)
    assert address(text, anywhere=True)[1] == 9464


@pytest.mark.parametrize("text", ["9464", ":9464", "localhost:9464", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:70000"])
def test_anything_else_is_no_address(text: str) -> None:
    with pytest.raises(ReconcileError, match="no address"):
        address(text, anywhere=True)

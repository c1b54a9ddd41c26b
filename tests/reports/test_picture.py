"""The picture of the graph: requirements above dependents, nothing on top of anything else, the same every time."""

from __future__ import annotations

import re
from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.reports.picture import NARROW, WIDE, Measure, Picture, lay_out
from tests.declared import graph, lab

MEASURES = pytest.mark.parametrize("measure", [WIDE, NARROW], ids=["wide", "narrow"])


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[str], list[tuple[str, str]]]:
    keys = [str(number) for number in range(draw(st.integers(0, 18)))]
    possible = list(combinations(keys, 2))
    return keys, draw(st.lists(st.sampled_from(possible), unique=True)) if possible else []


def check(picture: Picture, keys: list[str], edges: list[tuple[str, str]]) -> None:
    measure, at = picture.measure, {place.key: place for place in picture.places}
    assert sorted(at) == sorted(keys)
    for first, then in edges:
        assert at[first].y + measure.height < at[then].y, "a requirement stands above"
    for place in picture.places:
        assert 0 <= place.x <= picture.width - measure.width + 1
        assert 0 <= place.y <= picture.height - measure.height
    rows: dict[float, list[float]] = {}
    for place in picture.places:
        rows.setdefault(place.y, []).append(place.x)
    for row in rows.values():
        assert len(row) <= measure.columns
        assert all(right - left >= measure.width + measure.gap - 1 for left, right in pairwise(sorted(row)))


@MEASURES
@given(found=graphs())
def test_any_graph_is_drawn_without_overlap(measure: Measure, found: tuple[list[str], list[tuple[str, str]]]) -> None:
    keys, edges = found
    picture = lay_out(keys, edges, measure)
    check(picture, keys, edges)
    assert picture == lay_out(keys, list(reversed(edges)), measure), "the same graph is the same picture"


def test_what_follows_from_other_edges_is_not_drawn() -> None:
    picture = lay_out(["a", "b", "c"], [("a", "b"), ("b", "c"), ("a", "c")], WIDE)
    assert [(line.first, line.then) for line in picture.lines] == [("a", "b"), ("b", "c")]


def test_line_passes_beside_the_resources_of_a_row() -> None:
    edges = [("a", "b"), ("b", "c"), ("a", "d"), ("d", "c"), ("a", "e"), ("x", "c")]
    picture = lay_out(["a", "b", "c", "d", "e", "x"], edges, NARROW)
    at = {place.key: place for place in picture.places}
    for line in picture.lines:
        for x, y in re.findall(r"([\d.]+) ([\d.]+)V", line.path):
            beside = [place for key, place in at.items() if key not in (line.first, line.then) and place.y <= float(y) <= place.y + picture.measure.height]  # fmt: skip
            assert not [place for place in beside if place.x < float(x) < place.x + picture.measure.width]


@MEASURES
def test_example_fits_the_page(measure: Measure) -> None:
    found = graph(lab())
    edges = [(first, then) for first, then, _ in found.edges()]
    picture = lay_out(list(found.order), edges, measure)
    check(picture, list(found.order), edges)
    assert picture.width <= {WIDE: 1112, NARROW: 420}[measure]
    assert len(picture.lines) < len(edges)


def test_no_graph_is_no_picture() -> None:
    assert lay_out([], [], WIDE).places == ()

"""Lay out the dependency graph in rows, requirements above dependents. Pure: numbers in, numbers out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from reconciler.core.resource import Key

SWEEPS = 12
"""How often rows are put in order by what they are connected to; more changes nothing that can be seen."""


@dataclass(frozen=True, slots=True)
class Measure:
    """How large things are, in pixels, and how many resources stand side by side."""

    columns: int
    width: int
    height: int = 60
    gap: int = 18
    rise: int = 42
    lane: int = 16
    margin: int = 4


WIDE = Measure(columns=5, width=210)
NARROW = Measure(columns=2, width=166, gap=14, rise=32, lane=9)


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands: a resource, or a line that passes by on its way down (``key`` is then where it comes from)."""

    key: Key
    passes: bool
    x: float = 0.0
    y: float = 0.0


@dataclass(frozen=True, slots=True)
class Line:
    """One requirement as an SVG path."""

    first: Key
    then: Key
    path: str


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything that is drawn; ``x`` and ``y`` of a place are its upper left corner."""

    width: int
    height: int
    measure: Measure
    places: tuple[Place, ...]
    lines: tuple[Line, ...]


def lay_out(order: Sequence[Key], edges: Sequence[tuple[Key, Key]], measure: Measure) -> Picture:
    """Draw a graph without circles.

    Args:
        order: Every resource; ties are broken by it, so that the same graph is the same picture.
        edges: Requirement and dependent. What follows from other edges is not drawn.
    """
    drawn = _reduced(order, edges)
    rows = _rows(order, drawn, measure.columns)
    level = {key: number for number, row in enumerate(rows) for key in row}
    lanes = [_with_passing(number, row, drawn, level) for number, row in enumerate(rows)]
    links = _links(drawn, level)
    ordered = _ordered(lanes, links)
    placed = _placed(ordered, links, measure)
    return _picture(placed, drawn, level, measure)


def _reduced(order: Sequence[Key], edges: Sequence[tuple[Key, Key]]) -> list[tuple[Key, Key]]:
    import networkx  # costs 0.2 s; only a page pays it

    graph: networkx.DiGraph[Key] = networkx.DiGraph()
    graph.add_nodes_from(order)
    graph.add_edges_from(edges)
    position = {key: index for index, key in enumerate(order)}
    return sorted(networkx.transitive_reduction(graph).edges, key=lambda edge: (position[edge[0]], position[edge[1]]))


def _rows(order: Sequence[Key], edges: Sequence[tuple[Key, Key]], columns: int) -> list[list[Key]]:
    """Put each resource right above what needs it first; a row that is too long becomes several."""
    import networkx

    graph: networkx.DiGraph[Key] = networkx.DiGraph()
    connected = {key for edge in edges for key in edge}
    graph.add_nodes_from(key for key in order if key in connected)
    graph.add_edges_from((then, first) for first, then in edges)
    position = {key: index for index, key in enumerate(order)}
    layers = [sorted(layer, key=position.__getitem__) for layer in networkx.topological_generations(graph)][::-1]
    alone = [key for key in order if key not in connected]
    rows = []
    for layer in [*layers, alone]:
        count = -(-len(layer) // columns)
        each = -(-len(layer) // count) if count else 0
        rows += [layer[start : start + each] for start in range(0, len(layer), each)] if each else []
    return rows


def _with_passing(number: int, row: Sequence[Key], edges: Sequence[tuple[Key, Key]], level: Mapping[Key, int]) -> list[Place]:  # fmt: skip
    """Add the lines that pass this row; those from the same resource share one lane."""
    passing = dict.fromkeys(first for first, then in edges if level[first] < number < level[then])
    return [Place(key, False) for key in row] + [Place(key, True) for key in passing]


Spot = tuple[int, Key, bool]
"""A place by the number of its row."""


def _route(first: Key, then: Key, level: Mapping[Key, int]) -> list[Spot]:
    passed = [(number, first, True) for number in range(level[first] + 1, level[then])]
    return [(level[first], first, False), *passed, (level[then], then, False)]


def _links(edges: Sequence[tuple[Key, Key]], level: Mapping[Key, int]) -> tuple[dict[Spot, set[Spot]], dict[Spot, set[Spot]]]:  # fmt: skip
    """Return what each place is connected to in the row above it, and in the row below."""
    above: dict[Spot, set[Spot]] = defaultdict(set)
    below: dict[Spot, set[Spot]] = defaultdict(set)
    for first, then in edges:
        route = _route(first, then, level)
        for upper, lower in pairwise(route):
            above[lower].add(upper)
            below[upper].add(lower)
    return above, below


def _ordered(rows: list[list[Place]], links: tuple[dict[Spot, set[Spot]], dict[Spot, set[Spot]]]) -> list[list[Place]]:
    """Order each row by the mean position of what it is connected to, downwards and upwards in turn."""
    rank = {(number, place.key, place.passes): (index + 0.5) / len(row) for number, row in enumerate(rows) for index, place in enumerate(row)}  # fmt: skip
    for sweep in range(SWEEPS):
        neighbours = links[sweep % 2]
        numbers = range(len(rows)) if sweep % 2 == 0 else range(len(rows) - 1, -1, -1)
        for number in numbers:

            def mean(place: Place, number: int = number, neighbours: dict[Spot, set[Spot]] = neighbours) -> float:
                spot = (number, place.key, place.passes)
                near = sorted(rank[one] for one in neighbours.get(spot, ()))
                return sum(near) / len(near) if near else rank[spot]

            row = rows[number] = sorted(rows[number], key=mean)
            rank.update(
                {(number, place.key, place.passes): (index + 0.5) / len(row) for index, place in enumerate(row)}
            )
    return rows


def _placed(rows: list[list[Place]], links: tuple[dict[Spot, set[Spot]], dict[Spot, set[Spot]]], measure: Measure) -> list[list[Place]]:  # fmt: skip
    """Move each place towards the middle of what it is connected to, as far as its neighbours let it."""
    sizes = [[measure.lane if place.passes else measure.width for place in row] for row in rows]
    total = max((sum(row) + measure.gap * (len(row) - 1) for row in sizes), default=0)
    centre: dict[Spot, float] = {}
    for number, row in enumerate(rows):
        free = total - sum(sizes[number]) - measure.gap * (len(row) - 1)
        at = free / 2
        for place, size in zip(row, sizes[number], strict=True):
            centre[number, place.key, place.passes] = at + size / 2
            at += size + measure.gap
    for sweep in range(SWEEPS):
        neighbours = links[sweep % 2]
        for number in range(len(rows)) if sweep % 2 == 0 else range(len(rows) - 1, -1, -1):
            spots = [(number, place.key, place.passes) for place in rows[number]]
            wanted = [
                sum(centre[one] for one in sorted(neighbours[spot])) / len(neighbours[spot]) if neighbours.get(spot) else centre[spot]
                for spot in spots
            ]  # fmt: skip
            centre.update(zip(spots, _apart(wanted, sizes[number], measure.gap, total), strict=True))
    tall = measure.height + measure.rise
    return [
        [replace(place, x=centre[number, place.key, place.passes], y=number * tall) for place in row]
        for number, row in enumerate(rows)
    ]


def _apart(wanted: Sequence[float], sizes: Sequence[int], gap: int, total: float) -> list[float]:
    """Keep order and distance: the mean of pushing everything right and pushing everything left does both."""
    count = len(wanted)
    near = [(sizes[index] + sizes[index + 1]) / 2 + gap for index in range(count - 1)]
    lowest, highest = [0.0] * count, [0.0] * count
    lowest[0] = sizes[0] / 2
    highest[-1] = total - sizes[-1] / 2
    for index in range(1, count):
        lowest[index] = lowest[index - 1] + near[index - 1]
    for index in range(count - 2, -1, -1):
        highest[index] = highest[index + 1] - near[index]
    inside = [min(max(want, low), high) for want, low, high in zip(wanted, lowest, highest, strict=True)]
    right, left = list(inside), list(inside)
    for index in range(1, count):
        right[index] = max(inside[index], right[index - 1] + near[index - 1])
    for index in range(count - 2, -1, -1):
        left[index] = min(inside[index], left[index + 1] - near[index])
    return [(one + other) / 2 for one, other in zip(right, left, strict=True)]


def _picture(rows: list[list[Place]], edges: Sequence[tuple[Key, Key]], level: Mapping[Key, int], measure: Measure) -> Picture:  # fmt: skip
    every = {(number, place.key, place.passes): place for number, row in enumerate(rows) for place in row}
    half = measure.width / 2
    left = min((place.x - half for place in every.values() if not place.passes), default=0) - measure.margin
    right = max((place.x + half for place in every.values() if not place.passes), default=0) + measure.margin
    moved = {spot: replace(place, x=place.x - left, y=place.y + measure.margin) for spot, place in every.items()}
    lines = tuple(Line(first, then, _path([moved[spot] for spot in _route(first, then, level)], measure)) for first, then in edges)  # fmt: skip
    places = tuple(replace(place, x=round(place.x - half, 1)) for place in moved.values() if not place.passes)
    height = len(rows) * (measure.height + measure.rise) - measure.rise + 2 * measure.margin
    return Picture(round(right - left), max(height, 0), measure, places, lines)


def _path(route: Sequence[Place], measure: Measure) -> str:
    """Draw from the lower edge of the first to the upper edge of the last, upright where it passes a row."""
    x, y = route[0].x, route[0].y + measure.height
    parts = [f"M{x:.1f} {y:.1f}"]
    for place in route[1:]:
        middle = (y + place.y) / 2
        parts.append(f"C{x:.1f} {middle:.1f} {place.x:.1f} {middle:.1f} {place.x:.1f} {place.y:.1f}")
        x, y = place.x, place.y
        if place.passes:
            y += measure.height
            parts.append(f"V{y:.1f}")
    return "".join(parts)

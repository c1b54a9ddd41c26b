"""Lay out the dependency graph in rows, requirements above dependents. Pure: numbers in, numbers out."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from msgspec import Struct

from reconciler.core.resource import Key

SWEEPS = 12
"""How often rows are put in order by what they are connected to; more changes nothing that can be seen."""


class Measure(Struct, frozen=True):
    """How large things are, in pixels, how many resources stand side by side, and how wide a picture may become."""

    columns: int
    width: int
    height: int = 60
    gap: int = 18
    rise: int = 42
    lane: int = 16
    limit: int = 1112
    margin: int = 4
    letter: float = 6.9


WIDE = Measure(columns=5, width=210)
NARROW = Measure(columns=2, width=166, gap=14, rise=32, lane=11, limit=400, letter=7.2)


class Spot(NamedTuple):
    """One thing in a row: a resource, or a lane in which lines pass it (``key`` is then what these lines share)."""

    row: int
    key: Key
    passes: bool = False


Edge = tuple[Key, Key]
"""Requirement and dependent."""
Links = tuple[dict[Spot, set[Spot]], dict[Spot, set[Spot]]]
"""What each spot is connected to in the row above it, and in the row below."""


class Place(Struct, frozen=True):
    """Where a resource stands: its upper left corner."""

    key: Key
    x: float
    y: float


class Line(Struct, frozen=True):
    """One requirement as an SVG path."""

    first: Key
    then: Key
    path: str


class Picture(Struct, frozen=True):
    """Everything that is drawn."""

    width: int
    height: int
    measure: Measure
    places: tuple[Place, ...]
    lines: tuple[Line, ...]

    @property
    def vast(self) -> bool:
        """Whether it would be too small to read if it were fitted to its limit."""
        return self.width > self.measure.limit * 1.3


def lay_out(order: Sequence[Key], edges: Sequence[Edge], measure: Measure) -> Picture:
    """Draw a graph without circles. Long lines are bundled only where the picture would be too wide otherwise.

    Args:
        order: Every resource; ties are broken by it, so that the same graph is the same picture.
        edges: What follows from other edges is not drawn.
    """
    drawn = _reduced(order, edges)
    resources = _rows(order, drawn, measure.columns)
    apart = _drawn(resources, drawn, measure, bundled=False)
    return apart if apart.width <= measure.limit else _drawn(resources, drawn, measure, bundled=True)


def _drawn(resources: Sequence[Sequence[Key]], edges: Sequence[Edge], measure: Measure, *, bundled: bool) -> Picture:
    level = {key: number for number, row in enumerate(resources) for key in row}
    routes = _routes(edges, level, bundled=bundled)
    rows = [[Spot(number, key) for key in row] for number, row in enumerate(resources)]
    for lane in dict.fromkeys(spot for route in routes.values() for spot in route if spot.passes):
        rows[lane.row].append(lane)
    links = _links(routes.values())
    rows = _ordered(rows, links)
    return _picture(_centres(rows, links, measure), routes, len(rows), measure)


def _reduced(order: Sequence[Key], edges: Sequence[Edge]) -> list[Edge]:
    import networkx  # costs 0.2 s; only a page pays it

    graph: networkx.DiGraph[Key] = networkx.DiGraph()
    graph.add_nodes_from(order)
    graph.add_edges_from(edges)
    position = {key: index for index, key in enumerate(order)}
    return sorted(networkx.transitive_reduction(graph).edges, key=lambda edge: (position[edge[0]], position[edge[1]]))


def _rows(order: Sequence[Key], edges: Sequence[Edge], columns: int) -> list[list[Key]]:
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


def _routes(edges: Sequence[Edge], level: Mapping[Key, int], *, bundled: bool) -> dict[Edge, list[Spot]]:
    """Return the way of each line. Long ones share a lane if they begin at the same resource; bundled, or if they end there."""
    long = [edge for edge in edges if level[edge[1]] - level[edge[0]] > 1]
    begin, end = Counter(first for first, _ in long), Counter(then for _, then in long)
    routes = {}
    for first, then in edges:
        shared = then if bundled and end[then] > begin[first] else first
        passed = [Spot(row, shared, True) for row in range(level[first] + 1, level[then])]
        routes[first, then] = [Spot(level[first], first), *passed, Spot(level[then], then)]
    return routes


def _links(routes: Iterable[Sequence[Spot]]) -> Links:
    above: dict[Spot, set[Spot]] = defaultdict(set)
    below: dict[Spot, set[Spot]] = defaultdict(set)
    for route in routes:
        for upper, lower in pairwise(route):
            above[lower].add(upper)
            below[upper].add(lower)
    return above, below


def _sweeps(count: int, links: Links) -> Iterator[tuple[int, dict[Spot, set[Spot]]]]:
    """Go down and up in turn, each time with what was passed before."""
    for sweep in range(SWEEPS):
        numbers = range(count)
        for number in numbers if sweep % 2 == 0 else reversed(numbers):
            yield number, links[sweep % 2]


def _mean(spot: Spot, near: Mapping[Spot, set[Spot]], position: Mapping[Spot, float]) -> float:
    found = sorted(position[one] for one in near.get(spot, ()))
    return sum(found) / len(found) if found else position[spot]


def _ordered(rows: list[list[Spot]], links: Links) -> list[list[Spot]]:
    """Order each row by the mean position of what it is connected to."""
    position = {spot: (index + 0.5) / len(row) for row in rows for index, spot in enumerate(row)}
    for number, near in _sweeps(len(rows), links):
        wanted = {spot: _mean(spot, near, position) for spot in rows[number]}
        rows[number] = sorted(rows[number], key=wanted.__getitem__)
        position.update({spot: (index + 0.5) / len(rows[number]) for index, spot in enumerate(rows[number])})
    return rows


def _centres(rows: list[list[Spot]], links: Links, measure: Measure) -> dict[Spot, float]:
    """Move each spot towards the middle of what it is connected to, as far as its neighbours let it."""
    apart = [[_distance(one, other, measure) for one, other in pairwise(row)] for row in rows]
    widths = [
        sum(near) + (_half(row[0], measure) + _half(row[-1], measure)) for row, near in zip(rows, apart, strict=True)
    ]
    total = max(widths, default=0)
    centre: dict[Spot, float] = {}
    for row, near, width in zip(rows, apart, widths, strict=True):
        at = (total - width) / 2 + _half(row[0], measure)
        for spot, step in zip(row, [*near, 0.0], strict=True):
            centre[spot] = at
            at += step
    for number, neighbours in _sweeps(len(rows), links):
        row = rows[number]
        edges = (_half(row[0], measure), total - _half(row[-1], measure))
        wanted = [_mean(spot, neighbours, centre) for spot in row]
        centre.update(zip(row, _apart(wanted, apart[number], edges), strict=True))
    return centre


def _half(spot: Spot, measure: Measure) -> float:
    return (measure.lane if spot.passes else measure.width) / 2


def _distance(one: Spot, other: Spot, measure: Measure) -> float:
    """Return how far two centres are apart at least: lanes may lie close to each other."""
    return _half(one, measure) + _half(other, measure) + measure.gap * (2 - one.passes - other.passes) / 2


def _apart(wanted: Sequence[float], near: Sequence[float], edges: tuple[float, float]) -> list[float]:
    """Keep order and distance between two edges: the mean of pushing everything right and everything left does both."""
    count = len(wanted)
    lowest, highest = [edges[0]] * count, [edges[1]] * count
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


def _picture(
    centre: Mapping[Spot, float], routes: Mapping[Edge, Sequence[Spot]], rows: int, measure: Measure
) -> Picture:
    left = min((x - _half(spot, measure) for spot, x in centre.items()), default=0.0) - measure.margin
    right = max((x + _half(spot, measure) for spot, x in centre.items()), default=0.0) + measure.margin
    tall = measure.height + measure.rise
    at = {spot: (x - left, spot.row * tall + measure.margin) for spot, x in centre.items()}
    places = tuple(
        Place(spot.key, round(x - measure.width / 2, 1), y) for spot, (x, y) in at.items() if not spot.passes
    )
    lines = tuple(
        Line(first, then, _path([(*at[spot], spot.passes) for spot in route], measure))
        for (first, then), route in routes.items()
    )
    height = rows * tall - measure.rise + 2 * measure.margin if rows else 0
    return Picture(round(right - left), height, measure, places, lines)


def _path(route: Sequence[tuple[float, float, bool]], measure: Measure) -> str:
    """Draw from the lower edge of the first to the upper edge of the last, upright where it passes a row."""
    x, y = route[0][0], route[0][1] + measure.height
    parts = [f"M{x:.1f} {y:.1f}"]
    for then_x, then_y, passes in route[1:]:
        middle = (y + then_y) / 2
        parts.append(f"C{x:.1f} {middle:.1f} {then_x:.1f} {middle:.1f} {then_x:.1f} {then_y:.1f}")
        x, y = then_x, then_y
        if passes:
            y += measure.height
            parts.append(f"V{y:.1f}")
    return "".join(parts)

"""The order of resources: nothing precedes what it requires, and what is wrong is named."""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar, Literal

from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.graph import Graph, dependents
from reconciler.core.order import last_in
from reconciler.core.query import Query, Rows
from reconciler.core.resource import Declaration, Need, Resource
from reconciler.core.steps import Step


class Thing(Resource):
    identity: ClassVar[tuple[str, ...]] = ("name",)

    kind: Literal["t"] = "t"
    name: str
    needs: tuple[str, ...] = ()

    def requires(self) -> tuple[Need, ...]:
        return tuple(Need(key, "it stands on it") for key in self.needs)

    def queries(self) -> tuple[Query, ...]:
        return ()

    def parse(self, *answers: Rows) -> Thing:
        return self

    def steps(self, observed: Thing, differs: frozenset[str]) -> tuple[Step, ...]:
        return ()


class Settled(Thing):
    barrier: ClassVar[bool] = True


class Kept(Thing):
    restores: ClassVar[bool] = False


def thing(name: str, *after: str, cls: type[Thing] = Thing, **fields: object) -> Declaration:
    return Declaration(cls.model_validate({"name": name, "after": [f"t/{one}" for one in after], **fields}))


def whats(graph: Graph) -> list[str]:
    return [fault.what for fault in graph.faults]


@st.composite
def acyclic(draw: st.DrawFn) -> list[Declaration]:
    count = draw(st.integers(1, 15))
    found = [
        thing(str(n), *map(str, draw(st.sets(st.integers(0, n - 1), max_size=4)) if n else ())) for n in range(count)
    ]
    return draw(st.permutations(found))


@given(acyclic())
def test_nothing_precedes_what_it_requires(declarations: list[Declaration]) -> None:
    graph = Graph(declarations)
    assert graph.faults == []
    assert sorted(graph.order) == sorted(declaration.resource.key for declaration in declarations)
    place = {key: index for index, key in enumerate(graph.order)}
    assert all(place[requirement] < place[dependent] for requirement, dependent, _ in graph.edges())
    assert len(graph.edges()) == sum(len(declaration.resource.after) for declaration in declarations)


@given(acyclic(), st.data())
def test_cycle_is_named_with_its_whole_path(declarations: list[Declaration], data: st.DataObject) -> None:
    graph = Graph(declarations)
    chain = data.draw(st.sampled_from(graph.order))
    lower = chain
    while graph.needs[lower]:
        lower = data.draw(st.sampled_from(graph.needs[lower])).key
    if lower == chain:
        return
    # Let the lowest requirement of the chain require the top of it.
    closed = [
        thing(declaration.resource.key[2:], *(one.key[2:] for one in declaration.resource.after), chain[2:])
        if declaration.resource.key == lower
        else declaration
        for declaration in declarations
    ]
    broken = Graph(closed)
    assert broken.order == ()
    (fault,) = broken.faults
    path = fault.what.rpartition(": ")[2].split(" -> ")
    assert path[0] == path[-1] and len(set(path)) == len(path) - 1
    for dependent, requirement in pairwise(path):
        assert requirement in [need.key for need in broken.needs[dependent]]


def test_order_is_that_of_the_file_where_nothing_else_says() -> None:
    assert Graph([thing("c"), thing("a"), thing("b", "a")]).order == ("t/c", "t/a", "t/b")


def test_sequence_is_that_of_the_file_whatever_things_weigh() -> None:
    graph = Graph([thing("c", weakens="x", weight=9), thing("a"), thing("b", "a")])
    assert graph.sequence == ("t/c", "t/a", "t/b")
    assert graph.order == ("t/a", "t/b", "t/c")


@given(acyclic(), st.sets(st.integers(0, 14)))
def test_where_nothing_is_dangerous_the_order_is_what_the_schedule_would_say(
    declarations: list[Declaration], chosen: set[int]
) -> None:
    graph = Graph(declarations)
    keys = {f"t/{number}" for number in chosen} & set(graph.declarations)
    assert graph.forward(keys) == last_in(graph._jobs(keys, "apply"))
    assert graph.backward(keys) == graph.forward(keys)[::-1]


def test_explicit_and_implied_requirements_are_one_edge_with_the_first_reason() -> None:
    graph = Graph([thing("a"), thing("b", "a", needs=["t/a"])])
    assert graph.edges() == [("t/a", "t/b", "it stands on it")]


def test_duplicate_missing_and_own_keys_are_faults() -> None:
    graph = Graph([thing("a"), thing("a"), thing("b", "zzz"), thing("c", "c")])
    assert whats(graph) == [
        "the resource 't/a' is declared twice",
        "no resource has the key 't/zzz'",
        "'t/c' requires itself",
    ]
    assert all(fault.do for fault in graph.faults)
    assert len(graph) == 3


def test_what_is_wanted_longer_than_its_requirement_is_a_fault() -> None:
    short = thing("a", during=["prepare"])
    assert len(whats(Graph([short, thing("b", "a")]))) == 1
    assert whats(Graph([short, thing("b", "a", during=["prepare"])])) == []
    assert whats(Graph([thing("a", during=["prepare"], cls=Settled), thing("b", "a")])) == []
    assert whats(Graph([short, thing("b", "a", cls=Kept)])) == []


def test_dependents_are_the_edges_turned_round() -> None:
    graph = Graph([thing("a"), thing("b", "a"), thing("c", "a", "b")])
    assert {key: [need.key for need in found] for key, found in dependents(graph.needs).items()} == {
        "t/a": ["t/b", "t/c"],
        "t/b": ["t/c"],
        "t/c": [],
    }


def test_no_resources_make_an_empty_graph() -> None:
    graph = Graph([])
    assert (graph.order, graph.faults, len(graph), graph.edges()) == ((), [], 0, [])

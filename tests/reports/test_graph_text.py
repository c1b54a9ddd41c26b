"""The graph in its three forms: the same resources, the same order, the same reasons."""

from __future__ import annotations

import json
import re
from typing import Literal

import pytest

from reconciler.core.graph import Graph
from reconciler.core.resource import Declaration
from reconciler.core.values import Phase
from reconciler.reports.graph_text import render
from tests.declared import graph, lab
from tests.fake_world import Reboot, Setting

MIGRATE: frozenset[Phase] = frozenset({"migrate"})
FORMS: tuple[Literal["text", "dot", "json"], ...] = ("text", "dot", "json")


def small() -> Graph:
    return Graph(
        [
            Declaration(Setting(name='b "x" \\ [red]', value=1, needs=("a",), during=MIGRATE)),
            Declaration(Setting(name="a", value=1)),
            Declaration(Reboot()),
        ]
    )


def test_text_numbers_resources_in_order_with_phases_and_reasons() -> None:
    assert render(small(), "text").splitlines() == [
        "  1 test.setting/h/a",
        "      test.setting/h/a (during prepare, migrate, complete)",
        '  2 test.setting/h/b "x" \\ [red]',
        '      test.setting/h/b "x" \\ [red] (temporary, during migrate)',
        "      after test.setting/h/a: because it says so",
        "  3 test.restart/h",
        "      test.restart/h (during prepare, migrate, complete)",
    ]


def test_dot_quotes_what_would_end_a_name() -> None:
    shown = render(small(), "dot")
    assert shown.startswith("digraph reconcile {\n")
    assert shown.endswith("}\n")
    quoted = r'"test.setting/h/b \"x\" \\ [red]"'
    assert f"  {quoted} [label={quoted}];" in shown
    assert f'  "test.setting/h/a" -> {quoted} [label="because it says so"];' in shown


def test_json_has_nodes_and_edges() -> None:
    found = json.loads(render(small(), "json"))
    assert (found["apiVersion"], found["kind"]) == ("reconciler/v1", "Graph")
    assert [node["key"] for node in found["nodes"]] == list(small().order)
    assert found["nodes"][1] == {"key": 'test.setting/h/b "x" \\ [red]', "title": 'test.setting/h/b "x" \\ [red]', "during": ["migrate"], "temporary": True}  # fmt: skip
    assert found["edges"] == [
        {"from": "test.setting/h/a", "to": 'test.setting/h/b "x" \\ [red]', "because": "because it says so"}
    ]


def test_example_is_the_same_in_every_form() -> None:
    found = graph(lab())
    text, dot, document = (render(found, form) for form in FORMS)
    edges = found.edges()
    assert re.findall(r"^ *\d+ (.+)$", text, re.MULTILINE) == list(found.order)
    assert len(re.findall(r"^      after ", text, re.MULTILINE)) == len(edges)
    assert dot.count(" -> ") == len(edges)
    parsed = json.loads(document)
    assert [(edge["from"], edge["to"], edge["because"]) for edge in parsed["edges"]] == edges


@pytest.mark.parametrize("form", FORMS)
def test_graph_is_plain_text_with_one_final_newline(form: Literal["text", "dot", "json"]) -> None:
    shown = render(graph(lab()), form)
    assert "\x1b" not in shown
    assert [line for line in shown.splitlines() if line != line.rstrip()] == []
    assert shown.endswith("\n") and not shown.endswith("\n\n")


def test_empty_graph_is_valid_in_machine_forms() -> None:
    assert json.loads(render(Graph([]), "json"))["nodes"] == []
    assert render(Graph([]), "dot").count("\n") == 4 - 1

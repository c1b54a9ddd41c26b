"""Render the graph: as a tree of what waits for what, as DOT, or as JSON."""

from __future__ import annotations

import json
from typing import Literal

from reconciler.core.graph import Graph


def render(graph: Graph, form: Literal["text", "dot", "json"]) -> str:
    """Return the graph in one of its forms, with a final newline."""
    return {"text": _text, "dot": _dot, "json": _json}[form](graph)


def _text(graph: Graph) -> str:
    lines = []
    for number, key in enumerate(graph.order, 1):
        resource = graph[key]
        during = ", ".join(phase for phase in ("prepare", "migrate", "complete") if phase in resource.during)
        lines.append(f"{number:3} {key}")
        lines.append(
            f"      {resource.title()} ({'temporary, during ' + during if resource.temporary else 'during ' + during})"
        )
        lines += [f"      after {need.key}: {need.because}" for need in graph.needs[key]]
    return "\n".join(lines) + "\n"


def _dot(graph: Graph) -> str:
    def quoted(text: str) -> str:
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    nodes = [f"  {quoted(key)} [label={quoted(graph[key].title())}];" for key in graph.order]
    edges = [
        f"  {quoted(first)} -> {quoted(then)} [label={quoted(because)}];" for first, then, because in graph.edges()
    ]
    return "\n".join(["digraph reconcile {", "  rankdir=LR; node [shape=box];", *nodes, *edges, "}"]) + "\n"


def _json(graph: Graph) -> str:
    nodes = [
        {
            "key": key,
            "title": graph[key].title(),
            "during": sorted(graph[key].during),
            "temporary": graph[key].temporary,
        }
        for key in graph.order
    ]
    edges = [{"from": first, "to": then, "because": because} for first, then, because in graph.edges()]
    return (
        json.dumps(
            {"apiVersion": "reconciler/v1", "kind": "Graph", "nodes": nodes, "edges": edges},
            indent=2,
            ensure_ascii=False,
        )
        + "\n"
    )

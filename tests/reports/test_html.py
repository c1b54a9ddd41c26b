"""The page: everything is in it, nothing is loaded, and whatever was read is text."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.core.drift import Drift
from reconciler.core.plan import Plan
from reconciler.core.report import Report
from reconciler.reports.html import name_of, policy, render
from tests.reports.reported import HOSTILE, graph, key, looked, ran, report, with_text

VOID = {"meta", "link", "br", "path", "rect", "circle", "line"}


class Page(HTMLParser):
    """The tags, attributes and text of a page; faulty nesting is an error."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.texts.append(data)

    def of(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def text(self) -> str:
        return " ".join("".join(self.texts).split())


def nodes(page: Page, drawing: str = "wide") -> dict[str, str]:
    """Return the class of each node in a picture, by the last letter of its key."""
    found = [attributes for attributes in page.of("a") if attributes.get("id", "").startswith(f"n-{drawing}-")]
    return {attributes["data-key"][-1]: attributes["class"] for attributes in found}


def test_page_says_what_there_is_to_say() -> None:
    page = Page(render(looked()))
    for words in ("3 not as declared; 1 still to be put back", "weakens: open", "goes back to value 0", "exit code 10",
                  "because it says so", "at: h", "states/a b.yaml:11:3", "waits for a person: run it"):  # fmt: skip
        assert words in page.text
    assert "everything is as declared" in Page(render(report())).text
    assert "was live for 10 min 00 s" in Page(render(ran())).text


@pytest.mark.parametrize("drawing", ["wide", "narrow"])
def test_nodes_carry_their_state_and_lead_to_their_row(drawing: str) -> None:
    page = Page(render(looked()))
    assert nodes(page, drawing) == {"a": "node s-right", "b": "node s-differs", "c": "node s-waiting", "d": "node s-unknown", "e": "node s-idle"}  # fmt: skip
    rows = {attributes["id"] for attributes in page.of("article")}
    links = [attributes for attributes in page.of("a") if attributes.get("id", "").startswith(f"n-{drawing}-")]
    assert {attributes["href"][1:] for attributes in links} == rows
    (differs,) = [attributes for attributes in links if attributes["data-key"] == key("b")]
    assert differs["aria-label"] == f"{key('b')}: not as declared, to be put back"


def test_of_a_graph_that_nobody_could_read_what_needs_a_look_is_drawn() -> None:
    names = [f"n{number:03}" for number in range(400)]
    known = graph(*names)
    drift = Drift(key("n200"), "n200", "", "external")
    page = Page(render(report(graph=known, plan=Plan("migrate", unchanged=known.order), drifts=(drift,))))
    shown = {attributes["data-key"] for attributes in page.of("a") if "data-key" in attributes}
    assert shown == {key("n199"), key("n200"), key("n201")}
    assert "drawn are 3 of 400" in page.text
    assert len(page.of("article")) == 400, "the list has all"
    assert not nodes(Page(render(report(graph=known, plan=Plan("migrate", unchanged=known.order)))))


def test_ids_are_unique_and_every_link_leads_somewhere() -> None:
    for found in (looked(), ran(), with_text(HOSTILE)):
        page = Page(render(found))
        ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
        assert len(ids) == len(set(ids))
        assert {attributes["href"][1:] for attributes in page.of("a")} <= set(ids)


def test_page_loads_nothing_and_runs_nothing() -> None:
    page = Page(render(looked()))
    assert page.of("script") == page.of("img") == page.of("iframe") == []
    assert [attributes["href"] for attributes in page.of("link")] == ["data:,"]
    (found,) = [attributes["content"] for attributes in page.of("meta") if "http-equiv" in attributes]
    assert found.startswith("default-src 'none'; style-src 'sha256-")
    assert "script-src" not in found and "unsafe" not in found
    assert "url(" not in render(looked())


def test_live_page_runs_one_script_and_asks_its_own_server_only() -> None:
    page = Page(render(looked(), live_from="/events"))
    assert page.of("script") == [{}]
    assert page.of("body")[0]["data-events"] == "/events"
    assert re.search(r"script-src 'sha256-[^']+'; connect-src 'self'$", policy(live=True))


def harmless(found: Report) -> Page:
    """Return the page once nothing in it could act: no tag, attribute or letter that the template has not."""
    text = render(found)
    page, known = Page(text), Page(render(with_text("two\nlines")))
    assert {tag for tag, _ in page.tags} <= {tag for tag, _ in known.tags}
    assert {name for _, attributes in page.tags for name in attributes} <= {name for _, attributes in known.tags for name in attributes}  # fmt: skip
    assert not [attributes for _, attributes in page.tags if attributes.get("href", "#")[0] != "#" and attributes["href"] != "data:,"]  # fmt: skip
    assert all(char.isprintable() or char == "\n" for char in text)
    return page


def test_hostile_text_is_shown_as_it_is() -> None:
    page = harmless(with_text(HOSTILE))
    assert "<script>alert(1)</script>" in page.text
    assert r"\u202e" in page.text
    assert "{{ 7*7 }}" in page.text


@settings(max_examples=40, deadline=None)
@given(
    st.text(st.characters(codec="utf-8")) | st.sampled_from(["'", '"', "<", "&lt;", "javascript:x", "\u2028", "\x85"])
)
def test_any_text_is_harmless(text: str) -> None:
    harmless(with_text(text))


def test_name_is_the_same_in_every_rendering_and_fits_an_id() -> None:
    assert name_of("k") == name_of("k") != name_of("l")
    assert re.fullmatch(r"[0-9a-f]{12}", name_of(HOSTILE))
    assert name_of("\udc80"), "a lone surrogate is no reason to fail"

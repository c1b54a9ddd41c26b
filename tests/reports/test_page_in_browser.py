"""The page in a real browser: no complaint, legible at both widths and in both schemes, usable by keyboard, and alive."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Dialog, Locator, Page, expect

from reconciler.core.graph import Graph
from reconciler.core.report import Report
from reconciler.core.resource import After, Declaration
from reconciler.edge.page_server import Address, PageServer
from reconciler.engine.converge import plan_only
from reconciler.engine.intents import scope
from reconciler.engine.run import Tools
from reconciler.reports.html import name_of, policy, render
from tests.declared import graph as declared
from tests.declared import lab
from tests.fake_journal import MemoryJournal
from tests.fake_world import Entry, FakeClock, FakeWorld, revive
from tests.reports.browser import chromium, complaints
from tests.reports.reported import HOSTILE, key, looked, ran, report, with_text

PHONE, DESK = 390, 1440
Scheme = Literal["light", "dark"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(autouse=True)
def closed_afterwards(browser: Browser) -> Iterator[None]:
    """Close what a test opened."""
    yield
    for context in browser.contexts:
        context.close()


def opened(browser: Browser, tmp_path: Path, found: Report, width: int = DESK, scheme: Scheme = "light") -> tuple[Page, list[str]]:  # fmt: skip
    """Open a report as a file, as somebody does who got it from a CI."""
    path = tmp_path / "report.html"
    path.write_text(render(found), encoding="utf-8")
    page = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme).new_page()
    said = complaints(page)
    page.goto(path.as_uri())
    return page, said


def example() -> Report:
    found = declared(lab())
    return report(graph=found, where=dict.fromkeys(found.order, "states/lab.yaml:28:1"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [PHONE, DESK])
@pytest.mark.parametrize(
    "found", [looked(), ran(), example(), with_text(HOSTILE)], ids=["look", "run", "lab", "hostile"]
)
def test_page_fits_and_the_browser_has_no_complaint(
    browser: Browser, tmp_path: Path, found: Report, width: int, scheme: Scheme
) -> None:
    page, said = opened(browser, tmp_path, found, width, scheme)
    assert said == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width, "nothing has to be scrolled sideways"
    assert page.locator(".frame:visible").count() == 1


SIZES = """() => [...document.querySelectorAll('.frame .label, .frame .under, main p, main dd, main dt, .counts li')]
  .filter(one => one.getClientRects().length)
  .map(one => parseFloat(getComputedStyle(one).fontSize) * (one.getScreenCTM ? one.getScreenCTM().a : 1))"""


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_letters_are_large_enough_to_read(browser: Browser, tmp_path: Path, width: int) -> None:
    page, _ = opened(browser, tmp_path, example(), width)
    assert min(page.evaluate(SIZES)) >= 10


CONTRAST = """() => {
  const canvas = new OffscreenCanvas(1, 1).getContext('2d', {willReadFrequently: true});
  const rgb = (text) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = text; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data]; };
  const light = (c) => { const [r, g, b] = c.map(v => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b; };
  const behind = (one) => { for (; one; one = one.parentElement) {
      const box = one.querySelector && one.matches('.node') ? one.querySelector('.box') : null;
      const found = rgb(box ? getComputedStyle(box).fill : getComputedStyle(one).backgroundColor);
      if (found[3] === 255) return found; }
    throw new Error('no background'); };
  const found = {};
  for (const one of document.querySelectorAll('.label, .under, .mark, .state, .verdict, .counts b, .counts li, .key, .name, dt, dd, .tag, .weak, .v, a:not(.node):not(.skip), small, footer')) {
    if (!one.getClientRects().length) continue;
    const style = getComputedStyle(one), svg = one.ownerSVGElement;
    const [a, b] = [light(rgb(svg ? style.fill : style.color)), light(behind(one))].sort((x, y) => y - x);
    const ratio = (a + .05) / (b + .05), name = one.getAttribute('class') + ' ' + one.tagName;
    found[name] = Math.min(found[name] ?? 99, ratio);
  }
  return found; }"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("found", [looked(), ran()], ids=["look", "run"])
def test_letters_stand_out_from_what_is_behind_them(
    browser: Browser, tmp_path: Path, found: Report, scheme: Scheme
) -> None:
    page, _ = opened(browser, tmp_path, found, DESK, scheme)
    ratios = page.evaluate(CONTRAST)
    assert len(ratios) > 10
    assert {name: round(ratio, 2) for name, ratio in ratios.items() if ratio < 4.5} == {}, "WCAG 2.2, level AA"


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_every_node_is_reached_by_keyboard_and_leads_to_its_row(browser: Browser, tmp_path: Path, width: int) -> None:
    page, _ = opened(browser, tmp_path, looked(), width)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    reached = []
    for _ in range(5):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.dataset.key"))
        box = page.evaluate("getComputedStyle(document.activeElement.querySelector('.box')).strokeWidth")
        assert box == "2.5px", "one sees where one is"
    assert reached == [key(name) for name in "abcde"]
    page.keyboard.press("Enter")
    row = page.locator(f"#r-{name_of(key('e'))}")
    assert page.evaluate("document.querySelector(':target').id") == row.get_attribute("id")
    expect(row).to_be_in_viewport()


def test_group_is_closed_and_opened_by_keyboard(browser: Browser, tmp_path: Path) -> None:
    page, _ = opened(browser, tmp_path, looked())
    row = page.locator(f"#r-{name_of(key('a'))}")
    expect(row).to_be_visible()
    page.locator("details.place > summary").focus()
    page.keyboard.press("Enter")
    expect(row).to_be_hidden()
    page.keyboard.press("Enter")
    expect(row).to_be_visible()


def test_who_wants_no_motion_gets_none(browser: Browser, tmp_path: Path) -> None:
    page, _ = opened(browser, tmp_path, looked())
    moves = "getComputedStyle(document.querySelector('.node .box')).transitionDuration"
    assert page.evaluate(moves) == "0.6s, 0.6s"
    page.emulate_media(reduced_motion="reduce")
    assert page.evaluate(moves) == "0s"


def test_hostile_text_does_nothing(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(render(with_text(HOSTILE)), encoding="utf-8")
    page = browser.new_page()
    asked: list[str] = []

    def refuse(dialog: Dialog) -> None:
        asked.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", refuse)
    page.goto(path.as_uri())
    assert asked == []
    assert page.locator("script, img").count() == 0
    expect(page.locator("h1")).to_contain_text("<script>alert(1)</script>")


# The live page.

A_FIRST = After(key="test.entry/d/a", because="it says so")


class Watch:
    """A directory, looked at again and again; what each look finds is shown on the page."""

    def __init__(self, server: PageServer) -> None:
        self.page = server.page
        self.url = server.url
        self.clock, self.world = FakeClock(), FakeWorld(entries={("d", "a"): 1, ("d", "b"): 1})
        self.tools = Tools(self.world, MemoryJournal(), self.clock, "run")
        self.graph = Graph(
            [Declaration(Entry(name="a", value=1)), Declaration(Entry(name="b", value=1, after=(A_FIRST,)))]
        )

    def look(self) -> None:
        whole = scope(self.graph, "migrate", self.tools.journal, revive)
        started = self.clock.now()
        plan = plan_only(whole, self.tools)
        found = Report("drift", "run", "cutover", "migrate", started, self.clock.now(), plan=plan, graph=whole.graph)
        self.page.show(render(found, live_from="/events"))


@pytest.fixture
def watch() -> Iterator[Watch]:
    with PageServer(Address("127.0.0.1", 0), policy(live=True)) as server:
        yield Watch(server)


def live(browser: Browser, watch: Watch) -> tuple[Page, list[str]]:
    watch.look()
    page = browser.new_context(viewport={"width": DESK, "height": 800}).new_page()
    said = complaints(page)
    page.goto(watch.url)
    expect(page.locator("#live")).to_have_text(re.compile("^live; last look at "))
    return page, said


def node(page: Page, name: str) -> Locator:
    return page.locator(f"#n-wide-{name_of(f'test.entry/d/{name}')}")


def test_drift_in_the_directory_recolours_its_node_and_only_that(browser: Browser, watch: Watch) -> None:
    page, said = live(browser, watch)
    box = "getComputedStyle(document.querySelector('#n-wide-NAME .box')).stroke".replace(
        "NAME", name_of("test.entry/d/a")
    )
    before = page.evaluate(box)
    expect(node(page, "a")).to_have_class("node s-right")

    watch.world.entries["d", "a"] = 7
    watch.look()
    expect(node(page, "a")).to_have_class("node s-differs")
    expect(node(page, "a")).to_have_attribute("aria-label", "test.entry/d/a: not as declared")
    expect(node(page, "b")).to_have_class("node s-right")
    page.wait_for_function(f"{box} !== {before!r}")
    expect(page.locator(".verdict")).to_have_text("1 not as declared")
    expect(page.locator(f"#r-{name_of('test.entry/d/a')} ins")).to_have_text("1")
    expect(page).to_have_title("cutover: 1 not as declared")

    watch.world.entries["d", "a"] = 1
    watch.look()
    expect(node(page, "a")).to_have_class("node s-right")
    page.wait_for_function(f"{box} === {before!r}")
    assert said == []


def test_news_take_neither_the_keyboard_nor_what_was_closed(browser: Browser, watch: Watch) -> None:
    page, said = live(browser, watch)
    page.locator("details.place > summary").click()
    node(page, "b").focus()
    watch.world.entries["d", "a"] = 7
    watch.look()
    expect(page.locator(".verdict")).to_have_text("1 not as declared")
    assert page.evaluate("document.activeElement.dataset.key") == "test.entry/d/b"
    assert page.locator("details.place").get_attribute("open") is None
    page.locator("details.place > summary").focus()
    watch.world.entries["d", "a"] = 1
    watch.look()
    expect(page.locator(".verdict")).to_have_text("everything is as declared")
    assert page.evaluate("document.activeElement.tagName") == "SUMMARY"
    assert said == []


def test_resource_that_is_new_is_drawn(browser: Browser, watch: Watch) -> None:
    page, said = live(browser, watch)
    declarations = [*watch.graph.declarations.values(), Declaration(Entry(name="c", value=1))]
    watch.graph = Graph(declarations)
    watch.look()
    expect(node(page, "c")).to_have_class("node s-differs")
    assert said == []


def test_look_that_failed_is_said_beside_what_was_seen_last(browser: Browser, watch: Watch) -> None:
    page, _ = live(browser, watch)
    watch.page.fail("<b>dc1</b> does not answer")
    expect(page.locator("#live")).to_have_text("the last look failed: <b>dc1</b> does not answer")
    expect(page.locator("#live")).to_have_class("lost")
    expect(node(page, "a")).to_have_class("node s-right")
    watch.look()
    expect(page.locator("#live")).not_to_have_class("lost")


def test_address_bar_keeps_no_token(browser: Browser, watch: Watch) -> None:
    page, _ = live(browser, watch)
    assert page.url == watch.url.partition("?")[0]
    stranger = browser.new_context().new_page()
    stranger.goto(page.url)
    expect(stranger.locator("body")).to_contain_text("open the address that")


def test_page_says_when_its_server_is_gone(browser: Browser) -> None:
    with PageServer(Address("127.0.0.1", 0), policy(live=True)) as server:
        page, _ = live(browser, Watch(server))
    expect(page.locator("#live")).to_have_text("not connected; what is shown may be old")

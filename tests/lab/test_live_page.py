"""The live page of a real watch in a real browser: what is changed in the directory recolours its node by itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from playwright.sync_api import Browser, Locator, Page, expect

from reconciler.reports.html import name_of
from tests.e2e.lab import Lab
from tests.lab.judge import small_lab
from tests.lab.test_watch_events import Watch
from tests.reports.browser import chromium, complaints
from tests.worker import address

pytestmark = pytest.mark.lab

CORRECTED, REPORTED, QUIET = "Corrected", "Reported", "Quiet"
PATIENCE_MS = 30_000
"""What a slow machine may take; an expectation that comes true ends at once."""

COLOURS = """(node) => {
  window.colours = [];
  new MutationObserver(() => window.colours.push(document.querySelector(node).getAttribute('class')))
    .observe(document.documentElement, {subtree: true, childList: true, attributes: true});
}"""
"""Keeps every class that a node has from now on: what is set right is of another colour for a moment only."""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A small lab of this module alone."""
    with small_lab(tmp_path_factory.mktemp("states"), address(73, 1), address(73, 2)) as found:
        yield found


@pytest.fixture
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


def written(lab: Lab) -> Path:
    """Write a state of three groups: one is set right, one is only reported, and nobody touches the third."""
    document = yaml.safe_load(lab.state().read_text(encoding="utf-8"))
    del document["migration"]
    document |= {"metadata": {"name": "page"}, "phase": "migrate"}
    document["resources"] = [
        {"kind": "ad.group", "domain": "source", "name": name, "members": [], "on_drift": policy}
        for name, policy in ((CORRECTED, "correct"), (REPORTED, "report"), (QUIET, "correct"))
    ]
    path = lab.work / "page.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


@pytest.fixture
def watch(lab: Lab) -> Iterator[Watch]:
    running = Watch(written(lab), "--serve", "127.0.0.1:0")
    try:
        yield running
    finally:
        running.end()


def node(page: Page, name: str) -> Locator:
    return page.locator(f"#n-wide-{name_of(f'ad.group/source/{name}')}")


def fill(lab: Lab, group: str, action: str = "add") -> None:
    """Put a member into a group, or take it out, as another tool would."""
    base = lab.source.base_dn
    lab.source.modify(
        f"dn: CN={group},CN=Users,{base}\nchangetype: modify\n{action}: member\nmember: CN=Guest,CN=Users,{base}\n"
    )


@pytest.mark.timeout(180)
def test_a_drift_in_the_directory_recolours_its_node(lab: Lab, watch: Watch, browser: Browser) -> None:
    watch.changed(1)
    url = next(found[0] for line in watch.said if (found := re.search(r"http://127\.0\.0\.1:\d+/\?token=\S+", line)))
    page = browser.new_context(viewport={"width": 1440, "height": 800}).new_page()
    page.set_default_timeout(PATIENCE_MS)
    expect.set_options(PATIENCE_MS)
    said = complaints(page)
    page.goto(url)
    expect(page.locator("#live")).to_have_text(re.compile("^live; last look at "))
    for name in (CORRECTED, REPORTED, QUIET):
        expect(node(page, name)).to_have_class("node s-right")
    box = node(page, REPORTED).locator(".box")
    right = box.evaluate("box => getComputedStyle(box).stroke")

    fill(lab, REPORTED)
    expect(node(page, REPORTED)).to_have_class("node s-waiting")
    expect(box).not_to_have_css("stroke", right)
    expect(page.locator(f"#r-{name_of(f'ad.group/source/{REPORTED}')}")).to_contain_text("external")

    page.evaluate(COLOURS, f"#n-wide-{name_of(f'ad.group/source/{CORRECTED}')}")
    fill(lab, CORRECTED)
    while "node s-changed" not in page.evaluate("window.colours"):  # its policy lets nothing wait inside the page
        page.wait_for_timeout(50)
    expect(node(page, CORRECTED)).to_have_class("node s-right")

    expect(node(page, REPORTED)).to_have_class("node s-waiting")  # a report sets nothing right
    fill(lab, REPORTED, "delete")
    expect(node(page, REPORTED)).to_have_class("node s-right")
    expect(box).to_have_css("stroke", right)
    expect(node(page, QUIET)).to_have_class("node s-right")
    assert said == []
    assert watch.stop() == 0

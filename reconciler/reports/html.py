"""Render a Report as one page for a browser: nothing is loaded from anywhere, and nothing that was read is markup.

The law: every value goes through Jinja's escaping and through ``printable``; the page's own policy forbids whatever is not in it.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from msgspec import Struct

from reconciler import __version__
from reconciler.core.exposure import about, weighted_minutes
from reconciler.core.report import Report
from reconciler.core.resource import Key, Need
from reconciler.reports.json_report import foreseen, live
from reconciler.reports.picture import NARROW, WIDE, Measure, Picture, lay_out
from reconciler.reports.plain import printable
from reconciler.reports.standing import MARKS, SAYS, Standing, State, standings
from reconciler.reports.text import length
from reconciler.reports.timeline import timeline
from reconciler.reports.undo import show

LOUD = ("failed", "unknown", "differs", "waiting")
DRAWN = 150
"""Resources of which a picture can still be read."""


class Drawing(Struct, frozen=True):
    """A picture with the words that fit into its boxes."""

    name: str
    picture: Picture
    labels: dict[Key, list[str]]
    unders: dict[Key, str]


def render(report: Report, *, live_from: str = "") -> str:
    """Return the page.

    Args:
        live_from: Address of the events that keep it fresh; empty for a page that stands for itself and runs no script.
    """
    found = standings(report)
    needs = {key: report.graph.needs[key] for key in report.graph.order} if report.graph else {}
    style, script = _part("page.css"), _part("live.js")
    values = {
        "report": report,
        "version": __version__,
        "style": Markup(style),  # noqa: S704 (our own file)
        "script": Markup(script),  # noqa: S704 (our own file)
        "policy": policy(live=bool(live_from)),
        "live_from": live_from,
        "standings": {standing.key: standing for standing in found},
        "places": _places(found),
        "counts": [(state, says, count) for state, says in SAYS.items() if (count := _count(found, state))],
        "loud": [standing for standing in found if standing.state in LOUD],
        "needs": needs,
        "drawings": _drawings(found, needs),
        "timeline": timeline(report),
        "exposure": _exposure(report),
    }
    return _environment().get_template("page.html.j2").render(values)


def policy(*, live: bool) -> str:
    """Return the content security policy of the page."""
    parts = ["default-src 'none'", f"style-src '{_hash(_part('page.css'))}'", "img-src data:", "base-uri 'none'", "form-action 'none'"]  # fmt: skip
    if live:
        parts += [f"script-src '{_hash(_part('live.js'))}'", "connect-src 'self'"]
    return "; ".join(parts)


@cache
def _part(name: str) -> str:
    return resources.files("reconciler.reports").joinpath("page", name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("reconciler.reports", "page"), autoescape=True, undefined=StrictUndefined, finalize=_printable,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    made.globals.update(name_of=name_of, show=show, length=length, MARKS=MARKS, SAYS=SAYS, live=live, foreseen=foreseen)
    return made


def _printable(value: Any) -> Any:
    """What could turn text round, hide it or end a line shows as its number."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def name_of(key: Key) -> str:
    """Return what names a resource inside the page: the same in every rendering, whatever the key holds."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def _places(found: Sequence[Standing]) -> list[tuple[str, list[Standing]]]:
    """Group by host or domain; within each, what needs a look comes first."""
    grouped: dict[str, list[Standing]] = {}
    for standing in found:
        grouped.setdefault(standing.place, []).append(standing)
    return [(place, sorted(group, key=lambda one: one.state not in LOUD)) for place, group in grouped.items()]


def _count(found: Sequence[Standing], state: State) -> int:
    return sum(1 for standing in found if standing.state == state)


def _drawings(found: Sequence[Standing], needs: Mapping[Key, tuple[Need, ...]]) -> list[Drawing]:
    titles = {standing.key: standing for standing in found if standing.key in needs}
    drawn = _drawn(titles, needs)
    if not drawn:
        return []
    edges = tuple((need.key, key) for key in drawn for need in needs[key] if need.key in drawn)
    return [_drawing(name, _laid_out(tuple(drawn), edges, measure), titles) for name, measure in (("wide", WIDE), ("narrow", NARROW))]  # fmt: skip


def _drawn(standings: Mapping[Key, Standing], needs: Mapping[Key, tuple[Need, ...]]) -> dict[Key, None]:
    """Choose what is drawn: everything, or of a graph that nobody could read what needs a look, and what is next to it."""
    if len(needs) <= DRAWN:
        return dict.fromkeys(needs)
    loud = [key for key, one in standings.items() if one.state in LOUD or one.owed][:DRAWN]
    chosen = set(loud)
    beside = [need.key for key in loud for need in needs[key]]
    beside += [key for key, wanted in needs.items() if any(need.key in chosen for need in wanted)]
    chosen |= set([key for key in dict.fromkeys(beside) if key not in chosen][: DRAWN - len(chosen)])
    return {key: None for key in needs if key in chosen}


@lru_cache(maxsize=4)
def _laid_out(order: tuple[Key, ...], edges: tuple[tuple[Key, Key], ...], measure: Measure) -> Picture:
    """Lay out once: a live page is rendered again and again, and mostly nothing but colours has changed."""
    return lay_out(order, edges, measure)


def _drawing(name: str, picture: Picture, titles: dict[Key, Standing]) -> Drawing:
    measure = picture.measure
    room = (measure.width - 40) / measure.letter  # beside the mark
    labels = {key: _wrapped(printable(one.title), room) for key, one in titles.items()}
    unders = {key: _cut(printable(f"{one.kind} · {one.place}"), room * 1.06) for key, one in titles.items()}
    return Drawing(name, picture, labels, unders)


def _wrapped(text: str, room: float) -> list[str]:
    """Break text into at most two lines, at a blank or a backslash where there is one."""
    if _cut(text, room) == text:
        return [text]
    fits = _cut(text, room)[:-1]
    at = max(fits.rfind(" "), fits.rfind("\\")) + 1
    first = text[:at] if at > len(fits) / 3 else fits
    return [first.rstrip(), _cut(text[len(first) :], room)]


def _cut(text: str, room: float) -> str:
    """Cut text to so many letters; wide ones count more."""
    taken = 0.0
    for index, char in enumerate(text):
        taken += 1.9 if ord(char) > 0x2E80 else 1.3 if char.isupper() or char in "mw@%" else 1
        if taken > room:
            return text[: max(index - 1, 1)].rstrip() + "…"
    return text


def _exposure(report: Report) -> str:
    """Say in one line how long weakenings are foreseen to be live, or were."""
    if report.plan is not None and report.plan.exposure:
        ending = [one for one in report.plan.exposure if one.live is not None]
        total = weighted_minutes((one.weight, one.live) for one in ending)
        longest = max((one.live for one in ending if one.live is not None), default=None)
        return f"{total:.0f} weighted minutes foreseen" + (f", the longest {about(longest)}" if longest else "")
    return ""

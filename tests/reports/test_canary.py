"""Tests of how a throw-away account's way is told."""

from __future__ import annotations

import json

from rich.console import Console

from reconciler.core.errors import ReconcileError
from reconciler.core.report import Outcome
from reconciler.reports.canary import Flight, Leg, render_json, render_text

LEGS = (Leg("make rc-canary-000000 in OU=Staff", "done", 0.04), Leg("log on to target.lab", "unknown", 12.3))
BAD = Outcome("ad.canary/source/all", "canary", "apply", "failed", error=ReconcileError("it\x1b[2J stopped", do="ADMT says: no\n  -> mend it"))  # fmt: skip
GOOD = Outcome("ad.canary/source/all", "canary", "apply", "changed", remarks=("by LDAP",))


def text(flight: Flight) -> str:
    console = Console(width=200, no_color=True)
    with console.capture() as captured:
        console.print(render_text(flight))
    return captured.get()


def test_each_step_has_its_sign_and_its_time() -> None:
    said = text(Flight("s", "run", GOOD, LEGS, (), 13.0))
    assert "✓    0.0 s  make rc-canary-000000 in OU=Staff" in said
    assert "?   12.3 s  log on to target.lab" in said
    assert said.rstrip().endswith("The canary came through in 13.0 s.")


def test_what_stopped_it_comes_with_its_advice_and_steers_no_terminal() -> None:
    said = text(Flight("s", "run", BAD, LEGS, tuple(f"key{n}: value" for n in range(12)), 13.0))
    assert "it\\x1b[2J stopped" in said
    assert "-> mend it" in said
    assert said.count("not in place:") == 10
    assert "and 2 more" in said
    assert "came through" not in said


def test_programs_get_all_of_it() -> None:
    bad = json.loads(render_json(Flight("s", "run", BAD, LEGS, ("key: value",), 13.0)))
    assert (bad["green"], bad["status"], bad["not_in_place"]) == (False, "failed", ["key: value"])
    assert bad["error"]["do"].startswith("ADMT says: no")
    assert [one["took_s"] for one in bad["steps"]] == [0.04, 12.3]
    good = json.loads(render_json(Flight("s", "run", GOOD, (), (), 1.0)))
    assert (good["green"], good["error"], good["remarks"]) == (True, None, ["by LDAP"])

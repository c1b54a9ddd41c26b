"""Reports as a test needs them: of a small graph, with one resource in every state, and any text in them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from msgspec.structs import replace

from reconciler.core.drift import Drift
from reconciler.core.errors import NeedsPerson, Refused, Unreachable
from reconciler.core.graph import Graph
from reconciler.core.plan import Change, Plan
from reconciler.core.ports import Obligation
from reconciler.core.report import Outcome, Report
from reconciler.core.resource import Declaration, Difference, differences
from reconciler.core.values import Phase
from tests.fake_world import Setting

AT = datetime(2026, 11, 20, 18, tzinfo=UTC)
MIGRATE: frozenset[Phase] = frozenset({"migrate"})
HOSTILE = '<script>alert(1)</script>"><img src=x onerror=alert(2)>`|](x)\u202e\u2066\x1b[2J\x00\n{{ 7*7 }}'


def setting(name: str, **fields: Any) -> Setting:
    return Setting(name=name, **fields)


def key(name: str) -> str:
    return setting(name).key


def graph(*names: str) -> Graph:
    """Return settings of which each requires the one before it."""
    needs = {name: (before,) for before, name in pairwise(names)}
    return Graph([Declaration(setting(name, needs=needs.get(name, ()))) for name in names])


def where(*names: str) -> dict[str, str]:
    return {key(name): f"states/a b.yaml:{number}:3" for number, name in enumerate(names, 10)}


def change(name: str, **fields: Any) -> Change:
    wanted, observed = setting(name, value=1, during=MIGRATE, **fields), setting(name, value=0)
    return Change(wanted.key, "apply", wanted, observed, differences(wanted, observed))


def report(verb: Any = "drift", **fields: Any) -> Report:
    base: dict[str, Any] = {"started": AT, "ended": AT + timedelta(seconds=3), **fields}
    return Report(verb, "run", base.pop("state", "cutover"), "migrate", **base)


def promise(name: str, **fields: Any) -> Obligation:
    base: dict[str, Any] = {"changed_at": AT - timedelta(minutes=10), **fields}
    return Obligation(key(name), {}, {}, (), base.pop("weakens", "open"), AT - timedelta(minutes=11), **base)


def looked() -> Report:
    """Return a plan in which a is right, b differs and weakens, c waits for a person, and d is not known."""
    gated = replace(change("c"), gate=NeedsPerson("run it", do="there"))
    plan = Plan("migrate", (change("b", weakens="open"), gated), (key("a"),), {key("d"): Unreachable("no answer", target="h")})  # fmt: skip
    names = ("a", "b", "c", "d", "e")
    return report(plan=plan, graph=graph(*names), where=where(*names), open=(promise("b"),), back={key("b"): "value 0"})


def ran() -> Report:
    """Return a run in which a is right, b was changed, c failed, and d was skipped for it."""
    outcomes = (
        Outcome(key("a"), "a", "apply", "unchanged"),
        Outcome(key("b"), "b", "apply", "changed", (change("b"),)),
        Outcome(key("c"), "c", "apply", "failed", error=Refused("not allowed")),
        Outcome(key("d"), "d", "apply", "skipped", because="c failed"),
    )
    names = ("a", "b", "c", "d")
    done = promise("a", closed_at=AT)
    return report("apply", outcomes=outcomes, graph=graph(*names), where=where(*names), rounds=2, closed=(done,))


def with_text(text: str) -> Report:
    """Return a report in which everything that comes from outside is this text."""
    drift = Drift(
        key("a"), text, "states/a b.yaml:10:3", "external", text, (Difference("value", text, (text, text)),), text,
        AT, text, AT, (text,),
    )  # fmt: skip
    lost = Drift(f"test.setting/{text}/b", text, "", "unknown", error=text)
    opened = replace(promise("a", weakens=text), wanted_until=AT)
    return report(drifts=(drift, lost), state=text, graph=graph("a", "c"), where={key("a"): drift.where}, open=(opened,), back={key("a"): text})  # fmt: skip

"""A state file that is edited again and again, and what is true of each thing that it declares."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Literal

from tests.watch.simulated import DOMAIN, GUEST_GUID, HOST, KEY, SimulatedWorld, gone

Sort = Literal["group", "registry"]
UNSEEN, RIGHT = ("unseen",), ()
State = tuple[str, ...]
"""The fields that differ, none where it is as wanted; or that it cannot be seen."""
IGNORED = {"ignore": {"because": "it is known", "until": "2099-12-31"}}
FAULTY = ("phase: [", '{"phase": "later"}', "resources: 5", '{"kind": "Migration", "metadata": {}}')


@dataclass(frozen=True)
class Spec:
    """One thing that the state file declares: an empty group, or a number in the registry."""

    name: str
    sort: Sort
    policy: str = "correct"
    value: int = 1

    @property
    def key(self) -> str:
        return f"ad.group/{DOMAIN}/{self.name}" if self.sort == "group" else f"win.registry/{HOST}/{KEY}/{self.name}"

    def plain(self) -> dict[str, Any]:
        drift = IGNORED if self.policy == "ignore" else self.policy
        if self.sort == "group":
            return {"kind": "ad.group", "domain": DOMAIN, "name": self.name, "members": [], "on_drift": drift}
        where = {"kind": "win.registry", "host": HOST, "path": KEY, "name": self.name}
        return {**where, "type": "DWord", "value": self.value, "on_drift": drift}

    def state(self, world: SimulatedWorld) -> State:
        """Return how it is, where a look that begins now would see it."""
        if self.sort == "registry":
            if not world.host_up:
                return UNSEEN
            found = world.tables.registry.get((HOST, KEY, self.name))
            return ("ensure", "type", "value") if found is None else RIGHT if found[1] == self.value else ("value",)
        up, chosen = world.domain.up, world.domain.chosen
        if not any(up):
            return UNSEEN
        thing = world.domain.find(self.name, chosen if up[chosen] else 1 - chosen)
        return ("ensure", "members") if thing is None else ("members",) if thing.members else RIGHT

    def disturb(self, world: SimulatedWorld, chance: Random) -> None:
        """Let somebody change it, set it right, or write it again as it is."""
        if self.sort == "registry":
            if chance.random() < 0.25:
                world.tables.registry.pop((HOST, KEY, self.name), None)
            else:
                world.tables.registry[HOST, KEY, self.name] = ("REG_DWORD", chance.choice((self.value, 7, 8)))
            world.disturbed()
            return
        at = world.domain.chosen if chance.random() < 0.8 else 1 - world.domain.chosen
        if not world.domain.up[at]:
            return
        found = world.domain.find(self.name, at)
        if found is None:
            world.domain.create(self.name, at)
        elif chance.random() < 0.4:
            world.domain.put(gone(found), at, named=True)
        else:
            members = found.members ^ {GUEST_GUID} if chance.random() < 0.8 else found.members
            world.domain.put(replace(found, members=members), at)


FIRST = (
    Spec("G0", "group"),
    Spec("G1", "group", "report"),
    Spec("G2", "group", "ignore"),
    Spec("R0", "registry"),
    Spec("R1", "registry", "report"),
)


def text_of(specs: Mapping[str, Spec]) -> str:
    """Write a state file."""
    return json.dumps(
        {
            "apiVersion": "reconciler/v1", "kind": "Migration", "metadata": {"name": "watched"}, "phase": "migrate",
            "credentials": {"admin": {"username": "Administrator@SOURCE.LAB", "password": {"env": "NONE"}}},
            "domains": {DOMAIN: {"dns": "d.lab", "netbios": "D", "credential": "admin"}},
            "hosts": {HOST: {"domain": DOMAIN, "address": "pdc.d.lab", "winrm": {"auth": "ntlm"}}},
            "resources": [spec.plain() for spec in specs.values()],
        }
    )  # fmt: skip


def edited(specs: Mapping[str, Spec], chance: Random) -> dict[str, Spec]:
    """Return them after an edit: one more, one less, another value, another policy."""
    found = dict(specs)
    name = chance.choice(sorted(found))
    match chance.choice(("add", "remove", "value", "policy", "same")):
        case "add":
            for spec in (*FIRST, Spec("G3", "group"), Spec("R2", "registry", "report")):
                found.setdefault(spec.name, spec)
                if len(found) > len(specs):
                    break
        case "remove" if len(found) > 2:
            del found[name]
        case "value":
            found |= {one.name: replace(one, value=one.value % 3 + 1) for one in found.values() if one.name == "R0"}
        case "policy":
            found[name] = replace(found[name], policy=chance.choice(("correct", "report", "ignore")))
    return found

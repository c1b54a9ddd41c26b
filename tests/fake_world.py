"""One fake world: named settings with values, a clock of its own, and ways to go wrong. No mocks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import ClassVar, Literal, Self

from reconciler.core.errors import ReconcileError
from reconciler.core.ports import Json
from reconciler.core.query import Command, Query, Recall, Rows, Search
from reconciler.core.resource import Need, Resource
from reconciler.core.steps import AddEntry, DeleteEntry, Effect, Note, Restart, Step


class Setting(Resource):
    """A value by name on a host; may count only after a restart."""

    identity: ClassVar[tuple[str, ...]] = ("host", "name")
    inputs: ClassVar[tuple[str, ...]] = ("restart", "risk", "needs")

    kind: Literal["test.setting"] = "test.setting"
    host: str = "h"
    name: str
    value: int | None = None
    text: str | None = None
    restart: bool = False
    risk: str = ""
    needs: tuple[str, ...] = ()

    def requires(self) -> tuple[Need, ...]:
        return tuple(Need(f"test.setting/{self.host}/{name}", "because it says so") for name in self.needs)

    def queries(self) -> tuple[Query, ...]:
        return (Command(self.host, "get", arguments=(self.name,)), Command(self.host, "boot"))

    def parse(self, *answers: Rows) -> Self:
        found, boot = answers
        state = self.observed(**found[0]) if found else self.absent()
        return state.with_facts(boot=boot[0]["value"])

    def steps(self, observed: Self, differs: frozenset[str]) -> tuple[Step, ...]:
        notes: tuple[Note, ...] = ()
        if self.restart:
            notes = (Note(f"restart/{self.host}/{self.key}", {"boot_time": observed.facts["boot"]}),)
        if self.ensure == "absent":
            return (Step(Command(self.host, "remove", arguments=(self.name,)), notes=notes, risk=self.risk),)
        values = {name: getattr(self, name) for name in self.managed()}
        return (Step(Command(self.host, "set", arguments=(self.name, values)), notes=notes, risk=self.risk),)


class Reboot(Resource):
    """A restart of a host, pending while a fact names its present boot."""

    identity: ClassVar[tuple[str, ...]] = ("host",)
    barrier: ClassVar[bool] = True

    kind: Literal["test.restart"] = "test.restart"
    host: str = "h"
    pending: tuple[str, ...] = ()

    def queries(self) -> tuple[Query, ...]:
        return (Command(self.host, "boot"), Recall(f"restart/{self.host}/"))

    def parse(self, *answers: Rows) -> Self:
        boot, facts = answers
        now = boot[0]["value"]
        waiting = tuple(str(row["key"]) for row in facts if dict(row["value"])["boot_time"] == now)  # type: ignore[call-overload]
        return self.observed(pending=waiting)

    def steps(self, observed: Self, differs: frozenset[str]) -> tuple[Step, ...]:
        return (Step(Restart(self.host)),)


class Entry(Resource):
    """A value by name in a directory, where each controller may still have another one."""

    identity: ClassVar[tuple[str, ...]] = ("domain", "name")

    kind: Literal["test.entry"] = "test.entry"
    domain: str = "d"
    name: str
    value: int | None = None

    def queries(self) -> tuple[Query, ...]:
        return (Search(self.domain, self.name),)

    def parse(self, *answers: Rows) -> Self:
        return self.observed(value=answers[0][0]["value"]) if answers[0] else self.absent()

    def steps(self, observed: Self, differs: frozenset[str]) -> tuple[Step, ...]:
        if self.ensure == "absent":
            return (Step(DeleteEntry(self.domain, self.name)),)
        return (Step(AddEntry(self.domain, self.name, (("value", (str(self.value),)),))),)


def revive(written: Json) -> Resource:
    """Turn what the journal holds back into a resource."""
    fields = dict(written)
    kinds: dict[str, type[Resource]] = {"test.setting": Setting, "test.restart": Reboot, "test.entry": Entry}
    return kinds[str(fields["kind"])].model_validate(fields)


@dataclass
class FakeClock:
    """Time that moves a second with every look."""

    at: datetime = datetime(2026, 11, 20, 18, 0, tzinfo=UTC)

    def now(self) -> datetime:
        self.at += timedelta(seconds=1)
        return self.at


@dataclass
class FakeWorld:
    """Hosts with settings.

    Attributes:
        before: Called before every effect with its number; may raise, as a crash or a refusal would.
        after: Called after every effect; what it raises is a lost reply.
        writes: Every effect that was carried out, in order.
        broken: What asking for a setting, an entry or a controller raises.
        entries: Value by domain and name.
        apart: What a controller has instead, by its name and that of the entry.
        dcs: Controllers by domain; none answers for the domain as a whole where there are none.
    """

    values: dict[tuple[str, str], dict[str, object]] = field(default_factory=dict)
    boots: dict[str, int] = field(default_factory=dict)
    writes: list[str] = field(default_factory=list)
    broken: dict[str, ReconcileError] = field(default_factory=dict)
    deaf: set[str] = field(default_factory=set)
    entries: dict[tuple[str, str], int] = field(default_factory=dict)
    apart: dict[tuple[str, str], int | None] = field(default_factory=dict)
    dcs: dict[str, tuple[str, ...]] = field(default_factory=lambda: {"d": ("dc1.d",)})
    before: Callable[[int], None] = lambda number: None
    after: Callable[[int], None] = lambda number: None

    def ask(self, query: Query) -> Rows:
        if isinstance(query, Search):
            return self._search(query)
        assert isinstance(query, Command), query
        if query.name == "boot":
            return ({"value": self.boots.get(query.host, 0)},)
        name = str(query.arguments[0])
        if name in self.broken:
            raise self.broken[name]
        found = self.values.get((query.host, name))
        return (dict(found),) if found is not None else ()

    def controllers(self, domain: str) -> tuple[str, ...]:
        if domain in self.broken:
            raise self.broken[domain]
        return self.dcs[domain]

    def _search(self, query: Search) -> Rows:
        for name in (query.controller, query.base):
            if name in self.broken:
                raise self.broken[name]
        here = self.apart.get((query.controller, query.base), self.entries.get((query.domain, query.base)))
        return () if here is None else ({"dn": query.base, "value": here},)

    def do(self, effect: Effect) -> Rows:
        number = len(self.writes)
        self.before(number)
        if isinstance(effect, Restart):
            self.boots[effect.host] = self.boots.get(effect.host, 0) + 1
            self.writes.append(f"restart {effect.host}")
        elif isinstance(effect, AddEntry):
            self.entries[effect.domain, effect.dn] = int(str(effect.attributes[0][1][0]))
            self.writes.append(f"add {effect.dn}")
        elif isinstance(effect, DeleteEntry):
            self.entries.pop((effect.domain, effect.dn))
            self.writes.append(f"delete {effect.dn}")
        else:
            assert isinstance(effect, Command)
            self._change(effect)
        self.after(number)
        return ()

    def _change(self, effect: Command) -> None:
        name = str(effect.arguments[0])
        self.writes.append(f"{effect.name} {name}")
        if name in self.deaf:
            return
        if effect.name == "remove":
            self.values.pop((effect.host, name), None)
        else:
            self.values.setdefault((effect.host, name), {}).update(effect.arguments[1])  # type: ignore[arg-type]

"""Any original, any edits by somebody else between our runs: what is not ours stays, what is ours goes back to what it was."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.core.graph import Graph
from reconciler.core.resource import Declaration
from reconciler.core.values import Phase, Sid
from reconciler.engine.converge import converge
from reconciler.engine.intents import scope
from reconciler.engine.run import Result, Tools
from reconciler.resources.kinds import revive
from reconciler.resources.security_descriptor import Ace, Descriptor
from tests.crash.schedules import SimulatedJournal, StoppedClock, article, without_threads
from tests.crash.simulated import Item, SimulatedWorld, items
from tests.crash.simulated_directory import FOREIGN, HEADS, add, canonical, entry
from tests.crash.simulated_hosts import Hosts
from tests.crash.simulated_start import ANONYMOUS, LSA, MIGRATED, Tables, boot, start
from tests.soak import examples

Policy = Literal["restore", "keep", "ask"]
DWORD, WORDS = "REG_DWORD", ("No Auditing", "Success", "Failure", "Success and Failure")
# What we set; None stands for absent.
REGISTRY: dict[Item, Any] = {
    ("registry", "source-pdc", LSA, "TcpipClientSupport"): (DWORD, 1),
    ("registry", "source-pdc", LSA, "AllowPasswordExport"): (DWORD, 1),
    ("registry", "source-pdc", LSA, "RunAsPPL"): None,
    ("registry", "admt", LSA, "RestrictAnonymous"): (DWORD, 0),
}
AUDIT: dict[Item, Any] = {("audit", *key): "Success and Failure" for key in start().audit}
_PRE_2000 = f"CN=Pre-Windows 2000 Compatible Access,CN=Builtin,{HEADS['target']}"
ANONYMOUS_DN = f"CN={ANONYMOUS},{FOREIGN},{HEADS['target']}"
MEMBER: dict[Item, Any] = {("member", "target", "Pre-Windows 2000 Compatible Access", ANONYMOUS_DN): True}
OURS = REGISTRY | AUDIT | MEMBER

PPL: Item = ("registry", "source-pdc", LSA, "RunAsPPL")
values = st.sampled_from([None, (DWORD, 0), (DWORD, 1), (DWORD, 2), (DWORD, 7), ("REG_SZ", "x")])
ours = st.one_of(
    st.tuples(st.sampled_from(sorted(REGISTRY)), values),
    st.tuples(st.sampled_from(sorted(AUDIT)), st.sampled_from(WORDS)),
    st.tuples(st.sampled_from(sorted(MEMBER)), st.sampled_from([None, True])),
)
foreign = st.one_of(
    st.tuples(st.just(("registry", "source-pdc", LSA, "Unmanaged")), values),
    st.tuples(st.just(("registry", "admt", LSA, "LmCompatibilityLevel")), values),
    st.tuples(st.just(("file", "source-pdc", r"C:\PES\notes.txt")), st.sampled_from(["a", "b"])),
    st.tuples(st.just(("eve", "source")), st.just(True)),
    st.tuples(st.just(("ace", "target")), st.integers(1, 3)),
)
edits = st.lists(st.one_of(ours, foreign), max_size=6)


@pytest.fixture(autouse=True, scope="module")
def fast() -> Iterator[None]:
    with without_threads():
        yield


class Bench:
    """A world that somebody else works in as well."""

    def __init__(self, trust: str, group: bool, directory: bool) -> None:
        self.tables: Tables = start()
        self.journal = SimulatedJournal()
        hosts = Hosts(self.tables)
        for domain, other in (("source", "target"), ("target", "source")) if trust else ():
            hosts.trust(domain, other, trust)
        if group:
            made = entry(
                f"CN=SOURCE$$$,CN=Users,{HEADS['source']}", objectClass="group", sAMAccountName="SOURCE$$$", groupType="-2147483644",
                objectSid=Sid("S-1-5-21-1-2-3-1999"),
            )  # fmt: skip
            add(self.tables.entries, "source", made)
        if directory:
            self.tables.directories["admt", r"C:\PES"] = True

    def edit(self, item: Item, value: Any) -> None:
        """Change something, as somebody else does."""
        tables = self.tables
        match item:
            case ("registry", *key):
                _put(tables.registry, tuple(key), value)
            case ("audit", *key):
                _put(tables.audit, tuple(key), value)
            case ("file", *key):
                _put(tables.files, tuple(key), value)
            case ("member", domain, _, dn):
                self._member(domain, _PRE_2000, dn, value)
            case ("eve", domain):
                add(
                    tables.entries,
                    domain,
                    entry(f"CN=eve,CN=Users,{HEADS[domain]}", objectSid=Sid("S-1-5-21-1-2-3-1998")),
                )
                self._member(
                    domain, f"CN=Administrators,CN=Builtin,{HEADS[domain]}", f"CN=eve,CN=Users,{HEADS[domain]}", value
                )
            case ("ace", domain):
                found = tables.entries[domain, canonical(MIGRATED)]
                ace = Ace(Sid("S-1-5-21-4-5-6-1900"), value)
                changed = Descriptor.from_bytes(found.attributes["ntsecuritydescriptor"][0]).adding(ace).to_bytes()
                add(tables.entries, domain, found.having("ntsecuritydescriptor", (changed,)))

    def _member(self, domain: str, group: str, dn: str, value: Any) -> None:
        found = self.tables.entries[domain, canonical(group)]
        others = tuple(member for member in found.attributes["member"] if member != dn.encode())
        add(self.tables.entries, domain, found.having("member", (*others, dn.encode()) if value else others))
        if value and "ForeignSecurity" in dn:
            add(self.tables.entries, domain, entry(dn, objectSid=ANONYMOUS, objectClass="foreignSecurityPrincipal"))

    def apply(self, phase: Phase, policy: Policy) -> Result:
        """Run once."""
        graph = Graph(
            Declaration(d.resource.model_copy(update={"on_conflict": policy})) for d in article().declarations.values()
        )
        tools = Tools(SimulatedWorld(self.tables), self.journal, StoppedClock(), "run")
        return converge(scope(graph, phase, self.journal, revive), tools)


def _put(table: dict[Any, Any], key: tuple[str, ...], value: Any) -> None:
    table.pop(key, None)
    if value is not None:
        table[key] = value


def bad(result: Result) -> dict[str, str]:
    return {o.key: f"{o.status} {o.error}" for o in result.outcomes if o.status not in ("changed", "unchanged")}


class Expected:
    """The same in the simplest words: what each thing of ours shall be like, edit by edit."""

    def __init__(self, before: dict[Item, Any]) -> None:
        self.original = {item: before.get(item) for item in OURS}
        self.now = dict(self.original)
        self.touched: set[str] = set()

    def edit(self, item: Item, value: Any) -> None:
        if item in OURS:
            self.now[item] = value

    def apply(self) -> None:
        """What means the same as what we want is left as it is: an LSA protection of 0 is off like an absent one."""
        wrong = {item for item in OURS if self.now[item] != OURS[item] and (item, self.now[item]) != (PPL, (DWORD, 0))}
        self.touched |= {_resource(item) for item in wrong}
        self.now |= {item: OURS[item] for item in wrong}

    def complete(self) -> None:
        """What we never changed is not ours to put back."""
        self.now = {item: self.original[item] if _resource(item) in self.touched else self.now[item] for item in OURS}

    def conflicts(self) -> set[Item]:
        """Return what was edited after us."""
        return {
            item for item in OURS
            if _resource(item) in self.touched and self.now[item] not in (OURS[item], self.original[item])
        }  # fmt: skip


def _resource(item: Item) -> str:
    return "/".join(item[:2]) if item[0] == "audit" else "/".join(item)


@settings(max_examples=examples(25), deadline=None, suppress_health_check=list(HealthCheck))
@given(
    policy=st.sampled_from(["restore", "ask"]),
    trust=st.sampled_from(["", "0", "4"]),
    group=st.booleans(),
    directory=st.booleans(),
    at_first=edits,
    rounds=st.lists(edits, max_size=2),
    at_last=edits,
)
def test_foreign_edits_stay_and_ours_go_back(
    policy: Policy, trust: str, group: bool, directory: bool, at_first: Any, rounds: Any, at_last: Any
) -> None:
    bench = Bench(trust, group, directory)
    for change in at_first:
        bench.edit(*change)
    for host in ("source-pdc", "admt"):
        boot(bench.tables, host)
    expected, others = Expected(items(bench.tables)), Bench(trust, group, directory)
    for change in at_first:
        others.edit(*change)
    for changes in ([], *rounds):
        for change in changes:
            bench.edit(*change)
            expected.edit(*change)
            others.edit(*change)
        assert bad(bench.apply("migrate", policy)) == {}
        expected.apply()
        assert {item: items(bench.tables).get(item) for item in OURS} == expected.now
    for change in at_last:
        bench.edit(*change)
        expected.edit(*change)
        others.edit(*change)
    conflicts, found = expected.conflicts(), dict(expected.now)
    result = bench.apply("complete", policy)
    if policy == "ask":
        # What somebody else changed waits as it is; the rest is back already.
        waiting = {o.key for o in result.outcomes if o.status == "waiting"}
        assert bool(conflicts) == bool(waiting)
        assert {item: items(bench.tables).get(item) for item in conflicts} == {item: found[item] for item in conflicts}
        result = bench.apply("complete", "restore")
    assert bad(result) == {}
    expected.complete()
    now, untouched = items(bench.tables), items(others.tables)
    assert {item: now.get(item) for item in OURS} == expected.now
    assert {item: value for item, value in now.items() if item not in OURS} == {
        item: value for item, value in untouched.items() if item not in OURS
    }
    assert bench.journal.obligations() == []


def test_keep_leaves_what_somebody_else_set() -> None:
    bench, item = Bench("", False, False), ("registry", "source-pdc", LSA, "TcpipClientSupport")
    assert bad(bench.apply("migrate", "keep")) == {}
    bench.edit(item, (DWORD, 7))
    assert bad(bench.apply("complete", "keep")) == {}
    assert items(bench.tables) == {**items(start()), item: (DWORD, 7)}


def test_keep_disarms_the_switch() -> None:
    bench, item = Bench("", False, False), ("registry", "admt", LSA, "RestrictAnonymous")
    assert bad(bench.apply("migrate", "keep")) == {}
    bench.edit(item, (DWORD, 7))
    assert bad(bench.apply("complete", "keep")) == {}
    assert bench.journal.obligations() == []
    assert bench.tables.tasks == {}


def test_a_value_that_somebody_took_away_is_asked_about() -> None:
    bench, item = Bench("", False, False), ("registry", "admt", LSA, "RestrictAnonymous")
    assert bad(bench.apply("migrate", "ask")) == {}
    bench.edit(item, None)
    waiting = {o.key for o in bench.apply("complete", "ask").outcomes if o.status == "waiting"}
    assert waiting == {f"win.registry/admt/{LSA}/RestrictAnonymous"}
    assert item not in items(bench.tables)


def test_keep_puts_back_what_nobody_else_set() -> None:
    bench, item = Bench("", False, False), ("audit", "admt", "0cce9236-69ae-11d9-bed3-505054503030")
    assert bad(bench.apply("migrate", "keep")) == {}
    bench.edit(item, "Failure")
    assert bad(bench.apply("complete", "keep")) == {}
    assert items(bench.tables) == {**items(start()), item: "Failure"}


def test_absent_is_not_zero_where_zero_is_tolerated() -> None:
    bench = Bench("", False, False)
    bench.edit(PPL, (DWORD, 0))
    boot(bench.tables, "source-pdc")
    assert bad(bench.apply("migrate", "restore")) == {}
    bench.edit(PPL, (DWORD, 1))
    assert bad(bench.apply("migrate", "restore")) == {}
    assert PPL not in items(bench.tables)
    assert bad(bench.apply("complete", "restore")) == {}
    assert items(bench.tables)[PPL] == (DWORD, 0)


def test_zero_is_not_absent_where_it_was_absent_and_somebody_set_zero() -> None:
    bench = Bench("", False, False)
    for value in (None, (DWORD, 1), (DWORD, 0)):
        bench.edit(PPL, value)
        boot(bench.tables, "source-pdc")
        assert bad(bench.apply("migrate", "ask")) == {}
    assert items(bench.tables)[PPL] == (DWORD, 0)
    (waiting,) = (o for o in bench.apply("complete", "ask").outcomes if o.status == "waiting")
    assert (waiting.key, items(bench.tables)[PPL]) == (f"win.registry/source-pdc/{LSA}/RunAsPPL", (DWORD, 0))
    assert bad(bench.apply("complete", "restore")) == {}
    assert PPL not in items(bench.tables)

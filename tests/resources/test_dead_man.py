"""Dead-man's switches: never set before armed, the exact original comes back, and what no command line can bring back is refused."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from reconciler.core.errors import NeedsPerson, UnexpectedAnswer, Unreachable
from reconciler.core.graph import Graph
from reconciler.core.lengths import duration
from reconciler.core.query import Command, Query, Rows
from reconciler.core.resource import Declaration, Resource, differences
from reconciler.core.saved_plan import planned
from reconciler.core.secret import Template
from reconciler.core.steps import Effect, Step
from reconciler.engine.converge import converge, plan_only
from reconciler.engine.intents import scope
from reconciler.engine.run import Result, Tools
from reconciler.lab.windows.task_xml import exported, parse_task, split_arguments
from reconciler.resources.dead_man import DEFAULT, switch_fact, task_name
from reconciler.resources.kinds import revive
from reconciler.resources.win_registry import Registry
from reconciler.resources.win_service import Service
from tests.fake_journal import MemoryJournal
from tests.soak import examples

LSA = r"HKLM:\SYSTEM\CurrentControlSet\Control\Lsa"
START = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
KINDS = {
    "String": "REG_SZ",
    "ExpandString": "REG_EXPAND_SZ",
    "Binary": "REG_BINARY",
    "DWord": "REG_DWORD",
    "MultiString": "REG_MULTI_SZ",
    "QWord": "REG_QWORD",
}
Stored = tuple[str, Any] | None


class Killed(BaseException):
    """The program is gone in the middle of its work."""


@dataclass
class Host:
    """One host with one registry value, one service and a scheduler; also the world and the clock of the program."""

    value: Stored = None
    service: tuple[str, str] | None = None
    now_: datetime = START
    tasks: dict[str, str] = field(default_factory=dict)
    sent: list[str] = field(default_factory=list)
    original: Any = None
    after: Callable[[Effect], None] = lambda effect: None

    def __post_init__(self) -> None:
        self.original = (self.value, self.service)

    def now(self) -> datetime:
        return self.now_

    def ask(self, query: Query) -> Rows:
        assert isinstance(query, Command)
        return self._run(query)

    def controllers(self, domain: str) -> tuple[str, ...]:
        raise AssertionError("nothing here is in a domain")

    def do(self, effect: Effect) -> Rows:
        assert isinstance(effect, Command)
        self.sent.append(effect.name)
        rows = self._run(effect)
        if (self.value, self.service) != self.original:
            assert self.would_close(), f"set before armed: {self.sent}"
        self.after(effect)
        return rows

    def would_close(self) -> bool:
        """Whether the tasks that are there bring back what was there at first."""
        other = Host(self.value, self.service, self.now_, dict(self.tasks))
        other.later(timedelta(days=30))
        return bool((other.value, other.service) == self.original)

    def later(self, much: timedelta) -> None:
        """Let time pass; what is due runs, as the host's own scheduler does it."""
        self.now_ += much
        for xml in self.tasks.values():
            task = parse_task(xml)
            may = task.user == "S-1-5-18" and task.start_when_available and task.enabled
            if may and any(moment <= self.now_ for moment in task.times):
                for action in task.actions:
                    self._program(action.command, split_arguments(action.arguments))

    def _program(self, program: str, words: list[str]) -> None:
        if program == r"C:\Windows\System32\sc.exe":
            assert self.service is not None
            state, mode = self.service
            match words:
                case ["stop", "PesSvc"]:
                    state = "Stopped"
                case ["start", "PesSvc"]:
                    state = "Running"
                case ["config", "PesSvc", "start=", kind]:
                    mode = {"auto": "Auto", "demand": "Manual", "disabled": "Disabled"}[kind]
                case _:
                    raise AssertionError(words)
            self.service = (state, mode)
            return
        assert program == r"C:\Windows\System32\reg.exe"
        match words:
            case ["delete", path, "/v", "X", "/f"]:
                self.value = None
            case ["add", path, "/v", "X", "/t", kind, "/d", data, "/f"]:
                self.value = (next(ps for ps, name in KINDS.items() if name == kind), _read(kind, data))
            case _:
                raise AssertionError(words)
        assert path == LSA.replace("HKLM:", "HKLM")

    def _run(self, command: Command) -> Rows:
        given = dict(command.parameters)
        match command.name:
            case "Get-ItemProperty":
                return () if self.value is None else ({"X": _shown(self.value)},)
            case "reg.exe":
                data = str(self.value[1]) if self.value and self.value[0] == "ExpandString" else "data"
                return ({"line": f"    X    {KINDS[self.value[0]]}    {data}"},) if self.value else ({"exit_code": 1},)
            case "Get-Item":
                return ({"Name": "Lsa"},)
            case "Get-CimInstance" if given["ClassName"] == "Win32_OperatingSystem":
                return ({"LastBootUpTime": "2026-01-01T00:00:00Z", "LocalDateTime": self.now_.isoformat()},)
            case "Get-CimInstance":
                found = self.service
                return ({"State": found[0], "StartMode": found[1], "StartName": "LocalSystem"},) if found else ()
            case "Export-ScheduledTask":
                name = str(command.parameters[0][1])
                return ({"value": exported(self.tasks[name], f"\\{name}")},) if name in self.tasks else ()
            case "Register-ScheduledTask":
                assert isinstance(given["Xml"], Template)
                self.tasks[str(command.parameters[0][1])] = "".join(map(_sent, given["Xml"].parts))
            case "Unregister-ScheduledTask":
                self.tasks.pop(str(command.parameters[0][1]), None)
            case "New-ItemProperty":
                written = given["Value"]
                kind = given["PropertyType"]
                assert isinstance(kind, str)
                self.value = (kind, written.hex() if isinstance(written, bytes) else written)
            case "Remove-ItemProperty":
                assert self.value is not None
                self.value = None
            case "Start-Service" | "Stop-Service" | "Set-Service":
                assert self.service is not None
                state, mode = self.service
                state = {"Start-Service": "Running", "Stop-Service": "Stopped"}.get(command.name, state)
                kind = given.get("StartupType", mode)
                assert isinstance(kind, str)
                self.service = (state, "Auto" if kind == "Automatic" else kind)
            case _:
                raise AssertionError(f"unknown: {command}")
        return ()


def _sent(part: object) -> str:
    assert isinstance(part, str)
    return "".join([part])  # as it is, not as it shows


def _read(kind: str, data: str) -> Any:
    if kind in ("REG_DWORD", "REG_QWORD"):
        return int(data)
    return tuple(data.split("\\0")) if kind == "REG_MULTI_SZ" else data


def _shown(value: tuple[str, Any]) -> Any:
    kind, data = value
    return bytes.fromhex(data) if kind == "Binary" else list(data) if kind == "MultiString" else data


def setting(lease: str = "8h", **fields: Any) -> Registry:
    wanted = {"type": "DWord", "value": 1} if "ensure" not in fields else {}
    common = {"host": "pes", "path": LSA, "name": "X", "during": ["migrate"], "dead_mans_switch": lease}
    return Registry.model_validate({**common, **wanted, **fields})


def service(lease: str = "8h") -> Service:
    return Service.model_validate(
        {"host": "pes", "name": "PesSvc", "status": "running", "start_mode": "automatic", "during": ["migrate"], "dead_mans_switch": lease}
    )  # fmt: skip


def apply(host: Host, journal: MemoryJournal, resource: Resource, phase: str = "migrate") -> Result:
    whole = scope(Graph([Declaration(resource)]), phase, journal, revive)  # type: ignore[arg-type]
    return converge(whole, Tools(host, journal, host, "run"))


def right(result: Result) -> bool:
    return all(outcome.status in ("changed", "unchanged") for outcome in result.outcomes)


ORIGINALS: list[Stored] = [
    None,
    ("DWord", 0),
    ("DWord", 4294967295),
    ("QWord", 2**63),
    ("String", ""),
    ("String", 'with "quotes" and a \\ at the end\\'),
    ("String", "100% of it"),
    ("ExpandString", "no variable"),
    ("MultiString", ("scecli", "PWMIG two")),
    ("Binary", "00ff"),
]
REFUSED: list[Stored] = [
    ("ExpandString", "%SystemRoot%\\x"),
    ("String", "%a b%"),
    ("String", "two\nlines"),
    ("String", "x" * 9000),
    ("MultiString", ()),
    ("MultiString", ("a", "")),
    ("MultiString", ("a\\0b",)),
    ("MultiString", ("a\\", "b")),
    ("Binary", ""),
]


@pytest.mark.parametrize("original", ORIGINALS, ids=repr)
def test_host_brings_the_exact_original_back_when_nobody_does(original: Stored) -> None:
    host, journal = Host(original), MemoryJournal()
    assert right(apply(host, journal, setting()))
    assert host.value == ("DWord", 1)
    assert host.sent == ["Register-ScheduledTask", "New-ItemProperty"]
    host.later(timedelta(hours=8, minutes=1))
    assert host.value == original


@pytest.mark.parametrize("original", ORIGINALS, ids=repr)
def test_going_back_puts_the_value_back_first_and_leaves_no_task(original: Stored) -> None:
    host, journal = Host(original), MemoryJournal()
    apply(host, journal, setting())
    host.sent.clear()
    assert right(apply(host, journal, setting(), "complete"))
    assert host.sent[-1] == "Unregister-ScheduledTask"
    assert len(host.sent) == 2
    assert (host.value, host.tasks) == (original, {})
    assert journal.obligations() == []
    assert journal.facts("switch/") == {switch_fact(setting().key): {}}


@pytest.mark.parametrize("original", REFUSED, ids=lambda value: repr(value)[:40])
def test_what_no_command_line_brings_back_is_not_set_without_a_person(original: Stored) -> None:
    host, journal = Host(original), MemoryJournal()
    result = apply(host, journal, setting())
    assert [outcome.status for outcome in result.outcomes] == ["waiting"]
    assert isinstance(result.outcomes[0].error, NeedsPerson)
    assert "dead_mans_switch: off" in result.outcomes[0].error.do
    assert (host.value, host.sent) == (original, [])


def test_off_sets_it_without_a_switch() -> None:
    host, journal = Host(("String", "%TEMP%")), MemoryJournal()
    with pytest.raises(AssertionError, match="set before armed"):
        apply(host, journal, setting("off"))
    host = Host(("String", "%TEMP%"))
    host.original = (("DWord", 1), None)
    assert right(apply(host, MemoryJournal(), setting("off")))
    assert host.sent == ["New-ItemProperty"]


def test_switch_that_is_declared_off_later_is_disarmed() -> None:
    host, journal = Host(), MemoryJournal()
    apply(host, journal, setting())
    host.original = (("DWord", 1), None)
    assert right(apply(host, journal, setting("off")))
    assert host.tasks == {}
    host.original = (None, None)
    assert right(apply(host, journal, setting("off"), "complete"))
    assert host.value is None


# Every trace.


@dataclass
class Deaths:
    """Dies right after its n-th effect, or loses the reply of it."""

    at: int
    error: BaseException
    count: int = 0

    def __call__(self, effect: Effect) -> None:
        self.count += 1
        if self.count == self.at:
            raise self.error


@pytest.mark.parametrize(
    "error", [Killed(), Unreachable("lost", target="pes", sent=True)], ids=["killed", "reply lost"]
)
@pytest.mark.parametrize("original", [None, ("DWord", 0)], ids=repr)
@pytest.mark.parametrize("at", [1, 2, 3])
def test_after_any_call_the_original_comes_back_by_itself_and_later_by_us(
    at: int, original: Stored, error: Any
) -> None:
    host, journal = Host(original), MemoryJournal()
    host.after = Deaths(at, error)
    with suppress(Killed):
        apply(host, journal, setting())
    host.after = lambda effect: None
    nobody, soon = copy.deepcopy(host), copy.deepcopy((host, journal))
    nobody.later(timedelta(hours=9))
    assert nobody.value == original
    nobody.later(timedelta(hours=9))
    for late, kept in (soon, (nobody, journal)):
        assert right(apply(late, kept, setting()))
        assert late.value == ("DWord", 1)
        assert right(apply(late, kept, setting(), "complete"))
        assert (late.value, late.tasks) == (original, {})


@given(
    st.lists(st.sampled_from(["migrate", "complete", "foreign", "hours", "gone", "edited"]), max_size=8),
    st.integers(1, 12),
)
@settings(max_examples=examples(60), deadline=None)
def test_never_set_before_armed_whatever_happens(events: list[str], death: int) -> None:
    host, journal = Host(("DWord", 0)), MemoryJournal()
    host.after = Deaths(death, Killed())
    resource = setting(on_conflict="restore")
    for event in [*events, "complete"]:
        match event:
            case "foreign":
                host.value = ("DWord", 7) if host.value == ("DWord", 1) else host.value
            case "hours":
                host.later(timedelta(hours=5))
            case "gone":
                host.tasks.clear()
            case "edited":
                host.tasks = {name: xml.replace("S-1-5-18", "S-1-5-19") for name, xml in host.tasks.items()}
            case phase:
                with suppress(Killed):
                    apply(host, journal, resource, phase)
    apply(host, journal, resource, "complete")
    assert (host.value, host.tasks) == (("DWord", 0), {})


# The deadline.


def armed(**fields: Any) -> tuple[Host, MemoryJournal]:
    host, journal = Host(), MemoryJournal()
    apply(host, journal, setting(**fields))
    host.sent.clear()
    return host, journal


def test_second_apply_right_away_writes_nothing() -> None:
    host, journal = armed()
    assert right(apply(host, journal, setting()))
    assert host.sent == []


@pytest.mark.parametrize(("hours", "sent"), [(3.9, []), (4.1, ["Register-ScheduledTask"])])
def test_deadline_is_pushed_forward_when_half_of_it_is_gone(hours: float, sent: list[str]) -> None:
    host, journal = armed()
    host.now_ += timedelta(hours=hours)
    assert right(apply(host, journal, setting()))
    assert host.sent == sent
    host.later(timedelta(hours=4.2))
    assert (host.value is None) == (sent == [])


def test_pushed_forward_it_still_restores_the_first_original() -> None:
    host, journal = armed()
    for _ in range(3):
        host.now_ += timedelta(hours=5)
        assert right(apply(host, journal, setting()))
    host.later(timedelta(hours=9))
    assert host.value is None


def edit(xml: str, old: str, new: str) -> str:
    assert old in xml
    return xml.replace(old, new)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("reg.exe", "whoami.exe"),
        ("<Enabled>true</Enabled></TimeTrigger>", "<Enabled>false</Enabled></TimeTrigger>"),
        ("<Enabled>true</Enabled><ExecutionTimeLimit>", "<Enabled>false</Enabled><ExecutionTimeLimit>"),
        ("2026-01-01T20", "2027-01-01T20"),
        ("2026-01-01T20:00:00Z", "2026-01-01T20:00:00"),
        ("S-1-5-18", "S-1-5-19"),
        ("<StartWhenAvailable>true</StartWhenAvailable>", ""),
        ("</Settings>", "<RunOnlyIfIdle>true</RunOnlyIfIdle></Settings>"),
        ("TimeTrigger>", "BootTrigger>"),
    ],
)
def test_task_that_somebody_edited_is_armed_again_before_anything_else(old: str, new: str) -> None:
    host, journal = armed()
    name = task_name(setting().key)
    host.tasks[name] = edit(host.tasks[name], old, new)
    host.value = ("DWord", 5)
    host.after = lambda effect: None
    assert right(apply(host, journal, setting()))
    assert host.sent == ["Register-ScheduledTask", "New-ItemProperty"]


def test_missing_task_is_drift() -> None:
    host, journal = armed()
    host.tasks.clear()
    whole = scope(Graph([Declaration(setting())]), "migrate", journal, revive)
    (change,) = plan_only(whole, Tools(host, journal, host, "run")).changes
    assert [difference.field for difference in change.differs] == ["switch"]
    assert [str(step) for step in change.steps] == [
        rf"arm the dead-man's switch of X in {LSA} on pes: after 8h without us, pes runs "
        r"C:\Windows\System32\reg.exe delete HKLM\SYSTEM\CurrentControlSet\Control\Lsa /v X /f"
    ]


def test_plan_says_the_same_an_hour_later() -> None:
    digests = set()
    for hours in (0, 1):
        host, journal = Host(now_=START + timedelta(hours=hours)), MemoryJournal()
        whole = scope(Graph([Declaration(setting())]), "migrate", journal, revive)
        (change,) = plan_only(whole, Tools(host, journal, host, "run")).changes
        digests.add(planned(change).sha256)
        assert "xml" not in str(change.steps[0].effect).lower().replace("-xml", "")
    assert len(digests) == 1


def test_after_the_host_closed_it_complete_only_removes_the_task() -> None:
    host, journal = armed()
    host.later(timedelta(hours=9))
    assert host.value is None
    assert right(apply(host, journal, setting(), "complete"))
    assert host.sent == ["Unregister-ScheduledTask"]
    assert journal.obligations() == []


@pytest.mark.parametrize(
    "original",
    [
        ("DWord", 0),
        None,
        ("String", "x"),
    ],
)
def test_what_somebody_else_set_is_kept_with_its_type_and_loses_its_switch(original: Stored) -> None:
    host, journal = Host(original), MemoryJournal()
    resource = setting(on_conflict="keep")
    apply(host, journal, resource)
    host.value = ("DWord", 7)
    host.original = (host.value, None)
    assert right(apply(host, journal, resource, "complete"))
    assert (host.value, host.tasks) == (("DWord", 7), {})


def test_setting_that_was_right_at_first_needs_no_switch() -> None:
    host, journal = Host(("DWord", 1)), MemoryJournal()
    assert right(apply(host, journal, setting()))
    assert right(apply(host, journal, setting(), "complete"))
    assert (host.sent, host.value) == ([], ("DWord", 1))


def test_next_migration_arms_with_its_own_original() -> None:
    host, journal = armed()
    apply(host, journal, setting(), "complete")
    host.value = ("DWord", 0)
    host.original = (host.value, None)
    assert right(apply(host, journal, setting()))
    host.later(timedelta(hours=9))
    assert host.value == ("DWord", 0)


def test_what_shall_be_absent_comes_back() -> None:
    host, journal = Host(("DWord", 1)), MemoryJournal()
    wanted = setting(ensure="absent", tolerates=[0])
    assert right(apply(host, journal, wanted))
    assert host.value is None
    host.sent.clear()
    assert right(apply(host, journal, wanted))
    assert host.sent == []
    host.tasks.clear()
    assert right(apply(host, journal, wanted))
    assert host.sent == ["Register-ScheduledTask"]
    host.later(timedelta(hours=9))
    assert right(apply(host, journal, wanted, "complete"))
    assert host.sent == ["Register-ScheduledTask", "Unregister-ScheduledTask"]  # the host had put it back
    assert host.would_close()
    assert host.tasks == {}


@pytest.mark.parametrize("original", [("Stopped", "Manual"), ("Stopped", "Disabled"), ("Running", "Manual")])
def test_service_is_as_it_was_when_nobody_comes_back(original: tuple[str, str]) -> None:
    host, journal = Host(service=original), MemoryJournal()
    assert right(apply(host, journal, service()))
    assert host.service == ("Running", "Auto")
    assert host.sent[0] == "Register-ScheduledTask"
    host.later(timedelta(hours=9))
    assert host.service == original
    assert right(apply(host, journal, service(), "complete"))
    assert (host.service, host.tasks) == (original, {})


def test_value_that_the_host_put_back_counts_after_a_restart() -> None:
    host, journal = armed(restart=True)
    host.later(timedelta(hours=9))
    journal.note({f"restart/pes/{setting().key}": {}}, host.now())
    assert right(apply(host, journal, setting(restart=True), "complete"))
    assert journal.facts("restart/")[f"restart/pes/{setting().key}"]["boot_time"] == "2026-01-01T00:00:00Z"


def test_service_that_went_with_its_software_leaves_no_task() -> None:
    host, journal = Host(), MemoryJournal()
    apply(host, journal, service())  # not there yet: it comes with its software
    assert host.sent == []
    host.service = ("Stopped", "Manual")
    host.original = (None, host.service)
    assert right(apply(host, journal, service()))
    assert len(host.tasks) == 1
    host.service = None
    host.original = (None, None)
    assert right(apply(host, journal, service(), "complete"))
    assert host.tasks == {}


def test_clock_without_a_zone_is_unknown() -> None:
    resource = setting()
    rows: list[Rows] = [(), ({"exit_code": 1},), ({},), ({"LocalDateTime": "2026-01-01T12:00:00"},), (), ()]
    with pytest.raises(UnexpectedAnswer, match="no time with a zone"):
        resource.parse(*rows)


def test_baseline_from_before_there_were_switches_can_be_gone_back_to() -> None:
    old = Registry.model_validate({"host": "pes", "path": LSA, "name": "X", "type": "DWord", "value": 1}).absent()
    back = setting().undone(revive(json.loads(old.model_dump_json(exclude={"after"}))))  # type: ignore[arg-type]
    assert (back.type, back.value, back.switch) == (None, None, "none")
    assert differences(back, back) == ()


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("8h", DEFAULT),
        ("90m", timedelta(minutes=90)),
        ("7d", timedelta(days=7)),
        ("PT8H", DEFAULT),
        ("P1D", timedelta(days=1)),
    ],
)
def test_lengths_of_time(text: str, length: timedelta) -> None:
    assert duration(text) == length
    assert setting(text).dead_mans_switch == length


@pytest.mark.parametrize("text", ["14m", "8d", "8", "", "eight", "PT1S", "-8h", "1h30m"])
def test_lengths_that_are_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="dead_mans_switch"):
        setting(text)


def test_type_and_value_are_needed_with_a_switch_too() -> None:
    with pytest.raises(ValidationError, match="needs `type` and `value`"):
        Registry.model_validate({"host": "pes", "path": LSA, "name": "X", "dead_mans_switch": "8h"})


texts = st.text(st.characters(exclude_categories=["C", "Zl", "Zp"], exclude_characters="%"), max_size=40)


@given(texts)
@settings(max_examples=examples(300), deadline=None)
def test_any_text_comes_back_through_the_command_line(text: str) -> None:
    steps = setting().steps(_observed(("String", text)), frozenset({"switch", "type", "value"}))
    assert _restored(steps) == ("String", text)


@given(
    st.lists(texts.filter(lambda text: text and "\\0" not in text and not text.endswith("\\")), min_size=1, max_size=4)
)
@settings(max_examples=examples(100), deadline=None)
def test_any_list_comes_back_through_the_command_line(items: list[str]) -> None:
    steps = setting().steps(_observed(("MultiString", tuple(items))), frozenset({"switch", "type", "value"}))
    assert _restored(steps) == ("MultiString", tuple(items))


def _observed(value: tuple[str, Any]) -> Registry:
    host, resource = Host(value), setting()
    return resource.parse(*(() if not isinstance(query, Command) else host.ask(query) for query in resource.queries()))


def _restored(steps: tuple[Step, ...]) -> Stored:
    host = Host(("DWord", 1))
    host.original = (host.value, None)
    host.do(steps[0].effect)
    host.later(timedelta(hours=9))
    return host.value


def names() -> Iterator[str]:
    yield from (setting().task_name, service().task_name)


def test_names_of_tasks_are_short_and_their_own() -> None:
    assert all(name.startswith("Reconcile-DeadMan-") and len(name) == 30 for name in names())
    assert len(set(names())) == 2

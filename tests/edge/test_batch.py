"""Many commands in one message answer as each does alone, whatever goes wrong in some of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.core.errors import ReconcileError, Refused, Unreachable
from reconciler.core.query import Command, Rows
from reconciler.edge.psrp_session import Session
from reconciler.edge.psrp_statement import Statement
from reconciler.edge.secrets import Secrets
from reconciler.edge.world import LiveWorld
from tests.edge.test_world_hosts import ADDRESS, Host, targets
from tests.one_by_one import answers_of

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

LSA = "HKLM:\\SYSTEM\\CurrentControlSet\\Control\\Lsa"
VALUE = "System.Management.Automation.PSArgumentException"
COMMANDS = (
    Command("pdc", "Get-Service", (("Name", "Netlogon"),)),
    Command("pdc", "Get-Service", (("Name", "NoSuchService"),)),
    Command("pdc", "Get-ItemProperty", (("Path", LSA), ("Name", "LimitBlankPasswordUse")), absent=(VALUE,)),
    Command("pdc", "Get-ItemProperty", (("Path", LSA), ("Name", "NoSuchValue")), absent=(VALUE, "PathNotFound")),
    Command("pdc", "Get-ItemProperty", (("Path", LSA), ("Name", "NorThisOne"))),
    Command("pdc", "Get-Item", (("LiteralPath", "C:\\none"),), absent=("PathNotFound",)),
    Command("pdc", "Test-Path", (("LiteralPath", "C:\\Windows"),)),
    Command("pdc", "Get-ChildItem", (("LiteralPath", "C:\\Windows"),)),
    Command("pdc", "Get-CimInstance", (("ClassName", "Win32_OperatingSystem"),)),
    Command("pdc", "hostname.exe", native=True),
    Command("pdc", "auditpol.exe", arguments=("/nonsense",), native=True),
    Command("pdc", "auditpol.exe", arguments=("/nonsense",), native=True, ok_exit_codes=None),
    Command("pdc", "reg.exe", arguments=("query", "HKLM\\None"), native=True, ok_exit_codes=None),
    Command("pdc", "nothing.exe", native=True),
    Command("pdc", "Get-Nothing"),
    Command("pdc", "Get-Service", (("Nonsense", 1),)),
    Command("pdc", "Test-Taste", (("Word", "soup"),), absent=("BadTaste",)),
    Command("pdc", "Test-Taste", (("Word", "fish"),)),
    Command("pdc", "Get-Service", (("Name", "Netlogon"), ("ErrorAction", "Stop"))),
    Command("pdc", "Get-Service", (("Name", "NoSuchService"), ("ErrorAction", "Stop"))),
    Command("pdc", "Export-ScheduledTask", (("TaskName", "NoSuchTask"),)),
    Command("pdc", "Get-FileHash", (("LiteralPath", "C:\\none"),)),
)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory, pki: Any) -> Iterator[Host]:
    host = Host(tmp_path_factory.mktemp("host"), pki)
    yield host
    host.stop()


@pytest.fixture(params=["https", "http"])
def world(
    request: pytest.FixtureRequest, host: Host, tmp_path: Path, pki: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[LiveWorld]:
    monkeypatch.setattr("reconciler.edge.resolve.Names.addresses", lambda self, name: (ADDRESS,))
    with LiveWorld(targets(tmp_path, pki, request.param), Secrets(tmp_path), tmp_path) as opened:
        yield opened


@pytest.fixture
def messages(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many statements each message held that went to a host."""
    found: list[int] = []
    run = Session._run

    def counted(self: Session, statements: Sequence[Statement], timeout_s: float) -> Any:
        found.append(len(statements))
        return run(self, statements, timeout_s)

    monkeypatch.setattr(Session, "_run", counted)
    return found


def alone(world: LiveWorld, command: Command) -> Rows | ReconcileError:
    try:
        return world.ask(command)
    except ReconcileError as error:
        return error


def comparable(answer: Rows | ReconcileError) -> object:
    if isinstance(answer, ReconcileError):
        return type(answer), str(answer), getattr(answer, "code", "")
    return tuple(
        tuple((name, value) for name, value in row.items() if name not in ("LocalDateTime", "FreePhysicalMemory"))
        for row in answer
    )


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.sampled_from(COMMANDS), max_size=12))
def test_each_answers_in_company_as_it_does_alone(world: LiveWorld, chosen: list[Command]) -> None:
    together = answers_of(world, chosen)
    assert [comparable(one) for one in together] == [comparable(alone(world, command)) for command in chosen]


def test_a_host_is_asked_everything_in_one_message(world: LiveWorld, messages: list[int]) -> None:
    answered = [command for command in COMMANDS if not isinstance(alone(world, command), Refused)]
    messages.clear()
    assert len(answers_of(world, answered)) == len(answered) > 8
    assert len(messages) == 1


def test_what_cannot_be_told_apart_is_asked_alone_and_from_then_on_does_not_hinder_others(
    world: LiveWorld, messages: list[int]
) -> None:
    ends_the_batch = Command("pdc", "Get-Service", (("Name", "NoSuchService"), ("ErrorAction", "Stop")))
    pair = (COMMANDS[0], COMMANDS[6], ends_the_batch, COMMANDS[8])
    answers_of(world, pair)
    assert len(messages) == 1 + len(pair)
    messages.clear()
    answers_of(world, pair)
    assert messages == [6, 1]


def test_more_than_fits_goes_in_several(world: LiveWorld, messages: list[int]) -> None:
    many = [Command("pdc", "Test-Path", (("LiteralPath", f"C:\\{number}"),)) for number in range(90)]
    assert answers_of(world, many) == [({"value": False},)] * 90
    assert messages == [80, 80, 20]


def test_a_lost_connection_is_made_anew(world: LiveWorld, host: Host) -> None:
    pair = COMMANDS[0], COMMANDS[6]
    before = answers_of(world, pair)
    host.drop_connections()
    assert answers_of(world, pair) == before


def test_a_host_that_is_down_is_asked_once_for_all(
    tmp_path: Path, pki: Any, messages: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reconciler.edge.resolve.Names.addresses", lambda self, name: ("127.0.36.19",))
    with LiveWorld(targets(tmp_path, pki), Secrets(tmp_path), tmp_path) as world:
        answers = answers_of(world, COMMANDS)
    assert {type(one) for one in answers} == {Unreachable}
    assert len(messages) == 1

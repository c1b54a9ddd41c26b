"""The restart of a host that refuses it, because it is going down already or because it really does."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from reconciler.core.errors import Fenced, ReconcileError, Refused
from reconciler.core.query import Command, Row, Rows
from reconciler.core.steps import Restart
from reconciler.edge import restart as module
from reconciler.edge.restart import Ways, restart

DOWN = Refused("Es wird bereits heruntergefahren.", target="pdc", code="RestartcomputerFailed")


class Host:
    """A member server; each look at it is a moment later.

    Args:
        answer: Raised by Restart-Computer.
        goes: At which look it has another boot time.
    """

    def __init__(self, answer: ReconcileError | None, goes: float) -> None:
        self.answer, self.goes = answer, goes
        self.looks = self.orders = 0

    def run(self, command: Command) -> Rows:
        if command.name == "Restart-Computer":
            self.orders += 1
            if self.answer is not None:
                raise self.answer
            return ()
        found: Row = {"DomainRole": 3}
        if dict(command.parameters)["ClassName"] == "Win32_OperatingSystem":
            self.looks += 1
            found = {"LastBootUpTime": "new" if self.looks > self.goes else "old"}
        return (found,)

    def ways(self, pause: Callable[[float], None] = lambda seconds: None) -> Ways:
        return Ways(self.run, lambda: None, lambda: True, pause)


def test_a_host_that_is_going_down_already_need_not_be_told() -> None:
    host = Host(DOWN, goes=3)
    restart(host.ways(), Restart("pdc", timeout_s=5))
    assert (host.orders, host.looks) == (1, 4)


def test_a_host_that_refuses_and_stays_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GOING_DOWN_S", 0.0)
    host = Host(DOWN, goes=float("inf"))
    with pytest.raises(Refused) as raised:
        restart(host.ways(), Restart("pdc", timeout_s=5))
    assert raised.value is DOWN
    assert host.looks == 2


def test_a_refusal_is_not_replaced_by_an_older_deadline() -> None:
    host = Host(DOWN, goes=float("inf"))
    with pytest.raises(Refused) as raised:
        restart(host.ways(), Restart("pdc", timeout_s=0.01))
    assert raised.value is DOWN


def test_what_another_writer_forbids_is_not_waited_for() -> None:
    host = Host(Fenced("another process has taken over", target="pdc"), goes=1)
    with pytest.raises(Fenced):
        restart(host.ways(), Restart("pdc", timeout_s=5))
    assert host.looks == 1

"""Whoever waits for a connection gets the first that is free: another's that was given back, or one of their own."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from reconciler.core.errors import Unreachable
from reconciler.core.query import Search
from reconciler.edge import directory, ldap_lines
from reconciler.edge.accounts import Account
from reconciler.edge.directory import Directory
from reconciler.edge.ldap_connection import Door
from reconciler.edge.ldap_lines import Lines

WAIT_S = 30


class Line:
    """A connection that is open."""

    closed = False

    def unbind(self) -> None:
        """End it."""
        self.closed = True


class Controller:
    """Opens a connection when it is told to, and answers a search when it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opening: list[Future[None]] = []
        self.searching: dict[str, Future[None]] = {}
        self.lines: list[Line] = []
        self.by: dict[str, Line] = {}
        self.changed = threading.Condition()
        monkeypatch.setattr(ldap_lines, "connect", self.connect)
        for module in (ldap_lines, directory):
            monkeypatch.setattr(module, "search", self.search)
        self.directory = Directory(Lines("source", "source.lab", lambda: iter([Door("source", "dc", "127.0.0.1", None)]), self.account))  # fmt: skip

    def account(self) -> Any:
        return Account

    def connect(self, door: Door, account: Account) -> Line:
        with self.changed:
            told: Future[None] = Future()
            self.opening.append(told)
            self.changed.notify_all()
        told.result(WAIT_S)
        self.lines.append(line := Line())
        return line

    def search(self, connection: Line, query: Search, base: str) -> list[dict[str, tuple[bytes, ...]]]:
        if query.base == "rootdse":
            head = (b"DC=source,DC=lab",)
            return [{"defaultnamingcontext": head, "configurationnamingcontext": head}]
        with self.changed:
            told: Future[None] = Future()
            self.searching[query.base] = told
            self.by[query.base] = connection
            self.changed.notify_all()
        told.result(WAIT_S)
        return []

    def until(self, opening: int, searching: int) -> None:
        """Wait until so many connections were begun, and so many searches."""
        with self.changed:
            assert self.changed.wait_for(lambda: (len(self.opening), len(self.by)) >= (opening, searching), WAIT_S)
        assert (len(self.opening), len(self.by)) == (opening, searching)


def test_one_that_is_given_back_is_taken_by_who_waits_while_another_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    controller = Controller(monkeypatch)
    with ThreadPoolExecutor() as pool:
        asked = [pool.submit(controller.directory.search, Search("source", name)) for name in "abc"]
        controller.until(1, 0)
        controller.opening[0].set_result(None)
        controller.until(2, 1)  # the first is searched over; of the two others one opens another, and one waits
        controller.searching[next(iter(controller.by))].set_result(None)
        controller.until(2, 2)
        assert len({id(line) for line in controller.by.values()}) == 1
        controller.opening[1].set_result(None)
        controller.until(2, 3)
        for told in controller.searching.values():
            if not told.done():
                told.set_result(None)
        assert [one.result(WAIT_S) for one in asked] == [[], [], []]
    assert len(controller.lines) == 2


def test_who_waits_tries_for_themselves_when_it_came_to_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    controller = Controller(monkeypatch)
    with ThreadPoolExecutor() as pool:
        asked = [pool.submit(controller.directory.search, Search("source", name)) for name in "ab"]
        controller.until(1, 0)
        controller.opening[0].set_exception(Unreachable("no answer"))
        controller.until(2, 0)
        controller.opening[1].set_exception(Unreachable("no answer"))
        assert {type(one.exception(WAIT_S)) for one in asked} == {Unreachable}


def test_a_line_of_ones_own_is_none_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    controller = Controller(monkeypatch)
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(controller.directory.search, Search("source", "a"))
        controller.until(1, 0)
        own = pool.submit(controller.directory.own_line)
        controller.opening[0].set_result(None)
        controller.until(2, 1)
        controller.searching["a"].set_result(None)
        asked.result(WAIT_S)
        controller.opening[1].set_result(None)
        line = own.result(WAIT_S)
        assert line.connection is controller.lines[1]
        again = pool.submit(controller.directory.search, Search("source", "b"))
        controller.until(2, 2)
        controller.searching["b"].set_result(None)
        again.result(WAIT_S)
    assert controller.by["a"] is controller.by["b"] is controller.lines[0]


def test_no_other_is_opened_for_as_long_as_the_last_one_took(monkeypatch: pytest.MonkeyPatch) -> None:
    controller = Controller(monkeypatch)
    moments = iter([0, 0])  # the first thread looks, and begins; its line takes a quarter of an hour
    clock = SimpleNamespace(monotonic=lambda: next(moments, 1000))
    monkeypatch.setattr(ldap_lines, "time", clock)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(controller.directory.search, Search("source", "a"))
        controller.until(1, 0)
        others = [pool.submit(controller.directory.search, Search("source", name)) for name in "bc"]
        controller.opening[0].set_result(None)
        for number in (1, 2, 3):
            controller.until(1, number)
            next(told for told in controller.searching.values() if not told.done()).set_result(None)
        assert [one.result(WAIT_S) for one in (first, *others)] == [[], [], []]
    assert len(controller.lines) == 1

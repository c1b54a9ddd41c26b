"""Many questions at once: each is answered, as soon as its answer is there, with what it would be answered alone."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator, Sequence
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.errors import ReconcileError, Refused, Unreachable
from reconciler.core.query import Command, Query, Rows, Search
from reconciler.edge.asking import Asking, as_they_come
from reconciler.edge.ldap_together import MOST

OTHER = Search("source", "OU=x")
COMMANDS = [Command("host", f"Get-{name}") for name in "ab"]


def named(count: int) -> list[Search]:
    return [Search("source", "", f"(sAMAccountName=n{number})", ("cn",), "subtree") for number in range(count)]


def rows(search: Search) -> Rows:
    """Answer with one row for each name that is looked for."""
    names = [part.rpartition("=")[2] for part in search.where.strip("(|)").split(")(")]
    return tuple({"dn": f"CN={name}", "samaccountname": (name.encode(),)} for name in names)


class Domain:
    """Answers searches by name; some of them not ahead, and some unions not at all."""

    def __init__(self, lost: int = 10**9, refuses: bool = False, gone: bool = False) -> None:
        self.asked: list[Query] = []
        self._lost, self._refuses, self._gone = lost, refuses, gone

    def ask(self, query: Query) -> Rows:
        self.asked.append(query)
        if self._gone:
            raise Unreachable("nobody", target="source")
        if isinstance(query, Command):
            return ({"name": query.name},)
        assert isinstance(query, Search)
        if query.few and self._refuses:
            raise Refused("too many", code="sizeLimitExceeded")
        return rows(query) if query.where.startswith("(sAM") or query.few else ({"dn": query.base},)

    def ask_host(self, commands: Sequence[Command]) -> list[Rows | ReconcileError]:
        return [self.ask(command) for command in commands]

    def ask_ahead(self, domain: str, searches: Sequence[Search]) -> Generator[tuple[int, Rows], None, None]:
        if self._gone:
            raise Unreachable("nobody", target="source")
        for place, search in enumerate(searches):
            if place < self._lost and not self._refuses:
                self.asked.append(search)
                yield place, rows(search)

    def answers(self, queries: Sequence[Query]) -> dict[int, Rows | ReconcileError]:
        told = list(Asking(self.ask, self.ask_host, self.ask_ahead).each(queries))
        assert sorted(place for place, _ in told) == list(range(len(queries))), "each is answered, and once"
        return dict(told)


def names(answers: dict[int, Rows | ReconcileError], count: int) -> list[list[object]]:
    return [[row["dn"] for row in answers[place]] for place in range(count)]  # type: ignore[union-attr]


@pytest.mark.parametrize("domain", [Domain(), Domain(lost=1), Domain(lost=0), Domain(refuses=True)], ids=["all", "some lost", "all lost", "refused"])  # fmt: skip
def test_each_gets_its_own_whatever_is_not_answered_ahead(domain: Domain) -> None:
    count = 2 * MOST + 3
    answers = domain.answers([*named(count), OTHER, *COMMANDS])
    assert names(answers, count) == [[f"CN=n{number}"] for number in range(count)]
    assert answers[count] == ({"dn": "OU=x"},)
    assert [answers[count + 1], answers[count + 2]] == [({"name": "Get-a"},), ({"name": "Get-b"},)]


def test_what_is_lost_is_asked_once_more_together_and_not_name_by_name() -> None:
    domain = Domain(lost=1)
    domain.answers(named(3 * MOST))
    assert [query.few for query in domain.asked if isinstance(query, Search)] == [True] * 3


def test_what_is_refused_together_is_asked_name_by_name() -> None:
    domain = Domain(refuses=True)
    domain.answers(named(5))
    assert [query.few for query in domain.asked if isinstance(query, Search)] == [True] + [False] * 5


def test_where_nobody_answers_nobody_is_asked_again() -> None:
    domain = Domain(gone=True)
    answers = domain.answers(named(5))
    assert {type(one) for one in answers.values()} == {Unreachable} and not domain.asked


def test_an_answer_is_handed_on_while_another_turn_is_under_way() -> None:
    first_is_told = threading.Event()

    def late() -> Iterator[str]:
        assert first_is_told.wait(60)
        yield "late"

    told = as_they_come([late, lambda: iter(["soon"])])
    assert next(told) == "soon"
    first_is_told.set()
    assert list(told) == ["late"]


@given(st.lists(st.lists(st.integers(), max_size=3), max_size=5))
def test_everything_that_is_told_arrives_and_each_in_its_order(jobs: list[list[int]]) -> None:
    told = list(as_they_come([partial(lambda place, job: ((place, one) for one in job), *each) for each in enumerate(jobs)]))  # fmt: skip
    assert [[one for at, one in told if at == place] for place in range(len(jobs))] == jobs


def test_an_error_that_is_no_answer_comes_once_all_have_ended() -> None:
    def fails() -> Iterator[str]:
        yield "before"
        raise TypeError("a fault of ours")

    told = as_they_come([fails, lambda: iter(["other"]), lambda: iter(["third"])])
    assert sorted(next(told) for _ in range(3)) == ["before", "other", "third"]
    with pytest.raises(TypeError, match="a fault of ours"):
        next(told)

"""Every question is asked once; a host gets one message, and a domain no more connections than it has long searches, or needs."""

from __future__ import annotations

from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.query import Command, Query, Recall, Search
from reconciler.edge.ldap_together import MOST
from reconciler.edge.turns import AHEAD, FEW, turns

SHORT = st.builds(Search, st.sampled_from("ab"), st.sampled_from(["CN=x", "config:CN=Sites,", "rootdse"]))
NAMED = st.builds(
    lambda domain, name: Search(domain, "", f"(sAMAccountName={name})", ("objectSid",), "subtree"),
    st.sampled_from("ab"),
    st.text("xyz", min_size=1, max_size=3),
)
LONG = st.builds(lambda domain, base: Search(domain, base, scope="subtree"), st.sampled_from("ab"), st.sampled_from(["OU=x", "OU=y"]))  # fmt: skip
COMMANDS = st.builds(lambda host, number: Command(host, f"Get-{number}"), st.sampled_from("hk"), st.integers(0, 9))
QUERIES = st.lists(SHORT | NAMED | LONG | COMMANDS, max_size=30, unique=True)


@given(QUERIES)
def test_every_question_is_in_one_unit_of_one_turn(queries: list[Query]) -> None:
    places = [place for turn in turns(queries) for unit in turn for place in unit]
    assert sorted(places) == list(range(len(queries)))


@given(QUERIES)
def test_a_turn_is_about_one_host_or_one_domain(queries: list[Query]) -> None:
    hosts = []
    for turn in turns(queries):
        asked = [queries[place] for place in chain.from_iterable(turn)]
        of = {("host", one.host) if isinstance(one, Command) else ("domain", one.domain) for one in asked if not isinstance(one, Recall)}  # fmt: skip
        assert len(of) == 1
        hosts += [name for kind, name in of if kind == "host"]
    assert len(hosts) == len(set(hosts)), "a host is asked in one message"


@given(QUERIES)
def test_short_questions_go_before_a_long_one_and_long_ones_beside_each_other(queries: list[Query]) -> None:
    for turn in turns(queries):
        found = [queries[unit[0]] for unit in turn]
        if not isinstance(found[0], Search):
            continue
        if len(turn[-1]) > 1:
            assert all(len(unit) == 1 for unit in turn[:-1]) and len(turn) - 1 <= FEW
            continue
        long = [place for place, one in enumerate(found) if isinstance(one, Search) and one.scope == "subtree" and not one.base.startswith("config:")]  # fmt: skip
        assert long in ([], [len(found) - 1])
        assert len(found) - len(long) <= FEW


def test_the_first_look_at_a_population_needs_one_connection_to_a_domain() -> None:
    population = Search("a", "OU=x", "(objectCategory=person)", ("cn",), "subtree")
    assert turns([population, Search("a", ""), Search("a", "config:CN=Sites,", scope="subtree")]) == [[[1], [2], [0]]]


def test_a_thousand_names_need_one_connection_and_more_of_them_more() -> None:
    queries: list[Query] = [Search("a", "", f"(sAMAccountName=n{number})", ("cn",), "subtree") for number in range(AHEAD * MOST + 150)]  # fmt: skip
    head = Search("a", "")
    assert [[len(unit) for unit in turn] for turn in turns([*queries, head])] == [[1] + [MOST] * AHEAD, [MOST, 50]]


def test_one_controller_is_not_asked_over_a_connection_to_another() -> None:
    assert len(turns([Search("a", ""), Search("a", "", controller="dc2")])) == 2


def test_the_journal_is_not_asked_here() -> None:
    with pytest.raises(TypeError, match="Recall"):
        turns([Recall("x/")])

"""The order of least exposure: against every order there is on small graphs, and by its laws on large ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core import order as module
from reconciler.core.order import Job, first_out, last_in


def exposed_going_back(jobs: Iterable[Job]) -> int:
    """Return weight x time until each job is done, added up second by second."""
    total = now = 0
    for job in jobs:
        now += job.ms
        total += job.weight * now
    return total


def exposed_going_forward(jobs: Sequence[Job]) -> int:
    """Return weight x time from the start of each job to the end of all."""
    return sum(job.weight * sum(later.ms for later in jobs[place:]) for place, job in enumerate(jobs))


def holds(jobs: Sequence[Job]) -> bool:
    """Return whether every job comes after what it requires."""
    place = {job.key: index for index, job in enumerate(jobs)}
    return all(place[key] < place[job.key] for job in jobs for key in job.after)


def arranged(jobs: Iterable[Job], order: Iterable[str]) -> list[Job]:
    known = {job.key: job for job in jobs}
    found = [known[key] for key in order]
    assert len(found) == len(known)
    return found


@st.composite
def graphs(draw: st.DrawFn, most: int) -> tuple[Job, ...]:
    count = draw(st.integers(0, most))
    return tuple(
        Job(
            str(number),
            draw(st.sampled_from([0, 0, 1, 2, 5, 100])),
            draw(st.sampled_from([1, 2, 3, 10, 60])),
            tuple(map(str, sorted(draw(st.sets(st.integers(0, number - 1), max_size=2))))) if number else (),
        )
        for number in range(count)
    )


@given(graphs(6))
def test_no_order_costs_less(jobs: tuple[Job, ...]) -> None:
    every = [order for order in permutations(jobs) if holds(order)]
    back, forward = arranged(jobs, first_out(jobs)), arranged(jobs, last_in(jobs))
    assert holds(back) and holds(forward)
    assert exposed_going_back(back) == min(map(exposed_going_back, every))
    assert exposed_going_forward(forward) == min(map(exposed_going_forward, every))


@given(graphs(6))
def test_order_that_is_least_already_is_kept(jobs: tuple[Job, ...]) -> None:
    back, forward = arranged(jobs, first_out(jobs)), arranged(jobs, last_in(jobs))
    assert first_out(tuple(back)) == tuple(job.key for job in back)
    assert last_in(tuple(forward)) == tuple(job.key for job in forward)
    if exposed_going_back(jobs) == exposed_going_back(back):
        assert list(jobs) == back
    if exposed_going_forward(jobs) == exposed_going_forward(forward):
        assert list(jobs) == forward


@given(graphs(25))
def test_approximation_respects_requirements_and_is_never_worse_than_the_given_order(jobs: tuple[Job, ...]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MAX_LOOKS", 0)
        first_out.cache_clear()
        back, forward = arranged(jobs, first_out(jobs)), arranged(jobs, last_in(jobs))
    first_out.cache_clear()
    assert holds(back) and holds(forward)
    assert exposed_going_back(back) <= exposed_going_back(jobs)
    assert exposed_going_forward(forward) <= exposed_going_forward(jobs)
    assert exposed_going_back(arranged(jobs, first_out(jobs))) <= exposed_going_back(back)


@given(graphs(25))
def test_approximation_alone_respects_requirements(jobs: tuple[Job, ...]) -> None:
    order = module._Web(jobs).approximate()
    assert holds([jobs[place] for place in order])
    assert sorted(order) == list(range(len(jobs)))


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(1, 1000)), min_size=1, max_size=60))
def test_without_requirements_it_is_weight_per_time_also_where_there_are_many(each: list[tuple[int, int]]) -> None:
    jobs = tuple(Job(str(number), weight, ms) for number, (weight, ms) in enumerate(each))
    best = sorted(jobs, key=lambda job: -job.weight / job.ms)
    assert exposed_going_back(arranged(jobs, first_out(jobs))) == exposed_going_back(best)
    assert exposed_going_forward(arranged(jobs, last_in(jobs))) == exposed_going_forward(best[::-1])


def test_where_nothing_has_a_weight_the_order_is_the_given_one() -> None:
    jobs = tuple(Job(str(number), 0, 1000, (str(number - 1),) if number % 3 else ()) for number in range(5000))
    assert first_out(jobs) == last_in(jobs) == tuple(job.key for job in jobs)


def test_thousands_of_jobs_with_weights_are_ordered_too() -> None:
    chains = tuple(
        Job(f"{number}", number % 7, 1000 + number % 11, (str(number - 500),) if number >= 500 else ())
        for number in range(2000)
    )
    order = arranged(chains, first_out(chains))
    assert holds(order)
    assert exposed_going_back(order) < exposed_going_back(chains)


def test_dangerous_work_is_last_in_and_first_out() -> None:
    jobs = (Job("danger", 100, 1), Job("long", 0, 100), Job("mild", 1, 1))
    assert last_in(jobs) == ("long", "mild", "danger")
    assert first_out(jobs) == ("danger", "mild", "long")


def test_what_is_dangerous_waits_for_long_work_unless_that_requires_it() -> None:
    jobs = (Job("door", 5, 1), Job("house", 0, 50, ("door",)), Job("window", 5, 60), Job("safe", 90, 1, ("house",)))
    assert last_in(jobs) == ("window", "door", "house", "safe")
    free = (jobs[0], jobs[1]._replace(after=()), *jobs[2:])
    assert last_in(free) == ("house", "window", "door", "safe")

"""One message when an incident begins, one when it is over, and a queue that tries again but not for ever."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from reconciler.core.notice import (
    GIVE_UP,
    INCIDENT,
    LONGEST_QUEUE,
    Incident,
    Receiver,
    Run,
    compare,
    due,
    enqueue,
    put_off,
)
from reconciler.core.ports import Json

AT = datetime(2026, 11, 20, 18, tzinfo=UTC)
RUN = Run("cutover", "r1", AT)
DRIFT = Incident("drift", "test.setting/h/a", "setting a on h", "external", "s.yaml:3:5")
SECRET = {"file": "hook.key"}


def receiver(url: str = "https://receiver.example/hook", **fields: object) -> Receiver:
    return Receiver.model_validate({"url": url, "secret": SECRET, **fields})


@pytest.mark.parametrize(
    "url", ["https://receiver.example/a?b=c", "http://127.0.0.1:8080/", "http://[::1]/", "http://localhost/x"]
)
def test_a_safe_address_is_taken(url: str) -> None:
    assert receiver(url).url == url


@pytest.mark.parametrize(
    "url",
    ["http://receiver.example/", "http://10.0.0.1/", "ftp://127.0.0.1/", "https:///x", "receiver.example", "https://u:p@receiver.example/"],
)  # fmt: skip
def test_an_unsafe_address_is_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        receiver(url)


def test_an_incident_is_told_once_when_it_begins_and_once_when_it_is_over() -> None:
    kept: dict[str, Json] = {}
    told: list[Json] = []
    for found in ([DRIFT], [DRIFT], [], [], [DRIFT]):
        later = Run("cutover", "r", AT + timedelta(minutes=len(told)))
        facts, messages = compare(found, kept, (), later)
        kept |= facts
        told += messages
    assert [message["action"] for message in told] == ["opened", "closed", "opened"]
    first, over, again = (message["incident"] for message in told)
    assert first == over != again
    assert len({message["id"] for message in told}) == 3


def test_a_message_says_what_and_where_and_nothing_else() -> None:
    _, [message] = compare([DRIFT], {}, (), RUN)
    assert message.keys() == {
        "version", "id", "incident", "action", "event", "key", "title", "class", "where", "since", "state", "run", "at",
    }  # fmt: skip


@pytest.mark.parametrize("unjudged", [INCIDENT, DRIFT.fact])
def test_what_could_not_be_judged_is_not_over(unjudged: str) -> None:
    kept, _ = compare([DRIFT], {}, (), RUN)
    assert compare([], kept, (unjudged,), RUN) == ({}, [])
    assert compare([], kept, (unjudged + "b",), RUN)[1] != []


def queue_of(count: int, *receivers: Receiver) -> dict[str, Json]:
    kept: dict[str, Json] = {}
    for number in range(count):
        facts, lost = enqueue([{"event": "drift", "number": number}], receivers, kept, AT)
        assert not lost
        kept |= facts
    return kept


def numbers(kept: Mapping[str, Json], names: list[str]) -> list[int]:
    return [kept[name]["body"]["number"] for name in names]


def test_messages_go_out_in_the_order_in_which_they_came_although_places_are_used_again() -> None:
    one = receiver()
    kept = queue_of(3, one)
    first = due(kept, one, AT)[0]
    kept[first] = {}
    kept |= enqueue([{"event": "drift", "number": 3}], [one], kept, AT)[0]
    assert first in kept and len(kept) == 3
    assert numbers(kept, due(kept, one, AT)) == [1, 2, 3]


def test_who_wants_only_alarms_gets_no_drift() -> None:
    drifts, alarms = receiver(), receiver("https://other.example/", events=["alarm"])
    kept = queue_of(2, drifts, alarms)
    assert len(due(kept, drifts, AT)) == 2
    assert due(kept, alarms, AT) == []


def test_a_message_that_waits_holds_up_those_behind_it_and_no_other_receiver() -> None:
    slow, other = receiver(), receiver("https://other.example/")
    kept = queue_of(2, slow, other)
    first = due(kept, slow, AT)[0]
    kept[first] = put_off(kept[first], AT)
    assert due(kept, slow, AT) == []
    assert len(due(kept, other, AT)) == 2
    assert numbers(kept, due(kept, slow, AT + timedelta(minutes=1))) == [0, 1]


def test_waits_double_up_to_an_hour_and_end_after_three_days() -> None:
    fact = next(iter(queue_of(1, receiver()).values()))
    now, waits = AT, []
    while fact := put_off(fact, now):
        waits.append((datetime.fromisoformat(fact["due"]) - now) // timedelta(minutes=1))
        now = datetime.fromisoformat(fact["due"])
    assert waits[:8] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert GIVE_UP <= now - AT < GIVE_UP + timedelta(hours=1)


def test_a_full_queue_leaves_the_newest_out_and_says_so() -> None:
    one = receiver()
    many = [{"event": "drift", "number": number} for number in range(LONGEST_QUEUE + 2)]
    facts, lost = enqueue(many, [one], {}, AT)
    assert (len(facts), lost) == (LONGEST_QUEUE, 2)
    assert numbers(facts, due(facts, one, AT))[-1] == LONGEST_QUEUE - 1


def test_a_receiver_is_named_in_the_journal_without_its_address() -> None:
    one = receiver("https://hooks.example/services/T0K3N")
    assert "T0K3N" not in str(queue_of(1, one))
    assert one.host == "hooks.example"

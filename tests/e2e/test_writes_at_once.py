"""Many changes sent to a real directory at once: each is carried out or refused for itself, and the line goes on after it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from reconciler.cli.loading import load
from reconciler.core.errors import Fenced, Refused, Stale
from reconciler.core.query import Search
from reconciler.core.steps import AttributeChange, ModifyEntry
from reconciler.edge.secrets import Secrets
from reconciler.edge.world import LiveWorld
from tests.e2e.lab import Lab

pytestmark = pytest.mark.lab
STAFF = "OU=Staff,DC=source,DC=lab"


@pytest.fixture
def world(lab: Lab) -> Iterator[LiveWorld]:
    loaded = load(lab.state("migrate", name="at-once"))
    with LiveWorld(loaded.targets, Secrets(loaded.base), loaded.base) as world:
        yield world


@pytest.fixture
def people(lab: Lab) -> Iterator[list[str]]:
    """The DNs of three users without a comment."""
    found = [entry["dn"][0].decode() for entry in lab.source.search(STAFF, "(&(objectClass=user)(!(info=*)))", "1.1")][:3]  # fmt: skip
    assert len(found) == 3
    yield found
    for dn in found:
        if comment(lab, dn):
            lab.source.change(dn, "delete", "info", *comment(lab, dn))


def comment(lab: Lab, dn: str) -> list[str]:
    return [value.decode() for entry in lab.source.search(dn, "(info=*)", "info", scope="base") for value in entry["info"]]  # fmt: skip


def adding(dn: str, value: str) -> ModifyEntry:
    return ModifyEntry("source", dn, (AttributeChange("info", "add", (value,)),))


def test_each_change_has_its_own_fate_and_the_connection_is_used_again(
    lab: Lab, world: LiveWorld, people: list[str]
) -> None:
    one, other, third = people
    gone = ModifyEntry("source", third, (AttributeChange("info", "delete", ("never there",)),))
    found = world.modify_together([adding(one, "höher"), adding(f"CN=nobody,{STAFF}", "x"), gone, adding(other, "two\nlines")])  # fmt: skip
    assert found[0] is found[3] is None
    assert isinstance(found[1], Refused)
    assert found[1].code == "noSuchObject"
    assert isinstance(found[2], Stale)
    assert [comment(lab, dn) for dn in people] == [["höher"], ["two\nlines"], []]
    assert world.ask(Search("source", one, attributes=("info",)))[0]["info"] == ("höher".encode(),)
    assert world.modify_together([adding(third, "x")]) == [None]


def test_a_hundred_changes_of_one_entry_are_all_made(lab: Lab, world: LiveWorld, people: list[str]) -> None:
    changes = [
        ModifyEntry("source", people[0], (AttributeChange("otherTelephone", "add", (f"{number}",)),))
        for number in range(100)
    ]
    assert world.modify_together(changes) == [None] * 100
    back = ModifyEntry("source", people[0], (AttributeChange("otherTelephone", "delete", tuple(map(str, range(100)))),))
    world.do(back)


def test_what_another_writer_forbids_is_not_sent(
    lab: Lab, world: LiveWorld, people: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def check() -> None:
        raise Fenced("another process has taken over")

    monkeypatch.setattr(world, "_check", check)
    with pytest.raises(Fenced):
        world.modify_together([adding(people[0], "late"), adding(people[1], "late")])
    assert [comment(lab, dn) for dn in people] == [[], [], []]

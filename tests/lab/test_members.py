"""Member servers in the settings of a lab: their names and addresses, and what cannot be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.lab.settings import LabError, LabSettings, Member, domain_facts, lab_document
from reconciler.lab.up import check_machine

LAB = LabSettings(Path("/lab"), admt_hosts=3, member_address="127.0.90.5")


def test_members_have_names_and_addresses_that_follow_each_other() -> None:
    assert LAB.members == (Member("tgtadmt2", "127.0.90.5"), Member("tgtadmt3", "127.0.90.6"))
    assert LAB.members[0].fqdn == "tgtadmt2.target.lab"
    assert LabSettings(Path("/lab")).members == ()


def test_other_programs_find_them_among_the_hosts() -> None:
    facts = {"source": domain_facts(LAB, "source", "S-1"), "target": domain_facts(LAB, "target", "S-2")}
    host = lab_document(LAB, facts, 1, "host")["hosts"]["tgtadmt3.target.lab"]  # type: ignore[arg-type]
    assert host["winrm_https"] == "https://127.0.90.6:5986/wsman"
    assert host["user"] == r"TARGET\Administrator"
    assert host["command_log"] == "/lab/hosts/tgtadmt3.target.lab/commands.jsonl"


def test_a_lab_with_other_members_is_another_lab() -> None:
    assert replace(LAB, admt_hosts=2).differences(LAB) == ["admt_hosts=2 (built with 3)"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"admt_hosts": 0}, "1 to 9 ADMT hosts"),
        ({"admt_hosts": 10}, "1 to 9 ADMT hosts"),
        ({"member_address": "tgtadmt2"}, "is no address"),
        ({"member_address": "127.0.0.21"}, "is a controller's address"),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_built(change: dict[str, object], says: str) -> None:
    with pytest.raises(LabError, match=says):
        check_machine(replace(LAB, **change))  # type: ignore[arg-type]

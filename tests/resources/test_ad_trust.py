"""Tests of the trust kind: what both directories and nltest say -> differences and steps."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.core.errors import NeedsPerson
from reconciler.core.query import Command, Row, Rows
from reconciler.core.resource import differences, restored
from reconciler.core.secret import CredentialPart
from reconciler.core.steps import Step
from reconciler.resources.ad_trust import Trust
from tests.resources.directory import (
    SOURCE_DN,
    SOURCE_SID,
    TARGET_DN,
    TARGET_SID,
    crossrefs,
    entry,
    fields,
    head,
    settle,
)

WORKS: Rows = ({"line": "Trust Verification Status = 0 0x0 NERR_Success"}, {"exit_code": 0})
BROKEN: Rows = ({"line": "I_NetLogonControl failed: Status = 1355 0x54b ERROR_NO_SUCH_DOMAIN"}, {"exit_code": 1355})
HALF: Rows = ({"line": "Trusted DC Connection Status Status = 5 0x5 ERROR_ACCESS_DENIED"}, {"exit_code": 0})
EXTERNAL, QUARANTINED, FOREST, TREAT_AS_EXTERNAL = 0, 0x4, 0x8, 0x40


def wanted(**more: Any) -> Trust:
    base = {
        "domain": "source", "partner": "target", "host": "source-pdc", "partner_host": "admt", "credential": "source-admin",
        "partner_credential": "target-admin", "domain_dns": "source.lab", "partner_dns": "target.lab",
        "direction": "two-way", "type": "external", "sid_filtering": "relaxed", "verified": True,
    }  # fmt: skip
    return Trust.model_validate({**base, **more})


def side(domain: str, direction: int, attributes: int = EXTERNAL, kind: int = 2) -> Row:
    dn, partner, sid = (SOURCE_DN, "target", TARGET_SID) if domain == "source" else (TARGET_DN, "source", SOURCE_SID)
    return entry(
        f"CN={partner}.lab,CN=System,{dn}", trustPartner=f"{partner}.lab", flatName=partner.upper(), securityIdentifier=sid,
        trustDirection=direction, trustType=kind, trustAttributes=attributes,
    )  # fmt: skip


def answers(
    mine: Row | None, theirs: Row | None, here: Rows = WORKS, there: Rows = WORKS, *, logging: int = 0
) -> tuple[Rows, ...]:
    stranger = entry(
        f"CN=other.lab,CN=System,{SOURCE_DN}", trustPartner="other.lab", flatName="OTHER", trustDirection=3, trustType=2
    )
    return (
        head("source"), crossrefs("source"), (stranger, *([mine] if mine else [])),
        head("target"), crossrefs("target"), (theirs,) if theirs else (),
        here, there, ({"ProcessCreationIncludeCmdLine_Enabled": logging},) if logging else (),
    )  # fmt: skip


def lines(steps: tuple[Step, ...]) -> list[str]:
    assert all(isinstance(step.effect, Command) and step.effect.host == "source-pdc" for step in steps)
    return [str(step.effect) for step in steps]


LOGINS = (
    "/userd:<username of target-admin> /passwordd:<password of target-admin> "
    "/usero:<username of source-admin> /passwordo:<password of source-admin>"
)


def quoted(command: str) -> str:
    return command.replace("'", "")


def test_a_good_trust_is_left_alone() -> None:
    assert settle(wanted(), *answers(side("source", 3), side("target", 3))) == ((), ())


def test_a_missing_trust_is_created_and_filtering_set() -> None:
    differs, steps = settle(wanted(), *answers(None, None, BROKEN, BROKEN))
    assert fields(differs)["ensure"] == ("absent", "present")
    assert [quoted(line) for line in lines(steps)] == [
        f"netdom.exe trust source.lab /domain:target.lab /add /twoway {LOGINS}",
        "netdom.exe trust source.lab /domain:target.lab /quarantine:no",
    ]
    assert [step.risk for step in steps] == ["", ""]


def test_the_passwords_are_references() -> None:
    _, (creation, _) = settle(wanted(), *answers(None, None))
    assert isinstance(creation.effect, Command)
    parts = [
        part
        for argument in creation.effect.arguments
        for part in getattr(argument, "parts", ())
        if not isinstance(part, str)
    ]
    assert CredentialPart("target-admin", "password") in parts
    assert len(parts) == 4


def test_a_logged_command_line_needs_an_approval() -> None:
    _, steps = settle(wanted(), *answers(None, None, logging=1))
    assert [step.risk for step in steps] == ["password-on-command-line", ""]
    assert "4688" in str(steps[0])


def test_an_inbound_trust_is_created_from_the_other_end() -> None:
    _, (step,) = settle(wanted(direction="inbound", sid_filtering="enforced"), *answers(None, None))
    (line,) = lines((step,))
    assert quoted(line).startswith(
        "netdom.exe trust target.lab /domain:source.lab /add /userd:<username of source-admin>"
    )


@pytest.mark.parametrize(
    ("mine", "theirs", "differs"),
    [
        (side("source", 3), None, {"sides": ("only in source", "both")}),
        (None, side("target", 3), {"sides": ("only in target", "both"), "sid_filtering": ("enforced", "relaxed")}),
        (side("source", 2), side("target", 1), {"direction": ("outbound", "two-way")}),
        (
            side("source", 3),
            side("target", 1),
            {"sides": ("two-way in source, inbound in target", "both")},
        ),
        (
            side("source", 3, FOREST | TREAT_AS_EXTERNAL),
            side("target", 3, FOREST),
            {"type": ("forest", "external")},
        ),
        (side("source", 3, QUARANTINED), side("target", 3), {"sid_filtering": ("enforced", "relaxed")}),
        (side("source", 3, kind=1), side("target", 3, kind=1), {"type": ("other", "external")}),
    ],
)
def test_every_difference_names_what_and_where(
    mine: Row | None, theirs: Row | None, differs: dict[str, object]
) -> None:
    observed = wanted().parse(*answers(mine, theirs))
    assert fields(differences(wanted(), observed)) == differs


def test_a_one_sided_trust_needs_a_person() -> None:
    with pytest.raises(NeedsPerson, match="only in source"):
        settle(wanted(), *answers(side("source", 3), None))


def test_another_direction_is_replaced_only_with_an_approval() -> None:
    _, steps = settle(wanted(), *answers(side("source", 2), side("target", 1)))
    assert {step.risk for step in steps} == {"replace-trust"}
    assert [line.split()[4] for line in lines(steps)] == ["/remove", "/add", "/quarantine:no"]
    assert "/twoway" not in lines(steps)[0]


def test_a_forest_trust_is_made_by_a_person_and_relaxed_by_us() -> None:
    with pytest.raises(NeedsPerson, match="forest trust cannot be created"):
        settle(wanted(type="forest"), *answers(None, None))
    _, steps = settle(wanted(type="forest"), *answers(side("source", 3, FOREST), side("target", 3, FOREST)))
    assert lines(steps) == ["netdom.exe trust source.lab /domain:target.lab /enablesidhistory:yes"]


@pytest.mark.parametrize(("here", "there"), [(BROKEN, WORKS), (WORKS, BROKEN), (HALF, WORKS), (WORKS, ())])
def test_a_channel_that_does_not_work_is_a_difference(here: Rows, there: Rows) -> None:
    differs, (step,) = settle(wanted(), *answers(side("source", 3), side("target", 3), here, there))
    assert fields(differs) == {"verified": (False, True)}
    assert step.risk == "reset-trust"


def test_only_the_directions_that_exist_are_verified() -> None:
    outbound = wanted(direction="outbound")
    assert settle(outbound, *answers(side("source", 2), side("target", 1), WORKS, BROKEN)) == ((), ())


def test_going_back_filters_again_and_forgets_that_it_was_broken() -> None:
    before = wanted().parse(*answers(side("source", 3, QUARANTINED), side("target", 3), BROKEN, BROKEN))
    back = restored(wanted(), Trust.model_validate(before.model_dump(mode="json")))
    _, steps = settle(back, *answers(side("source", 3), side("target", 3)))
    assert lines(steps) == ["netdom.exe trust source.lab /domain:target.lab /quarantine:yes"]
    assert settle(back, *answers(side("source", 3, QUARANTINED), side("target", 3))) == ((), ())


def test_a_trust_that_was_not_there_is_removed() -> None:
    back = restored(wanted(), wanted().absent())
    _, steps = settle(back, *answers(side("source", 3), side("target", 3)))
    assert [quoted(line) for line in lines(steps)] == [
        f"netdom.exe trust source.lab /domain:target.lab /remove /twoway {LOGINS}"
    ]


def test_relaxed_filtering_needs_a_domain_that_trusts() -> None:
    with pytest.raises(ValueError, match="trusts nobody"):
        wanted(direction="inbound")

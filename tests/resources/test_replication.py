"""Replication metadata: as Windows documents it in XML, as Samba keeps it in bytes, and everything that tells nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.edit import Edit
from reconciler.core.query import Row, Rows, Search
from reconciler.core.resource import Resource
from reconciler.core.values import Dn
from reconciler.resources.ad_access import Access
from reconciler.resources.ad_group import Group
from reconciler.resources.ad_group_member import GroupMember
from reconciler.resources.ad_trust import Trust
from reconciler.resources.directory_rows import Found
from reconciler.resources.replication import LINKED, Trail, read_trail, server_of, trail_of
from tests.resources.directory import TARGET_DN, entry, rid

OU = f"OU=Migrated,{TARGET_DN}"
SITE = f"CN=Servers,CN=Default-First-Site-Name,CN=Sites,CN=Configuration,{TARGET_DN}"
DSA = f"CN=NTDS Settings,CN=TGTDC1,{SITE}"
INVOCATION = bytes.fromhex("81e8a13d16e3e84e931873793b9e5404")
UUID = "3da1e881-e316-4ee8-9318-73793b9e5404"
ANN, BOB = f"CN=Ann,OU=Staff,{TARGET_DN}", f"CN=Bob,OU=Staff,{TARGET_DN}"
NEVER = "1601-01-01T00:00:00Z"
TOLD_AT = datetime(2026, 11, 25, 7, 34, 49, tzinfo=UTC)
AT = datetime(2026, 11, 25, 7, 34, 45, tzinfo=UTC)
CONTROLLERS: Rows = (entry(DSA, invocationId=INVOCATION),)
CLOCK: Rows = (entry("", currentTime="20261125073449.0Z"),)
# What Samba 4.17 answered for a new OU; its own ldbsearch reads nTSecurityDescriptor, version 1, 2026-11-25 07:34:45.
SAMBA = bytes.fromhex("01000000000000000700000000000000") + b"".join(
    bytes.fromhex(number) + bytes.fromhex("01000000952017210300000081e8a13d16e3e84e931873793b9e5404ec0f000000000000ec0f000000000000")
    for number in ("00000000", "0b000000", "01000200", "02000200", "19010200", "01000900", "0e030900")
)  # fmt: skip


def attribute(name: str, at: str = "2026-11-25T07:34:45Z", dsa: str = DSA, uuid: str = UUID, version: str = "3") -> str:
    """As a Windows controller answers, with the NUL at the end."""
    return (
        f"<DS_REPL_ATTR_META_DATA>\n\t<pszAttributeName>{name}</pszAttributeName>\n\t<dwVersion>{version}</dwVersion>\n"
        f"\t<ftimeLastOriginatingChange>{at}</ftimeLastOriginatingChange>\n"
        f"\t<uuidLastOriginatingDsaInvocationID>{uuid}</uuidLastOriginatingDsaInvocationID>\n"
        "\t<usnOriginatingChange>4076</usnOriginatingChange>\n\t<usnLocalChange>4076</usnLocalChange>\n"
        f"\t<pszLastOriginatingDsaDN>{dsa}</pszLastOriginatingDsaDN>\n</DS_REPL_ATTR_META_DATA>\n\0"
    )


def value(dn: str, at: str = "2026-11-25T07:34:45Z", deleted: str = NEVER, version: str = "1") -> str:
    return (
        f"<DS_REPL_VALUE_META_DATA>\n\t<pszAttributeName>member</pszAttributeName>\n\t<pszObjectDn>{dn}</pszObjectDn>\n"
        f"\t<cbData>0</cbData>\n\t<pbData></pbData>\n\t<ftimeDeleted>{deleted}</ftimeDeleted>\n"
        f"\t<ftimeCreated>2026-11-20T18:00:00Z</ftimeCreated>\n\t<dwVersion>{version}</dwVersion>\n"
        f"\t<ftimeLastOriginatingChange>{at}</ftimeLastOriginatingChange>\n"
        f"\t<uuidLastOriginatingDsaInvocationID>{UUID}</uuidLastOriginatingDsaInvocationID>\n"
        "\t<usnOriginatingChange>4076</usnOriginatingChange>\n\t<usnLocalChange>4076</usnLocalChange>\n"
        f"\t<pszLastOriginatingDsaDN>{DSA}</pszLastOriginatingDsaDN>\n</DS_REPL_VALUE_META_DATA>\n\0"
    )


def told(*, clock: Rows = CLOCK, controllers: Rows = CONTROLLERS, **attributes: Any) -> Trail:
    renamed = {"xml": "msDS-ReplAttributeMetaData", "values": "msDS-ReplValueMetaData", "raw": "replPropertyMetaData"}
    row: Row = entry(OU, **{renamed[name]: found for name, found in attributes.items()})
    return read_trail((row,), controllers, clock)


def edit(field: str, attribute: str, version: int = 3, on: str = "TGTDC1", at: datetime = AT) -> Edit:
    return Edit(field, attribute, on, at, version, TOLD_AT)


def test_windows_tells_the_controller_the_time_and_how_often() -> None:
    found = told(xml=(attribute("whenCreated", version="1"), attribute("nTSecurityDescriptor")))
    assert found.of("missing", "nTSecurityDescriptor") == (edit("missing", "nTSecurityDescriptor"),)
    assert found.of("missing", "trustDirection") == ()


def test_samba_tells_the_same_in_bytes() -> None:
    assert told(raw=SAMBA).of("missing", "nTSecurityDescriptor") == (edit("missing", "nTSecurityDescriptor", 1),)
    assert told(raw=SAMBA).of_values("members", "member", lambda dn, there: True) == ()


def test_what_windows_says_in_xml_counts_before_the_bytes() -> None:
    found = told(raw=SAMBA, xml=(attribute("nTSecurityDescriptor"),)).of("missing", "nTSecurityDescriptor")
    assert [one.version for one in found] == [3]


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (SAMBA[:-1], "cut off"),
        (SAMBA + b"\0", "too long"),
        (b"\2" + SAMBA[1:], "another version of the format"),
        (SAMBA[:15], "no header"),
        (b"", "nothing"),
    ],
)
def test_bytes_that_are_not_as_expected_tell_nothing(raw: bytes, why: str) -> None:
    assert told(raw=raw).stamps == (), why


@pytest.mark.parametrize(
    "xml",
    [
        attribute("nTSecurityDescriptor", at=NEVER),
        attribute("nTSecurityDescriptor", at="2026-11-25T07:34:45"),
        attribute("nTSecurityDescriptor", at="9999-12-31T23:59:59-14:00"),
        attribute("nTSecurityDescriptor", at="133456789012345678"),
        attribute("nTSecurityDescriptor", version="many"),
        attribute("nTSecurityDescriptor", version="9" * 5000),
        attribute("nTSecurityDescriptor")[:-30],
        "<!DOCTYPE x [<!ENTITY y 'z'>]>" + attribute("nTSecurityDescriptor"),
        "",
    ],
)
def test_xml_that_is_not_as_documented_tells_nothing(xml: str) -> None:
    assert told(xml=(xml,)).of("missing", "nTSecurityDescriptor") == ()


@pytest.mark.parametrize("clock", [(), (entry("", currentTime="soon"),), (entry(""),)])
def test_a_directory_without_a_clock_tells_nothing(clock: Rows) -> None:
    assert told(xml=(attribute("nTSecurityDescriptor"),), clock=clock).stamps == ()


def test_a_controller_is_found_by_its_invocation_id_where_its_name_is_not_given() -> None:
    (named,) = told(xml=(attribute("nTSecurityDescriptor", dsa=""),)).of("missing", "nTSecurityDescriptor")
    assert named.on == "TGTDC1"


def test_a_controller_that_nobody_knows_any_more_has_no_name() -> None:
    gone = attribute("nTSecurityDescriptor", dsa="", uuid="8d2a1f5c-58d4-4efa-bcd2-f7d85ef53013")
    (found,) = told(xml=(gone,)).of("missing", "nTSecurityDescriptor")
    assert (found.on, found.at) == ("", AT)
    assert str(found) == "nTSecurityDescriptor was last changed at 2026-11-25 07:34:45 UTC (version 3)"


@pytest.mark.parametrize(
    ("dsa", "server"),
    [
        (DSA, "TGTDC1"),
        (DSA.lower().replace("ntds settings", "NTDS Settings").replace("cn=servers", "CN=Servers"), "tgtdc1"),
        (rf"CN=NTDS Settings\0ADEL:8d2a1f5c-58d4-4efa-bcd2-f7d85ef53013,CN=OLDDC,{SITE}", ""),
        (f"CN=DC01,OU=Domain Controllers,{TARGET_DN}", ""),
        (f"CN=NTDS Settings,CN=a\x1b[31m,{SITE}", ""),
        ("nonsense", ""),
        ("", ""),
    ],
)
def test_the_name_of_a_server_comes_only_from_its_ntds_settings(dsa: str, server: str) -> None:
    assert server_of(dsa) == server


def test_a_member_that_went_has_a_time_too() -> None:
    found = told(values=(value(ANN), value(BOB, "2026-11-25T07:34:47Z", "2026-11-25T07:34:47Z", "2")))
    went = found.of_values("ensure", "member", lambda dn, there: dn == BOB and not there)
    assert went == (edit("ensure", "member", 2, at=datetime(2026, 11, 25, 7, 34, 47, tzinfo=UTC)),)
    assert found.of_values("ensure", "member", lambda dn, there: dn == BOB and there) == ()


@given(st.binary(max_size=200), st.text(max_size=200), st.binary(max_size=20), st.text(max_size=20), st.text())
def test_whatever_a_directory_answers_is_no_error(
    raw: bytes, xml: str, invocation: bytes, clock: str, dsa: str
) -> None:
    found = told(
        raw=raw, xml=(xml,), values=(xml, attribute("member", dsa=dsa, uuid=dsa), value(dsa)),
        controllers=(entry(DSA, invocationId=invocation),), clock=(entry("", currentTime=clock), *CLOCK),
    )  # fmt: skip
    found.of("f", "nTSecurityDescriptor")
    found.of_values("f", "member", lambda dn, there: True)


def test_three_questions_are_asked_about_one_object() -> None:
    queries = trail_of(Search("target", OU, attributes=LINKED))
    assert [type(query) for query in queries] == [Search] * 3
    assert [query.base for query in queries if isinstance(query, Search)] == [OU, "config:CN=Sites,", "rootdse"]


# What each kind makes of it.


def answers(**attributes: Any) -> tuple[Rows, ...]:
    renamed = {"xml": "msDS-ReplAttributeMetaData", "values": "msDS-ReplValueMetaData", "raw": "replPropertyMetaData"}
    return ((entry(OU, **{renamed[name]: found for name, found in attributes.items()}),), CONTROLLERS, CLOCK)


def edits(resource: Resource, ours: Resource, observed: Resource, *found: Rows) -> dict[str, Edit]:
    assert len(found) == len(resource.trail(observed))
    return {one.field: one for one in resource.edits(ours, observed, *found)}


def test_rights_have_the_stamp_of_the_descriptor() -> None:
    grants = [{"right": "create-child", "of": "user", "applies": "both"}]
    access = Access.model_validate({"domain": "target", "object": OU, "trustee": "TARGET\\migrator", "grants": grants})
    found = edits(access, access, access.with_facts(dn=OU), *answers(raw=SAMBA))
    assert found["missing"] == edit("missing", "nTSecurityDescriptor", 1)


@pytest.mark.parametrize(
    ("now", "deleted", "known"),
    [
        ((ANN, BOB), NEVER, True),  # Bob came after us
        ((ANN, BOB), "2026-11-25T07:34:45Z", False),  # he is there, and was removed: one of both is not about him
        ((), NEVER, False),  # Ann went, and all that is known is about Bob
    ],
)
def test_a_group_has_the_stamp_of_the_member_that_came_or_went(now: tuple[str, ...], deleted: str, known: bool) -> None:
    group = Group.model_validate({"domain": "target", "name": "G", "members": []})
    ours, observed = (group.model_copy(update={"members": tuple(map(Dn, dns))}) for dns in ((ANN,), now))
    found = edits(group, ours, observed.with_facts(dn=OU), *answers(values=(value(BOB, deleted=deleted),)))
    assert set(found) == ({"members"} if known else set())


def test_nothing_is_asked_about_a_group_that_is_gone() -> None:
    group = Group.model_validate({"domain": "target", "name": "G", "members": []})
    assert group.trail(group.absent().with_facts(dn=OU)) == ()


@pytest.mark.parametrize(
    ("present", "deleted", "known"),
    [(True, NEVER, True), (False, "2026-11-25T07:34:45Z", True), (False, NEVER, False), (True, AT.isoformat(), False)],
)
def test_a_membership_has_the_stamp_of_its_own_value(present: bool, deleted: str, known: bool) -> None:
    member = GroupMember(domain="target", group="S-1-5-32-544", member="TARGET\\ann")
    state = member.observed() if present else member.absent()
    observed = state.with_facts(group_dn=OU, found=Found(rid("target", 1), (Dn(ANN),)), base=Dn(TARGET_DN))
    found = edits(member, member, observed, *answers(values=(value(BOB), value(ANN.upper(), deleted=deleted))))
    assert found == ({"ensure": edit("ensure", "member", 1)} if known else {})


def test_a_trust_is_told_by_both_directories() -> None:
    trust = Trust.model_validate(
        {"domain": "source", "partner": "target", "host": "a", "partner_host": "b", "credential": "c", "partner_credential": "d",
         "domain_dns": "source.lab", "partner_dns": "target.lab"}
    )  # fmt: skip
    here = answers(xml=(attribute("trustAttributes"), attribute("trustDirection")))
    there = answers(xml=(attribute("trustDirection", at="2026-11-25T07:34:47Z", version="4"),))
    found = edits(trust, trust, trust, *here, *there)
    assert found["sid_filtering"] == edit("sid_filtering", "trustAttributes")
    assert (found["direction"].version, found["direction"].at.second) == (4, 47)
    assert "type" not in found  # only one side tells

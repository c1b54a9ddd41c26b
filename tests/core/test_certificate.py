"""What counts as put back, what has reappeared, and the one way in which a certificate is written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.audit_chain import Head, written
from reconciler.core.certificate import Making, PutBack, Reading, document, judge, opened, reappeared, signed_bytes
from reconciler.core.ports import Obligation
from reconciler.core.resource import Resource
from reconciler.core.values import Guid
from reconciler.engine.intents import freeze
from reconciler.resources.ad_access import Access
from reconciler.resources.ad_grant import Grant
from reconciler.resources.win_audit_policy import AuditPolicy
from reconciler.resources.win_file import File, FileSource
from reconciler.resources.win_registry import Registry
from tests.fake_world import Setting

AT = datetime(2026, 11, 20, 18, tzinfo=UTC)
PATH = r"HKLM:\SYSTEM\CurrentControlSet\Control\Lsa"
USERS, GROUPS = Guid("{0CCE9235-69AE-11D9-BED3-505054503030}"), Guid("{0CCE9237-69AE-11D9-BED3-505054503030}")


def setting(**fields: Any) -> Setting:
    return Setting(name="a", **fields)


GONE = setting().absent()


def test_what_reads_as_before_is_put_back() -> None:
    assert judge(setting(value=0), None, setting(value=0), taken_along=False) == ("as it was", ())
    assert judge(GONE, None, GONE, taken_along=False) == ("as it was", ())


def test_what_reads_otherwise_is_not() -> None:
    verdict, differs = judge(setting(value=0), setting(value=1), setting(value=1), taken_along=True)
    assert (verdict, [(d.field, d.observed, d.wanted) for d in differs]) == (None, [("value", 1, 0)])
    assert judge(GONE, setting(value=1), setting(value=7), taken_along=True)[0] is None


def test_what_is_gone_counts_only_where_we_took_away_what_it_stood_on() -> None:
    assert judge(setting(value=0), None, GONE, taken_along=True) == ("gone", ())
    assert judge(setting(value=0), None, GONE, taken_along=False)[0] is None


def test_content_that_cannot_be_compared_any_more_counts_only_then_too() -> None:
    source = FileSource(host="b", path=r"C:\a")
    back, found = File(host="h", path=r"C:\b", content_of=source), File(host="h", path=r"C:\b", content_of=None)
    assert judge(back, None, found, taken_along=True) == ("gone", ())
    assert judge(back, None, found, taken_along=False)[0] is None


def test_what_somebody_else_set_counts_only_where_the_file_says_to_keep_it() -> None:
    ours, found = setting(value=1), setting(value=7)
    assert judge(setting(value=0, on_conflict="keep"), ours, found, taken_along=False) == ("kept", ())
    assert judge(setting(value=0), ours, found, taken_along=False)[0] is None
    # What we had set is not somebody else's.
    assert judge(setting(value=0, on_conflict="keep"), ours, ours, taken_along=False)[0] is None


def registry(value: int | None) -> Registry:
    there = {"type": "DWord", "value": value} if value is not None else {"ensure": "absent"}
    return Registry.model_validate({"host": "h", "path": PATH, "name": "AllowPasswordExport", **there})


def guarded(value: int | None) -> Registry:
    kind = None if value is None else "DWord"
    fields = {"type": kind, "value": value, "dead_mans_switch": "8h", "switch": "none"}
    return Registry.model_validate({"host": "h", "path": PATH, "name": "RunAsPPL", **fields})


def audit(users: str, groups: str) -> AuditPolicy:
    return AuditPolicy.model_validate({"host": "h", "settings": {USERS: users, GROUPS: groups}})


def access(*missing: str) -> Access:
    rights = [Grant(right="control", of=name) for name in ("Reset Password", "Migrate SID History")]
    left = [grant for grant in rights if grant.of in missing]
    return Access.model_validate({"domain": "d", "trustee": r"D\m", "grants": rights, "missing": left})


@pytest.mark.parametrize(
    ("was", "ours", "now", "again"),
    [
        (registry(None), registry(1), registry(1), True),
        (registry(None), registry(1), registry(0), False),
        (registry(0), registry(1), registry(1), True),
        (registry(0), registry(1), registry(None), False),
        (registry(1), registry(None), registry(None), True),
        (guarded(None), guarded(1), guarded(1), True),
        (guarded(None), guarded(1), guarded(0), False),  # another value of the same type is not what we had set
        (audit("success", "none"), audit("none", "none"), audit("none", "failure"), True),
        (audit("success", "none"), audit("none", "none"), audit("failure", "none"), False),
        (access("Reset Password", "Migrate SID History"), access(), access("Reset Password"), True),
        (access("Reset Password"), access(), access("Reset Password", "Migrate SID History"), False),
    ],
)  # fmt: skip
def test_reappeared_is_what_we_had_set_in_whole_or_in_part(was: Any, ours: Any, now: Any, again: bool) -> None:
    assert reappeared(was, ours, now) is again


def put_back(declared: Resource, baseline: Resource) -> PutBack:
    frozen = freeze(declared, declared=True), freeze(baseline, declared=False)
    promise = Obligation(declared.key, *frozen, (), "open", AT, AT, AT + timedelta(seconds=90))
    return PutBack(promise, declared, baseline, (Reading("dc1", AT, "as it was", baseline),))


def body(*settings: PutBack) -> dict[str, Any]:
    return document(Making("cutover", "run1", AT), settings, Head(3, "f" * 64, AT.isoformat()), "k" * 64)


def test_document_says_what_was_set_and_what_it_went_back_to() -> None:
    (found,) = body(put_back(setting(value=1), GONE))["settings"]
    assert found == {
        "key": "test.setting/h/a", "title": "test.setting/h/a", "weakens": "open",
        "original": {"ensure": "absent"}, "set": {"ensure": "present", "value": 1},
        "changed_at": "2026-11-20T18:00:00+00:00", "restored_at": "2026-11-20T18:01:30+00:00", "live_seconds": 90.0,
        "read_back": [
            {"where": "dc1", "at": "2026-11-20T18:00:00+00:00", "found": "as it was", "value": {"ensure": "absent"}}
        ],
    }  # fmt: skip


def test_what_is_signed_is_everything_but_the_signature_and_means_nothing_else() -> None:
    found = body(put_back(setting(value=1), setting(value=0)))
    assert signed_bytes({**found, "signature": "00"}) == signed_bytes(found)
    assert signed_bytes(found).startswith(b"reconciler certificate\n{")
    assert all(signed_bytes({**found, name: "x"}) != signed_bytes(found) for name in found)


def test_what_is_written_is_read_again() -> None:
    found = {**body(put_back(setting(value=1), setting(value=0))), "signature": "00"}
    assert opened(written(found)) == found


@given(st.binary(max_size=200))
def test_what_we_did_not_write_is_never_opened(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"cannot be read|was altered|is no certificate"):
        opened(content)


def test_the_same_values_written_otherwise_are_not_a_certificate() -> None:
    found = written({**body(), "signature": "00"})
    for content in (found.replace(b",", b", ", 1), found.rstrip(b"\n"), found.replace(b'"v":1', b'"v":2')):
        with pytest.raises(ValueError, match="altered"):
            opened(content)

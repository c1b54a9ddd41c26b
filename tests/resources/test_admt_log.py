"""Tests of reading ADMT's log: numbers before words, and doubt counts against a copied password."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.resources.admt_log import Entry, advice, key_mismatch, parse, parse_line, problems, told

NAMES = {"1": ["ann", "CN=Ann", "Ann"], "2": ["bob", "CN=Monster\\, Cookie", "Monster, Cookie"]}
BOTH = ("2026-01-01 10:00:00 CN=Ann - Created", "2026-01-01 10:00:01 CN=Monster\\, Cookie - Created")
END = "2026-01-01 10:00:09 Operation completed."
NOT_COPIED = (
    "WRN1:7557 Failed to copy the password for {}. A strong password has been generated instead. Access is denied."
)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("2026-01-01 10:00:00 WRN1:7557 Failed", Entry("Failed", "warning", 7557, "2026-01-01 10:00:00")),
        ("W1:7557 Failed", Entry("Failed", "warning", 7557)),
        ("ERR3:7075 Nein\r\n", Entry("Nein", "error", 7075)),
        ("E2:7422 No", Entry("No", "error", 7422)),
        ("\ufeff2026-01-01 10:00:00 Operation completed.", Entry("Operation completed.", time="2026-01-01 10:00:00")),
        ("ERR: something", Entry("ERR: something")),
        ("", Entry("")),
    ],
)
def test_lines_of_every_documented_form(line: str, expected: Entry) -> None:
    assert parse_line(line) == expected


def test_who_is_alone_in_a_run_is_through_once_a_line_speaks_of_it() -> None:
    assert told(parse(BOTH[:1]), {"1": NAMES["1"]})["1"].password == "copied"


@given(st.text())
def test_any_text_is_a_line(line: str) -> None:
    entry = parse_line(line)
    assert isinstance(advice(entry), str)
    assert set(told([entry], NAMES)) == set(NAMES)


@given(st.lists(st.text(st.characters(exclude_characters="\r\n"))))
def test_a_log_keeps_its_order_and_loses_only_empty_lines(lines: list[str]) -> None:
    assert len(parse(lines)) <= len(lines)
    assert set(problems(parse(lines))) <= set(parse(lines))


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ((), {"1": "attempted", "2": "attempted"}),
        ((*BOTH, END), {"1": "copied", "2": "copied"}),
        (BOTH, {"1": "copied", "2": "attempted"}),  # it may have been cut off in the middle of the second
        ((*BOTH, NOT_COPIED.format("ann"), END), {"1": "random", "2": "copied"}),
        ((*BOTH, NOT_COPIED.format("CN=Monster\\, Cookie")), {"1": "copied", "2": "random"}),
        ((*BOTH, NOT_COPIED.format("somebody")), {"1": "random", "2": "random"}),
        ((*BOTH, NOT_COPIED.format("anne")), {"1": "random", "2": "random"}),
        (("ERR2:7075 Access is denied. (Error code = 5).",), {"1": "attempted", "2": "attempted"}),
        ((*BOTH, "ERR2:9812 bob: no"), {"1": "copied", "2": "attempted"}),
        ((BOTH[0], "ERR2:9803 The migration was interrupted."), {"1": "attempted", "2": "attempted"}),
        ((*BOTH, "WRN1:9811 CN=Ann - already exists.", END), {"1": "copied", "2": "copied"}),
    ],
)
def test_how_a_password_fared(lines: tuple[str, ...], expected: dict[str, str]) -> None:
    assert {key: one.password for key, one in told(parse(lines), NAMES).items()} == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Could not verify auditing. The handle is invalid (Error code = 6).", "TcpipClientSupport"),
        ("Domain name lookup failed, rc=1332", "trusts domains"),
        ("Die Anforderung wurde abgelehnt (Error code = 8552).", "off in the source"),
        (
            "Unable to establish a session with the password export server. The RPC server is unavailable.",
            "LSA protection",
        ),
        ("Unable to copy password. Access is denied.", "RestrictAnonymous"),
        ("something else", ""),
    ],
)
def test_known_messages_come_with_advice(text: str, expected: str) -> None:
    found = advice(Entry(text, "error", 7075))
    assert expected in found
    assert bool(expected) == bool(found)


def test_a_missing_key_is_recognised() -> None:
    log = parse(["ERR2:7557 The target server \\\\TGT does not have an encryption key for source domain SOURCE."])
    assert key_mismatch(log) == log[0]
    assert key_mismatch(parse(BOTH)) is None

"""Task definitions and what is read from logs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.task_xml import command_line, task_xml
from reconciler.edge.tasks import LogMark, Patience, new_lines, task_name
from reconciler.lab.windows.task_xml import parse_task, split_arguments


@given(st.lists(st.text()))
def test_arguments_are_split_into_the_same_again(arguments: list[str]) -> None:
    assert split_arguments(command_line(arguments)) == arguments


texts = st.text(st.characters(min_codepoint=32, exclude_categories=["Cs", "Cc"], exclude_characters="%\ufffe\uffff"))


@given(texts.filter(str.strip), st.lists(texts), texts)
def test_no_text_escapes_from_its_place_in_the_definition(program: str, arguments: list[str], user: str) -> None:
    xml = task_xml(program=program, arguments=arguments, username=user, timeout_s=90, description="d")
    found = parse_task(xml)
    (action,) = found.actions
    assert action.command == program.strip()
    assert action.arguments == command_line(arguments).strip()
    assert (found.user, found.logon_type, found.highest) == (user.strip(), "Password", True)
    assert found.time_limit is not None and found.time_limit.total_seconds() == 90


@pytest.mark.parametrize("argument", ["a\0b", "\x1b", "%TEMP%\\x"])
def test_what_a_task_cannot_hold_is_refused(argument: str) -> None:
    with pytest.raises(ValueError, match="scheduled task"):
        task_xml(program="a.exe", arguments=[argument], username="u", timeout_s=90, description="")


UTF16 = b"\xff\xfe"


@pytest.mark.parametrize(
    ("before", "after", "lines"),
    [
        (b"", b"", []),
        (b"", b"one\r\ntwo\r\n", ["one", "two"]),
        (b"one\r\n", b"one\r\ntwo\r\n", ["two"]),
        (b"one\r\nmore\r\n", b"two\r\n", ["two"]),  # rotated, and shorter
        (b"one\r\n", b"two\r\nthree\r\n", ["two", "three"]),  # rotated, and longer than it was
        (b"", b"\xef\xbb\xbfone\n", ["one"]),
        (b"", UTF16 + "eins\r\nzwölf\r\n".encode("utf-16-le"), ["eins", "zwölf"]),
        (UTF16 + "eins\r\n".encode("utf-16-le"), UTF16 + "eins\r\nzwölf\r\n".encode("utf-16-le"), ["zwölf"]),
    ],
)
def test_new_part_of_a_log(before: bytes, after: bytes, lines: list[str]) -> None:
    assert new_lines(after, LogMark.of(before)) == lines


def test_whole_log_is_read_where_nobody_marked_its_end() -> None:
    assert new_lines(b"one\r\n", LogMark()) == ["one"]


def test_task_name_cannot_leave_its_folder() -> None:
    assert task_name("..\\a") == "Reconcile-.._a"
    assert not set(task_name('..\\a/b:*?"<>|[x]')) & set('\\/:*?"<>|[]')


def test_waits_grow_until_the_deadline() -> None:
    now, waits = [0.0], []

    def pause(seconds: float) -> None:
        waits.append(seconds)
        now[0] += seconds

    patience = Patience(30, pause, lambda: now[0])
    while not patience.spent():
        patience.rest()
    assert waits[0] < 1 and waits == sorted(waits) and max(waits) == 5.0
    assert now[0] < 36

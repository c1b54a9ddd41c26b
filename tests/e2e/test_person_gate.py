"""The Password Export Server installed by a person: the program says what to run where, waits, and goes on by itself."""

from __future__ import annotations

import json
import socket

import pytest

from tests.e2e.by_hand import KEY_FILE, PRE_WINDOWS_2000
from tests.e2e.lab import EVERYBODY, EXAMPLE, FEW, ONLY_FEW, Lab, Ran

pytestmark = pytest.mark.lab

PES = "win.software/source-pdc/*Password Migration DLL*"
DISPLAY_NAME = "Active Directory Migration Tool Password Migration DLL"


def install_block() -> str:
    """The lines of the example that say how to install PES without a person."""
    text = EXAMPLE.read_text(encoding="utf-8")
    return text[text.index("    install:") : text.index("  operator:")]


def click_through_the_wizard(lab: Lab) -> None:
    """Do what a person at the screen of the source's controller does."""
    arguments = {"host": "srcdc1.source.lab", "key_file": KEY_FILE, "key_password": lab.secret("key-password")}
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(30)
        connection.connect(lab.document["control_socket"])
        connection.sendall(json.dumps({"operation": "pes-wizard", "arguments": arguments}).encode() + b"\n")
        answer = json.loads(connection.makefile("rb").readline())
    assert "done" in answer, answer


EDITS = (EVERYBODY, ONLY_FEW), (install_block(), "")


@pytest.fixture(scope="module")
def waiting(lab: Lab) -> Ran:
    """The run that gets as far as it can without a person."""
    return lab.apply(lab.state("migrate", *EDITS))


def test_it_says_what_to_run_where_and_waits(lab: Lab, waiting: Ran) -> None:
    assert waiting.code == 7, waiting
    assert waiting.outcomes("waiting") == {PES}
    asked = waiting.error(PES)
    assert "Password Export Server installer" in asked
    assert "source-pdc" in asked
    assert json.dumps(KEY_FILE).strip('"') in asked
    with lab.windows("source") as windows:
        assert windows.exists(KEY_FILE)
        assert DISPLAY_NAME not in windows.software().values()


def test_passwords_cannot_leave_while_somebody_is_waited_for(lab: Lab, waiting: Ran) -> None:
    with lab.windows("source") as windows:
        assert windows.value("AllowPasswordExport") is None


def test_the_target_is_not_opened_while_somebody_is_waited_for(lab: Lab, waiting: Ran) -> None:
    with lab.windows("target") as windows:
        assert windows.value("RestrictAnonymous") == ("REG_DWORD", "0x1")
    members = lab.target.search(PRE_WINDOWS_2000, "(objectClass=*)", "member")[0].get("member", [])
    assert [member for member in members if member.startswith((b"CN=Everyone,", b"CN=Anonymous Logon,"))] == []


def test_asked_again_it_waits_again(lab: Lab, waiting: Ran) -> None:
    again = lab.apply(lab.state("migrate", *EDITS))
    assert again.code == 7, again
    assert again.outcomes("changed", "failed") == set()


def test_it_goes_on_by_itself_once_the_person_is_done(lab: Lab, waiting: Ran) -> None:
    click_through_the_wizard(lab)
    state = lab.state("migrate", *EDITS)
    done = lab.apply(state)
    assert done.code == 0, done
    assert lab.not_migrated(*FEW) == {}
    drift = lab.drift(state)
    assert (drift.code, drift.keys) == (0, set())


def test_what_the_person_installed_is_removed_in_the_end(lab: Lab, waiting: Ran) -> None:
    back = lab.apply(lab.state("complete", *EDITS))
    assert back.code == 0, back
    with lab.windows("source") as windows:
        assert DISPLAY_NAME not in windows.software().values()
        assert not windows.exists(KEY_FILE)
        assert windows.value("AllowPasswordExport") is None
    assert lab.not_migrated(*FEW) == {}

"""Tests of generated passwords: made up once per run, put in place only where they are sent, struck out, forgotten."""

from __future__ import annotations

import string
from pathlib import Path

from reconciler.core.secret import Generated
from reconciler.core.steps import AddEntry
from reconciler.core.targets import Targets
from reconciler.edge.accounts import Accounts
from reconciler.edge.generated import LENGTH, password
from reconciler.edge.secrets import MASK, Secrets
from reconciler.reports.plain import plain

BIRD = Generated("bird")


def test_a_password_is_long_has_all_classes_and_is_never_the_same() -> None:
    found = {password() for _ in range(500)}
    assert len(found) == 500
    for one in found:
        assert len(one) == LENGTH
        for signs in (string.ascii_lowercase, string.ascii_uppercase, string.digits):
            assert set(one) & set(signs)
        assert set(one) - set(string.ascii_letters + string.digits)


def test_it_is_made_up_once_and_struck_out_of_texts(tmp_path: Path) -> None:
    secrets = Secrets(tmp_path)
    value = secrets.reveal(BIRD).get_secret_value()
    assert secrets.reveal(BIRD).get_secret_value() == value
    assert secrets.reveal(Generated("other")).get_secret_value() != value
    assert secrets.scrub(f"it is {value}!") == f"it is {MASK}!"


def test_it_is_forgotten_for_good(tmp_path: Path) -> None:
    secrets = Secrets(tmp_path)
    value = secrets.reveal(BIRD).get_secret_value()
    secrets.forget_generated()
    assert secrets.revealed() == frozenset()
    assert secrets.reveal(BIRD).get_secret_value() != value


def test_two_programs_make_up_two(tmp_path: Path) -> None:
    first, second = (Secrets(tmp_path).reveal(BIRD).get_secret_value() for _ in range(2))
    assert first != second


def test_an_entry_gets_it_in_the_form_of_unicode_pwd_and_shows_the_reference(tmp_path: Path) -> None:
    secrets = Secrets(tmp_path)
    accounts = Accounts(Targets(credentials={}, domains={}, hosts={}), secrets)
    effect = AddEntry("d", "CN=bird", (("cn", ("bird",)), ("unicodePwd", (BIRD,))))
    value = secrets.reveal(BIRD).get_secret_value()
    sent = dict(accounts.opened(effect).attributes)
    assert sent == {"cn": ("bird",), "unicodePwd": (f'"{value}"'.encode("utf-16-le"),)}
    assert plain(effect)["attributes"][1] == ["unicodePwd", ["<secret generated:bird>"]]
    assert value not in repr(effect)

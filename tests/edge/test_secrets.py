"""Secrets: what is revealed, what is refused, and what is struck out of texts."""

from __future__ import annotations

import base64
import json
import os
import sys
import traceback
import types
from pathlib import Path, PurePath
from urllib.parse import quote
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.errors import SecretUnavailable
from reconciler.core.secret import SecretRef
from reconciler.edge.secrets import MAX_BYTES, Secrets

CANARY = "c4n'ary<&>\"ü%/+ \\x"


def file_ref(name: str) -> SecretRef:
    return SecretRef(file=PurePath(name), env=None, keyring=None)


def env_ref(name: str) -> SecretRef:
    return SecretRef(file=None, env=name, keyring=None)


def keyring_ref(entry: str) -> SecretRef:
    return SecretRef(file=None, env=None, keyring=entry)


def put(path: Path, content: str | bytes, mode: int = 0o600) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(mode)
    return path


def refusal(secrets: Secrets, ref: SecretRef) -> SecretUnavailable:
    with pytest.raises(SecretUnavailable) as caught:
        secrets.reveal(ref)
    assert caught.value.what and caught.value.where and caught.value.do
    return caught.value


@pytest.mark.parametrize(
    ("content", "secret"),
    [
        ("pass", "pass"),
        ("pass\n", "pass"),
        ("pass\r\n", "pass"),
        ("pass\n\n", "pass\n"),
        (" pass ", " pass "),
        ("\ufeffpäss\n", "päss"),
    ],
)
def test_file_is_read_relative_to_the_base_without_one_newline(tmp_path: Path, content: str, secret: str) -> None:
    put(tmp_path / "s" / "key", content)
    assert Secrets(tmp_path / "s").reveal(file_ref("key")).get_secret_value() == secret
    assert Secrets(tmp_path / "x").reveal(file_ref(str(tmp_path / "s" / "key"))).get_secret_value() == secret


@pytest.mark.parametrize("mode", [0o604, 0o644, 0o602, 0o620, 0o777])
def test_file_that_others_can_read_or_change_is_refused(tmp_path: Path, mode: int) -> None:
    path = put(tmp_path / "key", CANARY, mode)
    error = refusal(Secrets(tmp_path), file_ref("key"))
    assert error.do == f"chmod 600 {path}"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another group")
def test_group_may_read_only_where_it_is_root(tmp_path: Path) -> None:
    path = put(tmp_path / "key", "pass", 0o440)
    os.chown(path, 0, 0)
    assert Secrets(tmp_path).reveal(file_ref("key")).get_secret_value() == "pass"
    os.chown(path, 0, 1234)
    assert "others" in refusal(Secrets(tmp_path), file_ref("key")).what


def test_symbolic_link_counts_as_what_it_leads_to(tmp_path: Path) -> None:
    put(tmp_path / "real" / "key", "pass")
    (tmp_path / "key").symlink_to(tmp_path / "real" / "key")
    assert Secrets(tmp_path).reveal(file_ref("key")).get_secret_value() == "pass"
    put(tmp_path / "real" / "key", "pass", 0o644)
    assert "others" in refusal(Secrets(tmp_path), file_ref("key")).what


def test_missing_and_unusable_files_name_the_place(tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "pipe", 0o600)
    put(tmp_path / "empty", "\n")
    put(tmp_path / "binary", b"\xff" + CANARY.encode("utf-16-le"))
    put(tmp_path / "nul", "a\0b")
    put(tmp_path / "large", "x" * (MAX_BYTES + 1))
    for name in ("directory", "pipe", "empty", "binary", "nul", "large", "none", "none/none"):
        error = refusal(Secrets(tmp_path), file_ref(name))
        assert name in error.where
        assert not any(part in "".join(traceback.format_exception(error)) for part in ("c4n", "xxxx", "a\0b"))
        assert error.__context__ is None or not hasattr(error.__context__, "object")


def test_environment_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECONCILE_TEST_SECRET", "pass\n")
    assert Secrets(tmp_path).reveal(env_ref("RECONCILE_TEST_SECRET")).get_secret_value() == "pass\n"
    for value in (None, ""):
        monkeypatch.setenv("RECONCILE_TEST_SECRET", value) if value is not None else monkeypatch.delenv(
            "RECONCILE_TEST_SECRET"
        )
        error = refusal(Secrets(tmp_path), env_ref("RECONCILE_TEST_SECRET"))
        assert error.where == "env RECONCILE_TEST_SECRET"


def test_keyring_is_asked_only_when_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = types.ModuleType("keyring")
    fake.get_password = lambda service, user: {("svc", "a/b"): "pass"}.get((service, user))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "keyring", fake)
    assert Secrets(tmp_path).reveal(keyring_ref("svc/a/b")).get_secret_value() == "pass"
    assert refusal(Secrets(tmp_path), keyring_ref("svc/other")).do == "keyring set svc other"


def test_keyring_that_is_missing_or_fails_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    assert "reconcile[keyring]" in refusal(Secrets(tmp_path), keyring_ref("svc/user")).do
    fake = types.ModuleType("keyring")

    def fail(service: str, user: str) -> str:
        raise RuntimeError(CANARY)

    fake.get_password = fail  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "keyring", fake)
    error = refusal(Secrets(tmp_path), keyring_ref("svc/user"))
    assert CANARY not in "".join(traceback.format_exception(error))


def test_changed_file_is_read_again(tmp_path: Path) -> None:
    secrets = Secrets(tmp_path)
    for value in ("first", "second"):
        put(tmp_path / "key", value)
        assert secrets.reveal(file_ref("key")).get_secret_value() == value
    assert secrets.revealed() == {"first", "second"}
    assert secrets.scrub("first second third") == "*** *** third"


def scrubber(tmp: Path, *values: str) -> Secrets:
    secrets = Secrets(tmp)
    for index, value in enumerate(values):
        os.environ[f"RECONCILE_TEST_{index}"] = value
        secrets.reveal(env_ref(f"RECONCILE_TEST_{index}"))
        del os.environ[f"RECONCILE_TEST_{index}"]
    return secrets


def utf16(text: str) -> bytes:
    return text.encode("utf-16-le")


@pytest.mark.parametrize(
    "shown",
    [
        CANARY,
        base64.b64encode(CANARY.encode()).decode(),
        base64.urlsafe_b64encode(CANARY.encode()).decode(),
        base64.b64encode(utf16(CANARY)).decode(),
        CANARY.encode().hex(),
        quote(CANARY),
        quote(CANARY, safe=""),
        escape(CANARY),
        escape(CANARY, {'"': "&quot;", "'": "&apos;"}),
        json.dumps(CANARY)[1:-1],
        repr(CANARY)[1:-1],
        CANARY.replace("'", "''"),
    ],
)
def test_every_usual_form_is_struck_out(tmp_path: Path, shown: str) -> None:
    assert scrubber(tmp_path, CANARY).scrub(f"before {shown} after") == "before *** after"


@pytest.mark.parametrize("before", ["", "a", "ab", "abc"])
@pytest.mark.parametrize("encode", [str.encode, utf16])
def test_base64_of_a_text_around_the_secret_does_not_give_it_away(tmp_path: Path, before: str, encode: object) -> None:
    assert callable(encode)
    line = base64.b64encode(encode(f"{before}S3cret-Passw0rd and more")).decode()
    scrubbed = scrubber(tmp_path, "S3cret-Passw0rd").scrub(line)
    assert "***" in scrubbed
    kept = base64.b64decode(scrubbed.split("***")[0] + "AAA"[: -len(scrubbed.split("***")[0]) % 4])
    assert b"3cret" not in kept and "3cret".encode("utf-16-le") not in kept


def test_longer_secret_is_struck_out_before_one_inside_it(tmp_path: Path) -> None:
    assert scrubber(tmp_path, "pass", "password").scrub("password pass") == "*** ***"


def test_nothing_is_struck_out_before_anything_was_revealed(tmp_path: Path) -> None:
    assert Secrets(tmp_path).scrub("text") == "text"


def test_neither_repr_nor_str_shows_a_secret(tmp_path: Path) -> None:
    secrets = scrubber(tmp_path, CANARY)
    put(tmp_path / "key", CANARY)
    assert "c4n" not in repr(secrets) + str(secrets) + repr(secrets.reveal(file_ref("key")))


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0*"), min_size=6, max_size=30))
def test_any_secret_is_struck_out_of_json_xml_and_urls(secret: str) -> None:
    secrets = scrubber(Path("/nonexistent"), secret)
    for form in (secret, json.dumps(secret), escape(secret), quote(secret), base64.b64encode(secret.encode()).decode()):
        assert "***" in secrets.scrub(f"<{form}>")

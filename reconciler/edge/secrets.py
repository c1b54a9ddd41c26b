"""The only place that looks behind a secret reference, and that can strike what it found out of any text."""

from __future__ import annotations

import base64
import importlib
import json
import os
import re
import stat
import threading
from collections.abc import Iterator
from pathlib import Path, PurePath
from urllib.parse import quote, quote_plus

from pydantic import SecretStr

from reconciler.core.errors import SecretUnavailable
from reconciler.core.secret import Generated, SecretRef
from reconciler.edge import generated
from reconciler.edge.regular_file import read_regular

MAX_BYTES = 64 * 1024
MASK = "***"


class Secrets:
    """Reveals references, always from their source, and remembers the values for scrubbing. Thread-safe."""

    def __init__(self, base: Path) -> None:
        """Take relative paths from ``base``, the directory of the state file."""
        self._base = base
        self._lock = threading.Lock()
        self._revealed: set[str] = set()
        self._generated: dict[Generated, str] = {}
        self._pattern: re.Pattern[str] | None = None

    def reveal(self, ref: SecretRef | Generated) -> SecretStr:
        """Return the secret that a reference names; one that is generated is made up when it is first asked for.

        Raises:
            SecretUnavailable: There is none, it is empty, or others can read its file.
                Names the place, never the content.
        """
        if isinstance(ref, Generated):
            with self._lock:
                text = self._generated.setdefault(ref, generated.password())
        elif ref.file is not None:
            text = _from_file(self._base, ref.file)
        elif ref.env is not None:
            text = os.environ.get(ref.env, "")
        else:
            text = _from_keyring(ref.keyring or "")
        if not text:
            assert isinstance(ref, SecretRef)
            raise SecretUnavailable("a secret is missing or empty", where=_place(ref), do=_remedy(ref))
        with self._lock:
            if text not in self._revealed:
                self._revealed.add(text)
                self._pattern = None
        return SecretStr(text)

    def forget_generated(self) -> None:
        """Forget every generated password, for good: another run makes up others."""
        with self._lock:
            self._revealed -= set(self._generated.values())
            self._generated.clear()
            self._pattern = None

    def revealed(self) -> frozenset[str]:
        """Return every value revealed so far."""
        with self._lock:
            return frozenset(self._revealed)

    def scrub(self, text: str) -> str:
        """Replace every revealed secret, also in its usual encodings, by ``***``."""
        with self._lock:
            if not self._revealed:
                return text
            if self._pattern is None:
                forms = {form for secret in self._revealed for form in _forms(secret)}
                self._pattern = re.compile("|".join(map(re.escape, sorted(forms, key=len, reverse=True))))
            pattern = self._pattern
        return pattern.sub(MASK, text)

    def __repr__(self) -> str:
        return f"Secrets({str(self._base)!r})"


def _from_file(base: Path, file: PurePath) -> str:
    path = base / file
    where = f"file {path}"
    # Symbolic links are followed (mounted secrets are made of them); what counts is the file that was opened.
    try:
        content = read_regular(path, MAX_BYTES, lambda status: _check_mode(status, path))
    except OSError as error:
        do = f"write the secret to {path}, mode 600"
        raise SecretUnavailable(f"a secret cannot be read: {error.strerror}", where=where, do=do) from None
    if len(content) > MAX_BYTES:
        raise SecretUnavailable(f"a secret is larger than {MAX_BYTES // 1024} KiB", where=where, do="check the path")
    text = _decoded(content)
    if text is None or "\0" in text:
        raise SecretUnavailable("a secret is not UTF-8 text", where=where, do="save the file as UTF-8 text")
    return text[:-2] if text.endswith("\r\n") else text.removesuffix("\n")


def _check_mode(status: os.stat_result, path: Path) -> None:
    mode = stat.S_IMODE(status.st_mode)
    # Service managers hand out root:root 0440; the group root lets nobody in.
    allowed = 0o640 if status.st_gid == 0 else 0o600
    if mode & 0o077 & ~allowed:
        what = f"a secret can be read or changed by others (mode {mode:04o})"
        raise SecretUnavailable(what, where=f"file {path}", do=f"chmod 600 {path}")


def _decoded(content: bytes) -> str | None:
    # The error of a failed decode carries the content, so it must not become part of another error.
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None


def _from_keyring(entry: str) -> str:
    service, _, user = entry.partition("/")
    where = f"keyring {entry}"
    try:
        keyring = importlib.import_module("keyring")
    except ImportError:
        raise SecretUnavailable(
            "the keyring extra is not installed",
            where=where,
            do="pip install 'reconcile[keyring]', or use a file or env reference",
        ) from None
    failed = ""
    try:
        return str(keyring.get_password(service, user) or "")
    except Exception as error:  # its backends raise errors of their own, some with contents
        failed = type(error).__name__
    raise SecretUnavailable(
        f"the system keyring does not answer ({failed})", where=where, do="unlock it, or use a file or env reference"
    )


def _place(ref: SecretRef) -> str:
    return str(ref).removeprefix("<secret ").removesuffix(">").replace(":", " ", 1)


def _remedy(ref: SecretRef) -> str:
    if ref.env is not None:
        return f"set the environment variable {ref.env}"
    if ref.keyring is not None:
        service, _, user = ref.keyring.partition("/")
        return f"keyring set {service} {user}"
    return "write the secret to that file"


def _forms(secret: str) -> Iterator[str]:
    """Yield the ways in which a secret may stand in a log line or a protocol message."""
    yield secret
    escaped = secret.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")  # as XML and HTML
    yield escaped
    for apostrophe in ("&apos;", "&#39;", "&#x27;"):
        yield escaped.replace('"', "&quot;").replace("'", apostrophe)
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    yield repr(secret)[1:-1]
    yield secret.replace("'", "''")
    for form in (quote(secret, safe=""), quote(secret), quote_plus(secret)):
        yield form
        yield re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), form)
    for raw in (secret.encode(), secret.encode("utf-16-le")):
        if len(raw) > 3:
            yield raw.hex()
            yield raw.hex().upper()
            yield from _base64_forms(raw)


def _base64_forms(raw: bytes) -> Iterator[str]:
    """Yield what base64 makes of these bytes, alone and at each of the three places inside a longer text."""
    yield base64.b64encode(raw).decode()
    for before in range(3):
        first = (before * 8 + 5) // 6  # characters that hold bits of what stands before
        whole = (before + len(raw)) * 8 // 6  # the last one may hold bits of what follows
        for code in (base64.b64encode, base64.urlsafe_b64encode):
            form = code(b"\0" * before + raw).decode()[first:whole]
            if len(form) >= 6:
                yield form

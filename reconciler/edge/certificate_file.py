"""Certificates on disk: written whole and synced beside the journal, never written over, checked without a connection."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from msgspec import Struct

from reconciler.core.audit import AuditError
from reconciler.core.audit_chain import written
from reconciler.core.certificate import opened, signed_bytes
from reconciler.edge.audit_key import fingerprint, read_public
from reconciler.edge.regular_file import read_regular
from reconciler.edge.whole_file import replace_whole

SUFFIX = ".certificate.json"
MAX_BYTES = 64 * 1024 * 1024


class Checked(Struct, frozen=True):
    """A certificate that was looked at.

    Attributes:
        faults: What is wrong with it; empty where it is as it was signed.
        body: What it says, as far as it can be read; empty where it cannot.
        key: Fingerprint of the public key that it was checked with.
    """

    faults: tuple[str, ...]
    body: Mapping[str, Any]
    key: str


def signed_certificate(body: Mapping[str, Any], key: Ed25519PrivateKey) -> bytes:
    """Return the content of a certificate file."""
    return written({**body, "signature": key.sign(signed_bytes(body)).hex()})


def certificates(journal: Path) -> list[Path]:
    """Return the certificates beside a journal, oldest first: ``<name>.certificate.json``, ``<name>.2.certificate.json``."""
    return list(_places(journal, there=True))


def keep(journal: Path, content: bytes) -> Path:
    """Put a certificate beside a journal under the next free name, mode 0600; a crash leaves none or the whole.

    Raises:
        AuditError: The disk refuses.
    """
    path = next(_places(journal, there=False))
    try:
        replace_whole(path, content)
    except OSError as error:
        raise AuditError(
            f"the certificate cannot be written: {error.strerror or error}",
            where=str(path),
            do="check the directory, its permissions and the room on the disk, and apply again",
        ) from error
    return path


def read(path: Path) -> bytes:
    """Return the content of a certificate file.

    Raises:
        AuditError: There is none, or it is far too large.
    """
    try:
        content = read_regular(path, MAX_BYTES, lambda status: None)
    except OSError as error:
        raise AuditError(
            f"the certificate cannot be read: {error.strerror or error}",
            where=str(path),
            do="`reconcile apply` in phase complete makes one once everything is put back; give its file, or its state file",
        ) from error
    if len(content) > MAX_BYTES:
        raise AuditError("this file is far too large for a certificate", where=str(path), do="give the right one")
    return content


def check(path: Path, public_key: Path) -> Checked:
    """Check a certificate without changing anything.

    Args:
        public_key: That of the audit log, or a copy of it kept elsewhere.

    Raises:
        AuditError: There is no certificate, or no key.
    """
    try:
        key = read_public(public_key)
    except FileNotFoundError as error:
        raise AuditError(
            "the public key is not there", where=str(public_key), do="give --public-key with a copy of it"
        ) from error
    content = read(path)
    try:
        body = opened(content)
    except ValueError as error:
        return Checked((str(error),), {}, fingerprint(key))
    return Checked(tuple(_faults(body, key)), body, fingerprint(key))


def key_beside(path: Path) -> Path:
    """Return where the public key of a certificate lies that nobody moved away: that of the audit log beside it."""
    stem = path.name.removesuffix(SUFFIX)
    name, _, number = stem.rpartition(".")
    return path.with_name(f"{name if name and number.isdecimal() else stem}.audit.pub")


def sha256(content: bytes) -> str:
    """Return the digest by which the journal knows a certificate."""
    return hashlib.sha256(content).hexdigest()


def _faults(body: Mapping[str, Any], key: Ed25519PublicKey) -> Iterator[str]:
    if body.get("key") != fingerprint(key):
        yield f"was signed by another key, {str(body.get('key'))[:16]}..., or altered"
        return
    try:
        signature = bytes.fromhex(body["signature"])
        # Hexadecimal digits have two spellings, and only one is ours.
        if signature.hex() != body["signature"]:
            raise ValueError
        key.verify(signature, signed_bytes(body))
    except (InvalidSignature, ValueError, KeyError, TypeError):
        yield "was altered: the signature is not for what it says"


def _places(journal: Path, *, there: bool) -> Iterator[Path]:
    """Return the names of certificates in their order: those that are there, or those that are free behind them."""
    number = 1
    while True:
        path = journal.with_name(f"{journal.stem}{f'.{number}' if number > 1 else ''}{SUFFIX}")
        taken = path.is_symlink() or path.exists()
        if there and not taken:
            return
        if there is taken:
            yield path
        number += 1

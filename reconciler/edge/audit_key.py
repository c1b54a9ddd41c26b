"""The key of an audit log: made on first use, and what it signs. Whoever holds it can sign another log."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from reconciler.core.audit import AuditError
from reconciler.core.audit_chain import VERSION, Head, written
from reconciler.edge.regular_file import read_regular

LIMIT = 64 * 1024


def read_private(path: Path) -> Ed25519PrivateKey:
    """Read the signing key.

    Raises:
        AuditError: It is not one, or others may have read it.
    """
    content = small(path, lambda status: _check_private(status, path))
    try:
        key = load_pem_private_key(content, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise AuditError("this is not an Ed25519 key in PEM", where=str(path), do="restore the key of this audit log")
    return key


def _check_private(status: os.stat_result, path: Path) -> None:
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o077:
        raise AuditError(
            f"others can read or change the key of the audit log (mode {mode:04o})",
            where=str(path),
            do=f"chmod 600 {path}; where somebody else has been on this machine, move all files of the log away as well",
        )


def read_public(path: Path) -> Ed25519PublicKey:
    """Read a public key.

    Raises:
        AuditError: There is none.
    """
    try:
        key = load_pem_public_key(small(path))
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise AuditError(
            "this is not an Ed25519 public key in PEM", where=str(path), do="give --public-key with a copy of it"
        )
    return key


def private_pem(key: Ed25519PrivateKey) -> bytes:
    """Return the key as it is kept: PKCS 8, without a password, because nobody is there to type one."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def public_pem(key: Ed25519PublicKey) -> bytes:
    """Return the public key as it is exported."""
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def fingerprint(key: Ed25519PublicKey) -> str:
    """Return the SHA-256 of the 32 bytes of a public key."""
    return hashlib.sha256(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()


def signed(head: Head, key: Ed25519PrivateKey) -> bytes:
    """Return the content of a head file."""
    named = {"v": VERSION, "count": head.count, "hash": head.hash, "at": head.at}
    proof = {"key": fingerprint(key.public_key()), "signature": key.sign(head.signed()).hex()}
    return written({**named, **proof})


def check_head(content: bytes, key: Ed25519PublicKey) -> Head:
    """Return what a head file names.

    Raises:
        ValueError: It is not a head exactly as we write it, or this key did not sign it; says why.
    """
    try:
        found = json.loads(content.decode("ascii"))
        head = Head(found["count"], found["hash"], found["at"])
        signature, signer = bytes.fromhex(found["signature"]), str(found["key"])
        exact = written({**found, "v": VERSION, "signature": signature.hex()}) == content
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ValueError("cannot be read") from None
    if not exact or type(head.count) is not int:
        raise ValueError("was altered: it is not written as we write heads")
    if signer != fingerprint(key):
        raise ValueError(f"was signed by another key, {signer[:16]}..., or altered")
    try:
        key.verify(signature, head.signed())
    except InvalidSignature:
        raise ValueError("was altered: the signature is not for what it says") from None
    return head


def small(path: Path, check: Callable[[os.stat_result], None] = lambda status: None) -> bytes:
    """Return the content of a small file; raises FileNotFoundError, and AuditError for whatever else is wrong."""
    try:
        content = read_regular(path, LIMIT, check)
    except FileNotFoundError:
        raise
    except OSError as error:
        what = f"a file of the audit log cannot be read: {error.strerror or error}"
        raise AuditError(what, where=str(path), do="check the path and its permissions") from error
    if len(content) > LIMIT:
        raise AuditError("this file is far too large for what it should be", where=str(path), do="give the right one")
    return content

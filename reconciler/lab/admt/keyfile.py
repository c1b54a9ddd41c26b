"""The password export key and the ``.pes`` file that carries it; the key never lies in clear in the file."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

SUFFIX = ".pes"

_MAGIC = b"LABPES1\0"
_SALT = 16
_NONCE = 12


class InvalidKeyPassword(Exception):
    """The file was sealed with another password, or was damaged: the two cannot be told apart."""


class NotAKeyFile(Exception):
    """The content was not written by ``seal``."""


@dataclass(frozen=True, slots=True)
class EncryptionKey:
    """One key that an ADMT host and a password export server share, valid for one source domain."""

    source_domain: str  # NetBIOS name
    secret: bytes = field(repr=False)

    @property
    def fingerprint(self) -> str:
        """Tell keys apart without showing them."""
        return hashlib.sha256(b"pes-fingerprint" + self.secret).hexdigest()[:32]

    def to_bytes(self) -> bytes:
        """Return the key as a private store holds it."""
        stored = {"domain": self.source_domain, "secret": base64.b64encode(self.secret).decode("ascii")}
        return json.dumps(stored).encode("utf-8")

    @classmethod
    def from_bytes(cls, content: bytes) -> EncryptionKey:
        """Read what ``to_bytes`` returned."""
        stored = json.loads(content)
        return cls(stored["domain"], base64.b64decode(stored["secret"]))


def new_key(source_domain: str) -> EncryptionKey:
    """Make a key that nobody else has."""
    return EncryptionKey(source_domain.upper(), os.urandom(16))


def seal(key: EncryptionKey, password: str) -> bytes:
    """Return the content of a key file; an empty password is allowed, as in ADMT."""
    salt, nonce = os.urandom(_SALT), os.urandom(_NONCE)
    return _MAGIC + salt + nonce + AESGCM(_derive(password, salt)).encrypt(nonce, key.to_bytes(), _MAGIC)


def unseal(content: bytes, password: str) -> EncryptionKey:
    """Read a key file.

    Raises:
        NotAKeyFile: It is something else.
        InvalidKeyPassword: The password is wrong.
    """
    if not content.startswith(_MAGIC) or len(content) <= len(_MAGIC) + _SALT + _NONCE:
        raise NotAKeyFile
    rest = content[len(_MAGIC) :]
    salt, nonce, sealed = rest[:_SALT], rest[_SALT : _SALT + _NONCE], rest[_SALT + _NONCE :]
    try:
        return EncryptionKey.from_bytes(AESGCM(_derive(password, salt)).decrypt(nonce, sealed, _MAGIC))
    except InvalidTag:
        raise InvalidKeyPassword from None


def _derive(password: str, salt: bytes) -> bytes:
    return Scrypt(salt=salt, length=32, n=2**14, r=8, p=1).derive(password.encode("utf-8"))

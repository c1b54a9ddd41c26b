"""Certificates for the tests of the edge: right ones, and each wrong in one way."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PEM = serialization.Encoding.PEM


class ServerFiles(NamedTuple):
    """What a TLS server needs."""

    certificate: Path
    key: Path

    def context(self) -> ssl.SSLContext:
        """Return a server context."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context


class Pki:
    """A CA, and certificates from it for any name."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("test CA")
        self.ca = directory / "ca.pem"
        certificate = _sign(self._name, self._name, self._key, self._key.public_key(), (), timedelta(days=1))
        self.ca.write_bytes(certificate.public_bytes(PEM))

    def issue(self, *names: str, valid_for: timedelta = timedelta(days=1), self_signed: bool = False) -> ServerFiles:
        """Issue a certificate for these names and addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _name(names[0])
        issuer, signer = (subject, key) if self_signed else (self._name, self._key)
        certificate = _sign(subject, issuer, signer, key.public_key(), names, valid_for)
        stem = f"{x509.random_serial_number():x}"[:12]
        files = ServerFiles(self._directory / f"{stem}.pem", self._directory / f"{stem}.key")
        files.certificate.write_bytes(certificate.public_bytes(PEM))
        files.key.write_bytes(key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        return files


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _sign(
    subject: x509.Name,
    issuer: x509.Name,
    signer: ec.EllipticCurvePrivateKey,
    public: ec.EllipticCurvePublicKey,
    names: tuple[str, ...],
    valid_for: timedelta,
) -> x509.Certificate:
    end = datetime.now(UTC) + valid_for
    builder = x509.CertificateBuilder(issuer, subject, public, x509.random_serial_number())
    builder = builder.not_valid_before(end - timedelta(days=9)).not_valid_after(end)
    builder = builder.add_extension(x509.BasicConstraints(ca=not names, path_length=None), critical=True)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), False)
    return builder.sign(signer, hashes.SHA256())


def _general(name: str) -> x509.GeneralName:
    make: Callable[[str], x509.GeneralName] = x509.DNSName
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return make(name)

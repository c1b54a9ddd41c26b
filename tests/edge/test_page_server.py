"""Where a live page may be served, and by what name it is reached."""

from __future__ import annotations

import ipaddress
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from reconciler.core.errors import ReconcileError
from reconciler.edge.page_server import Address, PageServer, Tls


def certificate(directory: Path, password: bytes = b"") -> Tls:
    """Write a certificate for ``watch.example`` and 127.0.0.1, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "watch")])
    names = x509.SubjectAlternativeName([x509.DNSName("watch.example"), x509.DNSName("*.lab"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])  # fmt: skip
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1)).add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    found = Tls(directory / "page.pem", directory / "page.key")
    found.certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    locked = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked)
    found.key.write_bytes(pem)
    return found


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [("127.0.0.1:8765", "127.0.0.1", 8765), ("localhost:1", "127.0.0.1", 1), ("[::1]:0", "::1", 0), ("0.0.0.0:80", "0.0.0.0", 80)],
)  # fmt: skip
def test_address_is_read(text: str, host: str, port: int) -> None:
    assert Address.parse(text) == Address(host, port)


@pytest.mark.parametrize("text", ["", "8765", ":8765", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536", "127.0.0.1:-1", "dc1.example:1", "127.0.0.1:²"])  # fmt: skip
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ReconcileError, match="no address to serve"):
        Address.parse(text)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "::ffff:192.0.2.1"])
def test_page_is_not_served_to_others_in_the_clear(host: str) -> None:
    with pytest.raises(ReconcileError, match="others could read the page") as refusal:
        PageServer(Address(host, 0), "")
    assert "--tls-cert" in refusal.value.do


def test_port_that_is_taken_is_said() -> None:
    with PageServer(Address("127.0.0.1", 0), "") as first:
        with pytest.raises(ReconcileError, match="cannot be served") as refusal:
            PageServer(Address("127.0.0.1", first.page.door.port), "")
        assert refusal.value.where == f"127.0.0.1:{first.page.door.port}"


def test_with_tls_it_is_served_by_the_names_of_the_certificate(tmp_path: Path) -> None:
    tls = certificate(tmp_path)
    trust = ssl.create_default_context(cafile=str(tls.certificate))
    with PageServer(Address("0.0.0.0", 0), "", tls) as server, httpx.Client(verify=trust, trust_env=False) as browser:
        port = server.page.door.port
        assert server.url.startswith(f"https://watch.example:{port}/?token=")
        server.page.show("x")
        here = server.url.replace("watch.example", "127.0.0.1")
        answer = browser.get(here)
        assert answer.status_code == 303
        assert "Secure" in answer.headers["set-cookie"].split("; ")
        assert browser.get(f"https://127.0.0.1:{port}/").text == "x"
        assert browser.get(f"https://127.0.0.1:{port}/", headers={"Host": f"a.lab:{port}"}).status_code == 421


def test_certificate_that_cannot_be_used_is_said_at_once(tmp_path: Path) -> None:
    for tls in (Tls(tmp_path / "none", tmp_path / "none"), certificate(tmp_path, b"locked")):
        with pytest.raises(ReconcileError, match="certificate of the page cannot be used"):
            PageServer(Address("127.0.0.1", 0), "", tls)

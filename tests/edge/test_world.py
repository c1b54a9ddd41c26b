"""What holds for the whole edge, without a network."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest
from pydantic import SecretStr

from reconciler.core.errors import UnexpectedAnswer
from reconciler.core.query import Rows, Search
from reconciler.core.secret import CredentialPart, SecretRef, Template
from reconciler.edge.accounts import Account, holds_secret
from reconciler.edge.kerberos import KRB5_CONFIG, Realms, configuration
from reconciler.edge.loggers import LIBRARIES, quiet_libraries
from reconciler.edge.psrp_connection import Gate, open_wsman
from reconciler.edge.remote import pdc_emulator

PACKAGE = Path(__file__).parents[2] / "reconciler"
PRODUCT = [path for path in PACKAGE.rglob("*.py") if PACKAGE / "lab" not in path.parents]


@pytest.mark.parametrize(
    ("call", "place"),
    [
        ("ldap3.Connection(", "ldap_connection.py"),
        ("ldap3.Server", "ldap_connection.py"),
        ("ldap3.Tls", "ldap_connection.py"),
        (" WSMan(", "psrp_connection.py"),
        ("RunspacePool(", "psrp_session.py"),
    ],
)
def test_connections_are_made_in_one_place_each(call: str, place: str) -> None:
    assert {path.name for path in PRODUCT if call in path.read_text("utf-8")} == {place}


@pytest.mark.parametrize(
    "word", ["add_script", "CERT_NONE", "verify=False", "cert_validation=False", '"basic"', "credssp"]
)
def test_dangerous_ways_are_not_used(word: str) -> None:
    assert [path.name for path in PRODUCT if word in path.read_text("utf-8")] == []


def test_libraries_do_not_log_messages(caplog: pytest.LogCaptureFixture) -> None:
    quiet_libraries()
    with caplog.at_level(logging.DEBUG):
        for name in LIBRARIES:
            logging.getLogger(f"{name}.wsman").debug("a whole message")
            logging.getLogger(name).info("a script")
    assert caplog.records == []


@pytest.mark.parametrize(
    ("username", "principal"),
    [
        ("SOURCE\\admin", "admin@SOURCE.LAB"),
        ("admin@source.lab", "admin@SOURCE.LAB"),
        ("admin@other.lab", "admin@other.lab"),
        ("admin", "admin"),
    ],
)
def test_kerberos_name_of_a_username(username: str, principal: str) -> None:
    realms = {"SOURCE": "SOURCE.LAB", "SOURCE.LAB": "SOURCE.LAB"}
    account = Account("a", username, SecretStr("hunter2"))
    assert account.principal(realms) == principal
    assert "hunter2" not in repr(account)


def test_secrets_are_found_inside_arguments() -> None:
    ref = SecretRef(env="X")
    for value in (ref, CredentialPart("a", "password"), Template(("x", ref)), ("x", (ref,)), {"a": ref}):
        assert holds_secret(value)
    for harmless in ("x", 1, CredentialPart("a", "username"), Template(("x",)), ("x", 1), {"a": "b"}):
        assert not holds_secret(harmless)


def test_realms_are_declared_while_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KRB5_CONFIG, raising=False)
    realms = Realms()
    realms.declare({"source.lab": ["127.0.35.1", "::1"]})
    file = Path(os.environ[KRB5_CONFIG].partition(":")[0])
    assert " SOURCE.LAB = {\n  kdc = 127.0.35.1\n  kdc = [::1]\n }" in file.read_text()
    assert file.parent.stat().st_mode & 0o777 == 0o700
    realms.close()
    assert KRB5_CONFIG not in os.environ and not file.exists()


def test_configuration_of_the_user_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KRB5_CONFIG, "/mine")
    realms = Realms()
    realms.declare({"source.lab": ["127.0.35.1"]})
    realms.close()
    assert os.environ[KRB5_CONFIG] == "/mine"
    assert "SOURCE.LAB = {" not in configuration({"source.lab": []})


def test_winrm_connection_is_pinned_to_name_and_address(pki: object) -> None:
    gate = Gate("pdc", "dc1.source.lab", "127.0.35.1", None, transport="http", auth="ntlm")
    wsman = open_wsman(gate, Account("a", "SOURCE\\a", SecretStr("x")), "a@SOURCE.LAB")
    transport = wsman.transport
    assert (transport.endpoint, transport.wrap_required) == ("http://127.0.35.1:5985/wsman", True)
    assert transport.session is not None
    assert transport.session.auth.hostname_override == "dc1.source.lab"  # type: ignore[union-attr]
    assert transport.session.max_redirects == 0 and not transport.session.trust_env
    wsman.close()


def test_pdc_emulator_is_found_through_its_role() -> None:
    settings = (
        b"CN=NTDS Settings,CN=DC1,CN=Servers,CN=Default-First-Site-Name,CN=Sites,CN=Configuration,DC=source,DC=lab"
    )

    def ask(search: Search) -> Rows:
        if search.base == "":
            return ({"dn": "DC=source,DC=lab", "fsmoroleowner": (settings,)},)
        assert search.base.startswith("CN=DC1,CN=Servers,")
        return ({"dn": search.base, "dnshostname": (b"dc1.source.lab",)},)

    assert pdc_emulator(ask, "source") == "dc1.source.lab"
    with pytest.raises(UnexpectedAnswer):
        pdc_emulator(lambda search: (), "source")

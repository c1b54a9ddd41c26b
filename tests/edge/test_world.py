"""What holds for the whole edge, without a network."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Generator, Iterable, Mapping
from pathlib import Path
from typing import NoReturn

import pytest
from pydantic import SecretStr

from reconciler.core.errors import ReconcileError, Refused, UnexpectedAnswer, Unreachable
from reconciler.core.query import Rows, Search
from reconciler.core.secret import CredentialPart, SecretRef, Template
from reconciler.core.table import Table
from reconciler.core.targets import Targets
from reconciler.edge import kerberos
from reconciler.edge.accounts import Account, holds_secret
from reconciler.edge.controllers import pdc_emulator
from reconciler.edge.directory import Directory
from reconciler.edge.kerberos import KRB5_CONFIG, Realms, configuration
from reconciler.edge.ldap_connection import Door
from reconciler.edge.loggers import LIBRARIES, quiet_libraries
from reconciler.edge.psrp_connection import Gate, open_wsman
from reconciler.edge.resolve import Names
from reconciler.edge.secrets import Secrets
from reconciler.edge.world import LiveWorld
from tests.one_by_one import answers_of

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


def test_what_talks_to_hosts_is_loaded_only_where_one_is_asked() -> None:
    program = "import sys, reconciler.edge.world; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert {"pypsrp", "spnego", "requests", "cryptography"}.isdisjoint(loaded) and "ldap3" in loaded


def test_realms_are_declared_while_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KRB5_CONFIG, raising=False)
    realms = Realms()
    realms.declare({"source.lab": ["127.0.35.1", "::1"]})
    file = Path(os.environ[KRB5_CONFIG].partition(":")[0])
    assert " SOURCE.LAB = {\n  kdc = 127.0.35.1\n  kdc = [::1]\n }" in file.read_text()
    assert file.parent.stat().st_mode & 0o777 == 0o700
    realms.close()
    assert KRB5_CONFIG not in os.environ and not file.exists()


def test_realms_are_known_only_once_libkrb5_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KRB5_CONFIG, raising=False)
    realms, seen = Realms(), []

    def meanwhile(kdcs: Mapping[str, Iterable[str]]) -> str:
        seen.append(realms.know(["source.lab"]))  # as another thread sees it, which would log on right away
        return configuration(kdcs)

    monkeypatch.setattr(kerberos, "configuration", meanwhile)
    realms.declare({"source.lab": ["127.0.35.1"]})
    assert (seen, realms.know(["source.lab"])) == ([False], True)
    realms.close()


def test_a_domain_that_was_down_at_first_is_declared_later(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    up = {"source.lab": True, "target.lab": False}

    def refuse(door: Door, account: Account) -> NoReturn:
        raise Unreachable("not opened")

    def controllers(self: Names, domain: str) -> tuple[str, ...]:
        if not up[domain.rstrip(".")]:
            raise Unreachable("no answer")
        return ("dc." + domain.rstrip("."),)

    monkeypatch.delenv(KRB5_CONFIG, raising=False)
    monkeypatch.setattr(Names, "controllers", controllers)
    monkeypatch.setattr(Names, "addresses", lambda self, name: (f"10.0.0.{len(name)}",))
    monkeypatch.setattr("reconciler.edge.ldap_lines.connect", refuse)
    secret = tmp_path / "secret"
    secret.write_text("x", encoding="ascii")
    secret.chmod(0o600)
    domain = {"credential": "admin", "nameservers": ["127.0.35.9"], "auth": "kerberos"}
    targets = Targets.model_validate(
        {
            "credentials": {"admin": {"username": "a@SOURCE.LAB", "password": {"file": "secret"}}},
            "domains": {
                "source": {"dns": "source.lab", "netbios": "SOURCE", **domain},
                "target": {"dns": "target.lab.", "netbios": "TARGET", **domain},
            },
            "hosts": {},
        }
    )
    with LiveWorld(targets, Secrets(tmp_path), tmp_path) as world:
        for kdcs in (["source.lab"], ["source.lab", "target.lab"]):
            with pytest.raises(Unreachable, match="not opened"):
                world.ask(Search("source", "DC=source,DC=lab"))
            written = Path(os.environ[KRB5_CONFIG].partition(":")[0]).read_text(encoding="ascii")
            assert [name for name in up if f" {name.upper()} = {{\n  kdc = 10.0.0.13\n }}" in written] == kdcs
            up["target.lab"] = True


def test_what_was_known_of_a_realm_stays_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KRB5_CONFIG, raising=False)
    realms = Realms()
    realms.declare({"source.lab": ["127.0.35.1"], "target.lab": []})
    realms.declare({"source.lab": [], "target.lab": ["127.0.35.2"]})
    written = Path(os.environ[KRB5_CONFIG].partition(":")[0]).read_text(encoding="ascii")
    assert "kdc = 127.0.35.1\n" in written and "kdc = 127.0.35.2\n" in written
    realms.close()
    assert not realms.know(["source.lab"])


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


def test_what_a_directory_does_not_answer_as_one_is_asked_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Search] = []

    def answer(self: Directory, query: Search) -> Table:
        asked.append(query)
        if query.few:
            raise Refused("too many", code="sizeLimitExceeded")
        return Table.of(({"dn": query.where},))

    def nothing() -> Generator[tuple[int, Rows], None, None]:
        yield from ()

    monkeypatch.setattr(Directory, "search", answer)
    monkeypatch.setattr(Directory, "search_ahead", lambda self, queries: nothing())
    domain = {"dns": "source.lab", "netbios": "SOURCE", "credential": "admin"}
    credentials = {"admin": {"username": "a", "password": {"file": "secret"}}}
    targets = Targets.model_validate({"credentials": credentials, "domains": {"source": domain}, "hosts": {}})
    named = [Search("source", "", f"(sAMAccountName={name})", ("cn",), "subtree") for name in "abc"]
    with LiveWorld(targets, Secrets(tmp_path), tmp_path) as world:
        found = answers_of(world, [*named, Search("source", "OU=x")])
    assert [list(rows) for rows in found if not isinstance(rows, ReconcileError)] == [
        [{"dn": "(sAMAccountName=a)"}], [{"dn": "(sAMAccountName=b)"}], [{"dn": "(sAMAccountName=c)"}], [{"dn": "(objectClass=*)"}],
    ]  # fmt: skip
    assert [query.few for query in asked].count(True) == 1 and len(asked) == 5

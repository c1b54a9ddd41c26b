"""Which controllers a domain has, and that one of them can be asked alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reconciler.core.errors import UnexpectedAnswer, Unreachable
from reconciler.core.query import Row, Rows, Search
from reconciler.core.targets import Targets
from reconciler.edge.controllers import recorded_controllers
from reconciler.edge.secrets import Secrets
from reconciler.edge.world import LiveWorld
from tests.edge.test_ldap_connection import ROOT, Start, entry, result, start
from tests.worker import address

__all__ = ["start"]  # a fixture
SITES = "CN=Servers,CN=Hall,CN=Sites,CN=Configuration,DC=source,DC=lab"
HEAD = (b"CN=Configuration,DC=source,DC=lab", b"DC=source,DC=lab")
CHILD = (b"CN=Configuration,DC=source,DC=lab", b"DC=child,DC=source,DC=lab")
FIRST, SECOND, THIRD = address(37, 1), address(37, 2), address(37, 3)


class Configuration:
    """The servers of a forest; the attribute says in which way a controller holds its domain."""

    def __init__(self) -> None:
        self.agents: list[Row] = []
        self.servers: list[Row] = []

    def add(self, name: str, dns: str = "", **holds: tuple[bytes, ...]) -> None:
        server: dict[str, object] = {"dn": f"CN={name},{SITES}"}
        self.servers.append({**server, "dnshostname": (dns.encode(),)} if dns else server)
        if holds:
            held: dict[str, object] = {key.replace("_", "-").lower(): value for key, value in holds.items()}
            self.agents.append({"dn": f"CN=NTDS Settings,CN={name},{SITES}", **held})

    def ask(self, query: Search) -> Rows:
        assert (query.base, query.scope) == ("config:CN=Sites,", "subtree")
        return tuple(self.agents if "nTDSDSA" in query.where else self.servers)


@pytest.fixture
def forest() -> Configuration:
    found = Configuration()
    found.add("DC1", "dc1.source.lab", msDS_hasMasterNCs=HEAD)
    return found


def test_writable_and_read_only_controllers_are_found(forest: Configuration) -> None:
    forest.add("RODC", "rodc.source.lab", msDS_hasFullReplicaNCs=HEAD)
    forest.add("OLD", "old.elsewhere.lab", hasMasterNCs=HEAD)
    found = recorded_controllers(forest.ask, "source", "source.lab.")
    assert found == ("dc1.source.lab", "old.elsewhere.lab", "rodc.source.lab")


def test_controllers_of_another_domain_and_former_ones_are_left_out(forest: Configuration) -> None:
    forest.add("CHILD", "dc1.child.source.lab", msDS_hasMasterNCs=CHILD)
    forest.add("GC", "gc.child.source.lab", msDS_hasMasterNCs=CHILD, hasPartialReplicaNCs=HEAD)
    forest.add("GONE", "gone.source.lab")  # demoted: its server object stayed
    assert recorded_controllers(forest.ask, "source", "source.lab") == ("dc1.source.lab",)


def test_a_controller_without_a_name_is_not_passed_over(forest: Configuration) -> None:
    forest.add("NAMELESS", msDS_hasMasterNCs=HEAD)
    with pytest.raises(UnexpectedAnswer, match="has no DNS name") as raised:
        recorded_controllers(forest.ask, "source", "source.lab")
    assert "CN=NAMELESS" in raised.value.where


def test_a_configuration_that_names_nobody_is_not_taken_for_a_domain_without_controllers() -> None:
    with pytest.raises(UnexpectedAnswer, match="names no controller"):
        recorded_controllers(Configuration().ask, "source", "source.lab")


def world(tmp_path: Path, ca: Path, *controllers: str) -> LiveWorld:
    secret = tmp_path / "secret"
    secret.write_text("Pa:ss wörd")
    secret.chmod(0o600)
    domain = {"dns": "source.lab", "netbios": "SOURCE", "credential": "a", "ca": str(ca), "controllers": controllers}
    credential = {"username": "Administrator@SOURCE.LAB", "password": {"file": "secret"}}
    targets = Targets.model_validate({"credentials": {"a": credential}, "domains": {"source": domain}, "hosts": {}})
    return LiveWorld(targets, Secrets(tmp_path), tmp_path)


@pytest.mark.lab
def test_the_named_controller_answers_and_no_other_in_its_place(pki: Any, start: Start, tmp_path: Path) -> None:
    servers = {}
    for number, place in enumerate((FIRST, SECOND)):
        servers[place] = start(pki.issue(place).context(), port=636, place=place)
        found = [entry("", {**ROOT, "number": [str(number).encode()]}), result(0x65, 0)]
        servers[place].answers["searchRequest"] = lambda request, found=found: found  # type: ignore[misc]
    asked = Search("source", "rootdse", attributes=("number",))
    with world(tmp_path, pki.ca, FIRST, SECOND, THIRD) as opened:
        assert [row["number"] for row in opened.ask(asked)] == [(b"0",)]
        for number, place in enumerate((FIRST, SECOND)):
            named = Search("source", "rootdse", attributes=("number",), controller=place)
            assert [row["number"] for row in opened.ask(named)] == [(str(number).encode(),)]
        with pytest.raises(Unreachable):
            opened.ask(Search("source", "rootdse", controller=THIRD))
        servers[SECOND].close()
        with pytest.raises(Unreachable):  # although the first would answer
            opened.ask(Search("source", "rootdse", controller=SECOND))
        assert [row["number"] for row in opened.ask(asked)] == [(b"0",)]


@pytest.mark.lab
def test_a_named_controller_with_a_wrong_certificate_gets_no_password(pki: Any, start: Start, tmp_path: Path) -> None:
    server = start(pki.issue("other.source.lab").context(), port=636, place=FIRST)
    with world(tmp_path, pki.ca, FIRST) as opened, pytest.raises(Unreachable):
        opened.ask(Search("source", "rootdse", controller=FIRST))
    assert server.seen == []


@pytest.mark.lab
def test_what_is_listed_and_what_the_directory_names_are_united(pki: Any, start: Start, tmp_path: Path) -> None:
    server = start(pki.issue(FIRST).context(), port=636, place=FIRST)

    def answer(request: Any) -> list[bytes]:
        if str(request["baseObject"]) == "":
            return [entry("", ROOT), result(0x65, 0)]
        if "nTDSDSA" in str(request["filter"]):
            agent = entry(f"CN=NTDS Settings,CN=DC2,{SITES}", {"msDS-hasMasterNCs": list(HEAD)})
            return [agent, result(0x65, 0)]
        return [entry(f"CN=DC2,{SITES}", {"dNSHostName": [b"DC2.source.lab"]}), result(0x65, 0)]

    server.answers["searchRequest"] = answer
    with world(tmp_path, pki.ca, FIRST) as opened:
        assert opened.controllers("source")[:2] == (FIRST, "dc2.source.lab")
